"""Numbers rounded to what a quantized tensor could hold, in floating point: training that knows of it.

The source is torch's fake_quantize functions: https://arxiv.org/abs/1806.08342, section 3.
"""

from __future__ import annotations

from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.autograd import Function

__all__ = ["fake_quantize_per_channel_affine", "fake_quantize_per_tensor_affine"]


class _FakeQuantize(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, scale: Any, zero_point: Any, low: int, high: int) -> tuple[Tensor, Tensor]:
        steps = (x * (1.0 / scale)).round() + zero_point
        inside = (steps >= low) & (steps <= high)
        return ((steps.clamp(low, high) - zero_point) * scale).to(x.dtype), inside

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        ctx.save_for_backward(output[1])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, g: Tensor, _: Any) -> tuple:
        (inside,) = ctx.saved_tensors
        return ingot.where(inside, g, ingot.zeros_like(g)), None, None, None, None


def _checked(name: str, input: Tensor, low: int, high: int) -> None:
    if not isinstance(input, Tensor) or not input.is_floating_point():
        raise TypeError(f"{name}: expected a floating-point Tensor, got {getattr(input, 'dtype', type(input).__name__)}")
    if low > high:
        raise RuntimeError(f"{name}: `quant_min` should be less than or equal to `quant_max`, got {low} and {high}")


def fake_quantize_per_tensor_affine(input: Tensor, scale: Any, zero_point: Any, quant_min: int, quant_max: int) -> Tensor:
    """(clamp(round(input / scale) + zero_point, quant_min, quant_max) - zero_point) * scale. The gradient passes where nothing is clamped.

    scale, zero_point: numbers, or tensors of one element. TypeError for a dtype that is not floating-point, RuntimeError for
    quant_min > quant_max or a zero point outside of both.

    >>> ingot.fake_quantize_per_tensor_affine(ingot.tensor([-1.0, 0.26, 0.9]), 0.1, 0, 0, 7)
    tensor([0.0000, 0.3000, 0.7000])
    """
    _checked("fake_quantize_per_tensor_affine", input, quant_min, quant_max)
    if not isinstance(zero_point, Tensor) and not quant_min <= zero_point <= quant_max:
        raise RuntimeError("fake_quantize_per_tensor_affine: `zero_point` must be between `quant_min` and `quant_max`.")
    with ingot.no_grad():
        step = ingot.as_tensor(scale, dtype=ingot.float32).reshape(())
        zero = zero_point.reshape(()).float() if isinstance(zero_point, Tensor) else float(zero_point)
    return _FakeQuantize.apply(input, step, zero, quant_min, quant_max)[0]


def fake_quantize_per_channel_affine(
    input: Tensor, scale: Tensor, zero_point: Tensor, axis: int, quant_min: int, quant_max: int
) -> Tensor:
    """`fake_quantize_per_tensor_affine` with a scale and a zero point for each index along `axis`: vectors of its extent (RuntimeError).

    >>> x = ingot.tensor([[0.26, 0.9], [0.26, 0.9]])
    >>> ingot.fake_quantize_per_channel_affine(x, ingot.tensor([0.1, 0.5]), ingot.tensor([0, 0]), 0, 0, 7)
    tensor([[0.3000, 0.7000],
            [0.5000, 1.0000]])
    """
    _checked("fake_quantize_per_channel_affine", input, quant_min, quant_max)
    if not -input.ndim <= axis < input.ndim:
        raise IndexError(f"fake_quantize_per_channel_affine: axis {axis} is out of range for a Tensor of rank {input.ndim}")
    shape = [1] * input.ndim
    shape[axis] = input.shape[axis]
    for name, t in (("scale", scale), ("zero_point", zero_point)):
        if t.ndim != 1 or t.numel() != shape[axis]:
            raise RuntimeError(f"fake_quantize_per_channel_affine: {name} should have the shape ({shape[axis]},), got {tuple(t.shape)}")
    step, zero = scale.detach().float().reshape(shape), zero_point.detach().float().reshape(shape)
    return _FakeQuantize.apply(input, step, zero, quant_min, quant_max)[0]
