"""Detached tensors that are written in place: they get the history of what is written to them, what they share memory with does not."""

import pytest

import ingot


def leaf():
    return ingot.ones(4, requires_grad=True)


def base():
    return ingot.arange(4.0, requires_grad=True)


def added(w, e):
    p = (w * 2).detach()
    p += e
    return (p * p).sum()


def a_view_made_before(w, e):
    p = (w * 2).detach()
    v = p[1:3]
    p.mul_(e)
    return v.sum()


def a_part(w, e):
    p = (w * 2).detach()
    p[0:2] = e[2:] * 3
    return p.sum()


def of_data(w, e):
    d = w.data.clone().data
    d.add_(e)
    return (d * d).sum()


def again(w, e):
    p = ingot.zeros(4).detach()
    p.add_(e)
    p.mul_(2)
    p.add_(e)
    return p.sum()


def what_it_was_detached_from(w, e):
    x = w * 2
    x.detach().add_(e)
    return (x * x).sum()


def expanded_within(w, e):
    p = (w * 2).detach().reshape(2, 2)
    p[:, 0].copy_(e[:2] * e[2:])
    return (p * p).sum()


CASES = {
    added: (None, [2, 6, 10, 14]), a_view_made_before: (None, [0, 2, 4, 0]), a_part: (None, [0, 0, 3, 3]), of_data: (None, [2, 4, 6, 8]),
    again: (None, [3, 3, 3, 3]), what_it_was_detached_from: ([4, 12, 20, 28], None), expanded_within: (None, [2, 2, 2, 2]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)
@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_go_to_what_was_written(case, compiled):
    f = ingot.compile(case) if compiled else case
    for _ in range(2):
        w, e = base(), leaf()
        f(w, e).backward()
        assert tuple(None if t.grad is None else t.grad.tolist() for t in (w, e)) == CASES[case]


def test_what_has_a_history_afterwards():
    w, e = base(), leaf()
    x = w * 2
    p = x.detach()
    with ingot.no_grad():
        p.add_(e)
    assert not p.requires_grad and x.tolist() == [1, 3, 5, 7]
    p.copy_(e * 3)
    q = p.detach()
    assert p.requires_grad and not p.is_leaf and not q.requires_grad and x.tolist() == [3, 3, 3, 3]
    p.detach_()
    assert not p.requires_grad and p.is_leaf


def test_a_result_of_a_compiled_function_has_it_too():
    def f(w, e):
        p = (w * 2).detach()
        p += e
        return p, p.detach()

    for g in (f, ingot.compile(f)):
        e = leaf()
        p, q = g(base(), e)
        assert p.requires_grad and not q.requires_grad
        p.sum().backward()
        assert e.grad.tolist() == [1, 1, 1, 1]


def test_detached_results_of_calls_have_histories_of_their_own():
    f = ingot.compile(lambda x: x.detach())
    x, e = base() * 2, leaf()
    a, b = f(x), f(x)
    a.add_(e)
    assert a.requires_grad and not b.requires_grad and not x.detach().requires_grad


def test_what_compiled_functions_refuse():
    d, e = (base() * 2).detach(), leaf()

    @ingot.compile
    def write(e):
        d.add_(e)

    with pytest.raises(ingot.CaptureError, match="detached tensor from outside"):
        write(e)
    assert not d.requires_grad and d.tolist() == [0, 2, 4, 6]
    d.add_(e)
    with pytest.raises(ingot.CaptureError, match="reads a detached tensor"):
        ingot.compile(lambda: d * 2)()
