"""DLPack both ways with torch and NumPy, and `assert_close`, `_pytree` and `make_tensor` against torch's own."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple

import numpy as np
import pytest
import torch
from torch.utils import _pytree as theirs

import ingot
from ingot.utils import _pytree as mine

DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


@pytest.mark.parametrize("name", DTYPES)
def test_dlpack_shares_memory_both_ways(name):
    x = ingot.tensor([0, 1, 2]).to(getattr(ingot, name))
    t = torch.from_dlpack(x)
    assert t.dtype is getattr(torch, name)
    t[0] = 1
    assert x.tolist() == t.tolist()
    back = ingot.from_dlpack(torch.tensor([[3, 0]]).to(getattr(torch, name)))
    assert back.dtype is getattr(ingot, name) and back.shape == (1, 2)
    source = torch.zeros(4).to(getattr(torch, name))
    for shared in (ingot.from_dlpack(source), ingot.from_dlpack(torch.utils.dlpack.to_dlpack(source))):
        shared.fill_(1)
        assert source.tolist() == [1] * 4
        source.zero_()
    ingot.from_dlpack(source, copy=True).fill_(1)
    assert not source.any()


def test_torch_s_tensors_are_not_asked_what_functions_do_with_them():
    ingot.overrides.install()
    assert ingot.from_dlpack(torch.ones(2)).tolist() == [1, 1] and ingot.as_tensor(torch.ones(2)).tolist() == [1, 1]
    assert not ingot.overrides.has_torch_function((torch.nn.Parameter(torch.ones(1)),))
    with pytest.raises(TypeError, match="Tensor"):
        ingot.sin(torch.ones(2))


def test_dlpack_of_other_memory():
    t = torch.arange(6.0).reshape(2, 3)
    assert ingot.from_dlpack(t.t()).tolist() == t.t().tolist()
    with pytest.raises(BufferError, match="contiguous"):
        ingot.from_dlpack(t.t(), copy=False)
    assert np.from_dlpack(ingot.ones(2, 3).t()).strides == (4, 12)
    assert ingot.from_dlpack(torch.zeros(0, 3)).shape == (0, 3) and ingot.from_dlpack(torch.tensor(2.0)).item() == 2
    frozen = np.zeros(2)
    frozen.flags.writeable = False
    with pytest.raises(RuntimeError, match="read-only"):
        ingot.from_dlpack(frozen).add_(1)
    with pytest.raises(BufferError, match="gradient"):
        torch.from_dlpack(ingot.ones(1, requires_grad=True))
    with pytest.raises(BufferError):
        ingot.ones(1).__dlpack__(dl_device=(2, 0))
    with pytest.raises(TypeError):
        ingot.from_dlpack([1.0])
    capsule = ingot.to_dlpack(ingot.ones(2))
    assert ingot.from_dlpack(capsule).tolist() == [1, 1]
    with pytest.raises(RuntimeError, match="once"):
        ingot.from_dlpack(capsule)


CLOSE = [
    ("[1.0, 2.0]", "[1.0, 2.0 + 1e-7]", {}), ("[1.0, 2.0]", "[1.0, 2.1]", {}), ("[1, 2]", "[1, 3]", {}), ("2.0", "2.1", {}),
    ("[[1.0, 4.0]]", "[[1.0, 2.0]]", {"rtol": 0.5, "atol": 0.1}), ("[1.0]", "[1.0, 1.0]", {}), ("[0.0]", "[1e-6]", {}),
    ("[float('nan')]", "[float('nan')]", {}), ("[float('nan'), 1.0]", "[float('nan'), 1.0]", {"equal_nan": True}),
    ("[float('inf'), 1.0]", "[float('inf'), 2.0]", {}), ("[True, False]", "[True, True]", {}), ("[1]", "[2]", {"msg": "told"}),
    ("[3.0]", "[2.0]", {"rtol": 0.0, "atol": 0.0}),
]  # fmt: skip


def outcome(m, actual, expected, kwargs):
    try:
        m.testing.assert_close(actual, expected, **kwargs)
    except AssertionError as e:
        return str(e).replace("torch.", "").replace("ingot.", "")
    return "close"


@pytest.mark.parametrize("actual, expected, kwargs", CLOSE)
def test_assert_close_says_what_torch_says(actual, expected, kwargs):
    values = eval(actual), eval(expected)
    assert outcome(ingot, *map(ingot.tensor, values), kwargs) == outcome(torch, *map(torch.tensor, values), kwargs)
    if "msg" not in kwargs:
        nested = [[{"a": m.tensor(values[0])}, {"a": m.tensor(values[1])}] for m in (ingot, torch)]
        assert outcome(ingot, *nested[0], kwargs) == outcome(torch, *nested[1], kwargs)


PLAIN = [(1.0, 1.1), (1, 2), (True, False), (1, 1.0), ([1.0, 2.0], (1.0, 2.0)), ([1], [1, 2]), ({"a": 1}, {"b": 1}), (None, None),
         (float("nan"), float("nan")), (0.0, 1e-9), (np.float32(1), np.float32(2))]  # fmt: skip


@pytest.mark.parametrize("pair", PLAIN, ids=repr)
def test_assert_close_of_plain_values(pair):
    assert outcome(ingot, *pair, {}) == outcome(torch, *pair, {})


def test_assert_close_of_dtypes_and_errors():
    a, b = ingot.ones(2), ingot.ones(2, dtype=ingot.float64)
    with pytest.raises(AssertionError, match="dtype"):
        ingot.testing.assert_close(a, b)
    ingot.testing.assert_close(a, b, check_dtype=False)
    ingot.testing.assert_close(ingot.ones(2).half(), ingot.ones(2).half() + 1e-3)
    with pytest.raises(AssertionError, match="stride"):
        ingot.testing.assert_close(ingot.ones(2, 3).t(), ingot.ones(3, 2), check_stride=True)
    with pytest.raises(ValueError, match="atol"):
        ingot.testing.assert_close(a, a, rtol=1.0)
    with pytest.raises(TypeError):
        ingot.testing.assert_close(object(), a)


def test_made_tensors():
    for name in DTYPES:
        t = ingot.testing.make_tensor(3, 4, dtype=getattr(ingot, name), device="cpu", low=0, high=2, noncontiguous=True)
        assert t.shape == (3, 4) and t.dtype is getattr(ingot, name) and not t.is_contiguous()
        assert float(t.float().min()) >= 0 and float(t.float().max()) <= 2
    assert (ingot.testing.make_tensor((50,), dtype=ingot.int64, device="cpu", low=0, high=2, exclude_zero=True) == 1).all()
    with pytest.raises(ValueError):
        ingot.testing.make_tensor(2, dtype=ingot.int32, device="cpu", low=3, high=3)
    with pytest.raises(ValueError):
        ingot.testing.make_tensor(2, dtype=ingot.int32, device="cpu", requires_grad=True)


Pair = namedtuple("Pair", "x y")
TREES = [
    3, [], [1, (2, {"a": 3, "b": None})], Pair(1, [2]), OrderedDict([("z", 1), ("a", 2)]), defaultdict(list, {"k": [1, 2]}),
    deque([1, [2]], maxlen=3), {"b": 1, "a": (2,)},
]  # fmt: skip


@pytest.mark.parametrize("tree", TREES, ids=repr)
def test_trees(tree):
    leaves, spec = mine.tree_flatten(tree)
    wanted, their_spec = theirs.tree_flatten(tree)
    assert leaves == wanted
    again = mine.tree_unflatten(leaves, spec)
    assert again == tree and type(again) is type(tree)
    assert (spec.num_leaves, spec.num_nodes, spec.num_children) == (their_spec.num_leaves, their_spec.num_nodes, their_spec.num_children)
    double = mine.tree_map(lambda x, y: (x, y), tree, again)
    assert mine.tree_leaves(double) == theirs.tree_leaves(theirs.tree_map(lambda x, y: (x, y), tree, tree))
    assert mine.tree_structure(tree) == spec and (spec == mine.tree_structure([1, 2])) is (tree == [1, 2])
    paths = [(mine.keystr(path), leaf) for path, leaf in mine.tree_flatten_with_path(tree)[0]]
    assert paths == [(theirs.keystr(path), leaf) for path, leaf in theirs.tree_flatten_with_path(tree)[0]]


def test_trees_of_classes_and_errors():
    class Box:
        def __init__(self, *items):
            self.items = items

    mine.register_pytree_node(Box, lambda b: (list(b.items), "box"), lambda items, _: Box(*items))
    assert mine.tree_map(lambda x: x + 1, [Box(1, 2)])[0].items == (2, 3)
    with pytest.raises(ValueError, match="already"):
        mine.register_pytree_node(Box, list, list)
    del mine.NODES[Box]
    leaves, spec = mine.tree_flatten([(1, 2), 3], is_leaf=lambda x: isinstance(x, tuple))
    assert leaves == [(1, 2), 3]
    with pytest.raises(ValueError, match="length 1"):
        mine.tree_unflatten([1], spec)
    with pytest.raises(TypeError):
        mine.tree_unflatten([1], [1])
    with pytest.raises(ValueError):
        mine.tree_map(lambda x, y: x, [1, 2], (1, 2))
    assert mine.tree_map_only(int, lambda x: -x, [1, "a", 2.0]) == [-1, "a", 2.0]
    assert mine.tree_any(bool, [0, 1]) and not mine.tree_all(bool, [0, 1])
