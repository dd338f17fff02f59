"""Convolutions of values whose channels lie apart: copies with channels last, and results that are transposed before they are stored."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir import dtypes
from ingot.ir.graph import Graph
from ingot.ir.lower import STAGES, run
from ingot.ir.lower.cpu import cpu
from ingot.ir.lower.scheduling import Scheduled
from ingot.ir.lower.tiles.schedule import Squares, Tiles
from ingot.ir.lower.tiles.shape import order_of
from ingot.ir.machine import Machine
from ingot.ir.op import OPS
from tests.support.calling import HOST_LEVELS, check, compare, run_compiled
from tests.support.graphs import arrays_for, graph_of

CASES = {  # x, channels of the result, kernel, stride, padding, dilation, groups
    "whole squares": ((2, 16, 16, 16), 32, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 1),
    "odd extents": ((1, 19, 13, 11), 37, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    "small squares": ((3, 32, 7, 7), 24, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    "narrower than a square": ((1, 32, 40, 3), 24, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    "lines with a gap": ((1, 128, 12, 10), 48, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 1),
    "no padding": ((1, 24, 14, 15), 16, (3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "what is behind is never read": ((1, 24, 15, 16), 16, (2, 2), (3, 3), ((1, 0), (0, 0)), (1, 1), 1),
    "much padding": ((1, 16, 9, 8), 16, (3, 3), (1, 1), ((4, 3), (2, 5)), (2, 2), 1),
    "groups": ((1, 64, 12, 12), 64, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 2),
    "points": ((2, 520, 9, 8), 80, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "few channels": ((1, 3, 24, 26), 20, (5, 5), (2, 2), ((2, 2), (2, 2)), (1, 1), 1),
    "a line": ((2, 40, 75), 24, (5,), (1,), ((2, 2),), (1,), 1),
    "a volume": ((1, 16, 5, 6, 9), 24, (3, 3, 3), (1, 1, 1), ((1, 1), (1, 1), (1, 1)), (1, 1, 1), 1),
}


def _graph(case: str, behind: bool = False, dtype: dtypes.DType = dtypes.f32) -> Graph:
    x, out, kernel, stride, padding, dilation, groups = CASES[case]
    geometry = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)

    def function(x, w, *more):
        y = OPS["conv"](x, w, **geometry)
        return OPS["maximum"](y + more[0], more[0]) if behind else y

    bias = [(1, out, *(1,) * len(kernel))] if behind else []
    return graph_of([(s, dtype) for s in (x, (out, x[1] // groups, *kernel), *bias)], function)


def _scheduled(graph: Graph) -> Scheduled:
    names = [stage.name for stage in STAGES]
    return run(graph, cpu(Machine(32)), STAGES[: names.index("schedule") + 1])


def _schedule(graph: Graph) -> Tiles:
    return next(s for s in _scheduled(graph).schedules if isinstance(s, Tiles))


@pytest.mark.parametrize("behind", [False, True], ids=["alone", "with a bias"])
@pytest.mark.parametrize("case", CASES)
def test_a_convolution_of_values_as_users_have_them(case: str, behind: bool) -> None:
    graph = _graph(case, behind)
    check(graph, arrays_for(graph))


@pytest.mark.parametrize("dtype", ["f64", "f16", "bf16"])
@pytest.mark.parametrize("case", ["odd extents", "lines with a gap", "few channels"])
def test_other_dtypes(case: str, dtype: str) -> None:
    graph = _graph(case, dtype=getattr(dtypes, dtype))
    check(graph, arrays_for(graph))


def test_which_are_copied_with_their_channels_last_and_which_results_are_transposed() -> None:
    for case, copied, turned in (("whole squares", True, True), ("few channels", False, True), ("points", True, True)):
        s = _schedule(_graph(case))
        assert (isinstance(s.copy, Squares), bool(s.turn)) == (copied, turned), s


@pytest.mark.parametrize("special", [np.inf, np.nan])
@pytest.mark.parametrize("case", ["odd extents", "small squares", "lines with a gap", "few channels", "a line"])
def test_zeros_around_are_values(case: str, special: float) -> None:
    graph = _graph(case)
    arrays = arrays_for(graph)
    arrays[1] = arrays[1].copy()
    arrays[1].flat[0] = special
    compare(graph, arrays, run_compiled(graph, arrays))


@pytest.mark.parametrize("special", [np.inf, np.nan])
def test_what_a_cotangent_lacks_is_no_term(special: float) -> None:
    """The rows of transposed results are calculated again where a zero met an infinity."""
    geometry = dict(stride=(1, 1), padding=((2, 2), (2, 2)), dilation=(1, 1), groups=1)
    graph = graph_of([(1, 20, 24, 24), (20, 40, 5, 5)], lambda g, w: OPS["conv_input_grad"](g, w, input_shape=(1, 40, 24, 24), **geometry))
    assert _schedule(graph).turn
    arrays = arrays_for(graph)
    arrays[1] = arrays[1].copy()
    arrays[1].flat[0] = special
    compare(graph, arrays, run_compiled(graph, arrays))


@pytest.mark.parametrize("level", HOST_LEVELS, ids=lambda level: level.name)
@pytest.mark.parametrize("case", ["odd extents", "whole squares", "small squares"])
def test_every_level(case: str, level) -> None:
    from ingot.ir import interpret
    from ingot.ir.lower import lower
    from tests.support.calling import load, outputs

    graph = _graph(case, True)
    arrays = arrays_for(graph)
    outs = outputs(graph)
    assert load(lower(graph, cpu(level.machine)), level)([*arrays, *outs]) == 0
    for want, got in zip(interpret.run(graph, arrays), outs):
        np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-4)


def test_what_is_made_of_values_with_their_channels_last_is_copied_in_their_order() -> None:
    point = dict(stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1)

    def function(x, a, b, w, v):
        y = OPS["concatenate"](OPS["conv"](x, a, **point), OPS["conv"](x, b, **point), axis=1)
        return OPS["conv"](OPS["conv"](y, w, **{**point, "padding": ((1, 1), (1, 0))}), v, **point)

    graph = graph_of([(1, 16, 13, 11), (16, 16, 1, 1), (8, 16, 1, 1), (24, 24, 3, 3), (16, 24, 1, 1)], function)
    read = {g.nodes[0].inputs[0]: g for g in _scheduled(graph).fused.groups if g.nodes[0].op.name == "conv"}
    assert [order_of(g, v) for v, g in read.items() if v.type.shape == (1, 24, 13, 11)] == [(0, 2, 3, 1)]
    check(graph, arrays_for(graph))
