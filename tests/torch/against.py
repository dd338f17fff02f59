"""Running one function in ingot and in torch on the same numbers, and comparing results and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import ingot

RTOL, ATOL = 1.3e-6, 1e-5  # torch.testing's own for float32; sums get more room where a test says so


def array(shape: tuple, seed: int = 0, low: float = -2.0, high: float = 2.0, dtype: Any = np.float32) -> np.ndarray:
    """Numbers without ties and away from 0, where functions have kinks."""
    rng = np.random.default_rng(seed)
    n = int(np.prod(shape)) if shape else 1
    values = np.linspace(low, high, n + 2)[1:-1] + 0.003
    return rng.permutation(values).reshape(shape).astype(dtype)


def both(x: Any, requires_grad: bool = True) -> tuple[Any, Any]:
    """An array as an ingot and as a torch tensor (float ones require gradients); anything else as it is."""
    if not isinstance(x, np.ndarray):
        if isinstance(x, (list, tuple)) and any(isinstance(v, np.ndarray) for v in x):
            pairs = [both(v, requires_grad) for v in x]
            return type(x)(p[0] for p in pairs), type(x)(p[1] for p in pairs)
        return x, x
    mine, theirs = ingot.tensor(x), torch.tensor(x)
    if requires_grad and x.dtype.kind == "f":
        mine.requires_grad_()
        theirs.requires_grad_()
    return mine, theirs


def tensors_in(value: Any) -> list:
    if isinstance(value, (ingot.Tensor, torch.Tensor)):
        return [value]
    if isinstance(value, (list, tuple)):
        return [t for v in value for t in tensors_in(v)]
    return []


def numpy_of(t: Any) -> np.ndarray:
    return t.detach().numpy()


def close(mine: Any, theirs: Any, rtol: float = RTOL, atol: float = ATOL, what: str = "") -> None:
    """Same shape, dtype and (nearly) numbers."""
    a, b = numpy_of(mine), numpy_of(theirs)
    assert a.shape == b.shape, f"{what}: shape {a.shape}, torch has {b.shape}"
    assert mine.dtype.torch_name == str(theirs.dtype).removeprefix("torch."), f"{what}: {mine.dtype}, torch has {theirs.dtype}"
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, equal_nan=True, err_msg=what)


def compare(mine_fn: Any, theirs_fn: Any, args: tuple, kwargs: dict | None = None, rtol: float = RTOL, atol: float = ATOL) -> None:
    """Results, and the gradients of a weighted sum of them, agree."""
    kwargs = kwargs or {}
    pairs = [both(a) for a in args]
    kw = {k: both(v) for k, v in kwargs.items()}
    mine = mine_fn(*(p[0] for p in pairs), **{k: v[0] for k, v in kw.items()})
    theirs = theirs_fn(*(p[1] for p in pairs), **{k: v[1] for k, v in kw.items()})
    a, b = tensors_in(mine), tensors_in(theirs)
    assert len(a) == len(b) > 0
    for i, (x, y) in enumerate(zip(a, b)):
        close(x, y, rtol, atol, f"output {i}")
    total_mine, total_theirs = weighted(a), weighted(b)
    if total_theirs is None:
        assert total_mine is None
        return
    leaves = [(p[0], p[1]) for p in (*pairs, *kw.values())]
    mine_leaves = [t for p in leaves for t in tensors_in(p[0]) if t.requires_grad]
    their_leaves = [t for p in leaves for t in tensors_in(p[1]) if t.requires_grad]
    total_mine.backward()
    total_theirs.backward()
    for i, (x, y) in enumerate(zip(mine_leaves, their_leaves)):
        if y.grad is None:
            assert x.grad is None or not np.any(numpy_of(x.grad)), f"gradient {i}: torch has none"
        else:
            close(x.grad, y.grad, rtol, atol * 2, f"gradient {i}")


def weighted(outs: list) -> Any:
    """A sum in which every element counts differently; None if nothing needs gradients."""
    total = None
    for t in outs:
        if not t.requires_grad:
            continue
        w = np.cos(np.arange(t.numel() if isinstance(t, ingot.Tensor) else t.numel(), dtype=np.float64) + 0.3).reshape(tuple(t.shape))
        w = w.astype(np.float64 if "float64" in repr(t.dtype) else np.float32)
        factor = ingot.tensor(w) if isinstance(t, ingot.Tensor) else torch.tensor(w)
        if "float16" in repr(t.dtype):
            t = t.float()
        part = (t * factor).sum()
        total = part if total is None else total + part
    return total


def copy_weights(source: torch.nn.Module, target: Any) -> None:
    """Load torch's state_dict into ingot's module: the keys must be the same."""
    target.load_state_dict({k: ingot.tensor(v.detach().numpy()) for k, v in source.state_dict().items()})


def compare_modules(mine: Any, theirs: torch.nn.Module, args: tuple, rtol: float = RTOL, atol: float = ATOL) -> None:
    """Same keys; from the same weights the same outputs, gradients of inputs and parameters, and buffers afterwards."""
    assert list(mine.state_dict()) == list(theirs.state_dict())
    copy_weights(theirs, mine)
    compare(mine, theirs, args, rtol=rtol, atol=atol)
    for (name, p), q in zip(mine.named_parameters(), theirs.parameters()):
        if q.grad is None:
            assert p.grad is None or not np.any(numpy_of(p.grad)), name
        else:
            close(p.grad, q.grad, rtol, atol * 2, f"gradient of {name}")
    for (name, b), c in zip(mine.named_buffers(), theirs.buffers()):
        close(b, c, rtol, atol, f"buffer {name}")
