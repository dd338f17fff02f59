"""ingot.compile: state that calls carry from one to the next outside of parameters: attributes, dicts, an optimizer's own."""

import copy

import numpy as np
import pytest

import ingot
from ingot import nn


def both(make, calls):
    """The same calls, uncompiled and compiled: what they return, and the state after each."""
    results = []
    for compile in (lambda f: f, ingot.compile):
        ingot.manual_seed(0)
        f, state = make(compile)
        seen = []
        for args in calls:
            if callable(args):
                args(state)
                continue
            out = f(*args)
            seen.append([np.array(t.detach().numpy()) for t in (out, *state())])
        results.append(seen)
    for a, b in zip(*results):
        for x, y in zip(a, b):
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
    return f


class Carry(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(2, 2)
        self.h = None
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        h = ingot.zeros(x.shape) if self.h is None else self.h
        self.h = (self.cell(x) + h).detach()
        return self.h * 2


def carry(compile):
    m = Carry()
    f = compile(m)

    def state():
        return [m.h, ingot.tensor(m.calls)]

    state.module = m
    return f, state


def x(n, value=1.0):
    return (ingot.full((n, 2), value),)


def reset(state):
    state.module.h = None


def other(state):
    state.module.h = ingot.full((3, 2), 7.0)


def test_a_state_that_is_reset():
    both(carry, [x(2), x(2), reset, x(2), x(2), x(2), reset, reset, x(2), x(2)])


def test_a_state_of_another_shape():
    both(carry, [x(2), x(2), x(2), other, x(3), x(3), reset, x(2), other, x(3), reset, x(2), x(2)])


class Average:
    """The usual moving average of weights."""

    def __init__(self, model, decay):
        self.decay, self.shadow, self.total = decay, {}, ingot.zeros(())
        for name, p in model.named_parameters():
            self.shadow[name] = p.data.clone()

    def update(self, model):
        for name, p in model.named_parameters():
            self.shadow[name] = self.decay * self.shadow[name] + (1 - self.decay) * p.data
        self.total = self.total + 1


def averaging(compile):
    model = nn.Linear(2, 2)
    opt = ingot.optim.SGD(model.parameters(), lr=0.1)
    average = Average(model, 0.5)

    @compile
    def step(x):
        opt.zero_grad()
        loss = model(x).pow(2).sum()
        loss.backward()
        opt.step()
        average.update(model)
        return loss

    def state():
        return [*model.parameters(), *average.shadow.values(), average.total]

    state.average = average
    return step, state


def forget(state):
    state.average.shadow["weight"] = ingot.zeros(2, 2)


def test_averages_in_a_dict_of_an_object():
    def faster(state):
        state.average.decay = 0.9

    f = both(averaging, [x(2), x(2), x(2), forget, x(2), x(2), faster, x(2), x(2)])
    assert f.stats["traces"] <= 4


class Lion(ingot.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr, "decay": 0.1})

    @ingot.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if len(state) == 0:
                    state["average"] = ingot.zeros_like(p)
                p.data.mul_(1 - group["lr"] * group["decay"])
                p.add_(ingot.sign(state["average"] * 0.9 + p.grad * 0.1), alpha=-group["lr"])
                state["average"].mul_(0.9).add_(p.grad, alpha=0.1)


