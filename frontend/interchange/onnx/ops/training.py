"""Steps of optimizers (ai.onnx.preview.training)."""

from __future__ import annotations

from collections.abc import Sequence

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.rules import op

__all__: list[str] = []

TRAINING = "ai.onnx.preview.training"


def _columns(inputs: tuple[Tensor, ...], kinds: int) -> list[tuple[Tensor, ...]]:
    """Tensors, then gradients, then states: one tuple for each tensor."""
    n = len(inputs) // kinds
    return [tuple(inputs[i + k * n] for k in range(kinds)) for i in range(n)]


def _outputs(rows: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple(x for column in zip(*rows) for x in column)


@op("Adagrad", domain=TRAINING)
def adagrad(
    r: Tensor, t: Tensor, *inputs: Tensor, decay_factor: float = 0.0, epsilon: float = 1e-6, norm_coefficient: float = 0.0
) -> tuple[Tensor, ...]:
    rate = r / (1 + t.to(r.dtype) * decay_factor)
    rows = []
    for x, g, h in _columns(inputs, 3):
        g = g + x * norm_coefficient
        h = h + g * g
        rows.append((x - rate * g / (ingot.sqrt(h) + epsilon), h))
    return _outputs(rows)


@op("Adam", domain=TRAINING)
def adam(
    r: Tensor, t: Tensor, *inputs: Tensor, alpha: float = 0.9, beta: float = 0.999, epsilon: float = 1e-6, norm_coefficient: float = 0.0,
    norm_coefficient_post: float = 0.0,
) -> tuple[Tensor, ...]:  # fmt: skip
    steps = t.to(r.dtype)
    adjusted = r * ingot.sqrt(1 - beta**steps) / ingot.where(t > 0, 1 - alpha**steps, 1)
    rate = ingot.where(t > 0, adjusted, r)
    rows = []
    for x, g, v, h in _columns(inputs, 4):
        g = g + x * norm_coefficient
        v, h = v * alpha + g * (1 - alpha), h * beta + g * g * (1 - beta)
        rows.append(((x - rate * v / (ingot.sqrt(h) + epsilon)) * (1 - norm_coefficient_post), v, h))
    return _outputs(rows)


@op("Momentum", domain=TRAINING)
def momentum(r: Tensor, t: Tensor, *inputs: Tensor, alpha: float, beta: float, mode: str, norm_coefficient: float) -> tuple[Tensor, ...]:
    scale = ingot.where(t > 0, beta, 1.0)
    rows = []
    for x, g, v in _columns(inputs, 3):
        g = g + x * norm_coefficient
        v = v * alpha + g * scale.to(g.dtype)
        rows.append((x - r * (g + v * alpha if mode == "nesterov" else v), v))
    return _outputs(rows)
