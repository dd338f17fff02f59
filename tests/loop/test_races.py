"""Races: what is found, and what is none."""

import numpy as np
import pytest

from ingot.ir.dtypes import f32
from ingot.ir.loop import index as ix
from ingot.ir.loop.interpret import run_kernel
from ingot.ir.loop.ir import Alloc, Barrier, Buffer, For, Kernel, Load, Store
from ingot.ir.loop.races import Race

t, g = ix.var("t"), ix.var("g")


def kernel(*body, blocks=1):
    block = For("t", ix.const(4), "block", list(body))
    grid = For("g", ix.const(blocks), "grid", [Alloc("s", f32, 4, "shared"), block])
    return Kernel("k", (Buffer("x", f32, "r"), Buffer("y", f32, "w")), (), [grid])


def ran(k):
    return run_kernel(k, [np.arange(16, dtype=np.float32), np.zeros(16, np.float32)], races=True)


MINE, TO, FROM = Load("%a", "x", t), Store("s", t, "%a"), Load("%b", "s", ix.add(ix.const(3), ix.mul(t, -1)))
OUT = Store("y", ix.add(ix.mul(g, 4), t), "%b")


def test_a_missing_barrier_is_found():
    with pytest.raises(Race, match="threads 2 and 1 touch element 2 of s"):
        ran(kernel(MINE, TO, FROM, OUT))
    assert ran(kernel(MINE, TO, Barrier(), FROM, OUT)) == 0


def test_blocks_that_write_the_same_element_are_found():
    assert ran(kernel(MINE, TO, Barrier(), FROM, OUT, blocks=4)) == 0
    with pytest.raises(Race, match="blocks 1 and 0 touch element 0 of y"):
        ran(kernel(MINE, TO, Barrier(), FROM, Store("y", t, "%b"), blocks=2))


def test_reads_of_many_threads_are_none():
    assert ran(kernel(Load("%b", "x", ix.const(3)), OUT, blocks=4)) == 0
