"""Control flow: branches, loops, and vector loops with their partial results.

A vector loop is a loop of full groups of lanes, then one masked group for what is left (or, where a level has no cheap
masks for the element sizes at hand, a loop over the single elements that are left; either way an element folds into
the partial result of its own lane).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot.backends.llvm.accumulators import Accumulator, Accumulators
from ingot.backends.llvm.emitter import Emitter
from ingot.backends.llvm.values import Value, literal, type_of
from ingot.ir.dtypes import DType
from ingot.ir.loop.folds import FOLDS, Fold
from ingot.ir.loop.ir import Alloc, For, If, Load, Reduce, Stmt, Store, Table
from ingot.ir.loop.walk import statements

__all__ = ["Loops"]

LONG = 48  # statements


class Loops(Accumulators):
    """A writer of control flow."""

    local_dtypes: dict[str, DType]  # of scratch seen ahead of its declaration

    def body(self, stmts: list[Stmt]) -> None: ...
    def phase(self, s: For) -> None: ...
    def hardware_loop(self, s: For) -> None: ...

    def where(self, s: If) -> None:
        """Code that runs where a condition holds, which is one for all lanes."""
        cond = self.operand(s.cond)
        if cond.is_literal:
            if cond.text == "true":
                self.body(s.body)
            return
        if cond.lanes:
            raise ValueError(f"kernel {self.kernel.name}: the condition of an If differs between lanes")
        self.conditional(cond.text, self._carried(s.body), lambda: self.body(s.body))

    def conditional(self, cond: str, accs: list[Accumulator], inside: Callable[[], None]) -> None:
        """Code that runs where `cond` holds and may change these accumulators."""
        before = [list(a.values) for a in accs]
        start = self.block
        then, after = self.label(), self.label()
        self.push()
        self.block = then
        inside()
        end = self.block
        lines = self.pop()
        self.line(f"br i1 {cond}, label %{then}, label %{after}")
        self.lines.append(f"{then}:")
        self.lines += lines
        self.line(f"br label %{after}")
        self.start_block(after)
        for acc, old in zip(accs, before):
            t = type_of(acc.dtype, acc.lanes)
            for k, (o, n) in enumerate(zip(old, acc.values)):
                if o != n:
                    acc.values[k] = self.new(f"phi {t} [ {o}, %{start} ], [ {n}, %{end} ]")

    def loop(self, start: str, stop: str, step: int, accs: list[Accumulator], inside: Callable[[str], None]) -> None:
        """for i in start .. stop by step: inside(i), with these accumulators carried along.

        For x86-64 the counter is frozen, which makes no code of its own. LLVM's loop strength reduction then sees no induction
        variable: it takes up to 40 % of the time for a kernel, and the addresses are as good without it, as what does not change in
        a loop is computed before it and the rest fits the addressing modes.
        """
        enter, head, after = self.block, self.label(), self.label()
        guarded = start[0] == "%" or stop[0] == "%" or not int(start) < int(stop)
        before = [list(a.values) for a in accs]
        phis: list[list[str]] = []
        for acc in accs:
            phis.append([self.fresh() for _ in acc.values])
            acc.values = list(phis[-1])
        i = counter = self.fresh()
        if self.level.arch == "x86_64":
            counter = self.fresh()
        self.push()
        self.block = head
        inside(i)
        following = self.new(f"add nuw nsw i64 {i}, {step}")
        again = self.new(f"icmp slt i64 {following}, {stop}")
        end = self.block
        lines = self.pop()
        if guarded:
            first = self.new(f"icmp slt i64 {start}, {stop}")
            self.line(f"br i1 {first}, label %{head}, label %{after}")
        else:
            self.line(f"br label %{head}")
        self.lines.append(f"{head}:")
        self.line(f"{counter} = phi i64 [ {start}, %{enter} ], [ {following}, %{end} ]")
        for acc, names, old in zip(accs, phis, before):
            t = type_of(acc.dtype, acc.lanes)
            for name, o, n in zip(names, old, acc.values):
                self.line(f"{name} = phi {t} [ {o}, %{enter} ], [ {n}, %{end} ]")
        if counter != i:
            self.line(f"{i} = freeze i64 {counter}")
        self.lines += lines
        self.line(f"br i1 {again}, label %{head}, label %{after}")
        self.start_block(after)
        if guarded:
            for acc, old in zip(accs, before):
                t = type_of(acc.dtype, acc.lanes)
                acc.values = [self.new(f"phi {t} [ {o}, %{enter} ], [ {n}, %{end} ]") for o, n in zip(old, acc.values)]

    def loop_statement(self, s: For) -> None:
        """A loop, by its kind."""
        if s.kind == "parallel":
            self.phase(s)
        elif s.kind == "vector" and s.width > 1:
            self._vector_loop(s)
        elif s.kind == "unroll":
            extent, _ = self.uniform(s.extent)
            if not isinstance(extent, int):
                raise ValueError(f"kernel {self.kernel.name}: unrolled loop {s.var} has no constant extent")
            for k in range(extent):
                self.vars[s.var] = k
                self.body(s.body)
        elif s.kind in ("grid", "block"):
            self.hardware_loop(s)
        else:
            self._serial_loop(s)

    def _serial_loop(self, s: For) -> None:
        stop, _ = self._extent(s)
        if isinstance(stop, int) and stop <= 0:
            return
        if stop == 1:
            self.vars[s.var] = 0
            self.body(s.body)
            return

        def inside(i: str) -> None:
            self.vars[s.var] = (i, self.depth)
            self.body(s.body)

        self.loop("0", str(stop), 1, self._carried(s.body), inside)

    def _extent(self, s: For) -> tuple[str | int, int]:
        """A loop's extent; one that is computed is taken as 0 where it is negative."""
        stop, depth = self.uniform(s.extent)
        if isinstance(stop, int) or not s.extent.terms:
            return stop, depth
        self.module.declare("i64", "llvm.smax.i64", ("i64", "i64"))
        return self.at(depth, f"call i64 @llvm.smax.i64(i64 {stop}, i64 0)"), depth

    def _vector_loop(self, s: For) -> None:
        if self.lanes:
            raise ValueError(f"kernel {self.kernel.name}: a vector loop stands inside another")
        stop, depth = self._extent(s)
        width = s.width
        if isinstance(stop, int) and stop <= 0:
            return
        carried = self._carried(s.body)
        folds = self._folds(s.body)
        saved = [list(acc.values) for acc in carried]
        for acc in carried:
            if id(acc) not in folds:
                raise ValueError(f"kernel {self.kernel.name}: SetAcc in vector loop {s.var} of an accumulator from outside it")
            acc.lanes = width
            fold, which, together = folds[id(acc)]
            lit = literal(fold.neutral(self.accs[together[0]].dtype)[which], acc.dtype)
            acc.values = [f"splat ({type_of(acc.dtype)} {lit})"] * len(acc.values)
        self.lane_var = s.var
        self.vector_depth = self.depth
        if isinstance(stop, int):
            full = stop - stop % width
            main, left = str(full), str(stop - full)
        elif s.exact:
            main, left = stop, "0"
        elif self._one_masked_loop(s):
            self._masked_groups(s, stop, depth, carried)
            main = left = "0"
        else:
            main = self.at(depth, f"and i64 {stop}, {-width}")
            left = self.at(depth, f"sub i64 {stop}, {main}")
        if main != "0":
            self._groups(s, main, carried)
        if left != "0":
            self._rest(s, main, left, str(stop), depth, carried)
        self.lane_var, self.vector_depth = None, 0
        self._combine_lanes(carried, folds, saved)

    def _groups(self, s: For, main: str, carried: list[Accumulator]) -> None:
        def inside(i: str | int) -> None:
            self.vars[s.var] = i if isinstance(i, int) else (i, self.depth)
            self.lanes = s.width
            self.body(s.body)
            self.lanes = 0

        if main == str(s.width):
            inside(0)
            return
        self.loop("0", main, s.width, carried, inside)

    def _one_masked_loop(self, s: For) -> bool:
        """Whether full groups run masked too: of a long body, a second copy costs more compile time than masks cost."""
        cheap = self.level.masked_bits
        return 8 in cheap and len(s.body) > LONG and not any(isinstance(x, Store) and x.streaming for x in statements(s.body))

    def _masked_groups(self, s: For, stop: str, depth: int, carried: list[Accumulator]) -> None:
        def inside(i: str) -> None:
            self.vars[s.var] = (i, self.depth)
            left = self.new(f"sub i64 {stop}, {i}")
            count = self.call("i64", "llvm.umin.i64", ("i64", left), ("i64", str(s.width)))
            self._masked_body(s, count)

        self.loop("0", stop, s.width, carried, inside)

    def _rest(self, s: For, main: str, left: str, stop: str, depth: int, carried: list[Accumulator]) -> None:
        if not self._masks_are_cheap(s):
            self._single_elements(s, main, stop, carried)
            return

        def inside() -> None:
            self.vars[s.var] = (main, depth)
            self._masked_body(s, left)

        if left[0] == "%":
            some = self.new(f"icmp sgt i64 {left}, 0")
            self.conditional(some, carried, inside)
        else:
            inside()

    def _masked_body(self, s: For, count: str) -> None:
        """The body for the first `count` lanes of a group."""
        width = s.width
        t = "i32" if width <= 16 else "i8" if width <= 64 else "i16"
        many = self.repeat(t, count if count[0] != "%" else self.new(f"trunc i64 {count} to {t}"), self.depth, width)
        ids = ", ".join(f"{t} {k}" for k in range(width))
        self.mask = self.new(f"icmp ult <{width} x {t}> <{ids}>, {many}")
        self.last_lane = self.new(f"sub i32 {self._as_i32(count)}, 1")
        self.lanes = width
        self.body(s.body)
        self.lanes, self.mask, self.last_lane = 0, None, ""

    def _as_i32(self, text: str) -> str:
        return text if text[0] != "%" else self.new(f"trunc i64 {text} to i32")

    def _single_elements(self, s: For, main: str, stop: str, carried: list[Accumulator]) -> None:
        def inside(i: str) -> None:
            self.vars[s.var] = (i, self.depth)
            lane = self.new(f"sub i64 {i}, {main}")
            partial = [acc.values for acc in carried]
            for acc in carried:
                t = type_of(acc.dtype, acc.lanes)
                acc.values = [self.new(f"extractelement {t} {x}, i64 {lane}") for x in acc.values]
                acc.lanes = 0
            self.body(s.body)
            for acc, wide in zip(carried, partial):
                acc.lanes = s.width
                t, one = type_of(acc.dtype, acc.lanes), type_of(acc.dtype)
                acc.values = [self.new(f"insertelement {t} {x}, {one} {v}, i64 {lane}") for x, v in zip(wide, acc.values)]

        self.loop(main, stop, 1, carried, inside)

    def _masks_are_cheap(self, s: For) -> bool:
        cheap = self.level.masked_bits
        return bool(cheap) and all(d.itemsize * 8 in cheap for d in self._touched(s.body))

    def _touched(self, body: list[Stmt]) -> set[DType]:
        out: set[DType] = set()
        for s in body:
            if isinstance(s, (Load, Store)):
                out.add(self._dtype_of(s.buf))
            elif isinstance(s, (For, If)):
                out |= self._touched(s.body)
            elif isinstance(s, (Alloc, Table)):
                self.local_dtypes[s.name] = s.dtype
        return out

    def _dtype_of(self, buf: str) -> DType:
        return self.local_dtypes[buf] if buf in self.local_dtypes else self.buffer(buf)[1]

    def _folds(self, body: list[Stmt]) -> dict[int, tuple[Fold, int, tuple[str, ...]]]:
        """For each accumulator from outside that a vector loop folds into: the fold, which of the fold's
        accumulators it is, and all of them."""
        out: dict[int, tuple[Fold, int, tuple[str, ...]]] = {}
        for s in body:
            if isinstance(s, Reduce):
                for k, a in enumerate(s.accs):
                    acc = self.accs.get(a)
                    if acc is not None:
                        out[id(acc)] = (FOLDS[s.kind], k, s.accs)
            elif isinstance(s, (For, If)):
                out.update(self._folds(s.body))
        return out

    def _combine_lanes(self, carried: list[Accumulator], folds: dict[int, Any], saved: list[list[str]]) -> None:
        """The partial results of all lanes, in a tree (lane i with lane i + half), then folded into what was there."""
        e = Emitter(self)
        earlier = {id(acc): values for acc, values in zip(carried, saved)}
        for acc in carried:
            fold, which, together = folds[id(acc)]
            if which:
                continue
            group = [self.accs[a] for a in together]
            for k in range(len(acc.values)):
                lanes = acc.lanes if acc is group[0] else 0
                values = tuple(Value(a.values[k], a.dtype, lanes) for a in group)
                while lanes > 1:
                    lanes //= 2
                    low = tuple(self._part(v, 0, lanes) for v in values)
                    high = tuple(self._part(v, lanes, lanes) for v in values)
                    values = fold.combine(e, low, high)
                old = tuple(Value(earlier[id(a)][k], a.dtype) for a in group)
                for a, v in zip(group, fold.combine(e, old, values)):
                    earlier[id(a)][k] = v.text
        for acc in carried:
            acc.lanes = 0
            acc.values = earlier[id(acc)]

    def _part(self, v: Value, start: int, lanes: int) -> Value:
        if lanes == 1:
            return Value(self.extract(v, str(start)), v.dtype)
        t = type_of(v.dtype, v.lanes)
        order = ", ".join(f"i32 {start + k}" for k in range(lanes))
        return Value(self.new(f"shufflevector {t} {v.text}, {t} poison, <{lanes} x i32> <{order}>"), v.dtype, lanes)
