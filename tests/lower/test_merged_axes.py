"""Axes of a nest that run as one: what is reshaped within them still reads its own elements."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir.parse import parse
from tests.support.calling import check, compare, run_loops

SECOND_HALF = """
func @half(%a0: f64[2,3,4]) -> f64[3,4] {
  %0 = transpose %a0 {perm=[1, 0, 2]} : f64[3,2,4]
  %1 = reshape %0 {shape=[3, 8]} : f64[3,8]
  %2 = slice %1 {starts=[0, 4], stops=[3, 8], steps=[1, 1]} : f64[3,4]
  %3 = neg %2 : f64[3,4]
  return %3
}
"""
SUMMED = """
func @half(%a0: f32[2,3,4,5]) -> f32[1,4,5] {
  %0 = transpose %a0 {perm=[1, 2, 0, 3]} : f32[3,4,2,5]
  %1 = reshape %0 {shape=[3, 4, 10]} : f32[3,4,10]
  %2 = slice %1 {starts=[0, 0, 5], stops=[3, 4, 10], steps=[1, 1, 1]} : f32[3,4,5]
  %3 = reduce_sum %2 {axes=[0]} : f32[1,4,5]
  return %3
}
"""


@pytest.mark.parametrize("text", [SECOND_HALF, SUMMED])
def test_part_of_what_was_reshaped(text):
    graph = parse(text)
    arrays = [np.arange(t.numel, dtype=t.dtype.numpy).reshape(t.shape) for t in graph.in_types]
    compare(graph, arrays, run_loops(graph, arrays))
    check(graph, arrays)
