"""Kernels for every size: symbolic graphs in blocks and threads, emulated in both orders of the threads, empty extents included."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.backends.cuda.emulate import emulate
from ingot.ir.parse import parse
from tests.support.calling import load
from tests.support.cuda import assemble, scheduled
from tests.support.generate import generate
from tests.support.symbolic import arrays_of, check_at, symbolic

GRAPHS = {
    "softmax": "func @f(%x: f32[B,T]) -> f32[B,T] {\n  %0 = reduce_max %x {axes=[1]} : f32[B,1]\n  %1 = sub %x, %0 : f32[B,T]\n"
    "  %2 = exp %1 : f32[B,T]\n  %3 = reduce_sum %2 {axes=[1]} : f32[B,1]\n  %4 = div %2, %3 : f32[B,T]\n  return %4\n}\n",
    "sums": "func @f(%x: f32[B,T]) -> (f32[B,1], f32[1,T], f32[1,1]) {\n  %0 = reduce_sum %x {axes=[1]} : f32[B,1]\n"
    "  %1 = reduce_sum %x {axes=[0]} : f32[1,T]\n  %2 = reduce_sum %x {axes=[0, 1]} : f32[1,1]\n  return %0, %1, %2\n}\n",
    "sort": "func @f(%x: f32[B,T]) -> (f32[B,T], i64[B,T]) {\n"
    "  %0, %1 = sort %x {axis=1, descending=false} : f32[B,T], i64[B,T]\n  return %0, %1\n}\n",
    "product": "func @f(%a: f32[B,T], %b: f32[T,N]) -> f32[B,N] {\n"
    "  %0 = dot %a, %b {batch=[[], []], contract=[[1], [0]]} : f32[B,N]\n  %1 = neg %0 : f32[B,N]\n  return %1\n}\n",
    "attention": "func @f(%q: f32[B,6], %k: f32[T,6], %v: f32[T,5]) -> f32[B,5] {\n"
    "  %0 = dot %q, %k {batch=[[], []], contract=[[1], [1]]} : f32[B,T]\n  %1 = reduce_max %0 {axes=[1]} : f32[B,1]\n"
    "  %2 = sub %0, %1 : f32[B,T]\n  %3 = exp %2 : f32[B,T]\n  %4 = reduce_sum %3 {axes=[1]} : f32[B,1]\n  %5 = div %3, %4 : f32[B,T]\n"
    "  %6 = dot %5, %v {batch=[[], []], contract=[[1], [0]]} : f32[B,5]\n  return %6\n}\n",
    "cumulative": "func @f(%x: f32[B,T]) -> f32[B,T] {\n  %0 = cumsum %x {axis=1, reverse=false} : f32[B,T]\n  return %0\n}\n",
}  # fmt: skip
SIZES = [(0, 5), (5, 0), (1, 1), (3, 70), (33, 2100), (257, 3)]


def runs(graph):
    """The graph's program in both orders of the threads."""
    program = scheduled(graph)
    return program, [load(emulate(program, backwards)) for backwards in (False, True)]


@pytest.mark.parametrize("name", GRAPHS)
def test_one_program_serves_every_size(name):
    graph = parse(GRAPHS[name])
    program, both = runs(graph)
    assemble(program)
    rng = np.random.default_rng(0)
    for b, t in SIZES:
        sizes = {s.name: {"B": b, "T": t, "N": 37}[s.name] for s in graph.symbols}
        arrays = arrays_of(graph, [rng.standard_normal(999).astype(np.float32) for _ in graph.inputs], sizes)
        for run in both:
            check_at(graph, run, arrays, sizes)


def test_random_symbolic_graphs(long):
    for seed in range(2000 if long else 8):
        print(f"seed {seed}")
        graph, arrays = generate(seed, 6)
        found = symbolic(graph, np.random.default_rng(seed))
        if found is None:
            continue
        graph, example = found
        _, both = runs(graph)
        others = ({s.name: int(min(s.max, max(s.min, n))) for s in graph.symbols} for n in (0, 1, 2, 37))
        for sizes in (example, *others):
            for run in both:
                check_at(graph, run, arrays_of(graph, arrays, sizes), sizes)
