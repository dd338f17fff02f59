"""CUDA programs without a GPU: scheduled, emulated on the CPU, assembled where there is an assembler."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from ingot.backends import backend
from ingot.backends.cuda.block_kernel import geometry
from ingot.backends.cuda.emulate import emulate
from ingot.ir import interpret
from ingot.ir.dtypes import by_numpy
from ingot.ir.loop.interpret import run_program
from ingot.ir.loop.ir import Barrier, WarpgroupMma
from ingot.ir.loop.program import Launch, nested
from ingot.ir.loop.verify import verify_program
from ingot.ir.loop.walk import statements
from tests.support.calling import load, outputs, run_loops
from tests.support.graphs import graph_of

CUDA = backend("cuda")
PTX = [name for name, level in CUDA.levels.items() if level.arch == "nvptx64"]


def scheduled(graph):
    """The verified program of blocks and threads."""
    program = CUDA.lower(graph, CUDA.levels["sm_90a"])
    verify_program(program)
    return program


def launches(program):
    """Every launch of a program, in order: (kernel, blocks, threads of a block)."""
    out, todo = [], list(program.steps)
    while todo:
        s = todo.pop(0)
        todo = [*(step for steps in nested(s) for step in steps), *todo]
        if isinstance(s, Launch):
            kernel = program.kernels[s.kernel]
            blocks, threads = geometry(kernel)
            values = dict(zip(kernel.params, s.params))
            out.append((kernel, values[blocks] if isinstance(blocks, str) else blocks, threads))
    return out


def waits(program):
    """Whether threads wait for each other, so that their order could matter within a block."""
    return any(isinstance(s, Barrier) for k in program.kernels.values() for s in statements(k.body))


def interpreted(program, graph, arrays, backwards=False):
    """Results of the kernels as the CPU would run them, by the loop IR's interpreter, which sees accesses outside of buffers."""
    there = emulate(program, backwards)
    verify_program(there)
    return run_loops(graph, arrays, there)


def emulated(program, graph, arrays, backwards=False):
    """The code and results of the kernels compiled for the CPU."""
    there = emulate(program, backwards)
    verify_program(there)
    out = outputs(graph)
    slots = [np.asarray(a) for a in (*arrays, *out)]
    return load(there)([x[()] if k in graph.scalars else x for k, x in enumerate(slots)]), out


def raced(program, graph, arrays):
    """Results of the kernels by the loop IR's interpreter, thread by thread; Race where they depend on the order of threads or blocks."""
    outs = outputs(graph)
    assert run_program(program, [np.ascontiguousarray(a).copy() for a in arrays] + outs, races=True) == 0
    return outs


def ran(program, graph, arrays, backwards=False):
    """Results of the kernels, by the interpreter where that is a matter of moments, else compiled."""
    working = 0 if not waits(program) else sum(blocks * threads for _, blocks, threads in launches(program))
    if sum(np.size(a) for a in arrays) < 400 and working <= 64:
        return interpreted(program, graph, arrays, backwards)
    code, out = emulated(program, graph, arrays, backwards)
    assert code == 0
    return out


def check(function, *arrays, rtol=1e-5, atol=1e-6):
    """Blocks and threads, compiled for the CPU, give what the graph means; and the PTX assembles. Returns (program, PTX for sm_90a)."""
    graph = graph_of(arrays, function)
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
    if any("Warpgroups" in k.schedule for k in program.kernels.values()):
        assemble(CUDA.lower(graph, CUDA.levels["sm_80"]))
    return program, assemble(program)


def ptx(program, target="sm_90a"):
    """The PTX of a program."""
    return CUDA.image(program, CUDA.levels[target]).rstrip(b"\0").decode()


def assemble(program):
    """PTX for every target that has the instructions, through ptxas where there is one; the last target's text."""
    text = ""
    grouped = any(isinstance(s, WarpgroupMma) for k in program.kernels.values() for s in statements(k.body))
    for target in PTX:
        if grouped and not CUDA.levels[target].machine.warpgroups:
            continue
        text = ptx(program, target)
        assert f".target {target}" in text
        called = re.findall(r"\bcall(?:\.uni)?\s+(?:\([^)]*\),\s*)?([\w$.]+)", text)
        assert all(re.search(rf"\.func\b[^;{{]*?\b{re.escape(f)}\s*\([^;{{]*\)\s*{{", text) for f in called), called
        if shutil.which("ptxas"):
            done = subprocess.run(["ptxas", f"-arch={target}", "-o", "/dev/null", "/dev/stdin"], input=text, text=True, capture_output=True)
            assert done.returncode == 0, done.stderr[:2000]
    return text


needs_ptxas = pytest.mark.skipif(shutil.which("ptxas") is None, reason="no ptxas on PATH, CUDA's assembler of PTX")
