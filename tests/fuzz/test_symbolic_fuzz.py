"""Random graphs with symbolic dims, lowered and compiled once, at several sizes against the interpreter. INGOT_FUZZ_SEED and
INGOT_FUZZ_COUNT choose others and more."""

from __future__ import annotations

import os
from functools import partial

import numpy as np
import pytest

from ingot.ir import interpret
from ingot.ir.loop.interpret import run_program
from ingot.ir.loop.verify import verify_program
from ingot.ir.lower import lower
from ingot.ir.size import ShapeError
from ingot.ir.sized import sized
from ingot.ir.transforms.vjp import vjp
from ingot.ir.verify import verify
from tests.support.calling import CPU, WIDE, load
from tests.support.generate import generate
from tests.support.symbolic import arrays_of, check_at, symbolic

SEED = int(os.environ.get("INGOT_FUZZ_SEED", "0"))
COUNT = int(os.environ.get("INGOT_FUZZ_COUNT", "40"))
EXTENTS = (0, 1, 2, 3, 5, 7, 11, 13)
SIZES = 5
LEVEL = CPU.host_level()


def _asks_which_is_largest(graph):
    """Whether a derivative compares what it computes again with the largest, which is the interpreter's here: bits may differ."""
    given = set(graph.inputs)
    for n in graph.nodes:
        if n.op.name in ("broadcast", "reshape", "transpose", "slice") and n.inputs[0] in given:
            given.update(n.outputs)
    return any(n.op.name == "eq" and n.inputs[0].type.dtype.kind == "f" and not given.issuperset(n.inputs) for n in graph.nodes)


def sizes_of(graph, example, rng):
    """Some sizes for the symbols of a graph: its own, and others."""
    yield example
    for _ in range(SIZES - 1):
        some = {s.name: int(rng.choice(EXTENTS)) for s in graph.symbols}
        yield {s.name: int(min(max(some[s.name], s.min), s.max)) for s in graph.symbols}


@pytest.mark.parametrize("seed", range(SEED, SEED + COUNT))
def test_symbolic_program(seed: int) -> None:
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    graph, arrays = generate(seed, 4 + seed % 12)
    found = symbolic(graph, rng)
    if found is None:
        return
    graph, example = found
    print(graph)
    for target, ready in ((WIDE, lambda p: partial(run_program, p)), (CPU.target(LEVEL), partial(load, level=LEVEL))):
        program = lower(graph, target)
        verify_program(program)
        run = ready(program)
        for sizes in sizes_of(graph, example, rng):
            print(sizes)
            check_at(graph, run, arrays_of(graph, arrays, sizes), sizes)


@pytest.mark.parametrize("seed", range(SEED, SEED + COUNT // 2))
def test_symbolic_gradient(seed: int) -> None:
    """The derivative of a symbolic graph is symbolic, and at some sizes that of the graph of these sizes."""
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    graph, arrays = generate(seed, 3 + seed % 7, ("f64", "f64", "i64"))
    found = symbolic(graph, rng)
    if found is None:
        return
    graph, example = found
    print(graph)
    wrt = tuple(v.type.dtype.kind == "f" for v in graph.inputs)
    cts = tuple(v.type.dtype.kind == "f" for v in graph.outputs)
    try:
        back = vjp(graph, wrt, cts)
    except RuntimeError as e:
        assert "derivative" in str(e)
        return
    verify(back.graph)
    if not back.grads or _asks_which_is_largest(back.graph):
        return
    program = lower(back.graph, CPU.target(LEVEL))
    run = load(program, LEVEL)
    for sizes in sizes_of(graph, example, rng):
        print(sizes)
        at = sized(graph, sizes)
        ins = arrays_of(graph, arrays, sizes)
        try:
            outs = interpret.run(at, ins)
        except IndexError:
            continue
        given = [ins[i] for i in back.reads_inputs] + [outs[i] for i in back.reads_outputs]
        given += [np.cos(np.arange(o.size, dtype=o.dtype)).reshape(o.shape) for o, has in zip(outs, cts) if has]
        check_at(back.graph, run, given, {s.name: sizes[s.name] for s in back.graph.symbols})
        try:
            here = vjp(at, wrt, cts)
        except ShapeError:  # a reduction of nothing, which has no graph of its own
            continue
        if (here.reads_inputs, here.reads_outputs, here.grads) == (back.reads_inputs, back.reads_outputs, back.grads):
            for a, b in zip(interpret.run(here.graph, given), interpret.run(sized(back.graph, sizes), given)):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
