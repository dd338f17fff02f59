"""Graphs of attention, their masks, and the schedules of what they become on CPUs."""

from __future__ import annotations

import numpy as np

from ingot.ir.dtypes import by_name
from ingot.ir.lower import STAGES, run
from ingot.ir.lower.cpu import cpu
from ingot.ir.machine import Machine
from ingot.ir.op import OPS as O
from tests.support.graphs import graph_of

F32 = by_name("f32")
AT = [s.name for s in STAGES].index("schedule") + 1  # a place behind

SYMBOLIC = """func @f(%q: f32[2,B,6], %k: f32[2,T,6], %v: f32[2,T,5], %m: f32[B,T]) -> f32[2,B,5] {
  %0 = dot %q, %k {batch=[[0], [0]], contract=[[2], [2]]} : f32[2,B,T]
  %1 = add %0, %m : f32[2,B,T]
  %2 = reduce_max %1 {axes=[2]} : f32[2,B,1]
  %3 = sub %1, %2 : f32[2,B,T]
  %4 = exp %3 : f32[2,B,T]
  %5 = reduce_sum %4 {axes=[2]} : f32[2,B,1]
  %6 = div %4, %5 : f32[2,B,T]
  %7 = dot %6, %v {batch=[[0], [0]], contract=[[2], [1]]} : f32[2,B,5]
  return %7
}
"""


def dot(a, b, right):
    batch = tuple(range(len(a.shape) - 2))
    return O["dot"](a, b, batch=(batch, batch), contract=((len(a.shape) - 1,), (right,)))


def softmax(x):
    last = (len(x.shape) - 1,)
    e = O["exp"](x - O["reduce_max"](x, axes=last))
    return e / O["reduce_sum"](e, axes=last)


def attend(q, k, v, *masks):
    s = dot(q * 0.25, k, len(q.shape) - 1)
    for m in masks:
        s = s + m
    return dot(softmax(s), v, len(q.shape) - 2)


def graph(batch, rows, columns, depth, width, *masks):
    shapes = [(*batch, rows, depth), (*batch, columns, depth), (*batch, columns, width), *masks]
    return graph_of([(s, F32) for s in shapes], attend)


def array(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def mask(kind, rows, columns):
    if kind == "bias":
        return array(2, 1, rows, columns, seed=7)
    if kind == "padding":
        return array(2, 1, 1, columns, seed=8) > -0.5
    some = array(rows, columns, seed=8) > -0.5
    some[5] = False
    return some


def traced(function):
    """The schedules of what a compiled function became."""
    ((entry,),) = function._entries.values()
    return [str(s) for s in run(entry.call.traced.graph, cpu(Machine(32)), STAGES[:AT]).schedules]
