"""Bad input to ops: one clear message each, of the right type."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir.builder import Builder
from ingot.ir.dtypes import bool_, by_name, f32, i64
from ingot.ir.op import OPS
from ingot.ir.size import ShapeError
from ingot.ir.types import tensor_type


def t(text: str):
    """`f32[2,3]` as a TensorType."""
    name, _, dims = text.rstrip("]").partition("[")
    return tensor_type(by_name(name), tuple(int(d) for d in dims.split(",") if d))


GEO = dict(stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1))
WIN = dict(window=(2,), stride=(1,), padding=((0, 0),), dilation=(1,))

BAD = [
    # op, inputs, attrs, error, message
    ("tanh", ["i32[2]"], {}, TypeError, r"tanh: its input must have a floating-point dtype, got i32\[2\]"),
    ("add", ["f32[2]", "i32[2]"], {}, TypeError, r"add: all inputs must have one dtype, got f32\[2\] and i32\[2\]"),
    ("add", ["bool[2]", "bool[2]"], {}, TypeError, r"add: its input must have a number dtype, got bool\[2\]"),
    ("add", ["f32[2]"], {}, TypeError, "add: takes 2 inputs, got 1"),
    ("mul", ["f32[2,3]", "f32[2]"], {}, ShapeError, r"mul: shapes do not broadcast: \[2,3\] and \[2\]"),
    ("logical_and", ["i64[2]", "i64[2]"], {}, TypeError, "logical_and: its input must have bool"),
    ("shift_left", ["f32[2]", "f32[2]"], {}, TypeError, "shift_left: its input must have an integer dtype"),
    ("select", ["f32[2]", "f32[2]", "f32[2]"], {}, TypeError, "select: the condition must have bool"),
    ("select", ["bool[2]", "f32[2]", "f64[2]"], {}, TypeError, "select: all inputs must have one dtype"),
    ("bitcast", ["f32[2]"], {"dtype": i64}, TypeError, "bitcast: f32 and i64 differ in width"),
    ("iota", [], dict(dtype=bool_, shape=(2,), axis=0), TypeError, "iota: counts in a number dtype"),
    ("iota", [], dict(dtype=f32, shape=(-2,), axis=0), ShapeError, "iota: -2 is no extent"),
    ("iota", [], dict(dtype=f32, shape=(2,), axis=1), ShapeError, "iota: axis 1 is out of range for rank 1"),
    ("random_bits", ["i32[]", "i64[]"], {"shape": (2,)}, TypeError, r"takes seed and offset, i64 of one shape, got i32\[\], i64\[\]"),
    ("random_bits", ["i64[2]", "i64[]"], {"shape": (2,)}, TypeError, r"takes seed and offset, i64 of one shape, got i64\[2\], i64\[\]"),
    ("random_bits", ["i64[2]", "i64[2]"], {"shape": (3, 2)}, ShapeError, r"shape \[3,2\] must begin with the shape of the seed, i64\[2\]"),
    ("constant", [], {"value": 3}, TypeError, "constant: value must be an ir.graph.Const, got int"),
    ("reduce_sum", ["bool[2]"], {"axes": (0,)}, TypeError, "reduce_sum: its input must have a number dtype"),
    ("reduce_sum", ["f32[2]"], {"axes": (1,)}, ShapeError, "reduce_sum: axis 1 is out of range for rank 1"),
    ("reduce_sum", ["f32[2,2]"], {"axes": (1, 0)}, ShapeError, "reduce_sum: axes must be in rising order"),
    ("reduce_max", ["f32[0,2]"], {"axes": (0,)}, ShapeError, r"reduce_max: f32\[0,2\] has no elements along axes \(0,\)"),
    ("argmax", ["f32[2,0]"], {"axis": 1}, ShapeError, "argmax: .* has no elements along axis 1"),
    ("reshape", ["f32[2,3]"], {"shape": (4,)}, ShapeError, r"reshape: f32\[2,3\] cannot become \[4\]: the number of elements differs"),
    ("transpose", ["f32[2,3]"], {"perm": (0, 0)}, ShapeError, "transpose: perm .* is no permutation of the 2 dims"),
    ("broadcast", ["f32[3]"], {"shape": (2,)}, ShapeError, r"broadcast: f32\[3\] does not broadcast to \[2\]"),
    ("broadcast", ["f32[2,1]"], {"shape": (2,)}, ShapeError, "broadcast"),
    ("slice", ["f32[4]"], dict(starts=(1,), stops=(5,), steps=(1,)), ShapeError, "slice: 1:5:1 is out of range for a dim of extent 4"),
    ("slice", ["f32[4]"], dict(starts=(0,), stops=(4,), steps=(0,)), ShapeError, "steps are at least 1"),
    ("pad", ["f32[4]", "f32[]"], dict(low=(-1,), high=(0,), interior=(0,)), ShapeError, "pad: amounts must be >= 0"),
    ("pad", ["f32[4]", "f32[1]"], dict(low=(0,), high=(0,), interior=(0,)), ShapeError, "pad: the padding value must have rank 0"),
    ("reverse", ["f32[4]"], {"axes": (1,)}, ShapeError, "reverse: axis 1 is out of range"),
    ("concatenate", ["f32[2,3]", "f32[2,4]"], {"axis": 0}, ShapeError, r"shapes must agree outside axis 0, got \[2,3\] and \[2,4\]"),
    ("concatenate", [], {"axis": 0}, TypeError, "concatenate: needs at least one input"),
    ("gather", ["f32[3]", "f32[3]"], {"axis": 0}, TypeError, "gather: the index must have i32 or i64"),
    ("gather", ["f32[3,4]", "i64[4,2]"], {"axis": 1}, ShapeError, "gather: the index .* nowhere be larger outside axis 1"),
    ("scatter", ["f32[3]", "i64[3]", "f32[2]"], dict(axis=0, mode="add"), ShapeError, "scatter: the index .* the source"),
    ("scatter", ["f32[3]", "i64[3]", "f32[3]"], dict(axis=0, mode="mean"), TypeError, "mode must be one of set, add, mul, min, max"),
    ("scatter", ["bool[3]", "i64[3]", "bool[3]"], dict(axis=0, mode="add"), TypeError, "scatter: its input must have a number dtype"),
    ("index_get", ["f32[3,4]", "i64[2]"], {"axes": (0, 1)}, TypeError, "index_get: needs one index for each of axes"),
    ("index_get", ["f32[3,4]", "i64[2]", "i64[3]"], {"axes": (0, 1)}, ShapeError, "index_get: shapes do not broadcast"),
    ("index_put", ["f32[3,4]", "f32[2]", "i64[2]"], dict(axes=(0,), mode="set"), ShapeError, r"the source must have shape \[2,4\]"),
    ("dot", ["f32[2,3]", "f32[4,5]"], dict(batch=((), ()), contract=((1,), (0,))), ShapeError, "dot: contracted dims differ"),
    ("dot", ["f32[2,3]", "f32[3,5]"], dict(batch=((1,), ()), contract=((1,), (0,))), ShapeError, "must be different dims"),
    ("dot", ["f32[2,3]", "f64[3,5]"], dict(batch=((), ()), contract=((1,), (0,))), TypeError, "dot: all inputs must have one dtype"),
    ("conv", ["f32[1,3,4,4]", "f32[2,2,3,3]"], dict(**GEO, groups=1), ShapeError, "with groups=1 a weight .* takes 2 input channels"),
    ("conv", ["f32[1,2,2,4]", "f32[2,2,3,3]"], dict(**GEO, groups=1), ShapeError, "a window of 3 .* does not fit into 2"),
    ("conv", ["f32[1,2,4]", "f32[2,2,3,3]"], dict(**GEO, groups=1), ShapeError, "conv: takes N C and 1 to 3 spatial dims"),
    ("conv", ["f32[1,2,4,4]", "f32[2,2,3,3]"], dict(GEO, stride=(0, 1), groups=1), ShapeError, "strides and dilations are at least 1"),
    ("conv_input_grad", ["f32[1,2,2,2]", "f32[2,2,3,3]"], dict(GEO, groups=1, input_shape=(1, 2, 5, 5)), ShapeError, "must have shape"),
    ("window_max", ["f32[4]"], dict(WIN, padding=((2, 0),)), ShapeError, "hold nothing but padding"),
    ("window_max", ["bool[4]"], WIN, TypeError, "window_max: its input must have a number dtype"),
    ("window_scatter", ["f32[4]", "i64[3]"], {"spatial": (9,)}, ShapeError, "window_scatter: values .* must have one shape"),
    ("cumsum", ["bool[4]"], dict(axis=0, reverse=False), TypeError, "cumsum: its input must have a number dtype"),
    ("sort", ["f32[4]"], dict(axis=-1, descending=False), ShapeError, "sort: axis -1 is out of range"),
]  # fmt: skip


@pytest.mark.parametrize("name, ins, attrs, error, message", BAD, ids=lambda v: v if isinstance(v, str) and len(v) < 20 else "")
def test_type_rules_refuse(name, ins, attrs, error, message):
    op = OPS[name]
    with pytest.raises(error, match=message):
        op.infer(tuple(map(t, ins)), *op.attr_tuple(attrs))


def test_wrong_attributes_are_named():
    with pytest.raises(TypeError, match="reduce_sum: attribute 'axes' is missing; it takes axes"):
        OPS["reduce_sum"].attr_tuple({})
    with pytest.raises(TypeError, match="tanh: unknown attribute axis; it takes none"):
        OPS["tanh"].attr_tuple({"axis": 1})


@pytest.mark.parametrize("bad", [3, -4])
def test_indices_out_of_range(bad):
    x, i = np.zeros((2, 3), np.float32), np.array([[0], [bad]])
    with pytest.raises(IndexError, match=f"gather: index {bad} is out of range for axis 1 of extent 3"):
        OPS["gather"].ref(x, i, 1)
    with pytest.raises(IndexError, match=f"scatter: index {bad} is out of range"):
        OPS["scatter"].ref(x, i, i.astype(np.float32), 1, "add")
    with pytest.raises(IndexError, match=f"index_get: index {bad} is out of range for axis 1"):
        OPS["index_get"].ref(x, i, (1,))
    with pytest.raises(IndexError, match=f"index_put: index {bad} is out of range"):
        OPS["index_put"].ref(x, np.zeros((2, 2, 1), np.float32), i, (1,), "set")


def body(n_in: int, outs: int):
    b = Builder("step")
    values = [b.input(tensor_type(f32, (2,))) for _ in range(n_in)]
    return b.freeze(tuple(values[:outs]))


def test_scan_and_call_refuse_what_does_not_fit():
    x, xs = t("f32[2]"), t("f32[5,2]")

    def scan(types, graph, n_const=0, n_carry=1, length=5):
        return OPS["scan"].infer(types, graph, n_const, n_carry, length, False)

    assert scan((x, xs), body(2, 2)) == (x, xs)
    with pytest.raises(ShapeError, match=r"scan: inputs: number 1 must be f32\[5,2\], got f32\[4,2\]"):
        scan((x, t("f32[4,2]")), body(2, 2))
    with pytest.raises(TypeError, match="scan: inputs: 2 expected, got 1"):
        scan((x,), body(2, 2))
    with pytest.raises(TypeError, match="must take 3 consts and carries and return 1 carries"):
        scan((x, xs), body(2, 2), n_const=2)
    with pytest.raises(TypeError, match=r"call: inputs of @step: number 0 must be f32\[2\], got f64\[2\]"):
        OPS["call"].infer((t("f64[2]"),), body(1, 1))
