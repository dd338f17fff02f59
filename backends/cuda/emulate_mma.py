"""Products of the matrices of a warp, as loops over what its threads hold; see ir/loop/fragments.py."""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir import dtypes
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.fragments import COLUMNS, LANES, LEFT, RIGHT, ROWS, STEPS, SUMS
from ingot.ir.loop.ir import Acc, Alloc, Const, For, GetAcc, Let, Load, Mma, Operand, Reduce, Shuffle, Stmt, Store

__all__ = ["products", "shuffled"]

u16, u32, f32 = dtypes.u16, dtypes.u32, dtypes.f32


def products(s: Mma, threads: int, array: Callable[[str], str]) -> list[Stmt]:
    """The products of all warps of a block. array(name): where each thread has left a register."""
    rows, columns = len(s.left) // LEFT, len(s.right) // RIGHT
    warp, g, t = ix.var("mma.w"), ix.var("mma.g"), ix.var("mma.t")
    thread = ix.add(ix.mul(warp, LANES), ix.add(ix.mul(g, 4), t))
    apart: list[Stmt] = []
    of_left, of_right = f"mma.left{rows}", f"mma.right{columns}"

    def unpack(register: Operand, to: str, line: Index, step: int) -> None:
        """Two elements of a register: of a line, at 2 t + step and after it."""
        if isinstance(register, Const):
            word: Operand = register
        else:
            word = f"%mma{len(apart)}"
            apart.append(Load(word, array(register), thread))
        for half in (0, 1):
            n = len(apart)
            apart.extend([
                Let(f"%mma{n}.s", "shr", (word, Const(16 * half, u32)), u32), Let(f"%mma{n}.u", "cast", (f"%mma{n}.s",), u16),
                Let(f"%mma{n}.h", "bitcast", (f"%mma{n}.u",), s.dtype), Let(f"%mma{n}.f", "cast", (f"%mma{n}.h",), f32),
                Store(to, ix.add(ix.mul(line, STEPS), ix.add(ix.mul(t, 2), ix.const(step + half))), f"%mma{n}.f"),
            ])  # fmt: skip

    for k, register in enumerate(s.left):
        i, r = divmod(k, LEFT)
        unpack(register, of_left, ix.add(g, ix.const(ROWS * i + 8 * (r % 2))), 8 * (r // 2))
    for k, register in enumerate(s.right):
        j, r = divmod(k, RIGHT)
        unpack(register, of_right, ix.add(g, ix.const(COLUMNS * j)), 8 * r)
    sums: list[Stmt] = []
    for k, name in enumerate(s.accs):
        product, r = divmod(k, SUMS)
        i, j = divmod(product, columns)
        row = ix.add(g, ix.const(ROWS * i + 8 * (r // 2)))
        column = ix.add(ix.mul(t, 2), ix.const(COLUMNS * j + r % 2))
        step = ix.var(f"mma.k{k}")
        body: list[Stmt] = [
            Load(f"%mma.a{k}", of_left, ix.add(ix.mul(row, STEPS), step)),
            Load(f"%mma.b{k}", of_right, ix.add(ix.mul(column, STEPS), step)),
            Reduce((f"mma.acc{k}",), "fma", (f"%mma.a{k}", f"%mma.b{k}")),
        ]
        sums += [
            Load(f"%mma.c{k}", array(name), thread), Acc(f"mma.acc{k}", f32, f"%mma.c{k}"),
            For(step.terms[0][0].name, ix.const(STEPS), "serial", body), GetAcc(f"%mma.d{k}", f"mma.acc{k}"),  # type: ignore[union-attr]
            Store(array(name), thread, f"%mma.d{k}"),
        ]  # fmt: skip
    lanes = [
        For("mma.g", ix.const(8), "serial", [For("mma.t", ix.const(4), "serial", some)]) for some in (apart, sums)
    ]  # fmt: skip
    scratch = [Alloc(of_left, f32, rows * ROWS * STEPS, "worker"), Alloc(of_right, f32, columns * COLUMNS * STEPS, "worker")]
    return [*scratch, For("mma.w", ix.const(threads // LANES), "serial", list(lanes))]


def shuffled(s: Shuffle, threads: int, array: Callable[[str], str]) -> list[Stmt]:
    """What the threads of a block get of each other."""
    me, apart = ix.var("shuffle.t"), ix.const(s.lanes)
    up = ix.mod(ix.div(me, s.lanes), 2)  # the bit: whether the other thread comes before
    other = ix.sub(ix.add(me, apart), ix.mul(up, 2 * s.lanes))
    value: list[Stmt] = [] if isinstance(s.src, Const) else [Load("%shuffled", array(s.src), other)]
    body = [*value, Store(array(s.dst), me, s.src if isinstance(s.src, Const) else "%shuffled")]
    return [For("shuffle.t", ix.const(threads), "serial", body)]
