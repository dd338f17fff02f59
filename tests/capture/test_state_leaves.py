"""ingot.compile: hooks, and tensors that begin and cease to require gradients, are as in the eager function."""

import pytest

import ingot
from ingot import nn
from tests.support.stateful import check, tensor

PROGRAMS = {}


def program(make):
    PROGRAMS[make.__name__] = make
    return make


@program
def a_hook_inside(compile):
    w = tensor(True)

    def f(x):
        h = w * x
        h.register_hook(lambda g: g * 10)
        h.sum().backward()

    f = compile(f)
    return lambda: f(tensor()), w


@program
def a_hook_outside(compile):
    w = tensor(True)
    w.register_hook(lambda g: g * 10)
    f = compile(lambda x: (w * x).sum().backward())
    return lambda: f(tensor()), w


@program
def a_hook_on_a_parameter_inside(compile):
    w = tensor(True)

    def f(x):
        handle = w.register_hook(lambda g: g * 10)
        (w * x).sum().backward()
        handle.remove()

    f = compile(f)
    return lambda: f(tensor()), w


@program
def a_hook_that_stays_on_a_parameter(compile):
    w = tensor(True)

    def f(x):
        w.register_hook(lambda g: g * 2)
        (w * x).sum().backward()

    f = compile(f)
    return lambda: f(tensor()), w


@program
def a_hook_after_accumulation(compile):
    w = tensor(True)

    def after(p):
        with ingot.no_grad():
            p.sub_(p.grad * 0.1)
        p.grad = None

    w.register_post_accumulate_grad_hook(after)
    f = compile(lambda x: (w * x).sum().backward())
    return lambda: f(tensor()), w


@program
def requires_grad_inside(compile):
    w = tensor()

    def f(x):
        w.requires_grad_(True)
        return (w * x).sum()

    f = compile(f)

    def call():
        f(tensor()).backward()
        w.requires_grad_(False)

    return call, w


@program
def requires_grad_of_something_new(compile):
    def f(x):
        y = (x * 2).requires_grad_()
        (y * y).sum().backward()
        return y.grad

    f = compile(f)
    return (lambda: f(tensor()),)


@program
def requires_grad_of_a_result(compile):
    def f(x):
        return (x * 2).requires_grad_()

    f = compile(f)

    def call():
        y = f(tensor())
        (y * y).sum().backward()
        return y

    return (call,)


@program
def requires_grad_switched_off_and_on(compile):
    w = nn.Parameter(tensor())

    def f(x):
        w.requires_grad_(False)
        y = w * x
        w.requires_grad_(True)
        return y, (w * x).sum()

    f = compile(f)
    return lambda: f(tensor()), w


@program
def a_leaf_is_detached(compile):
    w = tensor(True)

    def f(x):
        w.detach_()
        return w * x

    f = compile(f)
    return lambda: f(tensor()), w


@program
def a_history_is_exchanged_for_a_leaf(compile):
    w = tensor(True)
    made = [w * 2]

    def f(x):
        made[0].detach_().requires_grad_()
        (made[0] * x).sum().backward()

    f = compile(f)
    return lambda: f(tensor()), made, w


@program
def hooks_that_come_and_go_between_calls(compile):
    w, handles = tensor(True), []
    f = compile(lambda x: (w * x).sum().backward())

    def call():
        w.grad = None
        f(tensor())
        if handles:
            handles.pop().remove()
        else:
            handles.append(w.register_hook(lambda g: g * 10))

    return call, w


@program
def hooks_after_accumulation_between_calls(compile):
    w, seen = tensor(True), []
    f = compile(lambda x: (w * x).sum().backward())

    def call():
        w.grad = None
        f(tensor())
        if not seen:
            seen.append(w.register_post_accumulate_grad_hook(lambda p: p.grad.mul_(3)))

    return call, w


@program
def a_hook_of_an_argument(compile):
    w = tensor(True)
    w.register_hook(lambda g: g * 10)
    f = compile(lambda w: (w * w).sum().backward())
    return lambda: f(w), w


@program
def an_argument_starts_to_require_gradients(compile):
    def f(x):
        x.requires_grad_()
        (x * x).sum().backward()
        return x * 3

    f = compile(f)

    def call():
        x = tensor()
        y = f(x)
        y.sum().backward()
        return x, y

    return (call,)


@program
def an_argument_stops_to_require_gradients(compile):
    def f(x):
        y = x * 2
        x.requires_grad_(False)
        return y + x

    f = compile(f)

    def call():
        x = tensor(True)
        y = f(x)
        y.sum().backward()
        return x, y

    return (call,)


@program
def history_that_comes_between_calls(compile):
    state, w = ingot.zeros(3), tensor(True)
    f = compile(lambda x: (state * x).sum())

    def call():
        out = f(tensor())
        w.grad = None
        if out.requires_grad:
            out.backward()
            state.detach_()
        else:
            state.add_(w)
        return out

    return call, state, w


@program
def a_hook_that_counts(compile):
    w, log = tensor(True), []
    w.register_hook(lambda g: log.append(len(log)))
    f = compile(lambda x: (w * x).sum().backward())
    return lambda: (f(tensor()), list(log)), w


@program
def a_hook_whose_closure_changes(compile):
    w, scale = tensor(True), [1]
    w.register_hook(lambda g: g * scale[0])
    f = compile(lambda x: (w * x).sum().backward())

    def call():
        f(tensor())
        scale[0] += 1

    return call, w


@program
def a_gradient_of_an_argument_is_retained(compile):
    w = tensor(True)

    def f(h):
        h.retain_grad()
        return h * 3

    f = compile(f)

    def call():
        h = w * 2
        f(h).sum().backward()
        return h

    return call, w


@program
def a_gradient_of_a_captured_tensor_is_retained(compile):
    w = tensor(True)
    made = [w * 2]

    def f(x):
        made[0].retain_grad()
        return made[0] * x

    f = compile(f)

    def call():
        made[0] = w * 2
        f(tensor()).sum().backward()
        return made[0]

    return call, w


@program
def a_gradient_of_the_only_result_is_retained(compile):
    w = tensor(True)

    def f(x):
        h = w * x
        h.retain_grad()
        return h

    f = compile(f)

    def call():
        h = f(tensor())
        (h * h).sum().backward()
        return h

    return call, w


@pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)
def test_programs(make):
    check(make)


def through_an_argument(w, compile):
    f = compile(lambda h: (h * h).sum().backward())
    return lambda: f(w * 2)


def through_a_captured_tensor(w, compile):
    made = w * 2
    f = compile(lambda x: (made * x).sum().backward())
    return lambda: f(tensor())


@pytest.mark.parametrize("make", [through_an_argument, through_a_captured_tensor])
def test_a_backward_inside_goes_no_further_than_the_function(make):
    w = tensor(True)
    with pytest.raises(ingot.CaptureError, match="computed outside of it(?s:.*)call backward.. outside"):
        make(w, ingot.compile)()
    make(w, lambda f: f)()
    assert w.grad is not None


def test_hooks_are_registered_on_arguments_outside():
    f = ingot.compile(lambda w: w.register_hook(lambda g: g * 2) and w * 2)
    with pytest.raises(ingot.CaptureError, match="register hooks on argument w"):
        f(tensor(True))


def test_a_retained_gradient_between_two_results_is_refused():
    w = tensor(True)

    def f(x):
        h = w * x
        h.retain_grad()
        return h, (h * h).sum()

    with pytest.raises(ingot.CaptureError, match="split the function there"):
        ingot.compile(f)(tensor())
