"""Writes in place that torch refuses, since it is open what the history is: views made without one, leaves, what backward needs."""

from __future__ import annotations

import pytest

import ingot

torch = pytest.importorskip("torch")

REFUSED = {}
TAKEN = {}


def refused(f):
    REFUSED[f.__name__] = f
    return f


def taken(f):
    TAKEN[f.__name__] = f
    return f


def tracked(lib):
    return lib.ones(4, requires_grad=True) * 1


@refused
def view_without_history(lib):
    a = tracked(lib)
    with lib.no_grad():
        v = a[:2]
    v.mul_(2)


@refused
def view_of_such_a_view(lib):
    a = tracked(lib)
    with lib.no_grad():
        v = a[:2]
    v[:1].mul_(2)


@refused
def assignment_to_such_a_view(lib):
    a = tracked(lib)
    with lib.no_grad():
        v = a[:2]
    v[0] = 3


@refused
def value_with_history_into_such_a_view(lib):
    a, w = lib.ones(4), lib.ones(2, requires_grad=True)
    with lib.no_grad():
        v = a.view(2, 2)[0]
    v.copy_(w)


@refused
def such_a_view_once_the_whole_has_history(lib):
    a = lib.ones(4)
    with lib.no_grad():
        v = a[:2]
    v.add_(1)
    a.mul_(lib.ones(4, requires_grad=True))
    v.add_(1)


@refused
def diagonal_without_history(lib):
    a = lib.ones(2, 2, requires_grad=True) * 1
    with lib.no_grad():
        v = a.diagonal()
    v.add_(1)


@refused
def leaf(lib):
    lib.ones(3, requires_grad=True).mul_(2)


@refused
def view_of_a_leaf(lib):
    lib.ones(3, requires_grad=True)[:2].mul_(2)


@refused
def view_of_a_leaf_made_without_history(lib):
    a = lib.ones(3, requires_grad=True)
    with lib.no_grad():
        v = a[:2]
    v.mul_(2)


@refused
def what_backward_needs(lib):
    b = tracked(lib)
    c = b * b
    b[:1].add_(1)
    c.sum().backward()


@refused
def a_detached_view_of_what_backward_needs(lib):
    b = tracked(lib)
    c = b * b
    b.detach().add_(1)
    c.sum().backward()


@refused
def an_expanded_view(lib):
    lib.ones(1).expand(3).add_(1)


@taken
def view_without_history_of_what_has_none(lib):
    a = lib.ones(4)
    with lib.no_grad():
        v = a[:2]
    return v.mul_(2), a


@taken
def written_without_history(lib):
    a = tracked(lib)
    with lib.no_grad():
        v = a[:2]
        v.mul_(2)
    return a, v


@taken
def detached_behind_such_a_view(lib):
    a = tracked(lib)
    with lib.no_grad():
        v = a[:2].detach()
    v.mul_(2)
    return a, v


@taken
def such_a_view_of_a_detached_tensor(lib):
    a = tracked(lib)
    with lib.no_grad():
        v = a.detach()[:2]
    v.mul_(2)
    return a, v


@taken
def view_with_history_written_without(lib):
    a = tracked(lib)
    v = a[:2]
    with lib.no_grad():
        v.mul_(2)
    v.mul_(3)
    a.sum().backward()
    return a, v


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("lib", [torch, ingot])
def test_refused(name, lib):
    with pytest.raises(RuntimeError):
        REFUSED[name](lib)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_when_compiled(name):
    with pytest.raises(RuntimeError):
        ingot.compile(lambda: REFUSED[name](ingot))()


@pytest.mark.parametrize("name", TAKEN)
def test_taken(name):
    found = [[(t.tolist(), t.requires_grad) for t in TAKEN[name](lib)] for lib in (torch, ingot)]
    assert found[0] == found[1]


def test_a_view_made_without_history_in_a_compiled_function():
    a = tracked(ingot)

    @ingot.compile
    def views():
        with ingot.no_grad():
            return a[:2]

    for _ in range(3):
        v = views()
        with pytest.raises(RuntimeError, match="no_grad"):
            v.mul_(2)
