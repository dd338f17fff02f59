"""Ops of ai.onnx.ml, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

import ingot
from ingot.interchange.onnx.rules import OnnxError
from tests.interchange.one_node import one_node

ort = pytest.importorskip("onnxruntime")

rng = np.random.default_rng(0)
X = rng.normal(size=(9, 4)).astype(np.float32)
X[2, 1], X[5, 0] = np.nan, 0.25
WORDS = np.array([["a", "b"], ["c", "?"]], object)


def floats(*shape):
    return [float(v) for v in rng.normal(size=shape).ravel()]


def trees(mode):
    """Two trees of five nodes, of which the second begins with another mode than the first."""
    return {
        "nodes_treeids": [0] * 5 + [1] * 5, "nodes_nodeids": [0, 1, 2, 3, 4] * 2, "nodes_featureids": [0, 1, 0, 0, 0, 2, 3, 0, 0, 0],
        "nodes_values": [0.25, -0.1, 0.0, 0.0, 0.0, 0.3, 0.0, 0.0, 0.0, 0.0], "nodes_truenodeids": [1, 3, 0, 0, 0] * 2,
        "nodes_falsenodeids": [2, 4, 0, 0, 0] * 2, "nodes_missing_value_tracks_true": [0, 1, 0, 0, 0] * 2,
        "nodes_modes": [mode, "BRANCH_LEQ", "LEAF", "LEAF", "LEAF", "BRANCH_LT", mode, "LEAF", "LEAF", "LEAF"],
    }  # fmt: skip


def votes(kind, ids, weights):
    return {f"{kind}_treeids": [0, 0, 0, 1, 1, 1], f"{kind}_nodeids": [2, 3, 4] * 2, f"{kind}_ids": ids, f"{kind}_weights": weights}


MIXED, SURE = [0.1, -0.4, 0.7, -0.2, 0.35, 0.15], [0.1, 0.4, 0.3, 0.05, 0.35, 0.15]
SVM = {"kernel_type": "RBF", "kernel_params": [0.5, 0.0, 3.0], "support_vectors": floats(6, 4)}
X0 = np.nan_to_num(X)

# op -> (inputs; attributes; how many outputs)
CASES = {
    **{f"TreeEnsembleRegressor, {m}": ([X], trees(m) | votes("target", [0] * 6, MIXED) | {"n_targets": 1}, 1) for m in
       ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")},
    **{f"TreeEnsembleRegressor, {a}": ([X], trees("BRANCH_LEQ") | votes("target", [0, 1, 0, 1, 0, 0], MIXED) | {
        "aggregate_function": a, "n_targets": 2, "base_values": [0.5, -0.25]}, 1) for a in ("SUM", "AVERAGE", "MIN", "MAX")},
    "TreeEnsembleClassifier": (
        [X], trees("BRANCH_LT") | votes("class", [0, 1, 2, 1, 0, 2], MIXED) | {"classlabels_int64s": [7, 8, 9]}, 2,
    ),
    "TreeEnsembleClassifier, softmax": (
        [X], trees("BRANCH_LT") | votes("class", [0, 1, 2, 1, 0, 2], MIXED)
        | {"classlabels_int64s": [0, 1, 2], "post_transform": "SOFTMAX", "base_values": [0.1, 0.2, 0.3]}, 2,
    ),
    "TreeEnsembleClassifier, two": ([X], trees("BRANCH_GT") | votes("class", [0] * 6, SURE) | {"classlabels_int64s": [0, 1]}, 2),
    "TreeEnsembleClassifier, logistic": (
        [X], trees("BRANCH_GT") | votes("class", [0] * 6, MIXED)
        | {"classlabels_int64s": [0, 1], "post_transform": "LOGISTIC", "base_values": [0.05]}, 2,
    ),
    "TreeEnsembleClassifier, words": ([X], trees("BRANCH_GT") | votes("class", [0] * 6, MIXED) | {"classlabels_strings": ["n", "y"]}, 2),
    "TreeEnsembleClassifier, whole numbers": (
        [rng.integers(-2, 3, (9, 4))], trees("BRANCH_LEQ") | votes("class", [0] * 6, MIXED) | {"classlabels_int64s": [0, 1]}, 2,
    ),
    "LinearClassifier": ([X0], {"coefficients": floats(3, 4), "intercepts": floats(3), "classlabels_ints": [1, 5, 6]}, 2),
    "LinearClassifier, words": (
        [X0], {"coefficients": floats(3, 4), "intercepts": floats(3), "classlabels_strings": ["a", "b", "c"],
               "post_transform": "LOGISTIC"}, 2,
    ),
    "LinearRegressor": ([X0], {"coefficients": floats(2, 4), "intercepts": floats(2), "targets": 2}, 1),
    "SVMRegressor": ([X0], SVM | {"coefficients": floats(6), "rho": [0.3], "n_supports": 6}, 1),
    "SVMRegressor, one class": ([X0], SVM | {"coefficients": floats(6), "rho": [0.3], "n_supports": 6, "one_class": 1}, 1),
    "SVMClassifier": (
        [X0], SVM | {"coefficients": floats(2, 6), "rho": floats(3), "vectors_per_class": [2, 3, 1], "classlabels_ints": [0, 1, 2]}, 2,
    ),
    "SVMClassifier, probabilities": (
        [X0], SVM | {"coefficients": floats(2, 6), "rho": floats(3), "vectors_per_class": [2, 3, 1], "classlabels_ints": [0, 1, 2],
                     "prob_a": [-1.0, -2.0, -0.5], "prob_b": [0.1, -0.1, 0.2]}, 2,
    ),
    **{f"SVMRegressor, {k}": ([X0], {**SVM, "kernel_type": k, "coefficients": floats(6), "rho": [0.3], "n_supports": 6}, 1) for k in
       ("LINEAR", "POLY", "SIGMOID")},
    "Imputer": ([X], {"imputed_value_floats": [1.0, 2.0, 3.0, 4.0], "replaced_value_float": float("nan")}, 1),
    "FeatureVectorizer": ([X, X0], {"inputdimensions": [4, 4]}, 1),
    "OneHotEncoder": ([np.array([[3, 1], [2, 9]])], {"cats_int64s": [1, 2, 3], "zeros": 1}, 1),
    "OneHotEncoder, words": ([WORDS], {"cats_strings": ["a", "b", "c"], "zeros": 1}, 1),
    "CategoryMapper": ([WORDS], {"cats_strings": ["a", "b"], "cats_int64s": [4, 5], "default_int64": -3}, 1),
    "LabelEncoder": ([np.array([3, 1, 2, 9])], {"keys_int64s": [1, 2, 3], "values_floats": [0.5, 1.5, 2.5], "default_float": -1.0}, 1),
    "LabelEncoder, NaN": ([X[:, 1]], {"keys_floats": [float("nan"), 0.5], "values_int64s": [4, 5], "default_int64": 0}, 1),
    "LabelEncoder, words": ([WORDS], {"keys_strings": ["a", "b", "c"], "values_int64s": [4, 5, 6]}, 1),
    "Scaler": ([X0], {"offset": floats(4), "scale": floats(4)}, 1),
    "Normalizer": ([X0], {"norm": "L2"}, 1),
    "ZipMap": ([X0], {"classlabels_strings": ["a", "b", "c", "d"]}, 1),
    "ArrayFeatureExtractor": ([X0, np.array([2, 0])], {}, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_ops(name, monkeypatch):
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    inputs, attrs, count = CASES[name]
    data, given = one_node(name.split(",")[0], inputs, attrs, count, "ai.onnx.ml", 4)
    expected = ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, given)
    got = ingot.onnx.load(data).run(given)
    for e, g in zip(expected, got.values()):
        if isinstance(e, list):
            assert [r.keys() for r in g] == [r.keys() for r in e]
            e, g = (np.array([list(r.values()) for r in rows]) for rows in (e, g))
        assert g.shape == e.shape
        if e.dtype.kind == "f":
            np.testing.assert_allclose(g, e, rtol=1e-4, atol=1e-5)
        else:
            assert g.tolist() == e.tolist()


def test_trees_are_compiled():
    inputs, attrs, count = CASES["TreeEnsembleClassifier"]
    data, given = one_node("TreeEnsembleClassifier", inputs, attrs, count, "ai.onnx.ml", 4)
    m = ingot.onnx.load(data)
    expected = ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, given)
    for e, g in zip(expected, m.run(given).values()):
        np.testing.assert_allclose(g, e, rtol=1e-5, atol=1e-6)
    assert m.parts is None


def test_trees_that_are_none():
    for change, words in (
        ({"nodes_truenodeids": [1, 0, 0, 0, 0] * 2}, "lead back"),
        ({"nodes_falsenodeids": [2, 44, 0, 0, 0] * 2}, "not there"),
        ({"nodes_featureids": [9] * 10}, "feature 9, of 4"),
        ({"nodes_modes": ["BRANCH_MAYBE"] + ["LEAF"] * 9}, "BRANCH_MAYBE"),
    ):
        attrs = trees("BRANCH_LEQ") | votes("target", [0] * 6, MIXED) | change
        data, given = one_node("TreeEnsembleRegressor", [X], attrs, 1, "ai.onnx.ml", 4)
        with pytest.raises(OnnxError, match=words):
            ingot.onnx.load(data).run(given)
