"""Products of the matrices of a warp, as loops over what its threads hold; see ir/loop/fragments.py."""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir import dtypes
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.fragments import COLUMNS, LANES, LEFT, RIGHT, ROWS, SUMS, TF32, steps
from ingot.ir.loop.ir import Acc, Alloc, Const, For, GetAcc, IndexValue, Let, Load, LoadMatrix, Mma, Operand, Reduce, Shuffle, Stmt, Store

__all__ = ["matrices", "products", "shuffled", "turned"]

u16, u32, f32 = dtypes.u16, dtypes.u32, dtypes.f32


def products(s: Mma, threads: int, array: Callable[[str], str]) -> list[Stmt]:
    """The products of all warps of a block. array(name): where each thread has left a register."""
    rows, columns = len(s.left) // LEFT, len(s.right) // RIGHT
    warp, g, t = ix.var("mma.w"), ix.var("mma.g"), ix.var("mma.t")
    thread = ix.add(ix.mul(warp, LANES), ix.add(ix.mul(g, 4), t))
    apart: list[Stmt] = []
    length = steps(s.dtype)
    each = 4 // s.dtype.itemsize  # elements in a register
    of_left, of_right = f"mma.left{rows}", f"mma.right{columns}"

    def unpack(register: Operand, to: str, line: Index, word: int) -> None:
        """The elements of a register: of a line, in the word t + `word`."""
        if isinstance(register, Const):
            bits: Operand = register
        else:
            bits = f"%mma{len(apart)}"
            apart.append(Load(bits, array(register), thread))
        for part in range(each):
            n = len(apart)
            if each == 1:
                apart.append(Let(f"%mma{n}.s", "and", (bits, Const(TF32, u32)), u32))
                apart.append(Let(f"%mma{n}.f", "bitcast", (f"%mma{n}.s",), f32))
            else:
                apart.extend([
                    Let(f"%mma{n}.s", "shr", (bits, Const(16 * part, u32)), u32), Let(f"%mma{n}.u", "cast", (f"%mma{n}.s",), u16),
                    Let(f"%mma{n}.h", "bitcast", (f"%mma{n}.u",), s.dtype), Let(f"%mma{n}.f", "cast", (f"%mma{n}.h",), f32),
                ])  # fmt: skip
            at = ix.add(ix.mul(line, length), ix.add(ix.mul(t, each), ix.const(each * word + part)))
            apart.append(Store(to, at, f"%mma{n}.f"))

    for k, register in enumerate(s.left):
        i, r = divmod(k, LEFT)
        unpack(register, of_left, ix.add(g, ix.const(ROWS * i + 8 * (r % 2))), 4 * (r // 2))
    for k, register in enumerate(s.right):
        j, r = divmod(k, RIGHT)
        unpack(register, of_right, ix.add(g, ix.const(COLUMNS * j)), 4 * r)
    sums: list[Stmt] = []
    for k, name in enumerate(s.accs):
        product, r = divmod(k, SUMS)
        i, j = divmod(product, columns)
        row = ix.add(g, ix.const(ROWS * i + 8 * (r // 2)))
        column = ix.add(ix.mul(t, 2), ix.const(COLUMNS * j + r % 2))
        step = ix.var(f"mma.k{k}")
        body: list[Stmt] = [
            Load(f"%mma.a{k}", of_left, ix.add(ix.mul(row, length), step)),
            Load(f"%mma.b{k}", of_right, ix.add(ix.mul(column, length), step)),
            Reduce((f"mma.acc{k}",), "fma", (f"%mma.a{k}", f"%mma.b{k}")),
        ]
        sums += [
            Load(f"%mma.c{k}", array(name), thread), Acc(f"mma.acc{k}", f32, f"%mma.c{k}"),
            For(step.terms[0][0].name, ix.const(length), "serial", body), GetAcc(f"%mma.d{k}", f"mma.acc{k}"),  # type: ignore[union-attr]
            Store(array(name), thread, f"%mma.d{k}"),
        ]  # fmt: skip
    lanes = [
        For("mma.g", ix.const(8), "serial", [For("mma.t", ix.const(4), "serial", some)]) for some in (apart, sums)
    ]  # fmt: skip
    scratch = [Alloc(of_left, f32, rows * ROWS * length, "worker"), Alloc(of_right, f32, columns * COLUMNS * length, "worker")]
    return [*scratch, For("mma.w", ix.const(threads // LANES), "serial", list(lanes))]


def matrices(s: LoadMatrix, threads: int, array: Callable[[str], str]) -> list[Stmt]:
    """The words that the threads of a block get of lines in shared memory."""
    me = ix.var("matrix.t")
    lane = ix.mod(me, LANES)
    body: list[Stmt] = []
    for r, name in enumerate(s.dsts):
        line = ix.add(ix.sub(me, lane), ix.add(ix.div(lane, 4), ix.const(8 * r)))
        begin = ix.const(int(s.at.value)) if isinstance(s.at, Const) else ix.dyn(f"%matrix{r}.at")
        if not isinstance(s.at, Const):
            body.append(Load(f"%matrix{r}.at", array(s.at), line))
        body += [Load(f"%matrix{r}", s.buf, ix.add(begin, ix.mod(lane, 4))), Store(array(name), me, f"%matrix{r}")]
    return [For("matrix.t", ix.const(threads), "serial", body)]


def turned(s: LoadMatrix, threads: int, array: Callable[[str], str]) -> list[Stmt]:
    """The same where matrices are turned: a thread gets halves of two lines."""
    me = ix.var("matrix.t")
    lane = ix.mod(me, LANES)
    body: list[Stmt] = [
        IndexValue("%matrix.shift", ix.mul(ix.mod(ix.div(lane, 4), 2), 16)), Let("%matrix.bits", "cast", ("%matrix.shift",), u32),
    ]  # fmt: skip
    assert isinstance(s.at, str)
    for r, name in enumerate(s.dsts):
        for i in (0, 1):
            line = ix.add(ix.sub(me, lane), ix.add(ix.mul(ix.mod(lane, 4), 2), ix.const(8 * r + i)))
            it = f"%matrix{r}.{i}"
            body += [
                Load(f"{it}.at", array(s.at), line), Load(f"{it}.word", s.buf, ix.add(ix.dyn(f"{it}.at"), ix.div(lane, 8))),
                Let(f"{it}.down", "shr", (f"{it}.word", "%matrix.bits"), u32), Let(it, "and", (f"{it}.down", Const(0xFFFF, u32)), u32),
            ]  # fmt: skip
        body += [
            Let(f"%matrix{r}.up", "shl", (f"%matrix{r}.1", Const(16, u32)), u32),
            Let(f"%matrix{r}", "or", (f"%matrix{r}.0", f"%matrix{r}.up"), u32), Store(array(name), me, f"%matrix{r}"),
        ]  # fmt: skip
    return [For("matrix.t", ix.const(threads), "serial", body)]


def shuffled(s: Shuffle, threads: int, array: Callable[[str], str]) -> list[Stmt]:
    """What the threads of a block get of each other."""
    me, apart = ix.var("shuffle.t"), ix.const(s.lanes)
    up = ix.mod(ix.div(me, s.lanes), 2)  # the bit: whether the other thread comes before
    other = ix.sub(ix.add(me, apart), ix.mul(up, 2 * s.lanes))
    value: list[Stmt] = [] if isinstance(s.src, Const) else [Load("%shuffled", array(s.src), other)]
    body = [*value, Store(array(s.dst), me, s.src if isinstance(s.src, Const) else "%shuffled")]
    return [For("shuffle.t", ix.const(threads), "serial", body)]
