"""Kernels that fusion makes never wait for one another."""

from __future__ import annotations

from ingot.ir.parse import parse
from tests.support.calling import check

# The backward of a weighted covariance. Its small kernels grow from both ends of the graph: a kernel depends on another by way
# of nodes that joined it late, though its own last node stands early.
LATE_JOINS = """
func @eager(%a1: f64[], %a2: f64[], %a3: f64[1,1], %a4: bool[], %a5: f64[1,2], %a6: f64[2,1], %a7: f64[1,2], %a8: f64[2], %a9: f32[], %a10: f32[], %a11: scalar f32[], %a12: f32[2], %a13: f32[2], %a14: f64[], %a15: f64[1,1], %a16: f64[1,2]) -> f32[2] {
  %1 = constant {value=0x0p+0} : f64[]
  %4 = reshape %a1 {shape=[1, 1]} : f64[1,1]
  %5 = div %4, %a2 : f64[1,1]
  %6 = neg %4 : f64[1,1]
  %7 = div %a3, %a2 : f64[1,1]
  %8 = mul %6, %7 : f64[1,1]
  %9 = add %8, %1 : f64[1,1]
  %10 = reshape %9 {shape=[]} : f64[]
  %11 = select %a4, %1, %10 : f64[]
  %12 = dot %5, %a6 {batch=[[], []], contract=[[1], [1]]} : f64[1,2]
  %13 = dot %a5, %5 {batch=[[], []], contract=[[0], [0]]} : f64[2,1]
  %14 = reshape %13 {shape=[1, 2]} : f64[1,2]
  %15 = mul %12, %a8 : f64[1,2]
  %16 = mul %12, %a7 : f64[1,2]
  %17 = add %16, %1 : f64[1,2]
  %18 = reshape %17 {shape=[2]} : f64[2]
  %19 = add %14, %15 : f64[1,2]
  %20 = cast %18 {dtype=f32} : f32[2]
  %21 = cast %11 {dtype=f32} : f32[]
  %22 = neg %21 : f32[]
  %23 = div %22, %a9 : f32[]
  %24 = div %a10, %a9 : f32[]
  %25 = mul %21, %24 : f32[]
  %26 = add %21, %25 : f32[]
  %27 = mul %23, %a11 : f32[]
  %28 = reshape %27 {shape=[1]} : f32[1]
  %29 = mul %28, %a13 : f32[2]
  %30 = mul %28, %a12 : f32[2]
  %31 = add %20, %29 : f32[2]
  %32 = neg %19 : f64[1,2]
  %33 = reduce_sum %32 {axes=[1]} : f64[1,1]
  %34 = div %33, %a14 : f64[1,1]
  %35 = neg %33 : f64[1,1]
  %36 = div %a15, %a14 : f64[1,1]
  %37 = mul %35, %36 : f64[1,1]
  %38 = add %37, %1 : f64[1,1]
  %39 = reshape %38 {shape=[]} : f64[]
  %40 = cast %39 {dtype=f32} : f32[]
  %41 = add %26, %40 : f32[]
  %43 = mul %34, %a16 : f64[1,2]
  %44 = add %43, %1 : f64[1,2]
  %45 = reshape %44 {shape=[2]} : f64[2]
  %47 = cast %45 {dtype=f32} : f32[2]
  %48 = add %31, %47 : f32[2]
  %49 = reshape %41 {shape=[1]} : f32[1]
  %50 = add %48, %49 : f32[2]
  %51 = add %30, %50 : f32[2]
  return %51
}
"""  # noqa: E501


def test_kernels_that_grow_late_stay_acyclic() -> None:
    check(parse(LATE_JOINS))
