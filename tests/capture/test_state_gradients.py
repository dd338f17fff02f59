"""ingot.compile: gradients that are read, dropped, assigned, kept and shared, and the state of optimizers, are the eager ones."""

import pytest

import ingot
from ingot import nn
from tests.support.stateful import check, tensor

PROGRAMS = {}


def program(make):
    PROGRAMS[make.__name__] = make
    return make


@program
def a_gradient_that_is_not_there_yet(compile):
    w = tensor(True)
    seen = []

    def f(x):
        return x * 2 if w.grad is None else x * w.grad

    f = compile(f)

    def call():
        out = f(tensor())
        (w * 3).sum().backward()
        seen.append(w.grad is None)
        return out

    return call, w, seen


@program
def a_gradient_of_a_tensor_without_a_place_for_one(compile):
    w = tensor()
    f = compile(lambda x: x * 2 if w.grad is None else x * w.grad)

    def call():
        out = f(tensor())
        w.grad = ingot.ones(3) if w.grad is None else None
        return out

    return call, w


@program
def a_gradient_of_an_argument_without_a_place_for_one(compile):
    w = tensor()
    f = compile(lambda w: w * 2 if w.grad is None else w * w.grad)

    def call():
        out = f(w)
        w.grad = ingot.ones(3) if w.grad is None else None
        return out

    return call, w


@program
def a_gradient_is_dropped(compile):
    w = tensor(True)

    def f(x):
        w.grad = None
        (w * x).sum().backward()
        return w.grad

    f = compile(f)
    return lambda: f(tensor()), w


@program
def a_gradient_is_dropped_where_there_is_no_place_for_one(compile):
    w = tensor()

    def f(x):
        w.grad = None
        return x * 2

    f = compile(f)

    def call():
        out = f(tensor()), w.grad
        w.grad = ingot.ones(3)
        return out

    return call, w


@program
def a_gradient_is_assigned_and_read(compile):
    w = tensor(True)

    def f(x):
        w.grad = x * 2
        (w * x).sum().backward()
        return w.grad * 1

    f = compile(f)
    return lambda: f(tensor()), w


@program
def a_retained_gradient(compile):
    w = tensor(True)

    def f(x):
        h = w * x
        h.retain_grad()
        (h * h).sum().backward()
        return h.grad

    f = compile(f)
    return lambda: f(tensor()), w


@program
def a_retained_gradient_of_a_result(compile):
    w = tensor(True)

    def f(x):
        h = w * x
        h.retain_grad()
        (h * h).sum().backward()
        return h.detach(), h.grad

    f = compile(f)
    return lambda: f(tensor()), w


@program
def a_retained_gradient_that_is_dropped(compile):
    w = tensor(True)

    def f(x):
        h = w * x
        h.retain_grad()
        (h * h).sum().backward()
        return w.grad * 1

    f = compile(f)
    return lambda: f(tensor()), w


@program
def a_retained_gradient_that_comes_back(compile):
    w = tensor(True)

    def f(x):
        h = w * x
        h.retain_grad()
        (h * h).sum().backward(retain_graph=True)
        return h

    f = compile(f)
    return lambda: f(tensor()), w


@program
def a_new_leaf_that_comes_back_with_its_gradient(compile):
    def f(x):
        y = (x * 2).requires_grad_()
        (y * y).sum().backward()
        return y

    f = compile(f)
    return (lambda: f(tensor()),)


@program
def a_new_leaf_that_comes_back_under_a_loss(compile):
    def f(x):
        y = (x * 2).requires_grad_()
        return y, (y * y).sum()

    f = compile(f)

    def call():
        y, loss = f(tensor())
        loss.backward()
        return y, loss

    return (call,)


@program
def an_input_gradient(compile):
    def f(x):
        x = x.detach().requires_grad_()
        return x, ingot.autograd.grad((x * x).sum(), x)[0]

    f = compile(f)
    return (lambda: f(tensor()),)


