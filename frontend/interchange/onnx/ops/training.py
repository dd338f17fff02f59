"""Steps of optimizers (ai.onnx.preview.training), and what exported models take from ai.onnx.ml."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.rules import Call, op

__all__: list[str] = []

TRAINING, ML = "ai.onnx.preview.training", "ai.onnx.ml"


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


@op("ArrayFeatureExtractor", domain=ML)
def array_feature_extractor(x: Tensor, y: Tensor) -> Tensor:
    return ingot.index_select(x if x.ndim > 1 else x.unsqueeze(0), -1, y.reshape((-1,)).to(ingot.int64))


@op("Binarizer", domain=ML)
def binarizer(x: Tensor, *, threshold: float = 0.0) -> Tensor:
    return (x > threshold).to(x.dtype)


@op("Scaler", domain=ML)
def scaler(x: Tensor, *, offset: list[float], scale: list[float]) -> Tensor:
    return (x.float() - ingot.tensor(offset)) * ingot.tensor(scale)


@op("Normalizer", domain=ML)
def normalizer(x: Tensor, *, norm: str = "MAX") -> Tensor:
    x = x.float()
    size = {"MAX": lambda: ingot.amax(x, -1, keepdim=True), "L1": lambda: ingot.abs(x).sum(-1, keepdim=True),
            "L2": lambda: ingot.sqrt((x * x).sum(-1, keepdim=True))}[norm]()  # fmt: skip
    return x / ingot.where(size == 0, 1, size)


@op("LinearRegressor", domain=ML)
def linear_regressor(
    x: Tensor, *, coefficients: list[float], intercepts: Any = None, post_transform: str = "NONE", targets: int = 1
) -> Tensor:
    y = ingot.matmul(x.float(), ingot.tensor(coefficients).reshape((targets, -1)).T)
    y = y if intercepts is None else y + ingot.tensor(intercepts)
    if post_transform == "NONE":
        return y
    return {"SOFTMAX": lambda: ingot.softmax(y, -1), "LOGISTIC": lambda: ingot.sigmoid(y)}[post_transform]()


@op("LabelEncoder", domain=ML, raw=True)
def label_encoder(
    c: Call, x: Any, *, keys_int64s: Any = None, keys_floats: Any = None, keys_strings: Any = None, keys_tensor: Any = None,
    values_int64s: Any = None, values_floats: Any = None, values_strings: Any = None, values_tensor: Any = None,
    default_int64: int = -1, default_float: float = -0.0, default_string: str = "_Unused", default_tensor: Any = None,
) -> np.ndarray:  # fmt: skip
    """A table, looked up on the host."""
    keys = next(k for k in (keys_int64s, keys_floats, keys_strings, keys_tensor) if k is not None)
    for values, default, dtype in (
        (values_int64s, default_int64, np.int64), (values_floats, default_float, np.float32), (values_strings, default_string, object),
        (values_tensor, default_tensor, None),
    ):  # fmt: skip
        if values is None:
            continue
        array = np.asarray(values, dtype)
        if dtype is None:
            default = {"i": -1, "f": -0.0}.get(array.dtype.kind, "_Unused") if default is None else np.asarray(default).reshape(-1)[0]
        a = x if isinstance(x, np.ndarray) else c.known(x, "the input of LabelEncoder")
        table = {_key(k): v for k, v in zip(np.asarray(keys).reshape(-1).tolist(), array.reshape(-1).tolist())}
        return np.array([table.get(_key(v), default) for v in a.reshape(-1).tolist()], array.dtype).reshape(a.shape)
    raise ValueError("no values are given")


def _key(v: Any) -> Any:
    return "NaN" if isinstance(v, float) and v != v else v
