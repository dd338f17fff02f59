"""Complex numbers: made of reals, taken apart, seen as pairs, conjugated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot._tensor.composites import composite
from ingot._tensor.recording import make_view
from ingot.functions.common import Tensor, apply, check_tensor, dtype_name, dtypes, emit_out, filler

__all__ = [
    "adjoint", "complex", "conj", "conj_physical", "imag", "is_complex", "is_conj", "is_neg", "polar", "real", "resolve_conj",
    "resolve_neg", "view_as_complex", "view_as_real",
]  # fmt: skip


def _real_pair(name: str, a: Tensor, b: Tensor, arguments: tuple[str, str]) -> None:
    for position, (argument, x) in enumerate(zip(arguments, (a, b)), 1):
        check_tensor(name, x, argument, position)
    if a.dtype not in (dtypes.f32, dtypes.f64) or b.dtype not in (dtypes.f32, dtypes.f64):
        raise RuntimeError(
            f"Expected both inputs to be Float or Double tensors but got {dtype_name(a.dtype)} and {dtype_name(b.dtype)}"
        )
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {dtype_name(a.dtype)} but got scalar type {dtype_name(b.dtype)} for second argument"
        )


def complex(real: Tensor, imag: Tensor, *, out: Tensor | None = None) -> Tensor:
    """real + imag i: complex64 of float32 tensors, complex128 of float64 ones; they broadcast. RuntimeError for other dtypes.

    >>> ingot.complex(ingot.tensor([1.0, 2.0]), ingot.tensor([3.0, -4.0]))
    tensor([1.+3.j, 2.-4.j])
    """
    _real_pair("complex", real, imag, ("real", "imag"))
    return emit_out(apply("complex", real, imag), out)


def polar(abs: Tensor, angle: Tensor, *, out: Tensor | None = None) -> Tensor:
    """abs * (cos(angle) + sin(angle) i), of float32 or float64 tensors. RuntimeError for other dtypes.

    >>> ingot.polar(ingot.tensor([2.0]), ingot.tensor([0.0]))
    tensor([2.+0.j])
    """
    _real_pair("polar", abs, angle, ("abs", "angle"))
    return emit_out(_polar(abs, angle), out)


@composite
def _polar(size: Tensor, angle: Tensor) -> Tensor:
    return apply("complex", size * apply("cos", angle), size * apply("sin", angle))


def view_as_real(input: Tensor) -> Tensor:
    """The real and imaginary parts as the two elements of one more, last dim. A view: writes to it change `input`.

    RuntimeError unless `input` is complex.

        >>> ingot.view_as_real(ingot.tensor([1 + 2j, 3j]))
        tensor([[1., 2.],
                [0., 3.]])
    """
    check_tensor("view_as_real", input)
    if input.dtype.kind != "c":
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return make_view(input, ("view_as_real", ()))


def view_as_complex(input: Tensor) -> Tensor:
    """The complex numbers whose parts are the two elements of the last dim. A view: writes to it change `input`.

    `input` is float32 or float64, and the last dim of extent 2 and stride 1 (RuntimeError).

        >>> ingot.view_as_complex(ingot.tensor([[1.0, 2.0], [0.0, 3.0]]))
        tensor([1.+2.j, 0.+3.j])
    """
    check_tensor("view_as_complex", input)
    if input.dtype not in (dtypes.f32, dtypes.f64):
        raise RuntimeError(
            f"view_as_complex is only supported for float and double tensors, but got a tensor of scalar type: "
            f"{dtype_name(input.dtype)}"
        )
    if not input.ndim:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if input.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    strides = input.stride()
    if strides[-1] != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if any(s % 2 for s in strides[:-1]):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    if input.storage_offset() % 2:
        raise RuntimeError("Tensor must have a storage_offset divisible by 2")
    return make_view(input, ("view_as_complex", ()))


def _part(input: Tensor, which: int) -> Tensor:
    shape = tuple(input.shape)
    ends = ((*(0 for _ in shape), which), (*shape, which + 1), (1,) * (len(shape) + 1))
    return make_view(input, ("view_as_real", ()), ("slice", ends), ("reshape", (shape,)))


def real(input: Tensor) -> Tensor:
    """The real parts, as a view of complex numbers; a real tensor itself.

    >>> ingot.real(ingot.tensor([1 + 2j, 3j]))
    tensor([1., 0.])
    """
    check_tensor("real", input)
    return _part(input, 0) if input.dtype.kind == "c" else input


def imag(input: Tensor) -> Tensor:
    """The imaginary parts, as a view. RuntimeError unless `input` is complex.

    >>> ingot.imag(ingot.tensor([1 + 2j, 3j]))
    tensor([2., 3.])
    """
    check_tensor("imag", input)
    if input.dtype.kind != "c":
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return _part(input, 1)


def conj(input: Tensor) -> Tensor:
    """The conjugates of complex numbers, as new values (torch has a lazy view here); a real tensor itself.

    >>> ingot.conj(ingot.tensor([1 + 2j]))
    tensor([1.-2.j])
    """
    check_tensor("conj", input)
    return apply("conj", input) if input.dtype.kind == "c" else input


def conj_physical(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The conjugates of complex numbers; of real ones a copy."""
    check_tensor("conj_physical", input)
    return emit_out(apply("conj", input) if input.dtype.kind == "c" else input.clone(), out)


def resolve_conj(input: Tensor) -> Tensor:
    """`input` itself: conjugates are computed, never put off."""
    check_tensor("resolve_conj", input)
    return input


def resolve_neg(input: Tensor) -> Tensor:
    """`input` itself: negatives are computed, never put off."""
    check_tensor("resolve_neg", input)
    return input


def is_conj(input: Tensor) -> bool:
    """False: conjugates are computed, never put off."""
    check_tensor("is_conj", input)
    return False


def is_neg(input: Tensor) -> bool:
    """False: negatives are computed, never put off."""
    check_tensor("is_neg", input)
    return False


def is_complex(input: Tensor) -> bool:
    """True if the dtype is complex64 or complex128."""
    check_tensor("is_complex", input)
    return input.dtype.kind == "c"


def adjoint(input: Tensor) -> Tensor:
    """The last two dims swapped, and the numbers conjugated. A view of real numbers. RuntimeError for less than two dims."""
    check_tensor("adjoint", input)
    if input.ndim < 2:
        raise RuntimeError(f"tensor.adjoint() is only supported on matrices or batches of matrices. Got {input.ndim}-D tensor.")
    return conj(input.transpose(-2, -1))


def _assignable(get: Callable[[Tensor], Tensor], doc: str) -> property:
    def put(self: Tensor, value: Any) -> None:
        part = get(self)
        part.copy_(value if isinstance(value, Tensor) else filler(value, part.dtype))

    return property(get, put, doc=doc)


METHODS: dict[str, Any] = {
    "real": _assignable(real, "The real parts: a view of complex numbers, and real ones themselves."),
    "imag": _assignable(imag, "The imaginary parts, a view. RuntimeError unless the dtype is complex."),
}
