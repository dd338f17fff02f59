"""Random programs of views and in-place writes, with gradients, against torch."""

import numpy as np
import pytest
import torch

import ingot


def random_view(rng, shape, whole):
    """A function (of either library's tensors) that makes a view of a tensor of `shape`, and its text. `whole`: it has all the memory."""
    choices = ["slice", "transpose", "flat", "unsqueeze", "expand", "alias", "step", "windows"]
    if whole:  # torch's gradient of a part leaves out what lies beyond it
        choices.append("strided")
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
    if kind == "windows" and shape and shape[d] > 1:
        size, apart = int(rng.integers(1, shape[d] + 1)), int(rng.integers(1, 3))
        return lambda t: t.unfold(d, size, apart), f"unfold({d}, {size}, {apart})"
    if kind == "strided" and shape:
        n, m = int(rng.integers(1, 3)), int(rng.integers(1, 3))
        strides = tuple(int(i) for i in rng.integers(1, 3, 2))
        return lambda t: t.as_strided((n, m), strides), f"as_strided({(n, m)}, {strides})"
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


def may_overlap(t):
    """Whether elements may share memory otherwise than by being expanded."""
    reach = 0
    for stride, n in sorted((stride, n) for n, stride in zip(t.shape, t.stride()) if n > 1 and stride):
        if stride <= reach:
            return True
        reach += (n - 1) * stride
    return False


def step(rng, pool):
    """One random step on both pools of tensors; its text."""
    i = int(rng.integers(len(pool)))
    a, b = pool[i]
    if rng.random() < 0.5:
        view, text = random_view(rng, tuple(b.shape), i == 0)
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

    if kind in ("add", "mul", "copy", "exp", "set") and may_overlap(b):
        return "each element would be written several times, in an order that nobody promises"
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


@pytest.mark.compiled
def test_parts_of_overlapping_views_are_written_where_they_lie():
    def written(m, x):
        w, v = x.unfold(0, 3, 1), x.as_strided((3, 3), (1, 1), 1)
        w[0, 1] = 9.0
        v[2].mul_(2.0)
        x[5] = 7.0
        bits = x.view(m.int32).unfold(0, 2, 1)
        bits[1, 0] = 0
        y = m.ones(4, 3).t()
        rows = y.unfold(1, 2, 1)
        rows[:, 1, 0] = 5.0
        leaf = m.ones(5, requires_grad=True)
        z = leaf * 2
        z.unfold(0, 3, 2)[1, 0] = 4.0
        (grad,) = m.autograd.grad((z.unfold(0, 3, 1).sum(0) * m.tensor([1.0, 2.0, 3.0])).sum(), leaf)
        return x, w.clone(), v.clone(), bits.clone(), y, rows.clone(), grad

    compiled = ingot.compile(lambda x: written(ingot, x))
    expected = [t.tolist() for t in written(torch, torch.arange(6.0))]
    assert [t.tolist() for t in written(ingot, ingot.arange(6.0))] == expected
    assert [t.tolist() for t in compiled(ingot.arange(6.0))] == expected
    for m in (torch, ingot):
        assert m.arange(6.0).unfold(0, 3, 2).stride() == (2, 1) and m.ones(4, 3).t().unfold(1, 2, 1).stride() == (1, 3, 3)
        part = m.arange(6.0)[:2]
        assert part.as_strided((2, 2), (2, 1)).tolist() == [[0, 1], [2, 3]]


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
