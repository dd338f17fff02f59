"""What may be written in place between an operation and its backward: as in torch, with the gradients that torch gives."""

import pytest
import torch

import ingot

V = (2, 3)
SHAPES = {"addmm": ((2, 4), (2, 3), (3, 4)), "matmul": ((2, 3), (3, 4)), "sdpa": ((1, 1, 3, 4),) * 3}
CASES = {
    "softmax": lambda t, x: x.softmax(-1), "log_softmax": lambda t, x: x.log_softmax(-1), "logsumexp": lambda t, x: x.logsumexp(-1),
    "exp": lambda t, x: x.exp(), "expm1": lambda t, x: x.expm1(), "log": lambda t, x: x.log(), "sqrt": lambda t, x: x.sqrt(),
    "sigmoid": lambda t, x: x.sigmoid(), "relu": lambda t, x: x.relu(), "gelu": lambda t, x: t.nn.functional.gelu(x),
    "softsign": lambda t, x: t.nn.functional.softsign(x), "tanhshrink": lambda t, x: t.nn.functional.tanhshrink(x),
    "normalize": lambda t, x: t.nn.functional.normalize(x, dim=-1), "mul": lambda t, a, b: a * b, "div": lambda t, a, b: a / b,
    "add": lambda t, a, b: a + b, "max": lambda t, x: x.max(1)[0], "median": lambda t, x: x.median(1)[0],
    "norm": lambda t, x: x.norm(dim=1),
    "logcumsumexp": lambda t, x: x.logcumsumexp(1), "cdist": lambda t, a, b: t.cdist(a, b),
    "l1_loss": lambda t, a, b: t.nn.functional.l1_loss(a, b), "mse_loss": lambda t, a, b: t.nn.functional.mse_loss(a, b),
    "cross_entropy": lambda t, x: t.nn.functional.cross_entropy(x, t.tensor([0, 2])), "matmul": lambda t, a, b: a @ b,
    "addmm": lambda t, a, b, c: t.addmm(a, b, c), "sdpa": lambda t, q, k, v: t.nn.functional.scaled_dot_product_attention(q, k, v),
}  # fmt: skip


def outcome(t, f, shapes, written):
    """The gradients where an input, or the result (None), is written after the call; "refused" where backward refuses."""
    leaves = [(t.arange(float(t.zeros(s).numel())).reshape(s) * 0.13 + 0.2 + 0.05 * k).requires_grad_() for k, s in enumerate(shapes)]
    inputs = [x * 1.0 for x in leaves]
    y = f(t, *inputs)
    weights = t.arange(float(y.numel())).reshape(y.shape) * 0.3 + 0.1
    loss = (y * weights).sum()
    if written is None:
        y.mul_(1.5)
        loss = (y + weights).sum()
    else:
        inputs[written].mul_(1.5)
    try:
        loss.backward()
    except RuntimeError as e:
        assert "modified by an inplace operation" in str(e)
        return "refused"
    return [x.grad.tolist() for x in leaves]


@pytest.mark.parametrize("case", CASES)
def test_written_before_backward(case):
    f = CASES[case]
    shapes = SHAPES.get(case, (V,) * (f.__code__.co_argcount - 1))
    for written in (None, *range(len(shapes))):
        want, got = (outcome(t, f, shapes, written) for t in (torch, ingot))
        if "refused" in (want, got):
            assert got == want, written
        else:
            for a, b in zip(got, want):
                torch.testing.assert_close(torch.tensor(a), torch.tensor(b), rtol=2e-4, atol=1e-5)
