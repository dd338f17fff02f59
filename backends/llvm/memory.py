"""Loads and stores: of one element, of consecutive lanes, of lanes anywhere; masked, streaming, broadcast."""

from __future__ import annotations

from ingot.backends.llvm.address import Addresses, Place
from ingot.backends.llvm.instructions import instruction
from ingot.backends.llvm.values import Value, literal, type_of
from ingot.ir.dtypes import DType
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Coef, Index
from ingot.ir.loop.ir import Load, Operand, Store, Transpose

__all__ = ["Memory", "memory_type"]

LINE = 64  # bytes of a line of the caches
HALF = 32  # bytes of the widest registers that squares are transposed in: shuffles of wider ones are slow
MOST_APART = 4  # elements between lanes whose vectors are loaded whole
ZEROS = 1024  # bytes of @ingot.zeros, which a load under a false mask reads


def memory_type(dtype: DType) -> str:
    """The LLVM type of an element in memory."""
    return "i8" if dtype.kind == "b" else type_of(dtype)


class Memory(Addresses):
    """A writer of loads and stores."""

    names: dict[str, Value]
    mask: str | None  # the lanes that are there, in a partial group
    last_lane: str  # in a partial group: the last lane that is there
    lane_var: str | None
    streams: bool  # whether a streaming store was written

    def operand(self, x: Operand) -> Value: ...  # type: ignore[empty-body]
    def buffer(self, name: str) -> tuple[str, DType]: ...  # type: ignore[empty-body]

    def load(self, s: Load) -> None:
        """Load elements: one, or one for each lane."""
        base, dtype = self.buffer(s.buf)
        mem = memory_type(dtype)
        where = self.place(base, mem, s.index)
        if s.word is not None:
            text = self.new(f"load {type_of(s.word)}, ptr {where.pointer}, align {dtype.itemsize}")
            self.names[s.dst] = Value(text, s.word, 0, self.depth)
            return
        mask = self.operand(s.mask) if s.mask is not None else None
        lanes = self.lanes
        if mask is not None and mask.is_literal:
            if mask.text == "false":
                self.names[s.dst] = Value(literal(0, dtype), dtype)
                return
            mask = None
        if not lanes or (where.step == 0 and where.offsets is None):
            self.names[s.dst] = self.load_one(where, dtype, mem, mask)
            return
        if mask is not None and not mask.lanes and where.offsets is None:  # one answer for all lanes: read zeros instead
            if lanes * dtype.itemsize <= ZEROS and where.step in (1, -1):
                back = (lanes - 1) * dtype.itemsize if where.step == -1 else 0
                zeros = self._zeros(back)
                where = Place(self.new(f"select i1 {mask.text}, ptr {where.pointer}, ptr {zeros}"), self.depth, where.step)
                mask = None
        present = self._presence(mask)
        full = f"<{lanes} x {mem}>"
        zero = "zeroinitializer"
        align = dtype.itemsize
        if where.offsets is None and where.step in (1, -1):
            pointer = where.pointer
            if where.step == -1:
                pointer = self.at(where.depth, f"getelementptr {mem}, ptr {pointer}, i64 {1 - lanes}")
                present = self._reverse("i1", present) if present else None
            if present is None:
                text = self.new(f"load {full}, ptr {pointer}, align {align}")
            else:
                text = self._masked_load(full, pointer, align, present)
            if where.step == -1:
                text = self._reverse(mem, text)
        elif where.offsets is None and 1 < where.step <= MOST_APART and (present is None or align * 8 in self.level.masked_bits):
            text = self._load_apart(where, mem, align, present)
        else:
            pointers = self._pointers(where, mem)
            p = present or "splat (i1 true)"
            name = f"llvm.masked.gather.v{lanes}{_suffix(mem)}.v{lanes}p0"
            text = self.call(full, name, (f"<{lanes} x ptr>", f"align {align} {pointers}"), (f"<{lanes} x i1>", p), (full, zero))
        if dtype.kind == "b":
            text = self.new(f"icmp ne {full} {text}, zeroinitializer")
        self.names[s.dst] = Value(text, dtype, lanes)

    def _load_apart(self, where: Place, mem: str, align: int, present: str | None) -> str:
        """Lanes that are a few elements apart, of vectors of what lies between the first and the last of them: the last one ends there."""
        n, step = self.lanes, where.step
        full = f"<{n} x {mem}>"
        text = ""
        for j in range(step):
            first = min(j * n, (step - 1) * (n - 1))
            mine = [k for k in range(n) if max(first, j * n) <= k * step < first + n]
            pointer = self._beyond(where.pointer, mem, first)
            if present is None:
                vector = self.new(f"load {full}, ptr {pointer}, align {align}")
            else:
                lane = {k * step - first: k for k in mine}
                spread = self._shuffled("i1", present, "zeroinitializer", [lane.get(i, n) for i in range(n)])
                vector = self._masked_load(full, pointer, align, spread)
            picks = [n + k * step - first if k in mine else k if j > 1 else k * step for k in range(n)]
            text = self._shuffled(mem, text, vector, [p % (2 * n) for p in picks]) if j else vector
        return text

    def _shuffled(self, t: str, a: str, b: str, picks: list[int]) -> str:
        order = ", ".join(f"i32 {k}" for k in picks)
        return self.new(f"shufflevector <{self.lanes} x {t}> {a}, <{self.lanes} x {t}> {b}, <{self.lanes} x i32> <{order}>")

    def _masked_load(self, full: str, pointer: str, align: int, present: str) -> str:
        name = f"llvm.masked.load.{_vector_suffix(full)}.p0"
        mask_type = f"<{self.lanes} x i1>"
        return self.call(full, name, ("ptr", f"align {align} {pointer}"), (mask_type, present), (full, "zeroinitializer"))

    def _reverse(self, t: str, text: str) -> str:
        n = self.lanes
        order = ", ".join(f"i32 {k}" for k in range(n - 1, -1, -1))
        return self.new(f"shufflevector <{n} x {t}> {text}, <{n} x {t}> poison, <{n} x i32> <{order}>")

    def _zeros(self, back: int = 0) -> str:
        self.module.helper("zeros")
        return f"getelementptr (i8, ptr @ingot.zeros, i64 {back})" if back else "@ingot.zeros"

    def _presence(self, mask: Value | None) -> str | None:
        """The lanes to touch: those of the group, and of the statement's mask. None: all."""
        if mask is None:
            return self.mask
        text = self.wide(mask, self.lanes)
        return self.new(f"and <{self.lanes} x i1> {text}, {self.mask}") if self.mask else text

    def load_one(self, where: Place, dtype: DType, mem: str, mask: Value | None) -> Value:
        """A load of one element, or of the same one for all lanes; 0 where the mask says so."""
        pointer = where.pointer
        if mask is not None:
            cond = self._any(self._presence(mask), mask.lanes) if mask.lanes else mask.text  # type: ignore[arg-type]
            pointer = self.new(f"select i1 {cond}, ptr {pointer}, ptr {self._zeros()}")
        text = self.new(f"load {mem}, ptr {pointer}, align {dtype.itemsize}")
        if dtype.kind == "b":
            text = self.new(f"icmp ne i8 {text}, 0")
        v = Value(text, dtype, 0, self.depth)
        if mask is not None and mask.lanes:
            v = instruction(self, "select", [mask, v, Value(literal(0, dtype), dtype)], dtype)
        return v

    def _pointers(self, where: Place, mem: str) -> str:
        n = self.lanes
        offsets = where.offsets or f"<{', '.join(f'i64 {k * where.step}' for k in range(n))}>"
        return self.here(f"getelementptr {mem}, ptr {where.pointer}, <{n} x i64> {offsets}")

    def store(self, s: Store) -> None:
        """Store elements: one, or those of all lanes that are there."""
        base, dtype = self.buffer(s.buf)
        mem = memory_type(dtype)
        src = self.operand(s.src)
        mask = self.operand(s.mask) if s.mask is not None else None
        if mask is not None and mask.is_literal:
            if mask.text == "false":
                return
            mask = None
        where = self.place(base, mem, s.index)
        branch = None
        if mask is not None and not mask.lanes:  # one answer for all lanes
            branch = self.branch_where(mask.text)
            mask = None
        if not self.lanes:
            self._store_one(where.pointer, src, dtype, mem)
        elif where.step == 0 and where.offsets is None and mask is None:  # the last lane's value stays
            if src.lanes:
                src = Value(self.extract(src, self.last_lane or str(self.lanes - 1)), dtype)
            self._store_one(where.pointer, src, dtype, mem)
        else:
            self._store_lanes(where, src, dtype, mem, mask, s.streaming)
        if branch is not None:
            self.join(branch)

    def _store_one(self, pointer: str, src: Value, dtype: DType, mem: str) -> None:
        text = src.text
        if dtype.kind == "b":
            text = self.new(f"zext i1 {text} to i8")
        self.line(f"store {mem} {text}, ptr {pointer}, align {dtype.itemsize}")

    def _store_lanes(self, where: Place, src: Value, dtype: DType, mem: str, mask: Value | None, streaming: bool) -> None:
        n = self.lanes
        full = f"<{n} x {mem}>"
        text = self.wide(src, n)
        if dtype.kind == "b":
            text = self.new(f"zext <{n} x i1> {text} to {full}")
        present = self._presence(mask)
        align = dtype.itemsize
        if where.offsets is None and where.step in (1, -1):
            pointer = where.pointer
            if where.step == -1:
                pointer = self.at(where.depth, f"getelementptr {mem}, ptr {pointer}, i64 {1 - n}")
                present = self._reverse("i1", present) if present else None
                text = self._reverse(mem, text)
            if present is not None:
                name = f"llvm.masked.store.{_vector_suffix(full)}.p0"
                self.call("void", name, (full, text), ("ptr", f"align {align} {pointer}"), (f"<{n} x i1>", present))
            elif streaming:
                self._stream(full, text, pointer, align)
            else:
                self.line(f"store {full} {text}, ptr {pointer}, align {align}")
            return
        name = f"llvm.masked.scatter.v{n}{_suffix(mem)}.v{n}p0"
        pointers = self._pointers(where, mem)
        p = present or "splat (i1 true)"
        self.call("void", name, (full, text), (f"<{n} x ptr>", f"align {align} {pointers}"), (f"<{n} x i1>", p))

    def store_pairs(self, s: Store, t: Store) -> bool:
        """Two stores of lanes two elements apart as one, where t fills what s leaves out, as in pairs of real and imaginary parts."""
        if not self.lanes or s.buf != t.buf or s.mask is not None or t.mask is not None or t.index != ix.add(s.index, ix.const(1)):
            return False
        base, dtype = self.buffer(s.buf)
        if dtype.kind == "b" or self.lane_var is None or ix.coefficient(s.index, self.lane_var) != 2:
            return False
        mem = memory_type(dtype)
        where = self.place(base, mem, s.index)
        if where.offsets is not None:
            return False
        n = self.lanes
        order = ", ".join(f"i32 {k + n * half}" for k in range(n) for half in (0, 1))
        a, b = (self.wide(self.operand(x.src), n) for x in (s, t))
        full, align = f"<{2 * n} x {mem}>", dtype.itemsize
        text = self.new(f"shufflevector <{n} x {mem}> {a}, <{n} x {mem}> {b}, <{2 * n} x i32> <{order}>")
        if self.mask is None:
            self.line(f"store {full} {text}, ptr {where.pointer}, align {align}")
            return True
        twice = ", ".join(f"i32 {k}" for k in range(n) for _ in (0, 1))
        there = self.new(f"shufflevector <{n} x i1> {self.mask}, <{n} x i1> poison, <{2 * n} x i32> <{twice}>")
        name = f"llvm.masked.store.{_vector_suffix(full)}.p0"
        self.call("void", name, (full, text), ("ptr", f"align {align} {where.pointer}"), (f"<{2 * n} x i1>", there))
        return True

    def _stream(self, full: str, text: str, pointer: str, align: int) -> None:
        """Past the caches where the address allows it (the hardware's streaming stores are aligned ones)."""
        size = self.level.machine.vector_bytes
        if self.lanes * align % size:
            self.line(f"store {full} {text}, ptr {pointer}, align {align}")
            return
        self.streams = True
        low = self.new(f"and i64 {self.new(f'ptrtoint ptr {pointer} to i64')}, {size - 1}")
        cond = self.new(f"icmp eq i64 {low}, 0")
        yes, no, after = self.label(), self.label(), self.label()
        self.line(f"br i1 {cond}, label %{yes}, label %{no}")
        self.start_block(yes)
        self.line(f"store {full} {text}, ptr {pointer}, align {size}, !nontemporal !0")
        self.line(f"br label %{after}")
        self.start_block(no)
        self.line(f"store {full} {text}, ptr {pointer}, align {align}")
        self.line(f"br label %{after}")
        self.start_block(after)

    def transpose(self, s: Transpose) -> None:
        """A square, by squares of as many rows as a register has elements: pairs of rows exchange halves, then quarters, and so on."""
        base, dtype = self.buffer(s.dst)
        mem = memory_type(dtype)
        lanes = min(s.size, max(1, min(self.level.machine.vector_bytes, HALF) // dtype.itemsize))
        t = f"<{lanes} x {mem}>"
        to = self._rows(base, mem, s.to, s.to_step, s.size)
        at = self._rows(self.buffer(s.src)[0], mem, s.at, s.at_step, s.size)
        aligned = self._aligned(to[0], s.to_step, dtype.itemsize) if s.streaming and s.size * dtype.itemsize % LINE == 0 else ""
        for i in range(0, s.size, lanes):
            squares = []
            for j in range(0, s.size, lanes):
                rows = [self.new(f"load {t}, ptr {self._beyond(p, mem, i)}, align {dtype.itemsize}") for p in at[j : j + lanes]]
                squares.append((j, self._square(t, rows)))
            stores = [(rows[r], self._beyond(to[i + r], mem, j)) for r in range(lanes) for j, rows in squares]
            if not aligned:
                for row, pointer in stores:
                    self.line(f"store {t} {row}, ptr {pointer}, align {dtype.itemsize}")
                continue
            self.streams = True
            yes, no, after = self.label(), self.label(), self.label()
            self.line(f"br i1 {aligned}, label %{yes}, label %{no}")
            for label, how in ((yes, f"align {lanes * dtype.itemsize}, !nontemporal !0"), (no, f"align {dtype.itemsize}")):
                self.start_block(label)
                for row, pointer in stores:
                    self.line(f"store {t} {row}, ptr {pointer}, {how}")
                self.line(f"br label %{after}")
            self.start_block(after)

    def _rows(self, base: str, mem: str, index: Index, step: Coef, count: int) -> list[str]:
        """The addresses of so many rows, a step apart."""
        pointer, _ = self.pointer(base, mem, index)
        apart, _ = self.uniform(Index(step, ()))
        out = [pointer]
        while len(out) < count:
            out.append(self.new(f"getelementptr {mem}, ptr {out[-1]}, i64 {apart}"))
        return out

    def _beyond(self, pointer: str, mem: str, elements: int) -> str:
        return self.new(f"getelementptr {mem}, ptr {pointer}, i64 {elements}") if elements else pointer

    def _aligned(self, pointer: str, step: Coef, itemsize: int) -> str:
        """Whether an address, and every row from there on, begins a line of the caches."""
        apart, _ = self.uniform(Index(step, ()))
        low = self.new(f"or i64 {self.new(f'ptrtoint ptr {pointer} to i64')}, {self.new(f'mul i64 {apart}, {itemsize}')}")
        return self.new(f"icmp eq i64 {self.new(f'and i64 {low}, {LINE - 1}')}, 0")

    def _square(self, t: str, rows: list[str]) -> list[str]:
        """The transposed rows of a square."""
        n = len(rows)
        half = n // 2
        while half:
            low = ", ".join(f"i32 {k if not k & half else n + k - half}" for k in range(n))
            high = ", ".join(f"i32 {k + half if not k & half else n + k}" for k in range(n))
            out = list(rows)
            for r in range(n):
                if not r & half:
                    pair = f"{t} {rows[r]}, {t} {rows[r + half]}"
                    out[r] = self.new(f"shufflevector {pair}, <{n} x i32> <{low}>")
                    out[r + half] = self.new(f"shufflevector {pair}, <{n} x i32> <{high}>")
            rows, half = out, half // 2
        return rows

    def _any(self, mask: str, lanes: int) -> str:
        return self.call("i1", f"llvm.vector.reduce.or.v{lanes}i1", (f"<{lanes} x i1>", mask))


def _suffix(mem: str) -> str:
    return {"float": "f32", "double": "f64"}.get(mem, mem)


def _vector_suffix(full: str) -> str:
    n, _, mem = full[1:-1].partition(" x ")
    return f"v{n}{_suffix(mem)}"
