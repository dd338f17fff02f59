"""Depthwise convolutions: both ways that lanes run, every edge, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir import dtypes
from ingot.ir.lower import STAGES, run
from ingot.ir.lower.cpu import cpu
from ingot.ir.machine import Machine
from ingot.ir.op import OPS
from ingot.ir.ops.convolution import window_extents
from ingot.ir.parse import parse
from ingot.ir.size import symbol
from tests.support.calling import CPU, HOST_LEVELS, check, load
from tests.support.graphs import arrays_for, graph_of
from tests.support.symbolic import check_at

CASES = {  # x, kernel, stride, padding, dilation
    "plain": ((2, 20, 9, 23), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "strides": ((2, 9, 11, 12), (3, 3), (2, 2), ((1, 1), (0, 2)), (1, 1)),
    "no padding": ((1, 16, 12, 40), (3, 5), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "large window": ((1, 12, 13, 17), (7, 7), (1, 1), ((3, 3), (3, 3)), (1, 1)),
    "dilated": ((1, 8, 14, 19), (3, 3), (1, 1), ((2, 2), (2, 2)), (2, 2)),
    "wider than the input": ((1, 6, 2, 3), (5, 5), (1, 1), ((2, 2), (2, 2)), (1, 1)),
    "a line": ((3, 17, 33), (4,), (1,), ((3, 0),), (1,)),
    "a volume": ((1, 8, 5, 6, 7), (2, 3, 3), (1, 1, 1), ((0, 1), (1, 1), (1, 1)), (1, 1, 1)),
    "bands": ((1, 4, 131, 67), (3, 5), (2, 1), ((1, 1), (2, 2)), (1, 1)),
    "a third and a quarter": ((2, 5, 20, 70), (4, 6), (3, 4), ((2, 1), (5, 0)), (1, 3)),
    "columns that nothing reads": ((1, 7, 9, 40), (2, 2), (4, 3), ((0, 0), (0, 0)), (1, 1)),
    "a line by twos": ((2, 6, 150), (5,), (2,), ((2, 2),), (1,)),
    "a high window": ((1, 4, 40, 9), (17, 1), (1, 1), ((8, 8), (0, 0)), (1, 1)),
    "a volume by twos": ((1, 8, 6, 7, 9), (2, 3, 3), (2, 2, 2), ((0, 1), (1, 1), (1, 1)), (2, 1, 1)),
    "none": ((0, 8, 5, 5), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
}


def graph(x, kernel, stride, padding, dilation, inside: bool, dtype=dtypes.f32):
    """Alone, or between two pointwise convolutions, where channels lie last."""
    c, ones = x[1], (1,) * len(kernel)
    geometry = dict(stride=stride, padding=padding, dilation=dilation, groups=c)
    pointwise = dict(stride=ones, padding=((0, 0),) * len(kernel), dilation=ones, groups=1)

    def function(x, d, v, bias):
        y = OPS["conv"](x, v, **pointwise) if inside else x
        y = OPS["maximum"](OPS["conv"](y, d, **geometry) + bias, bias)
        return OPS["conv"](y, v, **pointwise) if inside else y

    return graph_of([(s, dtype) for s in (x, (c, 1, *kernel), (c, c, *ones), (1, c, *ones))], function)


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside"])
@pytest.mark.parametrize("case", CASES)
def test_a_depthwise_convolution(case: str, inside: bool) -> None:
    g = graph(*CASES[case], inside)
    check(g, arrays_for(g))


@pytest.mark.parametrize("dtype", ["f64", "bf16", "f16"])
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside"])
def test_other_dtypes(dtype: str, inside: bool) -> None:
    g = graph(*CASES["plain"], inside, getattr(dtypes, dtype))
    check(g, arrays_for(g))


@pytest.mark.parametrize("special", [1.0, np.inf], ids=["finite", "infinite"])
@pytest.mark.parametrize(("stride", "pad"), [(1, 1), (2, 1), (1, 3), (3, 0)])
def test_gradients(stride: int, pad: int, special: float) -> None:
    c = 24
    geometry = dict(stride=(stride, stride), padding=((pad, pad), (pad, pad)), dilation=(1, 1), groups=c)
    n = (10 + 2 * pad - 3) // stride + 1

    def grads(x, w, g):
        return (
            OPS["conv_input_grad"](g, w, input_shape=x.shape, **geometry),
            OPS["conv_weight_grad"](x, g, weight_shape=w.shape, **geometry),
        )

    g = graph_of([(2, c, 10, 10), (c, 1, 3, 3), (2, c, n, n)], grads)
    arrays = arrays_for(g)
    arrays[1][5, 0, 0, 1] *= special  # what is read among the zeros makes no term with it
    check(g, arrays)


def weight_gradient(x, kernel, stride, padding, dilation, inside: bool, per: int = 1):
    """Alone, or of channels that lie last, as between pointwise convolutions."""
    c, ones = x[1], (1,) * len(kernel)
    geometry = dict(stride=stride, padding=padding, dilation=dilation, groups=c)
    pointwise = dict(stride=ones, padding=((0, 0),) * len(kernel), dilation=ones, groups=1)
    y = (x[0], c * per, *window_extents("conv", x[2:], kernel, stride, padding, dilation))

    def function(x, g, v):
        h, g = (OPS["conv"](x, v, **pointwise), OPS["conv"](g, v, **pointwise)) if inside else (x, g)
        return OPS["conv_weight_grad"](h, g, weight_shape=(c * per, 1, *kernel), **geometry) * 0.5

    return graph_of([x, y, (c, c, *ones)], function)


def schedule_of(g, name: str):
    s = run(g, cpu(Machine(32)), STAGES[: [s.name for s in STAGES].index("schedule") + 1])
    return next(c for g, c in zip(s.fused.groups, s.schedules) if g.nodes[0].op.name == name)


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside"])
@pytest.mark.parametrize("case", CASES)
def test_the_gradient_of_a_weight(case: str, inside: bool) -> None:
    x, *rest = CASES[case]
    x = (x[0], max(40, x[1]), *x[2:])
    g = weight_gradient(x, *rest, inside)
    if x[0]:
        assert schedule_of(g, "conv_weight_grad").channels is inside
    check(g, arrays_for(g))


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside"])
def test_gradients_of_a_weight_that_are_not_finite(inside: bool) -> None:
    g = weight_gradient((2, 40, 9, 11), (3, 3), (2, 2), ((1, 1), (2, 0)), (1, 1), inside)
    arrays = arrays_for(g)
    arrays[0][1, 5, 8, 10] = arrays[1][0, 7, 0, 2] = np.inf  # an input that no window reads; a gradient that meets zeros around
    if inside:
        arrays[2][...] = np.eye(40)[:, :, None, None]
        arrays[0][1, 5, 8, 10] = 1
    with np.errstate(invalid="ignore"):
        check(g, arrays)


def test_gradients_of_weights_of_some_results_for_a_channel() -> None:
    g = weight_gradient((3, 8, 10, 13), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), False, 3)
    assert type(schedule_of(g, "conv_weight_grad")).__name__ == "DepthwiseGradient"
    check(g, arrays_for(g))


@pytest.mark.parametrize("level", HOST_LEVELS, ids=lambda level: level.name)
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside"])
def test_the_gradient_of_a_weight_for_any_batch_at_every_level(level, inside: bool) -> None:
    g = parse(str(weight_gradient((7, 20, 12, 23), *CASES["plain"][1:], inside)).replace("[7,", "[B,"))
    run_it = load(CPU.lower(g, level), level)
    for b in (0, 1, 40):
        rng = np.random.default_rng(b)
        arrays = [rng.standard_normal([b if not isinstance(d, int) else d for d in t.shape]).astype(np.float32) for t in g.in_types]
        check_at(g, run_it, arrays, {"B": b})


@pytest.mark.parametrize("special", [np.inf, np.nan])
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside"])
def test_zeros_around_meet_infinite_weights(special: float, inside: bool) -> None:
    g = graph(*CASES["plain"], inside)
    arrays = arrays_for(g)
    arrays[1][3, 0, 0, 1] = special
    check(g, arrays)


@pytest.mark.parametrize("level", HOST_LEVELS, ids=lambda level: level.name)
@pytest.mark.parametrize("case", ["bands", "a third and a quarter", "a line by twos"])
def test_what_lies_apart_at_every_level(level, case: str) -> None:
    g = graph(*CASES[case], False)
    arrays = arrays_for(g)
    check_at(g, load(CPU.lower(g, level), level), arrays, {})


@pytest.mark.parametrize("level", HOST_LEVELS, ids=lambda level: level.name)
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside"])
def test_any_batch_and_every_level(level, inside: bool) -> None:
    g = parse(str(graph((7, 20, 9, 23), *CASES["plain"][1:], inside)).replace("[7,", "[B,"))
    run_it = load(CPU.lower(g, level), level)
    for b in (0, 1, 4):
        rng = np.random.default_rng(b)
        arrays = [rng.standard_normal([b if not isinstance(d, int) else d for d in t.shape]).astype(np.float32) for t in g.in_types]
        check_at(g, run_it, arrays, {"B": b})


def test_any_width() -> None:
    g = graph((2, 20, 9, symbol("W", 3, 64)), *CASES["plain"][1:], True)
    run_it = load(CPU.lower(g, CPU.host_level()), CPU.host_level())
    for n in (3, 5, 16, 23):
        rng = np.random.default_rng(n)
        arrays = [rng.standard_normal([n if not isinstance(d, int) else d for d in t.shape]).astype(np.float32) for t in g.in_types]
        check_at(g, run_it, arrays, {"W": n})


def test_its_schedule_reads_channels_where_they_lie_last() -> None:
    for inside in (False, True):
        s = run(graph(*CASES["plain"], inside), cpu(Machine(32)), STAGES[: [s.name for s in STAGES].index("schedule") + 1])
        (chosen,) = [c for g, c in zip(s.fused.groups, s.schedules) if g.kind == "depthwise"]
        assert chosen.channels is inside