class Counting(ingot.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p not in self.state:
                    self.state[p] = {"step": 0, "average": ingot.zeros_like(p)}
                s = self.state[p]
                s["step"] += 1
                s["average"] = 0.9 * s["average"] + p.grad
                p.data.add_(s["average"], alpha=-group["lr"] / s["step"])


@pytest.mark.parametrize("kind", [Lion, Counting])
def test_optimizers_of_the_user(kind):
    def make(compile):
        model = nn.Linear(2, 2)
        opt = kind(model.parameters(), 0.1)

        @compile
        def step(x):
            opt.zero_grad()
            loss = model(x).pow(2).sum()
            loss.backward()
            opt.step()
            return loss

        def state():
            return [*model.parameters(), *(opt.state[p]["average"] for p in model.parameters())]

        state.opt = opt
        return step, state

    def slower(state):
        state.opt.param_groups[0]["lr"] = 0.01

    def reload(state):
        state.opt.load_state_dict(copy.deepcopy(state.opt.state_dict()))

    def forget(state):
        state.opt.state.clear()

    f = both(make, [x(2), x(2), x(2), slower, x(2), x(2), reload, x(2), x(2), forget, x(2), x(2), forget, x(2), x(2)])
    if kind is Lion:
        assert f.stats["traces"] <= 6


def test_a_failed_trace_leaves_no_state():
    model = nn.Linear(2, 2)
    opt = Counting(model.parameters(), 0.1)
    average = Average(model, 0.5)

    @ingot.compile
    def step(x):
        model(x).sum().backward()
        opt.step()
        average.update(model)
        average.shadow["new"] = x * 2
        if fails:
            raise ValueError("late")
        return x

    fails = True
    before = dict(average.shadow)
    with pytest.raises(ValueError, match="late"):
        step(*x(2))
    assert not opt.state and average.shadow.keys() == before.keys() and all(average.shadow[k] is before[k] for k in before)
    fails = False
    step(*x(2))
    assert [s["step"] for s in opt.state.values()] == [1, 1] and average.shadow["new"].tolist() == [[2, 2], [2, 2]]


@pytest.mark.compiled
def test_a_failed_compilation_leaves_no_state():
    model = nn.Linear(2, 2)
    opt = Counting(model.parameters(), 0.1)
    before = model.weight.detach().clone()

    @ingot.compile
    def step(x):
        model(x * 0.0625).sum().backward()  # no other test compiles this
        opt.step()

    with ingot.frozen(), pytest.raises(ingot.FrozenError):
        step(*x(3))
    assert not opt.state and model.weight.grad is None and ingot.equal(model.weight, before)
    step(*x(3))
    assert [s["step"] for s in opt.state.values()] == [1, 1] and not ingot.equal(model.weight, before)


@pytest.mark.parametrize("read", [
    lambda opt: opt.param_groups[0]["lr"],
    lambda opt: opt.param_groups[0].get("lr"),
    lambda opt: dict(opt.param_groups[0].items())["lr"],
    lambda opt: {**opt.param_groups[0]}["lr"],
], ids=["item", "get", "items", "unpacked"])  # fmt: skip
def test_a_learning_rate_that_the_function_reads_itself(read):
    model = nn.Linear(2, 2)
    opt = ingot.optim.SGD(model.parameters(), lr=0.5)

    @ingot.compile
    def step(x):
        model(x).sum().backward()
        opt.step()
        return x * read(opt)

    assert step(*x(1)).tolist() == [[0.5, 0.5]]
    opt.param_groups[0]["lr"] = 0.25
    assert step(*x(1)).tolist() == [[0.25, 0.25]]


def test_a_learning_rate_that_only_the_optimizer_reads_compiles_once():
    model = nn.Linear(2, 2)
    opt = ingot.optim.SGD(model.parameters(), lr=0.5)

    @ingot.compile
    def step(x):
        opt.zero_grad()
        model(x).sum().backward()
        opt.step()

    for i in range(5):
        opt.param_groups[0]["lr"] = 0.1 / (i + 1)
        step(*x(1))
    assert step.stats["traces"] == 1


def test_schedulers_step_outside():
    model = nn.Linear(2, 2)
    opt = ingot.optim.SGD(model.parameters(), lr=0.5)
    scheduler = ingot.optim.lr_scheduler.StepLR(opt, 3)

    @ingot.compile
    def step(x):
        model(x).sum().backward()
        opt.step()
        scheduler.step()

    with pytest.raises(ingot.CaptureError, match=r"(?s)scheduler's step.*call it outside"):
        step(*x(1))

    plateau = ingot.optim.lr_scheduler.ReduceLROnPlateau(opt, patience=0)
    with pytest.raises(ingot.CaptureError, match=r"(?s)scheduler's step.*call it outside"):
        ingot.compile(lambda t: (t * 2, plateau.step(1.0))[0])(*x(1))
    assert plateau.last_epoch == 0

    @ingot.compile
    def faster(x):
        opt.param_groups[0]["lr"] = 0.7
        return x

    with pytest.raises(ingot.CaptureError, match="cannot change a setting of an optimizer, 'lr'"):
        faster(*x(1))
    assert opt.param_groups[0]["lr"] == 0.5


class Sharing:
    def __init__(self, model, share):
        self.model, self.shadow = model, {"weight": share(model.weight)}

    def __call__(self, x):
        y = self.model(x)
        self.shadow["weight"] = self.shadow["weight"].detach() * 0.5 + 1
        return y + self.shadow["weight"].sum()


@pytest.mark.parametrize("share", [lambda p: p.data, lambda p: p, lambda p: p.detach()[:1]], ids=["data", "itself", "view"])
@pytest.mark.parametrize("in_list", [False, True])
def test_an_entry_that_shares_memory_with_a_parameter(share, in_list):
    def make(compile):
        model = nn.Linear(2, 2)
        s = Sharing(model, share)
        if in_list:
            s.model = Listed([model.weight], model.bias)
        f = compile(s)

        def state():
            return [model.weight, s.shadow["weight"]]

        return (lambda x: f(x).detach()), state

    both(make, [x(2)] * 5)


class Listed:
    def __init__(self, weights, bias):
        self.weights, self.bias = weights, bias

    def __call__(self, x):
        return x @ self.weights[0] + self.bias


def test_a_state_that_is_read_through_aliases_compiles_twice():
    class Carrying(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.h = nn.GRUCell(2, 3), None

        def forward(self, x):
            h = ingot.zeros(len(x), 3) if self.h is None else self.h
            self.h = self.cell(x, h.detach().data)
            return self.h

    m = Carrying()
    c = ingot.compile(m)
    for _ in range(6):
        kept = c(*x(2))
    assert c.stats["traces"] <= 3 and kept is m.h


def test_one_tensor_in_several_places_stays_one():
    class Keeping(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.weight = None, nn.Parameter(ingot.ones(2))

        def forward(self, x):
            self.last = y = x * 2
            (self.weight * x).sum().backward()
            return y, [y], self.weight.grad

    m = Keeping()
    c = ingot.compile(m)
    for _ in range(4):
        m.weight.grad = None
        y, (again,), grad = c(ingot.ones(2))
        assert y is again is m.last and grad is m.weight.grad
        y += 1
        assert m.last.tolist() == [3, 3]
    f = ingot.compile(lambda x: (x + 1,) * 2)
    for _ in range(4):
        a, b = f(ingot.ones(2))
        assert a is b
