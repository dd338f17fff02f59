"""Convolutions over what is spread out by a stride: phases of results, each with its part of the taps."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir import dtypes
from ingot.ir.lower.tiles.phases import form_in_phases, phases
from ingot.ir.op import OPS
from ingot.ir.ops.convolution import window_extents
from ingot.ir.ops.form import form_of
from tests.support.calling import check, compare, run_compiled
from tests.support.graphs import arrays_for, graph_of

CASES = {  # x, channels of the result, kernel, stride, padding, dilation, groups
    "by twos": ((2, 16, 14, 15), 24, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 1),
    "an even window": ((1, 20, 16, 16), 16, (4, 4), (2, 2), ((1, 1), (1, 1)), (1, 1), 1),
    "the last are never read": ((1, 8, 12, 18), 16, (3, 2), (4, 3), ((0, 0), (1, 0)), (1, 1), 1),
    "no terms at all": ((1, 16, 9, 11), 16, (1, 1), (2, 3), ((0, 0), (0, 0)), (1, 1), 1),
    "stride and dilation": ((1, 16, 17, 19), 8, (3, 3), (2, 3), ((2, 2), (3, 1)), (3, 2), 1),
    "stride and dilation share a divisor": ((1, 16, 18, 20), 8, (3, 2), (2, 4), ((2, 0), (1, 1)), (2, 2), 1),
    "groups": ((2, 32, 13, 14), 48, (3, 3), (2, 2), ((1, 0), (0, 1)), (1, 1), 4),
    "one stride": ((1, 16, 10, 21), 16, (3, 5), (1, 3), ((1, 1), (2, 2)), (1, 1), 1),
    "smaller than the stride": ((3, 16, 2, 9), 16, (5, 3), (4, 4), ((2, 2), (0, 0)), (1, 1), 1),
    "much padding": ((1, 16, 7, 8), 16, (2, 2), (3, 2), ((4, 4), (3, 5)), (1, 1), 1),
    "few channels": ((1, 3, 30, 31), 16, (7, 7), (2, 2), ((3, 3), (3, 3)), (1, 1), 1),
    "one channel": ((2, 1, 21, 20), 24, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 1),
    "a line": ((2, 24, 47), 32, (16,), (8,), ((4, 4),), (1,), 1),
    "a volume": ((1, 8, 5, 8, 9), 16, (3, 3, 2), (1, 2, 2), ((1, 1), (1, 1), (0, 1)), (1, 1, 1), 1),
    "many channels": ((1, 272, 8, 7), 144, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 1),
}


def _of(case: str, dtype: dtypes.DType = dtypes.f32, more: bool = False):
    """The gradient of a strided convolution by its input, alone or with what follows and channels that lie last."""
    x, out, kernel, stride, padding, dilation, groups = CASES[case]
    geometry = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
    y = (x[0], out, *window_extents("conv", x[2:], kernel, stride, padding, dilation))
    ones = (1,) * len(kernel)
    point = dict(stride=ones, padding=((0, 0),) * len(kernel), dilation=ones, groups=1)

    def alone(g, w):
        return OPS["conv_input_grad"](g, w, input_shape=x, **geometry)

    def between(g, w, a, bias):
        y = OPS["conv_input_grad"](OPS["conv"](g, a, **point), w, input_shape=x, **geometry)
        return OPS["maximum"](y + bias, bias)

    w = (out, x[1] // groups, *kernel)
    shapes = [y, w, (out, out, *ones), (1, x[1], *ones)] if more else [y, w]
    return graph_of([(s, dtype) for s in shapes], between if more else alone)


@pytest.mark.parametrize("more", [False, True], ids=["alone", "between"])
@pytest.mark.parametrize("case", CASES)
def test_a_phase_has_its_part_of_the_taps(case: str, more: bool) -> None:
    g = _of(case, more=more)
    check(g, arrays_for(g))


@pytest.mark.parametrize("dtype", ["f64", "bf16", "f16", "i32"])
def test_other_dtypes(dtype: str) -> None:
    g = _of("by twos", getattr(dtypes, dtype))
    check(g, arrays_for(g))


def test_no_tap_is_multiplied_with_what_lies_between() -> None:
    """All phases together have each tap of each row once that is not between two elements."""
    (node,) = _of("by twos").nodes
    found = phases(form_of(node))
    assert sorted(p.k[:2] for p in found) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert sum(np.prod(p.m) for p in found) == 14 * 15
    assert len(phases(form_in_phases(node))) == 1  # which lie beside each other there


@pytest.mark.parametrize("special", [np.inf, np.nan])
@pytest.mark.parametrize("case", ["by twos", "few channels", "no terms at all", "stride and dilation", "a line"])
def test_what_lies_between_is_no_term(case: str, special: float) -> None:
    """An infinite weight, or cotangent, meets no zero."""
    g = _of(case)
    for at in (0, 1):
        arrays = [a.copy() for a in arrays_for(g)]
        arrays[at].flat[0] = special
        compare(g, arrays, run_compiled(g, arrays))
