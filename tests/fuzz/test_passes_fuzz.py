"""Every pass, and all that the lowering runs, on random graphs: the interpreter's results stay the same, bit for bit."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from ingot.ir import interpret
from ingot.ir.lower import PASSES, STAGES
from ingot.ir.text import parse, print_graph
from ingot.ir.verify import verify
from tests.support.generate import generate
from tests.support.shrink import case_text, parse_case, shrink


def everything(graph):
    return functools.reduce(lambda g, s: verify(PASSES[s.name](g)), [s for s in STAGES if s.name in PASSES], graph)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    bits = f"u{a.dtype.itemsize}"
    same = np.ascontiguousarray(a).view(bits) == np.ascontiguousarray(b).view(bits)
    return bool((same | (a != a) & (b != b)).all())


def changes(run, graph, arrays) -> bool:
    """Whether the pass changes what the graph computes, or breaks it."""
    after = verify(run(graph))
    assert after.in_types == graph.in_types and after.out_types == graph.out_types
    return not all(map(same_bits, interpret.run(graph, arrays), interpret.run(after, arrays)))


@pytest.mark.parametrize("seed", range(150))
def test_passes_keep_results(seed):
    graph, arrays = generate(seed, 5 + seed % 20)
    verify(graph)
    for run in (*PASSES.values(), everything):
        if changes(run, graph, arrays):
            small = shrink(graph, arrays, functools.partial(changes, run))
            pytest.fail(f"seed {seed}: {run.__name__} changes the result of\n{case_text(*small)}", pytrace=False)


@pytest.mark.parametrize("seed", range(40))
def test_text_round_trip(seed):
    graph, _ = generate(seed, 12)
    for locations in (False, True):
        back = parse(print_graph(graph, locations=locations, payloads=True))
        verify(back)
        assert back.text == graph.text
        assert back.digest == graph.digest
    assert parse(print_graph(graph, locations=True, payloads=True)).input_names == graph.input_names


def test_generation_repeats():
    (a, xs), (b, ys) = generate(7, 15), generate(7, 15)
    assert a.text == b.text and all(map(same_bits, xs, ys))


def test_shrink_finds_the_culprit():
    seed = next(s for s in range(100) if any(n.op.name == "tanh" for n in generate(s, 15)[0].nodes))
    graph, arrays = generate(seed, 15)

    def fails(g, xs):
        interpret.run(g, xs)
        return any(n.op.name == "tanh" for n in g.nodes)

    small, values = shrink(graph, arrays, fails)
    verify(small)
    assert fails(small, values) and len(small.nodes) <= 3
    again, read = parse_case(case_text(small, values))
    assert again.text == small.text and all(map(same_bits, read, values))
