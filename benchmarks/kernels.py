"""Single kernels: one operation each, in every framework that has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workloads import Arrays, Workload, normal

__all__ = ["KERNELS"]


def _function(f: Callable[..., Any]) -> Callable[[Any], Any]:
    """A network that is a function of T and its inputs."""

    def model(T: Any) -> Any:
        class Kernel(T.nn.Module):
            def forward(self, *inputs):
                return f(T, *inputs)

        return Kernel()

    return model


def _twice(mode: str) -> Callable[..., Any]:
    return lambda T, x: T.nn.functional.interpolate(x, scale_factor=2, mode=mode)


def _linear(k: int, n: int) -> Callable[[Any], Any]:
    return lambda T: T.nn.Linear(k, n, bias=False)


def _kernel(
    name: str, title: str, model: Callable[[Any], Any], inputs: Callable[[np.random.Generator], Arrays], numpy: Any = None,
    flops: float = 0.0, nbytes: float = 0.0, tolerance: float = 1e-4,
) -> Workload:  # fmt: skip
    return Workload("kernel_" + name, title, model, inputs, None, flops, nbytes, tolerance, numpy=numpy, table="kernels")


def _bfloat16(m: int, k: int, n: int) -> Workload:
    def model(T: Any) -> Any:
        class Linear(T.nn.Module):
            def __init__(self):
                super().__init__()
                self.linear = T.nn.Linear(k, n, bias=False, dtype=T.bfloat16)

            def forward(self, x):
                return self.linear(x.bfloat16()).float()

        return Linear()

    title = f"Linear {k}-{n} in bfloat16, {'one row' if m == 1 else f'{m} rows'}"
    return _kernel(f"bf16_{m}x{k}x{n}", title, model, normal((m, k)), nbytes=2.0 * n * k if m == 1 else 0.0, tolerance=1e-2)


def _product(m: int, n: int, k: int) -> Workload:
    name = f"{m}" if m == n == k else f"{m}x{k}x{n}"
    return _kernel(f"matmul_{name}", f"product {m} x {k} x {n}", _function(lambda T, a, b: a @ b), normal((m, k), (k, n)),
                   np.matmul, 2.0 * m * n * k, 4.0 * n * k if m == 1 else 0.0)  # fmt: skip


def _sorted(dtype: type) -> Callable[[np.random.Generator], Arrays]:
    return lambda rng: [rng.standard_normal(1 << 20).astype(dtype) if dtype in (np.float32, np.float64)
                        else rng.integers(-(1 << 31), 1 << 31, 1 << 20).astype(dtype)]  # fmt: skip


def _sort(dtype: type) -> Workload:
    name = np.dtype(dtype).name
    return _kernel(f"sort_{name}", f"sort of 1M {name}", _function(lambda T, x: T.sort(x)[0]), _sorted(dtype), np.sort)


def _spectrum(name: str) -> Callable[..., Any]:
    """A transform of `torch.fft`, as pairs of real numbers."""
    return lambda T, x: T.view_as_real(getattr(T.fft, name)(x))


def _attention_gradients(T: Any, q: Any, k: Any, v: Any, d: Any) -> Any:
    with T.enable_grad():
        q, k, v = (x.detach().requires_grad_() for x in (q, k, v))
        return T.cat(T.autograd.grad(T.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True), (q, k, v), d))


def _group_norm(T: Any, x: Any, w: Any, b: Any) -> Any:
    return T.nn.functional.group_norm(x, 8, w, b)


KERNELS: tuple[Workload, ...] = (
    *(_product(n, n, n) for n in (64, 128, 256, 512, 1024)),
    _product(1, 3072, 768), _product(1, 4096, 4096), _product(8, 4096, 4096), _product(128, 3072, 768), _product(4096, 16, 64),
    _kernel("linear_1x768x3072", "Linear 768-3072, one row", _linear(768, 3072), normal((1, 768)), None, 2.0 * 768 * 3072),
    _kernel("linear_1x4096x4096", "Linear 4096-4096, one row", _linear(4096, 4096), normal((1, 4096)), None, 2.0 * 4096**2, 4.0 * 4096**2),
    _bfloat16(1, 4096, 4096), _bfloat16(8, 4096, 4096), _bfloat16(128, 768, 3072), _bfloat16(512, 512, 512), _bfloat16(1024, 1024, 1024),
    _kernel("bmm_96x128x64x128", "96 products 128 x 64 x 128", _function(lambda T, a, b: T.bmm(a, b)), normal((96, 128, 64), (96, 64, 128)),
            np.matmul, 96 * 2.0 * 128 * 128 * 64),
    _kernel("attention_12x128x64", "causal attention, 12 heads of 64, 128 positions",
            _function(lambda T, q, k, v: T.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)),
            normal(*[(1, 12, 128, 64)] * 3)),
    _kernel("attention_8x1024x64", "causal attention, 8 heads of 64, 1024 positions",
            _function(lambda T, q, k, v: T.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)),
            normal(*[(1, 8, 1024, 64)] * 3)),
    _kernel("attention_gradients_8x1024x64", "gradients of causal attention, 8 heads of 64, 1024 positions",
            _function(_attention_gradients), normal(*[(1, 8, 1024, 64)] * 4), tolerance=1e-3),
    _kernel("add_16k", "add of 16K elements", _function(lambda T, x, y: x + y), normal((1 << 14,), (1 << 14,)), np.add),
    _kernel("exp_16k", "exp of 16K elements", _function(lambda T, x: T.exp(x)), normal((1 << 14,)), np.exp),
    _kernel("layer_norm_128x128", "layer_norm of 128 x 128", _function(lambda T, x: T.nn.functional.layer_norm(x, (128,))),
            normal((128, 128))),
    _kernel("group_norm", "group_norm of 16 x 64 x 32 x 32 in 8 groups", _function(_group_norm), normal((16, 64, 32, 32), (64,), (64,))),
    _kernel("softmax_128x128", "softmax of 128 x 128", _function(lambda T, x: T.softmax(x, dim=-1)), normal((128, 128))),
    _kernel("argmax_4096x1024", "argmax of 4096 rows of 1024", _function(lambda T, x: T.argmax(x, dim=-1)), normal((4096, 1024)),
            lambda x: np.argmax(x, -1), nbytes=4.0 * 4096 * 1024),
    _kernel("transpose_4096", "transpose of 4096 x 4096", _function(lambda T, x: x.t().contiguous()), normal((4096, 4096)),
            lambda x: np.ascontiguousarray(x.T), nbytes=8.0 * 4096**2),
    _kernel("transpose_512", "transpose of 512 x 512", _function(lambda T, x: x.t().contiguous()), normal((512, 512)),
            lambda x: np.ascontiguousarray(x.T)),
    _kernel("cat_rows", "rows of 512 joined to rows of 512, 1024 each", _function(lambda T, x, y: T.cat([x, y], 1)),
            normal((1024, 512), (1024, 512)), lambda x, y: np.concatenate([x, y], 1)),
    _kernel("roll_rows", "1024 rows of 1024 rolled by 17", _function(lambda T, x: T.roll(x, 17, 1)), normal((1024, 1024)),
            lambda x: np.roll(x, 17, 1)),
    _kernel("pad_images", "images of 16 x 64 x 32 x 32 padded by 1", _function(lambda T, x: T.nn.functional.pad(x, (1, 1, 1, 1))),
            normal((16, 64, 32, 32))),
    _kernel("pad_reflected", "images of 16 x 64 x 32 x 32 padded by 2, reflected",
            _function(lambda T, x: T.nn.functional.pad(x, (2, 2, 2, 2), mode="reflect")), normal((16, 64, 32, 32))),
    *(_kernel(f"interpolate_{mode}", f"images of 1 x 16 x 256 x 256 at twice their size, {mode}", _function(_twice(mode)),
              normal((1, 16, 256, 256)), tolerance=1e-3) for mode in ("nearest", "bilinear", "bicubic")),
    *(_sort(d) for d in (np.float32, np.float64, np.int32, np.int64)),
    _kernel("argsort_float32", "argsort of 1M float32", _function(lambda T, x: T.argsort(x)), _sorted(np.float32), np.argsort),
    _kernel("sort_rows", "sort of 1024 rows of 1024", _function(lambda T, x: T.sort(x)[0]), normal((1024, 1024)), np.sort),
    _kernel("sort_short_rows", "sort of 4096 rows of 64", _function(lambda T, x: T.sort(x)[0]), normal((4096, 64)), np.sort),
    _kernel("argsort_rows", "argsort of 1024 rows of 1024", _function(lambda T, x: T.argsort(x)), normal((1024, 1024)), np.argsort),
    _kernel("fft_1m", "Fourier transform of 1M numbers", _function(_spectrum("fft")), normal((1 << 20,)), np.fft.fft),
    _kernel("rfft_rows", "Fourier transforms of 4096 rows of 512", _function(_spectrum("rfft")), normal((4096, 512)), np.fft.rfft),
    _kernel("fft_1000_rows", "Fourier transforms of 1024 rows of 1000", _function(_spectrum("fft")), normal((1024, 1000)), np.fft.fft),
    _kernel("fft2_1024", "Fourier transform of 1024 x 1024", _function(_spectrum("fft2")), normal((1024, 1024)), np.fft.fft2),
    _kernel("kthvalue_1m", "an element of 1M by its rank", _function(lambda T, x: T.kthvalue(x, 300_000)[0]), normal((1 << 20,))),
    _kernel("median_rows", "medians of 1024 rows of 1024", _function(lambda T, x: x.median(1)[0]), normal((1024, 1024))),
    _kernel("gather_rows", "1024 of each of 1024 rows of 1024", _function(lambda T, x, i: x.gather(1, i)),
            lambda rng: [rng.standard_normal((1024, 1024)).astype(np.float32), rng.integers(0, 1024, (1024, 1024))]),
    _kernel("top_5_rows", "the first 5 of 1024 rows of 100", _function(lambda T, x: T.topk(x, 5)[0]), normal((1024, 100))),
)  # fmt: skip
