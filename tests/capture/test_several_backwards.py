"""ingot.compile: results of one call that have backwards of their own; a second one is refused where it is refused eagerly."""

import pytest

import ingot

SECOND = "backward through the graph a second time"


def outcome(compile, fn, backwards):
    """The gradients after each of several backwards, or that it is refused: those of the results by their numbers."""
    w, v = ingot.full((3,), 2.0, requires_grad=True), ingot.full((3,), 0.5, requires_grad=True)
    f, found = compile(lambda x: fn(w, v, x)), []
    for k in range(3):
        results = f(ingot.full((3,), 1.0 + k))
        for i in backwards:
            try:
                results[i].sum().backward()
                found.append([None if p.grad is None else p.grad.tolist() for p in (w, v)])
            except RuntimeError as error:
                assert SECOND in str(error)
                found.append("second")
        w.grad = v.grad = None
    return found


FUNCTIONS = {
    "apart": lambda w, v, x: (w * x, (v * x).exp()),
    "a history in common": lambda w, v, x: (h := (w * x).exp(), h * v),
    "nothing saved in common": lambda w, v, x: (h := w + x, h * h, (h + v).exp()),
    "nothing saved": lambda w, v, x: (w + x, v - w),
    "one is detached": lambda w, v, x: (w * x, (w * v).detach().requires_grad_() * v),
}


@pytest.mark.parametrize("fn", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("backwards", [(0, 1), (1, 0), (0, 0, 1), (1, 1, 0, 0)])
def test_backwards_of_several_results(fn, backwards):
    assert outcome(ingot.compile, fn, backwards) == outcome(lambda f: f, fn, backwards)


def test_what_is_kept_has_a_backward_of_its_own():
    class Own:
        pass

    o, w, v = Own(), ingot.ones(2, requires_grad=True), ingot.ones(2, requires_grad=True)

    @ingot.compile
    def f(x):
        o.last = (w * x).pow(2).sum()
        return (v * x).exp().sum()

    for k in range(4):
        f(ingot.full((2,), float(k))).backward()
        o.last.backward()
        assert w.grad.tolist() == [2.0 * k * k] * 2
        with pytest.raises(RuntimeError, match=SECOND):
            o.last.backward()
        w.grad = v.grad = None


def test_what_was_saved_is_let_go_of_when_all_went_through_it():
    w = ingot.ones(2, requires_grad=True)
    y, z = ingot.compile(lambda x: ((w * x).exp(), (w * x).sin()))(ingot.ones(2))
    node = y.grad_fn
    y.sum().backward()
    assert node.saved is not None
    z.sum().backward()
    assert node.saved is None
