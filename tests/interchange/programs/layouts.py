"""Programs: dimension numbers of gathers, scatters, windows, convolutions and products."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.interchange.programs.program import Program, draw

__all__ = ["layouts"]

G, S = lax.GatherDimensionNumbers, lax.ScatterDimensionNumbers
WRITES = {"add": lax.scatter_add, "mul": lax.scatter_mul, "min": lax.scatter_min, "max": lax.scatter_max, "sub": lax.scatter_sub}
PADS = ("VALID", "SAME", ((1, 2), (0, 3), (2, 0)))


def layouts() -> Iterator[Program]:
    yield from _gathers()
    yield from _windows()
    yield from _convolutions()
    yield from _products()


def _gathers() -> Iterator[Program]:
    x, i, two, each = draw("layouts", (5, 6, 7), ("i32", (4, 1), -3, 8), ("i32", (4, 2), 0, 3), ("i32", (5, 3, 1), 0, 5))
    rows = G((1, 2), (0,), (0,))
    for mode in ("fill", "clip", "promise_in_bounds"):
        at = np.abs(i) % 5 if mode == "promise_in_bounds" else i
        yield Program("layouts", f"gather_{mode}", lambda x, i, m=mode: lax.gather(x, i, rows, (1, 3, 4), mode=m), (x, at))
    yield Program("layouts", "gather_points", lambda x, i: lax.gather(x, i, G((1,), (0, 1), (0, 1)), (1, 1, 7)), (x, two))
    yield Program("layouts", "gather_order", lambda x, i: lax.gather(x, i, G((0, 2), (1,), (2, 0)), (2, 1, 3)), (x, two))
    batched = {"operand_batching_dims": (0,), "start_indices_batching_dims": (0,)}
    yield Program("layouts", "gather_batched", lambda x, i: lax.gather(x, i, G((2,), (1,), (1,), **batched), (1, 1, 7)), (x, each))
    into = S((2,), (1,), (1,), operand_batching_dims=(0,), scatter_indices_batching_dims=(0,))
    rows_into = S((1, 2), (0,), (0,))
    u, v = draw("updates", (4, 3, 4), (5, 3, 7))
    for name, fn in WRITES.items():
        yield Program("layouts", f"scatter_{name}", lambda x, i, u, f=fn: f(x, i, u, rows_into), (x, np.abs(i) % 5, u), tol=1e-4)
        yield Program("layouts", f"scatter_{name}_drop", lambda x, i, u, f=fn: f(x, i, u, rows_into, mode="drop"), (x, i, u), tol=1e-4)
        yield Program("layouts", f"scatter_{name}_batched", lambda x, i, u, f=fn: f(x, i, u, into), (x, each, v), tol=1e-4)
    once = np.array([[0], [3]], np.int32)
    yield Program(
        "layouts", "scatter_mul_grad",
        lambda x, u: jax.grad(lambda x, u: (lax.scatter_mul(x, once, u, rows_into, unique_indices=True) ** 2).sum(), (0, 1))(x, u),
        draw("mul", (5, 6, 7), (2, 6, 7)), tol=1e-4,
    )  # fmt: skip


def _windows() -> Iterator[Program]:
    (x,) = draw("windows", (5, 6, 7))
    for k, p in enumerate(PADS):
        for name, init, fn in (("max", -jnp.inf, lax.max), ("min", jnp.inf, lax.min)):
            yield Program(
                "layouts", f"window_{name}_grad_{k}",
                lambda x, p=p, i=init, f=fn: jax.grad(lambda v: (lax.reduce_window(v, i, f, (2, 3, 2), (1, 2, 3), p) ** 2).sum())(x), (x,),
            )  # fmt: skip
        yield Program(
            "layouts", f"window_logsumexp_{k}", lambda x, p=p: lax.reduce_window(x, -jnp.inf, jnp.logaddexp, (1, 3, 2), (1, 2, 2), p), (x,),
        )  # fmt: skip
    z = (x + 1j * x[::-1]).astype(np.complex64)[0]
    yield Program("layouts", "window_complex_logsumexp", lambda z: lax.cumlogsumexp(z, axis=0), (z,))  # -inf and -inf make NaN
    for name, init, region in (("add", 1.0, lax.add), ("mul", 2.0, lax.mul), ("min", 0.25, lax.min), ("max", 0.25, lax.max)):
        folded = lambda x, init=init, region=region: lax.reduce_window(x, init, region, (1, 3, 2), (1, 2, 1), "SAME")  # noqa: E731
        yield Program("layouts", f"window_{name}_of_init", folded, (x,))  # an init that is no padding: once in each window
    yield Program("layouts", "window_or", lambda x: lax.reduce_window(x > 0, False, lax.bitwise_or, (1, 3, 2), (1, 1, 1), "SAME"), (x,))
    yield Program(
        "layouts", "window_int8", lambda x: lax.reduce_window(x, np.int8(0), lax.add, (2, 2), (1, 1), "VALID"),
        draw("w8", ("i8", (5, 5), -60, 60)),
    )  # fmt: skip


def _convolutions() -> Iterator[Program]:
    def c(a, b, dims=("NHWC", "HWIO", "NHWC"), strides=(1, 1), padding="SAME", **more):
        return lax.conv_general_dilated(a, b, strides, padding, dimension_numbers=dims, **more)

    nchw = ("NCHW", "OIHW", "NCHW")
    cases = {
        "nhwc": (c, ((2, 7, 6, 4), (3, 3, 4, 5))),
        "mixed": (lambda a, b: c(a, b, ("HWNC", "OHWI", "CNHW"), padding="VALID"), ((7, 6, 2, 4), (5, 3, 3, 4))),
        "groups": (lambda a, b: c(a, b, feature_group_count=2), ((2, 7, 6, 4), (3, 3, 2, 6))),
        "batch_groups": (lambda a, b: c(a, b, nchw, batch_group_count=2), ((4, 3, 7, 6), (4, 3, 3, 3))),
        "dilated": (
            lambda a, b: c(a, b, nchw, (1, 1), ((1, 2), (2, 1)), lhs_dilation=(2, 3), rhs_dilation=(1, 2)), ((2, 3, 5, 4), (4, 3, 3, 2)),
        ),
        "cropped": (lambda a, b: c(a, b, nchw, (1, 1), ((-1, 1), (2, -1))), ((2, 3, 7, 7), (2, 3, 3, 3))),
        "turned": (lambda a, b: c(a, lax.rev(b, (2, 3)), nchw), ((2, 3, 7, 7), (2, 3, 3, 3))),
        "transposed": (lambda a, b: lax.conv_transpose(a, b, (2, 2), "SAME"), ((2, 5, 4, 3), (3, 3, 3, 4))),
        "transposed_kernel": (lambda a, b: lax.conv_transpose(a, b, (2, 3), "VALID", transpose_kernel=True), ((2, 5, 4, 4), (3, 3, 3, 4))),
        "one_dim": (
            lambda a, b: lax.conv_general_dilated(a, b, (2,), [(1, 3)], dimension_numbers=("NWC", "WIO", "NWC")), ((2, 9, 3), (4, 3, 5)),
        ),
        "complex": (lambda a, b: lax.conv_general_dilated(a + 1j * a[::-1], b - 2j * b, (1, 1), "SAME"), ((2, 3, 5, 5), (2, 3, 3, 3))),
        "patches": (lambda a, b: lax.conv_general_dilated_patches(a, (3, 2), (2, 1), "VALID"), ((2, 3, 7, 7), (1,))),
    }  # fmt: skip
    for name, (fn, (a, b)) in cases.items():
        args = draw(name, a, b)
        yield Program("layouts", f"conv_{name}", fn, args, tol=1e-4)
        if name not in ("complex", "patches"):
            grad = jax.grad(lambda a, b, f=fn: (f(a, b) ** 2).sum(), (0, 1))
            yield Program("layouts", f"conv_{name}_grad", grad, args, tol=2e-4)


def _products() -> Iterator[Program]:
    many = (((1, 3), (2, 0)), ((0,), (1,)))
    yield Program("layouts", "dot_many", lambda a, b: lax.dot_general(a, b, many), draw("dot", (2, 3, 4, 5), (5, 2, 3, 6)), tol=1e-4)
    plain = (((1,), (0,)), ((), ()))
    yield Program(
        "layouts", "dot_int8", lambda a, b: lax.dot_general(a, b, plain, preferred_element_type=jnp.int32),
        draw("d8", ("i8", (4, 5)), ("i8", (5, 3))),
    )  # fmt: skip
    yield Program(
        "layouts", "dot_wider", lambda a, b: lax.dot_general(a, b, plain, preferred_element_type=jnp.float32),
        draw("dw", ("bf16", (4, 5)), ("bf16", (5, 3))), tol=1e-3,
    )  # fmt: skip
    yield Program("layouts", "ragged_dot", lax.ragged_dot, (*draw("ragged", (8, 4), (3, 4, 5)), np.array([3, 0, 5], np.int32)), tol=1e-4)
