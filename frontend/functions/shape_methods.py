"""Methods of tensors that give them other shapes, as views where that can be: what differs from the functions, and those in place."""

from __future__ import annotations

from typing import Any

from ingot.functions import shape
from ingot.functions.common import ShapeError, Tensor, broadcast_shapes, named_arg, shape_arg
from ingot.functions.numpy_names import methods
from ingot.runtime.recorder import here

__all__: list[str] = []


_to_shape = shape.reshape  # which an argument hides below


def _reshape(self: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """The elements in another shape, one dim of which may be -1. A view where strides allow, else a copy."""
    return _to_shape(self, shape_arg(sizes if shape is None else named_arg("reshape", sizes, (shape,)), "shape"))


def _permute(self: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """The dims in another order. A view."""
    return shape.permute(self, shape_arg(order if dims is None else named_arg("permute", order, (dims,)), "dims"))


def _broadcast_to(self: Tensor, *sizes: Any, size: Any = None) -> Tensor:
    """Expanded to another shape. A view."""
    return shape.expand(self, shape_arg(sizes if size is None else named_arg("broadcast_to", sizes, (size,)), "size"))


def _squeeze(self: Tensor, *dims: Any, dim: Any = None) -> Tensor:
    """Without the dims of extent 1, or those given that have it. A view."""
    return shape.squeeze(self, dim if not dims else dims[0] if len(dims) == 1 else dims)


def _squeeze_(self: Tensor, *dims: Any, dim: Any = None) -> Tensor:
    """`squeeze`, in place."""
    return _become(self, _squeeze(self, *dims, dim=dim))


def _unsqueeze_(self: Tensor, dim: int) -> Tensor:
    """`unsqueeze`, in place."""
    return _become(self, shape.unsqueeze(self, dim))


def _transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """`transpose`, in place."""
    return _become(self, shape.transpose(self, dim0, dim1))


def _as_strided_(self: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """`as_strided`, in place."""
    from ingot.functions import strided

    return _become(self, strided.as_strided(self, size, stride, storage_offset))


def _t_(self: Tensor) -> Tensor:
    """`t`, in place."""
    return _become(self, shape.t(self))


def _become(self: Tensor, view: Tensor) -> Tensor:
    """Turn `self` into a view of what it was."""
    if self.is_leaf and self.requires_grad:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    if self._here() is not self:
        here.recorder.only_outside(
            "a compiled function cannot turn a tensor from outside into a view in place: later calls would not do it again",
            "use the operation without the underscore",
        )
    here.recorder.becomes(self)
    self._changes()
    self._array, self._edge = view._array, view._edge
    self._storage, self._steps, self._generation, self._version_cell = view._storage, view._steps, view._generation, view._version_cell
    return self


def _expand_as(self: Tensor, other: Tensor) -> Tensor:
    """`expand` to the shape of `other`."""
    return shape.expand(self, tuple(other.shape))


def _reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """`reshape` to the shape of `other`."""
    return shape.reshape(self, tuple(other.shape))


def _view_as(self: Tensor, other: Tensor) -> Tensor:
    """`view` in the shape of `other`."""
    return shape.view(self, tuple(other.shape))


def _sum_to_size(self: Tensor, *sizes: Any, size: Any = None) -> Tensor:
    """The sum over the dims that broadcasting from `size` would add. RuntimeError where `size` does not broadcast to the shape."""
    from ingot.functions import reduce

    target = shape_arg(sizes if size is None else named_arg("sum_to_size", sizes, (size,)))
    extra = self.ndim - len(target)
    try:
        fits = extra >= 0 and broadcast_shapes(target, tuple(self.shape)) == tuple(self.shape)
    except ShapeError:
        fits = False
    if not fits:
        raise ShapeError(f"size {{{list(target)}}} is not expandable to size {{{list(self.shape)}}}.")
    axes = tuple(range(extra)) + tuple(i + extra for i, d in enumerate(target) if d == 1 and self.shape[i + extra] != 1)
    if not target:
        return reduce.sum(self)  # bools count, though over nothing
    return shape.reshape(reduce.sum(self, axes) if axes else self, target)


def _flipped(name: str, order: tuple[int, ...] | None, doc: str) -> property:
    def get(self: Tensor) -> Tensor:
        if order is not None:
            if self.ndim < 2:
                raise RuntimeError(f"tensor.{name} is only supported on matrices or batches of matrices. Got {self.ndim}-D tensor.")
            flipped = shape.transpose(self, -2, -1)
            if name not in ("H", "mH"):
                return flipped
            from ingot.functions import complex

            return complex.conj(flipped)
        return shape.permute(self, tuple(reversed(range(self.ndim))))

    return property(get, doc=doc)


METHODS = methods(
    reshape=_reshape, permute=_permute, broadcast_to=_broadcast_to, squeeze=_squeeze, squeeze_=_squeeze_,
    unsqueeze_=_unsqueeze_, as_strided_=_as_strided_,
    transpose_=_transpose_, swapaxes_=_transpose_, swapdims_=_transpose_, t_=_t_, expand_as=_expand_as, reshape_as=_reshape_as,
    view_as=_view_as, sum_to_size=_sum_to_size,
)  # fmt: skip
METHODS |= {
    "T": _flipped("T", None, "All dims in reverse order. A view."),
    "H": _flipped("H", (0,), "A matrix transposed, complex numbers conjugated. A view of real numbers."),
    "mT": _flipped("mT", (0,), "The last two dims swapped. A view."),
    "mH": _flipped("mH", (0,), "The last two dims swapped, complex numbers conjugated. A view of real numbers."),
}
