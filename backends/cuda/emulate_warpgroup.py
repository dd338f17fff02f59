"""Products of warpgroups, as loops over matrices that are put together from shared memory and from the threads' sums; see
ir/loop/fragments.py.
"""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir import dtypes
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.fragments import COLUMNS, GROUP, GROUP_ROWS, LANES, LINE, SUMS, TF32, apart
from ingot.ir.loop.ir import Acc, Alloc, Const, For, GetAcc, IndexValue, Let, Load, Reduce, Stmt, Store, WarpgroupMma, WarpgroupWait
from ingot.ir.loop.walk import statements

__all__ = ["WarpgroupProducts"]

u16, u32, i64, f32 = dtypes.u16, dtypes.u32, dtypes.i64, dtypes.f32
_DONE, _SENT = "warpgroup.done", "warpgroup.sent"  # how many products are made, and were asked for


class WarpgroupProducts:
    """The products of a kernel's warpgroups. `late`: they are made when they are waited for, not where they stand."""

    def __init__(self, block: For, late: bool):
        self.threads, self.late = int(block.extent.const), late  # type: ignore[arg-type]
        every = list(statements(block.body))
        waits = [s.groups for s in every if isinstance(s, WarpgroupWait)]
        self.sites = [s for s in every if isinstance(s, WarpgroupMma)]
        if len(self.sites) > 1 and late:
            raise ValueError("products of warpgroups stand in several places")
        self.slots = max(waits, default=0) + 2
        self.groups = self.threads // GROUP
        self.arrays: list[Alloc] = []
        for s in self.sites[:1]:
            k, n = s.steps * 32 // s.dtype.itemsize, 2 * len(s.accs)
            sizes = {"left": GROUP_ROWS * k, "right": n * k, "sums": GROUP_ROWS * n}
            self.arrays += [Alloc(f"warpgroup.{name}", f32, size, "worker") for name, size in sizes.items()]
            self.arrays += [Alloc(f"warpgroup.{name}_at", i64, self.slots * self.groups, "worker") for name in ("left", "right")]
            self.arrays += [Alloc(name, i64, 1, "worker") for name in (_DONE, _SENT)]

    def start(self) -> list[Stmt]:
        """At the beginning of a block nothing was asked for."""
        return [Store(name, ix.const(0), Const(0, i64)) for name in (_DONE, _SENT)] if self.sites else []

    def begin(self, s: WarpgroupMma, array: Callable[[str], str]) -> list[Stmt]:
        """The products that are asked for: note them, and, if they are not to be late, make them."""
        group = ix.var("warpgroup.g")
        out: list[Stmt] = [Load("%warpgroup.n", _SENT, ix.const(0))]
        slot = ix.mod(ix.dyn("%warpgroup.n"), self.slots)
        noted: list[Stmt] = []
        for name, at in (("left", s.left_at), ("right", s.right_at)):
            value = at
            if isinstance(at, str):
                value = f"%warpgroup.{name}"
                noted.append(Load(value, array(at), ix.mul(group, GROUP)))
            noted.append(Store(f"warpgroup.{name}_at", ix.add(ix.mul(slot, self.groups), group), value))
        out.append(For("warpgroup.g", ix.const(self.groups), "serial", noted))
        out += [Let("%warpgroup.next", "add", ("%warpgroup.n", Const(1, i64)), i64), Store(_SENT, ix.const(0), "%warpgroup.next")]
        return out if self.late else [*out, *self.made(s, 0, array)]

    def wait(self, s: WarpgroupWait, array: Callable[[str], str]) -> list[Stmt]:
        """The products that must be there now."""
        return [x for site in self.sites for x in self.made(site, s.groups, array)] if self.late else []

    def made(self, s: WarpgroupMma, left: int, array: Callable[[str], str]) -> list[Stmt]:
        """The products that are not made yet, but for the last of them."""
        done, n = ix.dyn("%warpgroup.done"), ix.dyn("%warpgroup.all")
        out: list[Stmt] = [Load("%warpgroup.done", _DONE, ix.const(0)), Load("%warpgroup.all", _SENT, ix.const(0))]
        out += [
            IndexValue("%warpgroup.rest", ix.sub(ix.sub(n, done), ix.const(left))),
            Let("%warpgroup.due", "max", ("%warpgroup.rest", Const(0, i64)), i64),
        ]  # fmt: skip
        body = [For("warpgroup.g", ix.const(self.groups), "serial", self.product(s, ix.add(done, ix.var("warpgroup.i")), array))]
        out.append(For("warpgroup.i", ix.dyn("%warpgroup.due"), "serial", list(body)))
        out += [Let("%warpgroup.now", "add", ("%warpgroup.done", "%warpgroup.due"), i64), Store(_DONE, ix.const(0), "%warpgroup.now")]
        return out

    def product(self, s: WarpgroupMma, number: Index, array: Callable[[str], str]) -> list[Stmt]:
        """A product of a warpgroup."""
        n, k = 2 * len(s.accs), s.steps * 32 // s.dtype.itemsize
        group, slot = ix.var("warpgroup.g"), ix.mod(number, self.slots)
        out: list[Stmt] = []
        for name, buf, rows, turned in (("left", s.left, GROUP_ROWS, s.turned[0]), ("right", s.right, n, s.turned[1])):
            out.append(Load(f"%{name}.at", f"warpgroup.{name}_at", ix.add(ix.mul(slot, self.groups), group)))
            out.append(unpacked(s, name, buf, ix.dyn(f"%{name}.at"), rows, k, turned))
        i, j, step, t = (ix.var(f"warpgroup.{x}") for x in ("row", "column", "k", "t"))
        thread = ix.add(ix.mul(group, GROUP), t)
        lane = ix.mod(t, LANES)
        together: list[Stmt] = []
        apart_again: list[Stmt] = []
        for r, name in enumerate(s.accs):
            row = ix.add(ix.add(ix.mul(ix.div(t, LANES), 16), ix.div(lane, 4)), ix.const(8 * (r % SUMS // 2)))
            at = ix.add(ix.add(ix.mul(row, n), ix.mul(ix.mod(t, 4), 2)), ix.const(COLUMNS * (r // SUMS) + r % 2))
            together += [Load(f"%sum{r}", array(name), thread), Store("warpgroup.sums", at, f"%sum{r}")]
            apart_again += [Load(f"%sum{r}", "warpgroup.sums", at), Store(array(name), thread, f"%sum{r}")]
        here = ix.add(ix.mul(i, n), j)
        element: list[Stmt] = [
            Load("%a", "warpgroup.left", ix.add(ix.mul(i, k), step)), Load("%b", "warpgroup.right", ix.add(ix.mul(j, k), step)),
            Reduce(("warpgroup.acc",), "fma", ("%a", "%b")),
        ]  # fmt: skip
        sums: list[Stmt] = [
            Load("%c", "warpgroup.sums", here), Acc("warpgroup.acc", f32, "%c"), For("warpgroup.k", ix.const(k), "serial", element),
            GetAcc("%d", "warpgroup.acc"), Store("warpgroup.sums", here, "%d"),
        ]  # fmt: skip
        return [
            *out, For("warpgroup.t", ix.const(GROUP), "serial", together),
            For("warpgroup.row", ix.const(GROUP_ROWS), "serial", [For("warpgroup.column", ix.const(n), "serial", sums)]),
            For("warpgroup.t", ix.const(GROUP), "serial", apart_again),
        ]  # fmt: skip


def unpacked(s: WarpgroupMma, name: str, buf: str, begin: Index, rows: int, k: int, turned: bool) -> Stmt:
    """An operand as a matrix of float32, row by row or column by column."""
    each = 4 // s.dtype.itemsize
    i, word = ix.var(f"{name}.i"), ix.var(f"{name}.word")
    if turned:  # a line belongs to a step of k, a word of it to two rows
        step, pair = i, word
        line, chunk, rest = step, ix.mod(ix.div(pair, 4), 8), ix.mod(pair, 4)
        first = ix.add(ix.mul(ix.div(pair, LINE), apart(s.steps)), ix.mul(step, LINE))
    else:
        line, chunk, rest = i, ix.div(word, 4), ix.mod(word, 4)
        first = ix.mul(i, LINE)
    body: list[Stmt] = [
        IndexValue(f"%{name}.chunk", chunk), IndexValue(f"%{name}.line", ix.mod(line, 8)),
        Let(f"%{name}.place", "xor", (f"%{name}.chunk", f"%{name}.line"), i64),
        Load(f"%{name}.bits", buf, ix.add(ix.add(begin, first), ix.add(ix.mul(ix.dyn(f"%{name}.place"), 4), rest))),
    ]  # fmt: skip
    for part in range(each):
        it = f"%{name}.{part}"
        if each == 1:
            body += [Let(f"{it}.s", "and", (f"%{name}.bits", Const(TF32, u32)), u32), Let(f"{it}.f", "bitcast", (f"{it}.s",), f32)]
        else:
            body += [
                Let(f"{it}.s", "shr", (f"%{name}.bits", Const(16 * part, u32)), u32), Let(f"{it}.u", "cast", (f"{it}.s",), u16),
                Let(f"{it}.h", "bitcast", (f"{it}.u",), s.dtype), Let(f"{it}.f", "cast", (f"{it}.h",), f32),
            ]  # fmt: skip
        if turned:
            at = ix.add(ix.mul(ix.add(ix.mul(word, 2), ix.const(part)), k), i)
        else:
            at = ix.add(ix.mul(i, k), ix.add(ix.mul(word, each), ix.const(part)))
        body.append(Store(f"warpgroup.{name}", at, f"{it}.f"))
    lines, words = (k, rows // 2) if turned else (rows, k // each)
    return For(f"{name}.i", ix.const(lines), "serial", [For(f"{name}.word", ix.const(words), "serial", body)])
