"""Random programs of views and in-place writes, with gradients, against torch."""

import numpy as np
import pytest
import torch

import ingot


def random_view(rng, shape):
    """A function (of either library's tensors) that makes a view of a tensor of `shape`, and its text."""
    choices = ["slice", "transpose", "flat", "unsqueeze", "expand", "alias", "step"]
    if len(shape) > 1:
        choices += ["select", "diagonal", "permute"]
    kind = rng.choice(choices)
    d = int(rng.integers(len(shape))) if shape else 0
    if kind == "slice" and shape and shape[d] > 1:
        a = int(rng.integers(shape[d] - 1))
        b = int(rng.integers(a + 1, shape[d] + 1))
        return lambda t: t.narrow(d, a, b - a), f"narrow({d}, {a}, {b - a})"
    if kind == "step" and shape:
        index = tuple(slice(None, None, 2) if i == d else slice(None) for i in range(len(shape)))
        return lambda t: t[index], f"[{index}]"
    if kind == "select" and shape[d]:
        i = int(rng.integers(shape[d]))
        return lambda t: t.select(d, i), f"select({d}, {i})"
    if kind == "transpose" and len(shape) > 1:
        e = int(rng.integers(len(shape)))
        return lambda t: t.transpose(d, e), f"transpose({d}, {e})"
    if kind == "permute":
        p = tuple(int(i) for i in rng.permutation(len(shape)))
        return lambda t: t.permute(p), f"permute({p})"
    if kind == "diagonal":
        return lambda t: t.diagonal(), "diagonal()"
    if kind == "unsqueeze":
        return lambda t: t.unsqueeze(0).squeeze(0), "unsqueeze"
    if kind == "flat":
        return lambda t: t.reshape(-1), "reshape(-1)"
    if kind == "expand":
        return lambda t: t.unsqueeze(0).expand(2, *t.shape), "expand"
    return lambda t: t.view(t.shape), "view(same)"


def step(rng, pool):
    """One random step on both pools of tensors; its text."""
    i = int(rng.integers(len(pool)))
    a, b = pool[i]
    if rng.random() < 0.5:
        view, text = random_view(rng, tuple(b.shape))
        both = []
        for t in (a, b):
            try:
                both.append(view(t))
            except RuntimeError as e:
                both.append(e)
        if isinstance(both[0], Exception) or isinstance(both[1], Exception):
            assert isinstance(both[0], Exception) and isinstance(both[1], Exception), f"{text}: {both}"
            return text + " refused"
        assert tuple(both[0].shape) == tuple(both[1].shape), text
        assert both[0].stride() == both[1].stride() or 0 in both[1].shape or 1 in both[1].shape, (text, both[0].stride(), both[1].stride())
        pool.append(tuple(both))
        return f"t{len(pool) - 1} = t{i}.{text}"
    kind = rng.choice(["add", "mul", "fill", "copy", "set", "zero", "exp"])
    c = float(rng.integers(1, 5)) / 4
    same = [p for p in pool if tuple(p[1].shape) == tuple(b.shape)]
    other = same[int(rng.integers(len(same)))]

    def write(t, o):
        if kind == "add":
            t.add_(o.detach() * c + o)
        elif kind == "mul":
            t.mul_(c)
        elif kind == "fill":
            t.fill_(c)
        elif kind == "copy":
            t.copy_(o * c)
        elif kind == "zero":
            t.zero_()
        elif kind == "exp":
            t.copy_((t * 0.25).tanh())
        elif t.ndim:
            t[0] = o[0] * c if t.shape[0] else c

    if kind in ("fill", "zero", "copy", "set", "exp") and any(n > 1 and m == 0 for n, m in zip(b.shape, b.stride())):
        return "a write to expanded memory, which torch does not refuse everywhere"
    failed = []
    for t, o in ((a, other[0]), (b, other[1])):
        try:
            write(t, o)
            failed.append(None)
        except RuntimeError as e:
            failed.append(e)
    assert (failed[0] is None) == (failed[1] is None), f"{kind}: {failed}"
    return f"t{i}.{kind} {c}"


@pytest.mark.parametrize("seed", range(60))
def test_random_views_and_writes(seed, monkeypatch):
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 5, rng.integers(1, 4)))
    values = rng.standard_normal(shape)
    x, y = ingot.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    pool = [(x * 1.5, y * 1.5)]
    program = []
    for _ in range(14):
        program.append(step(rng, pool))
    for n, (a, b) in enumerate(pool):
        assert np.allclose(a.detach().numpy(), b.detach().numpy()), (n, program)
        assert a._version == b._version, (n, a._version, b._version, program)
        assert a.requires_grad == b.requires_grad, (n, program)
    loss = sum((a * (n + 1)).sum() for n, (a, _) in enumerate(pool))
    expected = sum((b * (n + 1)).sum() for n, (_, b) in enumerate(pool))
    try:
        expected.backward()
    except RuntimeError as e:
        assert "inplace" in str(e)
        with pytest.raises(RuntimeError, match="inplace"):
            loss.backward()
        return
    loss.backward()
    assert (x.grad is None) == (y.grad is None)
    if x.grad is not None:
        assert np.allclose(x.grad.numpy(), y.grad.numpy()), program
