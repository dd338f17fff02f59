"""Forward mode by hand: tensors with tangents inside a `dual_level`.

    with forward_ad.dual_level():
        y = f(forward_ad.make_dual(x, t))
        value, tangent = forward_ad.unpack_dual(y)

`ingot.func.jvp` does this for a function.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ingot._tensor import Tensor, wrap
from ingot.func.forward import ForwardLevel
from ingot.runtime.recorder import here

__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]


class UnpackedDualTensor(NamedTuple):
    """A value, and its tangent or None."""

    primal: Tensor
    tangent: Tensor | None


class _DualLevel(ForwardLevel):
    """A level that lasts for a block."""

    name = "a dual_level"


def _innermost() -> _DualLevel | None:
    rec = here.recorder
    return rec if isinstance(rec, _DualLevel) else None


def enter_dual_level() -> int:
    """Begin a level. RuntimeError inside another one: `func.jvp` nests."""
    if _innermost() is not None:
        raise RuntimeError("Nested forward mode AD is not supported at the moment; use ingot.func.jvp, which nests")
    here.recorder = _DualLevel()
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """End the level: what was made in it keeps its value, and loses its tangent."""
    found = _innermost()
    if found is None:
        raise RuntimeError("Trying to exit a forward AD level that was not entered")
    try:
        found.write_back()
    finally:
        here.recorder = found.outer
        found.forget()


class dual_level:
    """A block in which tensors can have tangents.

    >>> from ingot.autograd import forward_ad
    >>> with forward_ad.dual_level():
    ...     x = forward_ad.make_dual(ingot.tensor(3.0), ingot.tensor(1.0))
    ...     forward_ad.unpack_dual(x * x).tangent
    tensor(6.)
    """

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exc: Any) -> None:
        exit_dual_level()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """`tensor` with a tangent of its shape and dtype.

    RuntimeError outside of a dual_level and for a tangent that does not fit; ValueError for integers.
    """
    found = _innermost()
    if found is None:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    for t, what in ((tensor, "primal"), (tangent, "tangent")):
        if t.dtype.kind not in "fc":
            raise ValueError(f"Expected {what} to be floating point or complex, but got: {t.dtype}")
    if tuple(tensor.shape) != tuple(tangent.shape) or tensor.dtype is not tangent.dtype:
        raise RuntimeError(
            f"Expected tangent to have the shape and dtype of the primal, {tensor.dtype} {list(tensor.shape)}, but got {tangent.dtype} "
            f"{list(tangent.shape)}"
        )
    (primal, edge), (way, _) = (found.lift(t._pair()) for t in (tensor, tangent))
    return wrap((found.array(primal.value[0], way.value[0]), edge))


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """(value, tangent) of a tensor: the tangent is None where it has none, and outside of a dual_level."""
    found = _innermost()
    if found is None:
        return UnpackedDualTensor(tensor, None)
    value, tangent = found.parts(tensor)
    return UnpackedDualTensor(value, tangent)
