"""PTX text: every scalar instruction for every dtype, what must be in it and what must not."""

import re

import pytest

from ingot.backends.cuda.ptx import verify_parameters
from ingot.ir.dtypes import REAL, i64
from ingot.ir.loop import index as ix
from ingot.ir.loop.ir import For
from ingot.ir.op import OPS
from ingot.ir.struct import replace
from tests.support.calling import program_of
from tests.support.cuda import PTX, assemble, launches, needs_ptxas, ptx, scheduled
from tests.support.graphs import graph_of
from tests.support.instructions import kernel_of


def instructions_of(d):
    """A program of one kernel that holds every instruction for a dtype, one element to a thread."""
    _, kernel = kernel_of(d, "serial", 64)
    (loop,) = kernel.body
    return program_of(replace(kernel, body=[For("g", ix.const(1), "grid", [For("v", ix.const(64), "block", loop.body)])]))


@needs_ptxas
@pytest.mark.parametrize("d", REAL, ids=str)
def test_every_instruction_assembles(d):
    assemble(instructions_of(d))


@pytest.mark.parametrize("d", REAL, ids=str)
def test_instructions_are_exact(d):
    text = ptx(instructions_of(d))
    assert not re.search(r"\.(approx|ftz)\b", text)
    # those that were asked for, of fma one and of dot_halves two: no product is fused with a sum by itself
    assert len(re.findall(r"\bfma\.rn\.f(32|64)", text)) == {"f32": 3, "f64": 1}.get(d.name, 0)


def softmax():
    def f(x):
        e = OPS["exp"](x - OPS["reduce_max"](x, axes=(1,)))
        return e / OPS["reduce_sum"](e, axes=(1,))

    return scheduled(graph_of([(37, 500)], f))


@pytest.mark.parametrize("target", PTX)
def test_text_of_a_row_kernel(target):
    program = softmax()
    ((kernel, blocks, threads),) = launches(program)
    text = ptx(program, target)
    assert f".target {target}" in text
    assert f".visible .entry {kernel.name}(" in text
    assert blocks == 19 and f".reqntid {threads}" in text  # two rows to a block
    memory = (r"ld\.global", r"st\.global", r"ld\.shared", r"st\.shared")
    for pattern in (*memory, r"bar\.sync\s+0", r"%ctaid\.x", r"%tid\.x", r"fma\.rn\.f32", r"max\.NaN\.f32"):
        assert re.search(pattern, text), pattern
    assert "call" not in text and not re.search(r"\b(ld|st)\.(f32|b32)", text)  # no generic addresses


def test_failed_checks_reach_the_status():
    graph = graph_of([(9,), ((4,), i64)], lambda x, i: OPS["gather"](x, i, axis=0))
    assert re.search(r"atom\.\S*min\.u64", ptx(scheduled(graph)))


def test_same_program_same_text():
    assert ptx(softmax()) == ptx(softmax())


def test_kernels_of_many_operands():
    program = scheduled(graph_of([(2,)] * 2, OPS["add"]))
    (name, kernel), = program.kernels.items()

    def taking(n):
        return replace(program, kernels={name: replace(kernel, params=(*kernel.params, *(f"more{k}" for k in range(n))))})

    assert ".version 7.0" in ptx(taking(3), "sm_80") and ".version 8.1" in ptx(taking(600), "sm_80")
    assemble(taking(600))
    n = len(kernel.params) + 2100 + len(kernel.buffers)
    with pytest.raises(RuntimeError, match=f"takes {n} addresses and numbers, and on a GPU 2046 at most"):
        verify_parameters(taking(2100))


def test_no_gpu_is_found():
    import ingot

    assert ingot.cuda.is_available() is False
    assert ingot.cuda.device_count() == 0
