"""The exponential of matrices, by Taylor's series of the scaled matrix and repeated squaring."""

from __future__ import annotations

from ingot._tensor.composites import composite
from ingot.functions import matrix_scans
from ingot.functions.common import Tensor, apply, cast, dtypes, scalar
from ingot.functions.matmul import matmul
from ingot.functions.matrices import check_matrices, flat, magnitude
from ingot.functions.reduce import reduced

__all__ = ["matrix_exp"]

_NORM = 2.0  # every square doubles the error, a larger norm loses digits in the series
_DEGREE = {dtypes.f32: 15, dtypes.c64: 15, dtypes.f64: 24, dtypes.c128: 24}  # what is left, 2**16 / 16!, is below a rounding
_SQUARES = 32  # a matrix of norm 2**31 has an exponential of few digits, if any


@composite
def _matrix_exp(a: Tensor) -> Tensor:
    b, n, _ = a.shape
    columns = reduced("reduce_sum", magnitude(a), (1,), True)
    norm = reduced("reduce_max", columns, (2,), True)
    one = apply("broadcast", scalar(1, norm.dtype), attrs=((b, 1, 1),))

    def halve(norm: Tensor, scale: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        return (apply("select", norm * scale > _NORM, scale * 0.5, scale),)

    (scale,) = matrix_scans.loop(halve, (norm,), (one,), _SQUARES)
    x = a * scale
    places = [apply("iota", attrs=(dtypes.i64, (b, n, n), axis)) for axis in (1, 2)]
    eye = cast(apply("eq", *places), a.dtype)
    degree = _DEGREE[a.dtype]
    total = eye + x * (1 / degree)
    for k in range(degree - 1, 0, -1):
        total = eye + matmul(x, total) * (1 / k)

    def square(scale: Tensor, y: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        return apply("select", scale < 1, scale * 2.0, scale), apply("select", scale < 1, matmul(y, y), y)

    return matrix_scans.loop(square, (), (scale, total), _SQUARES)[1]


def matrix_exp(input: Tensor) -> Tensor:
    """The exponential of square matrices: the sum of A**k / k!.

    >>> ingot.matrix_exp(ingot.tensor([[0.0, 1.0], [0.0, 0.0]]))
    tensor([[1., 1.],
            [0., 1.]])
    """
    a = check_matrices("linalg.matrix_exp", input, True)
    return _matrix_exp(flat(a)).reshape(tuple(a.shape)) if a.numel() else a.clone()
