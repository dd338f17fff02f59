"""Groups that become one kernel read each other's members at the point where both are."""

from __future__ import annotations

import numpy as np

from ingot.ir.parse import parse
from tests.support.calling import check, compare, run_loops

# %3 is read along rows by %6 and along columns by %5: where the two meet, one is elsewhere than the other
TWO_WAYS = """
func @both(%a0: f64[4,4,4], %a1: f64[4], %a2: f64[4,1], %a3: f64[4]) -> f64[4,4,4] {
  %0 = reduce_sum %a0 {axes=[1]} : f64[4,1,4]
  %1 = reshape %0 {shape=[4, 4]} : f64[4,4]
  %2 = cos %1 : f64[4,4]
  %3 = mul %2, %a1 : f64[4,4]
  %4 = reshape %3 {shape=[4, 1, 4]} : f64[4,1,4]
  %5 = mul %4, %a2 : f64[4,4,4]
  %6 = reshape %2 {shape=[4, 4, 1]} : f64[4,4,1]
  %7 = mul %6, %a3 : f64[4,4,4]
  %8 = add %5, %7 : f64[4,4,4]
  %9 = mul %6, %a1 : f64[4,4,4]
  %10 = add %8, %9 : f64[4,4,4]
  return %10
}
"""


def test_a_sum_that_is_read_two_ways():
    graph = parse(TWO_WAYS)
    arrays = [np.arange(t.numel, dtype=t.dtype.numpy).reshape(t.shape) / 7 for t in graph.in_types]
    compare(graph, arrays, run_loops(graph, arrays))
    check(graph, arrays)


# both begin with %a0 in f32, which each then changes
TWICE = """
func @twice(%a0: bf16[2,2], %a1: i64[], %a2: bf16[2], %a3: bf16[2]) -> (bf16[2,2], bf16[2,2]) {
  %0 = index_put %a0, %a2, %a1 {axes=[1], mode="add"} : bf16[2,2]
  %1 = index_put %a0, %a3, %a1 {axes=[0], mode="add"} : bf16[2,2]
  return %0, %1
}
"""


def test_what_is_changed_is_made_for_each():
    graph = parse(TWICE)
    arrays = [np.arange(t.numel, dtype=np.float32).reshape(t.shape).astype(t.dtype.numpy) for t in graph.in_types]
    compare(graph, arrays, run_loops(graph, arrays))
    check(graph, arrays)
