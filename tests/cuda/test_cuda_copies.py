"""Copies that are on their way while products go on: all ways operands lie, what a missing wait does, and what races it makes."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.backends.cuda.lying import lies
from ingot.ir import dtypes as D
from ingot.ir.loop import index as ix
from ingot.ir.loop.interpret import run_kernel
from ingot.ir.loop.ir import Alloc, Barrier, Buffer, Commit, CopyAsync, For, If, Kernel, Load, Store, Wait
from ingot.ir.loop.parse import parse_kernel
from ingot.ir.loop.races import Race
from ingot.ir.loop.text import print_kernel
from ingot.ir.loop.uses import LoopVerifyError
from ingot.ir.loop.verify import verify_kernel
from ingot.ir.lower import STAGES, run
from ingot.ir.lower.schedule import ScheduleError
from ingot.ir.op import OPS
from ingot.ir.struct import replace
from tests.support.calling import compare
from tests.support.cuda import CUDA, assemble, emulated, ptx, raced
from tests.support.graphs import graph_of

AT = [s.name for s in STAGES].index("schedule") + 1
TARGET = CUDA.target(CUDA.levels["sm_80"])
t = ix.var("t")


def operands(left, right, m, n, k, dtype="bf16"):
    rng = np.random.default_rng(m * n * k)
    of = D.by_name(dtype).numpy
    return [rng.standard_normal(s).astype(of) for s in ((m, k) if left else (k, m), (n, k) if right else (k, n))]


def scheduled(left, right, arrays, **change):
    """A product whose operands lie along k, or not, and its program, with a changed schedule."""
    graph = graph_of(arrays, lambda a, b: OPS["dot"](a, b, batch=((), ()), contract=((int(left),), (int(right),))))
    found = run(graph, TARGET, STAGES[:AT])
    (s,) = found.schedules
    s = replace(s, **change)
    s.verify(found.fused.groups[0])
    return graph, run(replace(found, schedules=(s,)), TARGET, STAGES[AT:])


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("right", [False, True])
def test_operands_are_copied_as_they_lie(left, right):
    arrays = operands(left, right, 72, 88, 200, "f16" if left else "bf16")
    for change in ({}, {"parts": 3, "tile": (64, 32, 32), "warps": (2, 2), "stages": 3}):
        graph, program = scheduled(left, right, arrays, **change)
        (kernel, *_) = program.kernels.values()
        assert "copied=(True, True)" in kernel.schedule and ("left_k" in kernel.schedule, "right_k" in kernel.schedule) == (left, right)
        text = print_kernel(kernel)
        assert print_kernel(parse_kernel(text)) == text and "commit" in text and ("turned" in text) == (not (left and right))
        both = []
        for backwards in (False, True):
            code, got = emulated(program, graph, arrays, backwards)
            assert code == 0
            compare(graph, arrays, got)
            both.append(got[0].tobytes())
        assert both[0] == both[1]
    assemble(program)
    assert "cp.async.cg.shared.global" in ptx(program) and ".trans" in ptx(program) or left and right


def test_what_is_made_on_its_way_passes_registers():
    arrays = operands(True, True, 64, 64, 64)
    graph = graph_of(arrays, lambda a, b: OPS["dot"](OPS["neg"](a), b, batch=((), ()), contract=((1,), (1,))))
    found = run(graph, TARGET, STAGES[:AT])
    (s,) = found.schedules
    assert s.copied == (False, True) and s.stages > 2
    program = run(found, TARGET, STAGES[AT:])
    for backwards in (False, True):
        compare(graph, arrays, emulated(program, graph, arrays, backwards)[1])
    with pytest.raises(ScheduleError, match="is copied"):
        replace(s, copied=(True, True)).verify(found.fused.groups[0])


def test_chunks_that_do_not_fit_are_not_copied():
    for m, n, k, left, right in ((64, 64, 36, True, True), (36, 64, 64, False, True), (64, 60, 64, True, False)):
        graph = graph_of(operands(left, right, m, n, k), lambda a, b, c=(int(left), int(right)): OPS["dot"](
            a, b, batch=((), ()), contract=((c[0],), (c[1],))))  # fmt: skip
        (group,) = run(graph, TARGET, STAGES[:AT]).fused.groups
        assert [lies(group, side) is None for side in (True, False)] == [k == 36 or m == 36, k == 36 or n == 60]


def without(body, kind):
    return [replace(s, body=without(s.body, kind)) if isinstance(s, (For, If)) else s for s in body if not isinstance(s, kind)]


def test_a_missing_wait_gives_other_numbers_and_a_missing_barrier_races():
    arrays = operands(True, False, 16, 32, 64)
    graph, program = scheduled(True, False, arrays, tile=(16, 32, 32), warps=(1, 2), parts=1)
    compare(graph, arrays, raced(program, graph, arrays))
    (name, kernel), = program.kernels.items()
    hasty = replace(program, kernels={name: replace(kernel, body=without(kernel.body, Wait))})
    with pytest.raises(AssertionError):
        compare(graph, arrays, emulated(hasty, graph, arrays)[1])
    with pytest.raises(Race):
        raced(hasty, graph, arrays)
    with pytest.raises(Race):
        raced(replace(program, kernels={name: replace(kernel, body=without(kernel.body, Barrier))}), graph, arrays)


def kernel(*body):
    block = For("t", ix.const(4), "block", list(body))
    grid = For("g", ix.const(1), "grid", [Alloc("s", D.u32, 16, "shared"), block])
    return Kernel("k", (Buffer("x", D.u32, "r"), Buffer("y", D.u32, "w")), (), [grid])


COPY = CopyAsync("s", ix.mul(t, 4), "x", ix.mul(t, 4), 16)
NEXT = Load("%a", "s", ix.add(ix.const(12), ix.mul(t, -4)))
OUT = Store("y", t, "%a")


def ran(*body):
    y = np.zeros(4, np.uint32)
    assert run_kernel(kernel(*body), [np.arange(16, dtype=np.uint32), y], races=True) == 0
    return list(y)


def test_copies_land_when_they_are_waited_for():
    assert ran(COPY, Commit(), Wait(0), Barrier(), NEXT, OUT) == [12, 8, 4, 0]
    other = replace(COPY, to=ix.add(COPY.to, ix.const(2)), nbytes=8)
    assert ran(COPY, Commit(), Commit(), Wait(1), Barrier(), NEXT, OUT) == [12, 8, 4, 0]
    for body in (
        (COPY, Commit(), Wait(0), NEXT, OUT),  # another thread's, which no barrier says is there
        (COPY, Commit(), Barrier(), NEXT, OUT),  # still on its way
        (COPY, Commit(), Wait(1), Barrier(), NEXT, OUT),
        (COPY, Commit(), other, Commit(), Wait(1), Barrier(), Load("%a", "s", ix.add(ix.const(14), ix.mul(t, -4))), OUT),
        (Load("%b", "s", ix.mod(ix.add(ix.mul(t, 4), ix.const(4)), 16)), COPY, Commit(), Wait(0), Barrier(), NEXT, OUT),
    ):
        with pytest.raises(Race):
            ran(*body)


@pytest.mark.parametrize(
    "change", [{"nbytes": 12}, {"dst": "x", "src": "s"}, {"dst": "y"}, {"src": "s"}, {"mask": "%nobody"}, {"nbytes": 2}], ids=str
)
def test_what_is_no_copy_is_refused(change):
    verify_kernel(kernel(COPY))
    with pytest.raises(LoopVerifyError):
        verify_kernel(kernel(replace(COPY, **change)))
    with pytest.raises(LoopVerifyError):
        verify_kernel(kernel(Wait(-1)))


def test_copies_of_unknown_buffers_have_a_version_that_loads():
    arrays = operands(True, True, 64, 64, 64)
    _, program = scheduled(True, True, arrays)
    text = ptx(program)
    assert "cp.async.cg" in text and "ld.global.b16" in text  # where a buffer begins between multiples of 16 bytes
