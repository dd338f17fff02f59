"""What pipelines of scikit-learn and its like are exported as (ai.onnx.ml): linear models, support vectors, encoders of features.

Labels that are strings, and what is a dict, stay on the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.rules import Call, op

__all__ = ["AFTER", "ML", "labels", "transformed", "two_columns"]

ML = "ai.onnx.ml"
AFTER = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


def transformed(y: Tensor, how: str) -> Tensor:
    """Scores, as `post_transform` wants them."""
    if how == "NONE":
        return y
    if how == "SOFTMAX":
        return ingot.softmax(y, -1)
    if how == "LOGISTIC":
        return ingot.sigmoid(y)
    if how == "PROBIT":
        return ingot.erfinv(2 * y - 1) * float(np.sqrt(2))
    if how == "SOFTMAX_ZERO":  # zeros take no part
        top = ingot.amax(y, -1, keepdim=True)
        part, e = ingot.abs(y) > 1e-7, ingot.exp(y - top)
        return ingot.where(part, e, y * ingot.exp(-top)) / ingot.where(part, e, 0).sum(-1, keepdim=True)
    raise ValueError(f"post_transform {how!r}")


def two_columns(score: Tensor, how: str, positive: bool) -> Tensor:
    """Scores of two classes from that of the second: a probability where weights are positive, a distance from 0 otherwise."""
    if how == "PROBIT":
        return transformed(score, how).unsqueeze(-1)
    if positive:
        return ingot.stack([1 - score, score], -1)
    both = ingot.stack([-score, score], -1)
    return transformed(both, how)


def labels(c: Call, chosen: Tensor, ints: Any, strings: Any) -> Any:
    """The labels of classes, by their places."""
    if strings:
        return np.array(strings, object)[c.known(chosen, "which classes are chosen")]
    return ingot.tensor(ints, dtype=ingot.int64)[chosen] if ints else chosen


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


# ---- linear models


@op("LinearRegressor", domain=ML)
def linear_regressor(
    x: Tensor, *, coefficients: list[float], intercepts: Any = None, post_transform: str = "NONE", targets: int = 1
) -> Tensor:
    y = ingot.matmul(x.float(), ingot.tensor(coefficients).reshape((targets, -1)).T)
    return transformed(y if intercepts is None else y + ingot.tensor(intercepts), post_transform)


@op("LinearClassifier", domain=ML)
def linear_classifier(
    c: Call, x: Tensor, *, classlabels_ints: Any = None, classlabels_strings: Any = None, coefficients: list[float],
    intercepts: Any = None, multi_class: int = 0, post_transform: str = "NONE",
) -> tuple[Any, Tensor]:  # fmt: skip
    x = (x if x.ndim > 1 else x.unsqueeze(0)).float()
    y = ingot.matmul(x, ingot.tensor(coefficients).reshape((-1, x.shape[-1])).T)
    y = y if not intercepts else y + ingot.tensor(intercepts)
    if y.shape[1] == 1 and len(classlabels_ints or classlabels_strings or ()) == 2:
        chosen = (y[:, 0] > 0).to(ingot.int64)
        y = two_columns(y[:, 0], post_transform, post_transform == "NONE")
    else:
        chosen = ingot.argmax(y, 1)
        y = transformed(y, post_transform)
    return labels(c, chosen, classlabels_ints, classlabels_strings), y


# ---- support vectors


def _kernel(x: Tensor, vectors: np.ndarray, kind: str, params: Any) -> Tensor:
    """Of each row with each vector: (rows, vectors)."""
    gamma, coef, degree = (*(params or ()), 0.0, 0.0, 0.0)[:3]
    v = ingot.from_numpy(np.ascontiguousarray(vectors, np.float32))
    if kind == "RBF":
        return ingot.exp(((x.unsqueeze(1) - v) ** 2).sum(-1) * -gamma)
    y = ingot.matmul(x, v.T)
    if kind == "LINEAR":
        return y
    y = y * gamma + coef
    if kind == "POLY":
        return y**degree
    if kind == "SIGMOID":
        return ingot.tanh(y)
    raise ValueError(f"the kernel {kind!r}")


@op("SVMRegressor", domain=ML)
def svm_regressor(
    x: Tensor, *, coefficients: list[float], kernel_params: Any = None, kernel_type: str = "LINEAR", n_supports: int = 0,
    one_class: int = 0, post_transform: str = "NONE", rho: list[float], support_vectors: Any = None,
) -> Tensor:  # fmt: skip
    x, weights = x.float(), ingot.tensor(coefficients)
    if n_supports:
        k = _kernel(x, np.reshape(support_vectors, (n_supports, -1)), kernel_type, kernel_params)
        y = ingot.matmul(k, weights.unsqueeze(1)) + rho[0]
    else:
        y = ingot.matmul(x, weights.unsqueeze(1)) + rho[0]
    return ingot.where(y > 0, 1.0, -1.0) if one_class else transformed(y, post_transform)


@op("SVMClassifier", domain=ML)
def svm_classifier(
    c: Call, x: Tensor, *, classlabels_ints: Any = None, classlabels_strings: Any = None, coefficients: list[float],
    kernel_params: Any = None, kernel_type: str = "LINEAR", post_transform: str = "NONE", prob_a: Any = None, prob_b: Any = None,
    rho: list[float], support_vectors: Any = None, vectors_per_class: Any = None,
) -> tuple[Any, Tensor]:  # fmt: skip
    """Each pair of classes votes (LIBSVM); without support vectors, a linear model."""
    x = x.float()
    n = len(classlabels_ints or classlabels_strings or (1,))
    if not vectors_per_class:
        y = ingot.matmul(x, ingot.tensor(coefficients).reshape((n, -1)).T) + rho[0]
        chosen = ingot.argmax(y, 1)
        return labels(c, chosen, classlabels_ints, classlabels_strings), transformed(y, post_transform)
    total, ends = sum(vectors_per_class), np.cumsum([0, *vectors_per_class])
    weights = np.reshape(np.asarray(coefficients, np.float32), (-1, total))
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    columns = np.zeros((total, len(pairs)), np.float32)
    for at, (i, j) in enumerate(pairs):
        columns[ends[i] : ends[i + 1], at] = weights[j - 1, ends[i] : ends[i + 1]]
        columns[ends[j] : ends[j + 1], at] = weights[i, ends[j] : ends[j + 1]]
    k = _kernel(x, np.reshape(support_vectors, (total, -1)), kernel_type, kernel_params)
    scores = ingot.matmul(k, ingot.from_numpy(columns)) + ingot.tensor(rho)
    won = np.zeros((2, len(pairs), n), np.float32)  # who gets a vote where a score is above 0, and where it is not
    for at, pair in enumerate(pairs):
        won[[0, 1], at, list(pair)] = 1
    first = scores > 0
    votes = ingot.matmul(first.float(), ingot.from_numpy(won[0])) + ingot.matmul((~first).float(), ingot.from_numpy(won[1]))
    chosen = ingot.argmax(votes, 1)
    if prob_a:
        sure = ingot.sigmoid(-(scores * ingot.tensor(prob_a) + ingot.tensor(prob_b))).clamp(1e-7, 1 - 1e-7)
        y = _coupled(sure, pairs, n)
    elif len(pairs) == 1:
        y = ingot.cat([-scores, scores], 1)
    else:
        y = scores
    return labels(c, chosen, classlabels_ints, classlabels_strings), transformed(y, post_transform)


def _coupled(sure: Tensor, pairs: Sequence[tuple[int, int]], n: int) -> Tensor:
    """Probabilities of classes from those of pairs (Wu, Lin and Weng, 2004), stopped where LIBSVM stops, row by row."""
    at = {p: i for i, p in enumerate(pairs)}
    none = ingot.zeros(sure.shape[0])
    rows = [[sure[:, at[i, j]] if i < j else 1 - sure[:, at[j, i]] if i > j else none for j in range(n)] for i in range(n)]
    r = ingot.stack([ingot.stack(row, 1) for row in rows], 1)
    q = ingot.diag_embed((r**2).sum(1)) - r * r.mT

    def step(count: Tensor, p: Tensor, going: Tensor) -> tuple[Tensor, ...]:
        new = p
        qp = ingot.matmul(q, new.unsqueeze(-1)).squeeze(-1)
        pqp = (new * qp).sum(1)
        going = going & (ingot.amax(ingot.abs(qp - pqp.unsqueeze(1)), 1) >= 0.005 / n)
        for t in range(n):
            diff = (pqp - qp[:, t]) / q[:, t, t]
            pqp = (pqp + diff * (diff * q[:, t, t] + 2 * qp[:, t])) / (1 + diff) ** 2
            qp = (qp + diff.unsqueeze(1) * q[:, t]) / (1 + diff).unsqueeze(1)
            moved = ingot.stack([new[:, i] + diff if i == t else new[:, i] for i in range(n)], 1)
            new = moved / (1 + diff).unsqueeze(1)
        return count + 1, ingot.where(going.unsqueeze(1), new, p), going

    start = (ingot.zeros((), dtype=ingot.int64), ingot.full((sure.shape[0], n), 1 / n), ingot.ones(sure.shape[0], dtype=ingot.bool))
    return ingot.while_loop(lambda count, p, going: (count < max(100, n)) & going.any(), step, start)[1]


# ---- features


@op("ArrayFeatureExtractor", domain=ML, raw=True)
def array_feature_extractor(c: Call, x: Any, y: Any) -> Any:
    if isinstance(x, np.ndarray) and x.dtype.kind in "OUS":
        return (x if x.ndim > 1 else x[None])[..., c.known(y, "which features are taken").reshape(-1)]
    x = c.tensor(x)
    return ingot.index_select(x if x.ndim > 1 else x.unsqueeze(0), -1, c.tensor(y).reshape((-1,)).to(ingot.int64))


@op("Imputer", domain=ML)
def imputer(
    x: Tensor, *, imputed_value_floats: Any = None, imputed_value_int64s: Any = None, replaced_value_float: float = 0.0,
    replaced_value_int64: int = 0,
) -> Tensor:  # fmt: skip
    new = imputed_value_floats if x.is_floating_point() else imputed_value_int64s
    if not new:
        raise ValueError("no values are given to put in")
    old = replaced_value_float if x.is_floating_point() else replaced_value_int64
    gone = ingot.isnan(x) if old != old else x == old
    return ingot.where(gone, ingot.tensor(new, dtype=x.dtype), x)


@op("FeatureVectorizer", domain=ML)
def feature_vectorizer(*x: Tensor, inputdimensions: Any = None) -> Tensor:
    return ingot.cat([(t if t.ndim > 1 else t.unsqueeze(0)).float() for t in x], 1)


@op("OneHotEncoder", domain=ML, raw=True)
def one_hot_encoder(c: Call, x: Any, *, cats_int64s: Any = None, cats_strings: Any = None, zeros: int = 1) -> Any:
    """A one in the place of the category; a row of zeros, or an error, for what is none."""
    if isinstance(x, np.ndarray) and x.dtype.kind in "OUS":
        found: Any = ingot.from_numpy(x[..., None] == np.array(cats_strings or (), object))
    else:
        found = c.tensor(x).to(ingot.int64).unsqueeze(-1) == ingot.tensor(cats_int64s or (), dtype=ingot.int64)
    if not zeros and not c.known(found.any(-1), "whether all categories are known").all():
        raise ValueError("a category that the encoder does not know, and zeros=0")
    return found.to(ingot.float32)


@op("LabelEncoder", domain=ML, raw=True)
def label_encoder(
    c: Call, x: Any, *, keys_int64s: Any = None, keys_floats: Any = None, keys_strings: Any = None, keys_tensor: Any = None,
    values_int64s: Any = None, values_floats: Any = None, values_strings: Any = None, values_tensor: Any = None,
    classes_strings: Any = None, default_int64: int = -1, default_float: float = -0.0, default_string: str = "_Unused",
    default_tensor: Any = None,
) -> Any:  # fmt: skip
    """A table: looked up on the host where keys or values are strings."""
    if classes_strings is not None:  # the first version: a string's place, or the string at a place
        places = list(range(len(classes_strings)))
        strings = isinstance(x, np.ndarray) and x.dtype.kind in "OUS"
        keys_int64s, keys_strings, values_int64s, values_strings = (
            (None, classes_strings, places, None) if strings else (places, None, None, classes_strings)
        )
    keys = next((k for k in (keys_int64s, keys_floats, keys_strings, keys_tensor) if k is not None), None)
    values, default, dtype = next(
        (g for g in (
            (values_int64s, default_int64, np.int64), (values_floats, default_float, np.float32), (values_strings, default_string, object),
            (values_tensor, default_tensor, None),
        ) if g[0] is not None), (None, None, None),
    )  # fmt: skip
    if keys is None or values is None:
        raise ValueError("no keys or no values are given")
    array = np.asarray(values, dtype).reshape(-1)
    if values_tensor is not None:
        default = {"i": -1, "f": -0.0}.get(array.dtype.kind, "_Unused") if default is None else np.asarray(default).reshape(-1)[0]
    keys = np.asarray(keys).reshape(-1)
    if keys.dtype.kind in "biuf" and array.dtype.kind in "biuf":
        given, known = c.tensor(x), ingot.from_numpy(keys)
        known = known.to(given.dtype) if given.is_floating_point() else known
        same = given.unsqueeze(-1) == known
        if keys.dtype.kind == "f":
            same = same | ingot.isnan(given).unsqueeze(-1) & ingot.isnan(known)
        table = ingot.from_numpy(array)
        last = keys.size - 1 - ingot.argmax(ingot.flip(same, (-1,)).to(ingot.int32), -1)
        return ingot.where(same.any(-1), table[last], ingot.tensor(default).to(table.dtype))
    a = x if isinstance(x, np.ndarray) else c.known(x, "the input of LabelEncoder")
    found = {_key(k): v for k, v in zip(keys.tolist(), array.tolist())}
    return np.array([found.get(_key(v), default) for v in a.reshape(-1).tolist()], array.dtype).reshape(a.shape)


def _key(v: Any) -> Any:
    return "NaN" if isinstance(v, float) and v != v else v


@op("CategoryMapper", domain=ML, raw=True)
def category_mapper(
    c: Call, x: Any, *, cats_int64s: list[int], cats_strings: list[str], default_int64: int = -1, default_string: str = "_Unused"
) -> np.ndarray:
    a = x if isinstance(x, np.ndarray) else c.known(x, "the input of CategoryMapper")
    if a.dtype.kind in "OUS":
        to_int = dict(zip(cats_strings, cats_int64s))
        return np.array([to_int.get(v, default_int64) for v in a.reshape(-1).tolist()], np.int64).reshape(a.shape)
    to_string = dict(zip(cats_int64s, cats_strings))
    return np.array([to_string.get(v, default_string) for v in a.reshape(-1).tolist()], object).reshape(a.shape)


# ---- dicts, which stay on the host


@op("ZipMap", domain=ML, raw=True)
def zip_map(c: Call, x: Any, *, classlabels_int64s: Any = None, classlabels_strings: Any = None) -> list[dict[Any, float]]:
    rows = c.known(x, "the input of ZipMap")
    keys = classlabels_int64s or classlabels_strings
    if len(keys) != rows.shape[-1]:
        raise ValueError(f"{len(keys)} keys for {rows.shape[-1]} columns")
    return [dict(zip(keys, row)) for row in np.atleast_2d(rows).tolist()]


@op("DictVectorizer", domain=ML, raw=True)
def dict_vectorizer(c: Call, x: dict[Any, Any], *, int64_vocabulary: Any = None, string_vocabulary: Any = None) -> np.ndarray:
    values = [x.get(k) for k in int64_vocabulary or string_vocabulary]
    dtype = object if any(isinstance(v, str) for v in x.values()) else np.asarray(list(x.values())).dtype
    blank = "" if dtype is object else 0
    return np.array([[blank if v is None else v for v in values]], np.float32 if dtype == np.float64 else dtype)


@op("CastMap", domain=ML, raw=True)
def cast_map(c: Call, x: dict[int, Any], *, cast_to: str = "TO_FLOAT", map_form: str = "DENSE", max_map: int = 1) -> np.ndarray:
    dtype, blank = {"TO_FLOAT": (np.float32, 0.0), "TO_INT64": (np.int64, 0), "TO_STRING": (object, "")}[cast_to]
    if map_form == "DENSE":
        row = [v for _, v in sorted(x.items())]
    else:
        if any(not 0 <= k < max_map for k in x):
            raise ValueError(f"a key is not below max_map, {max_map}")
        row = [x.get(k, blank) for k in range(max_map)]
    return np.array([[str(v) if dtype is object else float(v) for v in row]]).astype(dtype)
