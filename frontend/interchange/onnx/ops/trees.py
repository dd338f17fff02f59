"""Ensembles of trees (ai.onnx.ml): every row walks down all trees at once, a level at a time; leaves point at themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.ops.classical import AFTER, ML, labels, transformed, two_columns
from ingot.interchange.onnx.rules import Call, op
from ingot.ir.struct import struct

__all__: list[str] = []

LEAF, MEMBER = 6, 7
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "LEAF", "BRANCH_MEMBER")
COMPARE = (ingot.le, ingot.lt, ingot.ge, ingot.gt, ingot.eq, ingot.ne)


@struct
class Forest:
    """Nodes of all trees: what each compares, where it leads, and where the trees begin. `votes`: a row of weights for each node.

    members: for nodes that ask whether a value is one of a set, that set; None elsewhere
    """

    modes: np.ndarray
    features: np.ndarray
    splits: np.ndarray
    yes: np.ndarray
    no: np.ndarray
    missing: np.ndarray  # whether NaN leads to yes
    roots: np.ndarray
    weights: np.ndarray
    votes: np.ndarray  # bool, as weights are: which of them are there
    members: tuple[Any, ...] = ()

    def depth(self) -> int:
        """How many steps lead to every leaf. ValueError for nodes that lead back, or out of the ensemble."""
        n = len(self.modes)
        for to in (self.yes, self.no):
            if ((to < 0) | (to >= n)).any():
                raise ValueError(f"a node leads to one that is not there, of {n}")
        at, steps = np.unique(self.roots), 0
        while True:
            at = at[self.modes[at] != LEAF]
            if not at.size:
                return steps
            at, steps = np.unique(np.concatenate([self.yes[at], self.no[at]])), steps + 1
            if steps > n:
                raise ValueError("its nodes lead back to themselves")


def _walked(f: Forest, x: Tensor) -> Tensor:
    """The leaf that each row reaches in each tree: (rows, trees)."""
    if not x.is_floating_point():
        x = x.to(ingot.float32)
    elif f.splits.dtype == np.float64:
        x = x.to(ingot.float64)
    if f.features.size and f.features.max() >= x.shape[-1]:
        raise ValueError(f"a node reads feature {f.features.max()}, of {x.shape[-1]}")
    modes, features, yes, no = (ingot.from_numpy(np.ascontiguousarray(a, np.int64)) for a in (f.modes, f.features, f.yes, f.no))
    splits, missing = ingot.from_numpy(f.splits).to(x.dtype), ingot.from_numpy(f.missing)
    at = ingot.broadcast_to(ingot.from_numpy(f.roots.astype(np.int64)), (x.shape[0], len(f.roots)))
    kinds = [k for k in np.unique(f.modes).tolist() if k != LEAF]
    for _ in range(f.depth()):
        value, split = ingot.gather(x, 1, features[at]), splits[at]
        taken = None
        for k in kinds:
            holds = _member(f, value, at) if k == MEMBER else COMPARE[k](value, split)
            taken = holds if taken is None else ingot.where(modes[at] == k, holds, taken)
        assert taken is not None
        if f.missing.any():
            taken = taken | ingot.isnan(value) & missing[at]
        at = ingot.where(taken, yes[at], no[at])
    return at


def _member(f: Forest, value: Tensor, at: Tensor) -> Tensor:
    """Whether a value is in the set of the node that it has come to."""
    width = max(len(m) for m in f.members if m is not None)
    table = np.full((len(f.modes), width), np.nan)
    for row, m in zip(table, f.members):
        if m is not None:
            row[: len(m)] = m
    return (ingot.from_numpy(table).to(value.dtype)[at] == value.unsqueeze(-1)).any(-1)


def _scores(f: Forest, x: Tensor, how: str = "SUM") -> tuple[Tensor, Tensor]:
    """The weights of the leaves together, (rows, targets), and whether there were any."""
    weights, there = ingot.from_numpy(f.weights), ingot.from_numpy(f.votes)
    at = _walked(f, x)
    voted = there[at].any(1)
    if how in ("SUM", "AVERAGE"):
        total = weights[at].sum(1)
        return total / len(f.roots) if how == "AVERAGE" else total, voted
    if how not in ("MIN", "MAX"):
        raise ValueError(f"aggregate_function {how!r}")
    best = ingot.where(there, weights, float("inf") if how == "MIN" else float("-inf"))[at]
    return ingot.where(voted, ingot.amin(best, 1) if how == "MIN" else ingot.amax(best, 1), 0), voted


def _forest(
    count: int, target_trees: Sequence[int], target_nodes: Sequence[int], targets: Sequence[int], weights: Any, n: dict[str, Any]
) -> Forest:
    """From attributes as TreeEnsembleRegressor has them: nodes by their tree and their number in it."""
    trees, numbers = np.asarray(n["nodes_treeids"]), np.asarray(n["nodes_nodeids"])
    places = {key: i for i, key in enumerate(zip(trees.tolist(), numbers.tolist()))}
    if len(places) < len(trees):
        raise ValueError("two nodes have one number")
    unknown = set(n["nodes_modes"]) - set(MODES[:-1])
    if unknown:
        raise ValueError(f"the mode {min(unknown)!r}")
    modes = np.array([MODES.index(m) for m in n["nodes_modes"]])
    own = np.arange(len(trees))
    leaf = modes == LEAF

    def led(to: str) -> np.ndarray:
        return np.array([i if leaf[i] else places.get((t, k), -1) for i, t, k in zip(own.tolist(), trees.tolist(), n[to])], int)

    yes, no = led("nodes_truenodeids"), led("nodes_falsenodeids")
    inner = ~leaf
    led_to = set(yes[inner].tolist()) | set(no[inner].tolist())
    first: dict[int, int] = {}  # each tree's root: its first node, or the first inner one that none leads to
    for i, t in enumerate(trees.tolist()):
        at = first.setdefault(t, i)
        if at in led_to and i not in led_to and inner[i]:
            first[t] = i
    roots = np.array(list(first.values()))
    values = n["nodes_values_as_tensor"]
    splits = np.asarray(n["nodes_values"], np.float32) if values is None else values
    table = np.zeros((len(trees), count), np.float32 if not isinstance(weights, np.ndarray) else weights.dtype)
    votes = np.zeros(table.shape, bool)
    for t, k, target, w in zip(target_trees, target_nodes, targets, np.asarray(weights).tolist()):
        table[places[t, k], target] += w
        votes[places[t, k], target] = True
    tracks = n["nodes_missing_value_tracks_true"]
    missing = np.zeros(len(trees), bool) if not tracks else np.asarray(tracks, bool)
    return Forest(modes, np.where(leaf, 0, n["nodes_featureids"]), splits, yes, no, missing, roots, table, votes)


@op("TreeEnsembleRegressor", domain=ML)
def tree_ensemble_regressor(
    x: Tensor, *, aggregate_function: str = "SUM", base_values: Any = None, base_values_as_tensor: Any = None, n_targets: int = 1,
    nodes_falsenodeids: Any, nodes_featureids: Any, nodes_hitrates: Any = None, nodes_hitrates_as_tensor: Any = None,
    nodes_missing_value_tracks_true: Any = None, nodes_modes: Any, nodes_nodeids: Any, nodes_treeids: Any, nodes_truenodeids: Any,
    nodes_values: Any = None, nodes_values_as_tensor: Any = None, post_transform: str = "NONE", target_ids: Any, target_nodeids: Any,
    target_treeids: Any, target_weights: Any = None, target_weights_as_tensor: Any = None,
) -> Tensor:  # fmt: skip
    given = dict(locals())
    weights = target_weights if target_weights_as_tensor is None else target_weights_as_tensor
    forest = _forest(n_targets, target_treeids, target_nodeids, target_ids, weights, given)
    y, voted = _scores(forest, x, aggregate_function)
    base = base_values if base_values_as_tensor is None else base_values_as_tensor
    if base is not None:
        y = ingot.where(voted, y + ingot.from_numpy(np.asarray(base)).to(y.dtype), 0)
    return transformed(y.to(ingot.float32), post_transform)


@op("TreeEnsembleClassifier", domain=ML)
def tree_ensemble_classifier(
    c: Call, x: Tensor, *, base_values: Any = None, base_values_as_tensor: Any = None, class_ids: Any, class_nodeids: Any,
    class_treeids: Any, class_weights: Any = None, class_weights_as_tensor: Any = None, classlabels_int64s: Any = None,
    classlabels_strings: Any = None, nodes_falsenodeids: Any, nodes_featureids: Any, nodes_hitrates: Any = None,
    nodes_hitrates_as_tensor: Any = None, nodes_missing_value_tracks_true: Any = None, nodes_modes: Any, nodes_nodeids: Any,
    nodes_treeids: Any, nodes_truenodeids: Any, nodes_values: Any = None, nodes_values_as_tensor: Any = None, post_transform: str = "NONE",
) -> tuple[Any, Tensor]:  # fmt: skip
    """Two classes of which one has weights are told apart by its score: above a half where all weights are positive, else above 0."""
    given = dict(locals())
    names = classlabels_int64s or classlabels_strings
    weights = class_weights if class_weights_as_tensor is None else class_weights_as_tensor
    base: Any = base_values if base_values_as_tensor is None else base_values_as_tensor
    alone = len(names) == 2 and len(set(class_ids)) == 1
    ids = [0] * len(class_ids) if alone else class_ids
    scores, voted = _scores(_forest(1 if alone else len(names), class_treeids, class_nodeids, ids, weights, given), x)
    if base is not None:
        voted = ingot.ones_like(voted)
        base = np.asarray(base).reshape(-1)
        scores = scores + ingot.from_numpy(base[-1:] if alone else base).to(scores.dtype)
    scores = scores.to(ingot.float32)
    if alone:
        positive = bool((np.asarray(weights) >= 0).all())
        chosen = (scores[:, 0] > (0.5 if positive else 0.0)).to(ingot.int64)
        scores = two_columns(scores[:, 0], post_transform, positive)
    else:
        chosen = ingot.argmax(ingot.where(voted, scores, float("-inf")), 1)
        scores = transformed(scores, post_transform)
    return labels(c, chosen, classlabels_int64s, classlabels_strings), scores


@op("TreeEnsemble", domain=ML)
def tree_ensemble(
    x: Tensor, *, aggregate_function: int = 1, leaf_targetids: Any, leaf_weights: Any, membership_values: Any = None, n_targets: int,
    nodes_falseleafs: Any, nodes_falsenodeids: Any, nodes_featureids: Any, nodes_hitrates: Any = None,
    nodes_missing_value_tracks_true: Any = None, nodes_modes: Any, nodes_splits: Any, nodes_trueleafs: Any, nodes_truenodeids: Any,
    post_transform: int = 0, tree_roots: Any,
) -> Tensor:  # fmt: skip
    """Inner nodes and leaves are numbered apart: leaves stand behind the nodes here."""
    n, leaves = len(nodes_featureids), len(leaf_targetids)
    rows = np.arange(n + leaves)

    def led(to: Any, is_leaf: Any) -> np.ndarray:
        return np.concatenate([np.where(np.asarray(is_leaf, bool), np.asarray(to) + n, to), rows[n:]])

    kinds = np.asarray(nodes_modes).reshape(-1).astype(int)
    order = np.array([0, 1, 2, 3, 4, 5, MEMBER])
    weights = np.zeros((n + leaves, n_targets), leaf_weights.dtype)
    weights[rows[n:], np.asarray(leaf_targetids)] = leaf_weights.reshape(-1)
    votes = np.zeros(weights.shape, bool)
    votes[rows[n:], np.asarray(leaf_targetids)] = True
    members: list[Any] = [None] * (n + leaves)
    if membership_values is not None:
        sets = np.split(membership_values.reshape(-1), np.flatnonzero(np.isnan(membership_values.reshape(-1))))
        found = iter([s[~np.isnan(s)] for s in sets])
        for i in np.flatnonzero(kinds == 6).tolist():
            members[i] = next(found)
    behind = np.zeros(leaves, int)
    forest = Forest(
        np.concatenate([order[kinds], behind + LEAF]), np.concatenate([nodes_featureids, behind]),
        np.concatenate([nodes_splits.reshape(-1), np.zeros(leaves, nodes_splits.dtype)]), led(nodes_truenodeids, nodes_trueleafs),
        led(nodes_falsenodeids, nodes_falseleafs),
        np.concatenate([np.asarray(nodes_missing_value_tracks_true or [0] * n, bool), behind.astype(bool)]), np.asarray(tree_roots),
        weights, votes, tuple(members),
    )  # fmt: skip
    y, _ = _scores(forest, x, ("AVERAGE", "SUM", "MIN", "MAX")[aggregate_function])
    return transformed(y, AFTER[post_transform])
