"""torch's own database of operators: every sample of every one, in ingot and in torch. Values, dtypes, shapes, gradients.

A run takes one sample of each in float32; the long form (`--long`) takes fourteen, in six dtypes.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import ingot
from tests.support.interpreter import interpreter  # noqa: F401  (for every test of the file)

pytest.importorskip("expecttest", reason="torch's database of operators needs it")
from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402

MOST = 14
TOLERANCE = {"float32": (2e-4, 2e-5), "complex64": (5e-4, 5e-5), "float16": (1e-2, 1e-2), "bfloat16": (5e-2, 5e-2)}
DTYPES = ("float32", "int64", "bool", "complex64", "float16", "bfloat16")
LIKE = {getattr(torch, d): getattr(ingot, d) for d in (*DTYPES, "float64", "int8", "int16", "int32", "uint8", "complex128")}

RANDOM = set(
    """bernoulli multinomial normal rand_like randn_like randint_like randint rand randn uniform cauchy exponential geometric log_normal
    randperm empty empty_like new_empty new_empty_strided empty_strided empty_permuted nn.functional.dropout nn.functional.dropout2d
    nn.functional.dropout3d nn.functional.alpha_dropout nn.functional.feature_alpha_dropout nn.functional.rrelu
    nn.functional.fractional_max_pool2d nn.functional.fractional_max_pool3d nn.functional.gumbel_softmax
    nn.functional.scaled_dot_product_attention
    nn.functional.multi_head_attention_forward""".split()
)  # numbers of their own: shapes and dtypes are compared
UNDETERMINED = set("svd linalg.svd linalg.eigh linalg.eig linalg.qr qr geqrf lobpcg".split())  # up to signs and phases: likewise
DIFFERENT = {
    "as_strided": "its samples share memory with tensors that are not passed",
    "as_strided_scatter": "torch's gradient of the input is of what was overwritten",
    "cholesky": "the gradient of a complex matrix is Hermitian",
    "linalg.cholesky": "the gradient of a complex matrix is Hermitian",
    "cholesky_inverse": "the gradient is that of the triangle which is read",
    "cholesky_solve": "the gradient is that of the triangle which is read",
    "hash_tensor": "not there", "jiterator_unary": "of CUDA", "slice": "not public", "chalf": "there are no halves of complex numbers",
    "max_pool2d_with_indices_backward": "not there", "native_dropout_backward": "not there", "zero_": "its sample is a leaf",
    "logcumsumexp": "torch's gradient loses digits", "to_sparse": "a sparse result is no root of a gradient",
    "linalg.pinv": "some samples call another function", "svd_lowrank": "the sample calls another function",
    "pca_lowrank": "the sample calls another function", "linalg.lstsq": "its samples for gradients call another function",
    "masked.median": "of halves", "nn.functional.batch_norm": "a sample of one dim", "mode": "which of equals is not said",
    "nn.functional.feature_alpha_dropout": "of fewer dims it warns",
}  # fmt: skip
ORDER = {  # of what a sample holds, where it is not the function's
    "polygamma": (1, 0), "einsum": (1, 0), "where": (1, 0, 2), "nn.functional.embedding": (1, 0), "nn.functional.embedding_bag": (1, 0),
}  # fmt: skip
OPS = [op for op in op_db if op.name not in DIFFERENT and not op.name.startswith(("jiterator", "torch.ops", "_"))]


class _Other(Exception):
    """What there is nothing like of."""


def _mine(x: Any) -> Any:
    """What a sample holds, for ingot."""
    if isinstance(x, torch.Tensor):
        if x.layout is not torch.strided:
            raise _Other
        t = ingot.from_numpy(np.array(_array(x))).to(LIKE[x.dtype]).reshape(tuple(x.shape))
        return t.requires_grad_() if x.requires_grad else t
    if isinstance(x, torch.dtype):
        if x not in LIKE:
            raise _Other
        return LIKE[x]
    if isinstance(x, torch.device):
        return ingot.device("cpu")
    if isinstance(x, (torch.memory_format, torch.layout)):
        return getattr(ingot, str(x).split(".")[1])
    if isinstance(x, (list, tuple)):
        return [_mine(y) for y in x] if isinstance(x, list) else tuple(_mine(y) for y in x)
    if isinstance(x, dict):
        return {k: _mine(y) for k, y in x.items()}
    if isinstance(x, torch.Generator) or callable(x):
        raise _Other
    return x


def _array(t: Any) -> np.ndarray:
    t = t.detach().resolve_conj().resolve_neg()
    t = t if str(t.layout).endswith("strided") else t.to_dense()
    t = t.float() if "bfloat16" in str(t.dtype) else t
    return np.asarray(t.numpy(force=True))


def _tensors(x: Any) -> list[Any]:
    if isinstance(x, (torch.Tensor, ingot.Tensor)):
        return [x]
    values = x.values() if isinstance(x, dict) else x if isinstance(x, (list, tuple)) else ()
    return [t for y in values for t in _tensors(y)]


def _call(name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """The function of a name, or the method, or the attribute."""
    found: Any = ingot
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None or isinstance(found, ingot.dtype):
        last = name.split(".")[-1]
        found = getattr(ingot.Tensor, last, None) or getattr(ingot.Tensor, last + "_")
        if not callable(found):
            return getattr(args[0], last)
    order = ORDER.get(name.removeprefix("special."), ())
    args = [args[i] for i in order] + args[len(order) :]
    return found(args[0], *args[1], **kwargs) if name == "einsum" else found(*args, **kwargs)


def _same(mine: Any, theirs: Any, what: str, dtype: str, room: int = 1) -> None:
    assert tuple(mine.shape) == tuple(theirs.shape) and mine.dtype is LIKE[theirs.dtype], f"{what}: {mine.shape} {mine.dtype}"
    a, b = _array(mine), _array(theirs)
    if a.dtype.kind in "fc":
        rtol, atol = max(TOLERANCE.get(str(theirs.dtype).split(".")[1], (1e-7, 1e-7)), TOLERANCE.get(dtype, (0, 0)))
        np.testing.assert_allclose(a, b, rtol=room * rtol, atol=room * atol, equal_nan=True, err_msg=what)
    else:
        np.testing.assert_array_equal(a, b, err_msg=what)


def _check(op: Any, sample: Any, dtype: str) -> None:
    try:
        args, kwargs = [_mine(x) for x in (sample.input, *sample.args)], _mine(sample.kwargs)
    except _Other:
        return
    try:
        theirs = op.op(sample.input, *sample.args, **sample.kwargs)
    except (RuntimeError, NotImplementedError):  # torch's own kernels lack some dtypes
        return
    mine = _call(op.name, args, kwargs)
    pairs = list(zip(_tensors(mine), _tensors(theirs), strict=True))
    if op.name in RANDOM or op.name in UNDETERMINED:
        assert [(tuple(a.shape), a.dtype) for a, _ in pairs] == [(tuple(b.shape), LIKE[b.dtype]) for _, b in pairs]
        return
    for k, (a, b) in enumerate(pairs):
        _same(a, b, f"result {k}", dtype)
        assert a.requires_grad == b.requires_grad
    pairs = [(a, b) for a, b in pairs if b.requires_grad]
    if not pairs:
        return
    cotangents = [torch.randn(b.shape, dtype=b.dtype) for _, b in pairs]
    leaves = [t for t in _tensors([sample.input, *sample.args, sample.kwargs]) if t.requires_grad]
    try:
        wanted = torch.autograd.grad([b for _, b in pairs], leaves, cotangents, allow_unused=True)
    except RuntimeError:
        return
    own = [t for t in _tensors([args, kwargs]) if t.requires_grad]
    found = ingot.autograd.grad([a for a, _ in pairs], own, [_mine(c) for c in cotangents], allow_unused=True)
    for k, (g, w) in enumerate(zip(found, wanted, strict=True)):
        if g is None or w is None:  # zeros and nothing are the same
            assert all(v is None or not _array(v).any() for v in (g, w)), f"gradient {k}"
        else:
            _same(g, w, f"gradient {k}", dtype, room=5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("op", OPS, ids=[f"{op.name}-{op.variant_test_name}".rstrip("-") for op in OPS])
def test_samples(op: Any, long: bool) -> None:
    for dtype in DTYPES if long else DTYPES[:1]:
        d = getattr(torch, dtype)
        if d not in op.supported_dtypes("cpu"):
            continue
        torch.manual_seed(0)
        samples = op.sample_inputs("cpu", d, requires_grad=op.supports_autograd and dtype[0] in "fbc" and dtype != "bool")
        every = list(samples) if long else list(itertools.islice(samples, 1))
        for k in range(0, len(every), max(1, len(every) // MOST)):
            torch.manual_seed(1)
            try:
                _check(op, every[k], dtype)
            except Exception as e:
                raise AssertionError(f"sample {k} in {dtype}: {e}") from e
