"""ingot.compile: what is written in place, under views and with histories, is what the eager function writes."""

import pytest

import ingot
from ingot import nn
from tests.support.stateful import check, tensor

PROGRAMS = {}


def program(make):
    PROGRAMS[make.__name__] = make
    return make


@program
def added_to_without_history(compile):
    state, x = ingot.zeros(3), tensor(True)
    f = compile(lambda x: state.add_(x).sum())

    def call():
        state.detach_()
        loss = f(x)
        kept = state.requires_grad, state.grad_fn is None
        loss.backward()
        return loss, kept

    return call, state, x


@program
def added_to_with_history_that_goes_on(compile):
    state, x = ingot.zeros(3), tensor(True)
    f = compile(lambda x: state.add_(x).sum())

    def call():
        out = f(x)
        x.grad = None
        out.backward(retain_graph=True)
        return out, state.requires_grad

    return call, state, x


@program
def detached_in_place(compile):
    x = tensor(True)
    made = [x * 2]

    def f(y):
        made[0].detach_()
        return made[0] + y

    f = compile(f)
    return lambda: (f(tensor()), made[0].requires_grad), made


@program
def detached_in_place_and_written(compile):
    x = tensor(True)
    made = x * 2

    def f(y):
        made.detach_()
        made.add_(y)
        return made * y

    f = compile(f)
    return lambda: f(tensor()), made, x


@program
def a_view_of_a_captured_tensor_is_written(compile):
    base, x = ingot.zeros(2, 3), tensor(True)
    row = base[0]

    def f(x):
        row.mul_(0.5)
        base[1].add_(x)
        return base.sum() + row.sum()

    f = compile(f)
    return lambda: f(x), base, row, x


@program
def the_base_of_a_view_is_written(compile):
    base, x = ingot.zeros(2, 3), tensor(True)
    row = base[1]

    def f(x):
        base.add_(x)
        return row * 2

    f = compile(f)
    return lambda: f(x), base, row, x


@program
def an_argument_is_written_with_history(compile):
    x = tensor(True)

    def f(s, x):
        s.mul_(x)
        return s.sum()

    f = compile(f)

    def call():
        s = ingot.ones(3)
        out = f(s, x)
        rg = s.requires_grad
        s.sum().backward()
        return out, rg, s

    return call, x


@program
def an_argument_is_detached(compile):
    x = tensor(True)

    def f(s):
        s.detach_()
        return s * 2

    f = compile(f)

    def call():
        s = x * 3
        return f(s), s

    return call, x


@program
def a_parameter_under_no_grad(compile):
    w = nn.Parameter(tensor())

    def f(x):
        with ingot.no_grad():
            w.mul_(x)
        return w.sum()

    f = compile(f)

    def call():
        w.grad = None
        f(tensor()).backward()

    return call, w


@program
def copied_from_what_has_history(compile):
    s, x = ingot.zeros(3), tensor(True)

    def f(x):
        s.copy_(x * 2)
        return s + 1

    f = compile(f)
    return lambda: f(x), s, x


@program
def a_state_that_grows_with_its_history(compile):
    w = tensor(True)

    class Growing(nn.Module):
        def __init__(self):
            super().__init__()
            self.h = ingot.zeros(3)

        def forward(self, x):
            self.h = self.h * w + x
            return self.h * 2

    m = Growing()
    f, calls = compile(m), []

    def call():
        out = f(tensor())
        calls.append(out)
        if len(calls) == 3:
            out.sum().backward()
        return out

    return call, m, w


@program
def one_argument_twice_and_two_arguments(compile):
    def f(a, b):
        a.add_(1)
        return a * b

    f, g = compile(f), compile(lambda a, b: a * b)

    def call():
        x = tensor()
        return f(x, x), f(x, tensor()), g(x, x), g(x, tensor()), x

    return (call,)


@program
def memory_that_numpy_writes(compile):
    w = tensor()
    f = compile(lambda x: w * x)

    def call():
        out = f(tensor())
        w.numpy()[0] += 1
        return out

    return call, w


@program
def what_is_detached_inside_is_written(compile):
    w = nn.Parameter(tensor())

    def f(x):
        w.detach().add_(x)
        w.data.mul_(2)
        return w * 1

    f = compile(f)
    return lambda: f(tensor()), w


@pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)
def test_programs(make):
    check(make)
