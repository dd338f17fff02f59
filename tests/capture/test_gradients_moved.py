"""ingot.compile: gradients that are written and then are those of others, of nobody, or in a list; views of them that calls give."""

from __future__ import annotations

from typing import Any

import pytest

import ingot

PROGRAMS: dict[str, Any] = {}


def program(f):
    PROGRAMS[f.__name__] = f
    return f


@program
def swapped_then_written(p, q, w, kept, x):
    p.grad, q.grad = q.grad, p.grad
    p.grad.add_(x)


@program
def written_then_swapped(p, q, w, kept, x):
    p.grad.add_(x)
    p.grad, q.grad = q.grad, p.grad


@program
def swapped_then_accumulated(p, q, w, kept, x):
    p.grad, q.grad = q.grad, p.grad
    (p * x).sum().backward()


@program
def turned_among_three(p, q, w, kept, x):
    p.grad, q.grad, w.grad = q.grad, w.grad, p.grad
    q.grad.mul_(2)


@program
def moved(p, q, w, kept, x):
    q.grad = p.grad
    p.grad = None
    q.grad.add_(x)
    p.grad = q.grad * 2


@program
def written_then_dropped(p, q, w, kept, x):
    p.grad.add_(x)
    p.grad = None
    p.grad = q.grad * 1


@program
def accumulated_then_dropped(p, q, w, kept, x):
    (p * x).sum().backward()
    p.grad = None
    p.grad = kept[0]


@program
def kept_then_written(p, q, w, kept, x):
    kept[1] = p.grad
    p.grad = None
    (p * x).sum().backward()
    kept[1].mul_(2)


@program
def a_view_returned(p, q, w, kept, x):
    p.grad.add_(x)
    return p.grad[1:], p.grad.detach(), q.grad.view(3, 1)


@program
def a_view_of_one_that_is_dropped(p, q, w, kept, x):
    g = p.grad[:2]
    p.grad = None
    g.add_(x)
    p.grad = q.grad * 1
    return (g,)


def outcome(fn: Any, compile: Any) -> list[Any]:
    p, q, w = (ingot.ones(3, requires_grad=True) for _ in range(3))
    p.grad, q.grad, w.grad = (ingot.full((3,), float(i)) for i in range(3))
    had, kept = [p.grad, q.grad, w.grad], [ingot.full((3,), 5.0), ingot.zeros(3)]
    f = compile(lambda x: fn(p, q, w, kept, x))
    found = []
    for i in range(5):
        given = f(ingot.tensor(1.0 + i)) or ()
        for t in given:
            t.add_(1)
        now = [p.grad, q.grad, w.grad, *kept]
        found.append(([t.tolist() for t in (*given, *now, *had)], [[t is g for g in had] for t in now]))
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_eager(name):
    assert outcome(PROGRAMS[name], ingot.compile) == outcome(PROGRAMS[name], lambda f: f)


@pytest.mark.parametrize("name", [n for n in PROGRAMS if "kept" not in n and "accumulated_then" not in n])
def test_of_arguments_as_eager(name):
    """The same with the leaves as arguments."""

    def arguments(compile):
        p, q, w = (ingot.ones(3, requires_grad=True) for _ in range(3))
        p.grad, q.grad, w.grad = (ingot.full((3,), float(i)) for i in range(3))
        had = [p.grad, q.grad, w.grad]
        f = compile(lambda p, q, w, x: PROGRAMS[name](p, q, w, None, x))
        found = []
        for i in range(4):
            given = f(p, q, w, ingot.tensor(1.0 + i)) or ()
            for t in given:
                t.add_(1)
            found.append([t.tolist() for t in (*given, p.grad, q.grad, w.grad, *had)])
        return found

    assert arguments(ingot.compile) == arguments(lambda f: f)


@pytest.mark.parametrize("place", ["kept[0]", "table['a']", "holder.att", "holder.buf"])
def test_gradients_exchanged_with_other_places(place):
    """What was a gradient stands elsewhere in the next call, and the other way round."""

    def outcome(compile):
        p = ingot.ones(3, requires_grad=True)
        p.grad = ingot.full((3,), 10.0)
        holder = ingot.nn.Module()
        holder.register_buffer("buf", ingot.full((3,), 50.0))
        holder.att = ingot.full((3,), 60.0)
        scope = {"p": p, "kept": [ingot.full((3,), 20.0)], "table": {"a": ingot.full((3,), 30.0)}, "holder": holder}
        exec(f"def step(x):\n    p.grad, {place} = {place}, p.grad\n    return x * 1", scope)
        f, found = compile(scope["step"]), []
        for _ in range(4):
            f(ingot.ones(1))
            found.append((p.grad.tolist(), eval(place, scope).tolist()))
        return found

    assert outcome(ingot.compile) == outcome(lambda f: f)


@pytest.mark.parametrize("how", ["itself", "view", "detached", "gradient"])
def test_a_gradient_that_comes_to_share_memory(how):
    """Code for gradients that stand alone does not serve calls in which one shares the memory of what the function reads and writes."""

    def outcome(compile):
        p, q = ingot.ones(3, requires_grad=True), ingot.ones(3, requires_grad=True)
        p.grad, q.grad, held = ingot.full((3,), 10.0), ingot.full((3,), 30.0), ingot.full((3,), 20.0)

        def step(x):
            held.zero_()
            q.grad.mul_(2)
            p.grad.add_(x)

        f, found = compile(step), []
        for i in range(6):
            f(ingot.tensor(float(i)))
            found.append((p.grad.tolist(), q.grad.tolist(), held.tolist()))
            if i == 2:
                p.grad = {"itself": held, "view": held.view(3), "detached": held.detach(), "gradient": q.grad}[how]
        return found

    assert outcome(ingot.compile) == outcome(lambda f: f)