@program
def a_gradient_that_is_captured_too(compile):
    w = tensor(True)
    g = w.grad = ingot.ones(3)

    def f(x):
        w.grad.mul_(2)
        g.add_(1)
        return g * x, w.grad + 0

    f = compile(f)
    return lambda: f(tensor()), w, g


@program
def a_gradient_that_is_an_argument_too(compile):
    w = tensor(True)
    w.grad = ingot.ones(3)

    def f(g):
        w.grad.mul_(2)
        g.add_(1)
        return g * 2, w.grad + 0

    f = compile(f)
    return lambda: f(w.grad), w


@program
def gradients_in_one_tensor(compile):
    a, b, flat = tensor(True), tensor(True), ingot.zeros(6)
    a.grad, b.grad = flat[:3], flat[3:]

    def f(x):
        flat.zero_()
        (a * b * x).sum().backward()
        with ingot.no_grad():
            a.sub_(flat[:3] * 0.01)
            b.sub_(flat[3:] * 0.01)

    f = compile(f)
    return lambda: f(tensor()), a, b, flat


@program
def one_gradient_of_two_parameters(compile):
    a, b = tensor(True), tensor(True)
    a.grad = b.grad = ingot.zeros(3)
    f = compile(lambda x: (a * b * x).sum().backward())
    return lambda: f(tensor()), a, b


@program
def state_made_inside(compile):
    model = nn.Linear(3, 2)
    opt = ingot.optim.Adam(model.parameters(), lr=0.1, amsgrad=True)

    def f(x):
        opt.zero_grad()
        model(x).pow(2).sum().backward()
        opt.step()

    f = compile(f)
    return lambda: f(tensor()), model, opt


@program
def a_users_optimizer(compile):
    class Momentum(ingot.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1})
            self.steps = 0
            self.log = []

        def step(self):
            self.steps += 1
            self.log.append(self.steps)
            with ingot.no_grad():
                for g in self.param_groups:
                    for p in g["params"]:
                        s = self.state[p]
                        if not s:
                            s["m"], s["n"] = ingot.zeros_like(p), 0
                        s["m"].mul_(0.5).add_(p.grad)
                        s["n"] += 1
                        p.sub_(s["m"] * g["lr"] / self.steps)

    model = nn.Linear(3, 2)
    opt = Momentum(model.parameters())

    def f(x):
        opt.zero_grad()
        model(x).pow(2).sum().backward()
        opt.step()

    f = compile(f)
    return lambda: (f(tensor()), opt.steps, list(opt.log)), model, opt


@program
def attributes_of_an_optimizer(compile):
    class Scaled(ingot.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1})
            self.scale = 1.0

        def step(self):
            with ingot.no_grad():
                for g in self.param_groups:
                    for p in g["params"]:
                        p.sub_(p.grad * (g["lr"] * self.scale))

    model = nn.Linear(3, 1)
    opt = Scaled(model.parameters())

    def f(x):
        opt.zero_grad()
        model(x).sum().backward()
        opt.step()

    f = compile(f)

    def call():
        f(tensor())
        opt.scale += 1

    return call, model


def zeroing(set_to_none):
    def make(compile):
        model = nn.Linear(3, 1)
        opt = ingot.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def f(x):
            loss = model(x).sum()
            loss.backward()
            opt.step()
            opt.zero_grad(set_to_none=set_to_none)
            return loss

        f = compile(f)
        return lambda: f(tensor()), model, opt

    make.__name__ = f"zero_grad_{set_to_none}"
    return make


program(zeroing(True))
program(zeroing(False))


def module_zeroing(set_to_none):
    def make(compile):
        model = nn.Linear(3, 1)

        def f(x):
            model.zero_grad(set_to_none=set_to_none)
            model(x).sum().backward()

        f = compile(f)
        return lambda: f(tensor()), model

    make.__name__ = f"module_zero_grad_{set_to_none}"
    return make


program(module_zeroing(True))
program(module_zeroing(False))


@pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)
def test_programs(make):
    check(make)
