"""Graphs for the CUDA tests: how they are built, and run without a GPU."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from harness import load

import ingot.ir.ops  # noqa: F401
from ingot.backends.cuda import TARGETS, emulate, ptx, schedule
from ingot.ir import interpret
from ingot.ir.builder import Builder
from ingot.ir.dtypes import by_numpy
from ingot.ir.loop.interpret import run_program
from ingot.ir.loop.verify import verify_program
from ingot.ir.lower import lower
from ingot.ir.types import tensor_type


def graph_of(function, arrays, name="main"):
    """The graph of a function on Exprs, for inputs like these arrays."""
    b = Builder(name)
    out = function(*[b.expr(b.input(tensor_type(by_numpy(a.dtype), a.shape))) for a in arrays])
    return b.freeze(tuple(e.value for e in (out if isinstance(out, (tuple, list)) else (out,))))


def scheduled(graph):
    program = schedule(lower(graph, TARGETS["sm_90"].machine))
    verify_program(program)
    return program


def outputs(graph):
    return [np.full(t.shape, 3, t.dtype.numpy) for t in graph.out_types]


def interpreted(program, graph, arrays):
    """The code and results of blocks and threads, run by the loop IR's interpreter."""
    out = outputs(graph)
    return run_program(program, [np.asarray(a) for a in (*arrays, *out)]), out


def emulated(program, graph, arrays, backwards=False):
    """The code and results of the kernels compiled for the CPU."""
    there = emulate(program, backwards)
    verify_program(there)
    out = outputs(graph)
    slots = [np.asarray(a) for a in (*arrays, *out)]
    return load(there)([x[()] if k in graph.scalars else x for k, x in enumerate(slots)]), out


def check(function, *arrays, rtol=1e-5, atol=1e-6):
    """Blocks and threads, compiled for the CPU, give what the graph means; and the PTX assembles. Returns (program, PTX for sm_90)."""
    graph = graph_of(function, arrays)
    program = scheduled(graph)
    want = interpret.run(graph, list(arrays))
    code, got = emulated(program, graph, arrays)
    again = emulated(program, graph, arrays, backwards=True)
    assert code == again[0] == 0
    for g, w, other in zip(got, want, again[1]):
        assert g.tobytes() == other.tobytes(), "the order of the threads changes the result"
        assert g.dtype == w.dtype and g.shape == w.shape
        if by_numpy(w.dtype).kind == "f":
            np.testing.assert_allclose(g.astype(np.float64), w.astype(np.float64), rtol=rtol, atol=atol)
        else:
            np.testing.assert_array_equal(g, w)
    return program, assemble(program)


def assemble(program):
    """PTX for every target, through ptxas where there is one; the last target's text."""
    text = ""
    for target in TARGETS:
        text = ptx(program, target)
        assert f".target {target}" in text
        called = re.findall(r"\bcall(?:\.uni)?\s+(?:\([^)]*\),\s*)?([\w$.]+)", text)
        assert all(re.search(rf"\.func\b[^;{{]*?\b{re.escape(f)}\s*\([^;{{]*\)\s*{{", text) for f in called), called
        if shutil.which("ptxas"):
            done = subprocess.run(["ptxas", f"-arch={target}", "-o", "/dev/null", "/dev/stdin"], input=text, text=True, capture_output=True)
            assert done.returncode == 0, done.stderr[:2000]
    return text


needs_ptxas = pytest.mark.skipif(shutil.which("ptxas") is None, reason="no ptxas on PATH, CUDA's assembler of PTX")
