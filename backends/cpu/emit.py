"""From a kernel's statements to one LLVM function: loops, accumulators, loads and stores.

Accumulators live in SSA form from the start: a loop that changes one gets a phi for it. A vector loop is a loop of full
groups, then one masked group for what is left (or, where a level has no cheap masks for the element sizes at hand, a
loop over the single elements that are left; either way an element folds into the partial result of its own lane).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot.backends.cpu.address import Addresses, Place
from ingot.backends.cpu.scalars import Value, argument_step, combine, constant, instruction, literal, type_of
from ingot.backends.cpu.writer import Module
from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.loop.ir import (
    Acc, Alloc, Barrier, Check, Const, For, GetAcc, If, Index, IndexValue, Kernel, Let, Load, Operand, Reduce, SetAcc, Stmt,
    Store, neutral,
)  # fmt: skip

__all__ = ["FunctionEmitter", "memory_type"]

ZEROS = 1024  # bytes of @ingot.zeros, which a load under a false mask reads


def memory_type(dtype: DType) -> str:
    """The LLVM type of an element in memory."""
    return "i8" if dtype.kind == "b" else type_of(dtype)


class _Acc:
    __slots__ = ("dtype", "shape", "values", "lanes")

    def __init__(self, dtype: DType, shape: tuple[int, ...], values: list[str], lanes: int):
        self.dtype = dtype
        self.shape = shape
        self.values = values
        self.lanes = lanes


class FunctionEmitter(Addresses):
    """Emits statements into one function. `parent`: the function of the kernel's top level, for a phase of it."""

    def __init__(self, module: Module, kernel: Kernel, parent: FunctionEmitter | None = None):
        super().__init__(module)
        self.kernel = kernel
        self.parent = parent
        self.names: dict[str, Value] = {}
        self.vars: dict[str, tuple[str, int] | int] = {}
        self.accs: dict[str, _Acc] = {}
        self.buffers: dict[str, tuple[str, DType]] = {}
        self.captures: dict[tuple[str, str], tuple[str, str, str]] = {}  # -> (LLVM type, name here, name in the parent)
        self.lanes = 0
        self.lane_var: str | None = None
        self.mask: str | None = None  # the lanes that are there, in a partial group
        self.last_lane = ""  # in a partial group: the last lane that is there
        self.scratch_bytes = 0
        self.streams = False
        self.local_dtypes: dict[str, DType] = {}  # of scratch seen ahead of its declaration
        self._changes: dict[int, frozenset[str]] = {}

    # -- what comes from outside -------------------------------------------------------------------------------------

    def _capture(self, kind: str, name: str, llvm: str, outer: str) -> str:
        found = self.captures.get((kind, name))
        if found is None:
            found = (llvm, f"%in{len(self.captures)}", outer)
            self.captures[(kind, name)] = found
        return found[1]

    def scalar(self, name: str) -> Value:
        v = self.names.get(name)
        if v is None:
            if self.parent is None:
                raise KeyError(f"kernel {self.kernel.name}: {name} is not defined")
            outer = self.parent.scalar(name)
            text = outer.text if outer.is_literal else self._capture("scalar", name, type_of(outer.dtype), outer.text)
            v = self.names[name] = Value(text, outer.dtype)
        return v

    def variable(self, name: str) -> tuple[str, int] | int:
        v = self.vars.get(name)
        if v is None:
            if self.parent is None:
                raise KeyError(f"kernel {self.kernel.name}: loop variable {name} is not defined")
            outer = self.parent.variable(name)
            v = outer if isinstance(outer, int) else (self._capture("var", name, "i64", outer[0]), 0)
            self.vars[name] = v
        return v

    def parameter(self, name: str) -> tuple[str, int]:
        if self.parent is None:
            return f"%p.{name}", 0
        return self._capture("param", name, "i64", self.parent.parameter(name)[0]), 0

    def buffer(self, name: str) -> tuple[str, DType]:
        found = self.buffers.get(name)
        if found is None:
            if self.parent is None:
                raise KeyError(f"kernel {self.kernel.name}: buffer {name} is not declared")
            outer, dtype = self.parent.buffer(name)
            found = self.buffers[name] = (self._capture("buffer", name, "ptr", outer), dtype)
        return found

    def status(self) -> str:
        return "%status" if self.parent is None else self._capture("status", "", "ptr", self.parent.status())

    def operand(self, x: Operand) -> Value:
        return constant(x) if isinstance(x, Const) else self.scalar(x)

    # -- statements --------------------------------------------------------------------------------------------------

    def body(self, stmts: list[Stmt]) -> None:
        for s in stmts:
            _STATEMENTS[type(s)](self, s)

    def let(self, s: Let) -> None:
        v = instruction(self, s.op, [self.operand(a) for a in s.args], s.dtype)
        v.depth = min(v.depth, len(self.scopes) - 1)
        self.names[s.dst] = v

    def index_value(self, s: IndexValue) -> None:
        if self.varies(s.index):
            self.names[s.dst] = Value(self.lane_values(s.index), dtypes.i64, self.lanes)
        else:
            text, depth = self.uniform(s.index)
            self.names[s.dst] = Value(str(text), dtypes.i64, 0, depth)

    def check(self, s: Check) -> None:
        cond = self.operand(s.cond)
        bad = instruction(self, "not", [cond], dtypes.bool_)
        text = bad.text
        if bad.lanes:
            if self.mask:
                text = self.new(f"and <{bad.lanes} x i1> {text}, {self.mask}")
            text = self._any(text, bad.lanes)
        code = str(s.code) if isinstance(s.code, int) else self.parameter(s.code.name)[0]
        branch = self.branch_where(text)
        self.line(f"call void @ingot.fail(ptr {self.status()}, i64 {code})")
        self.module.helper("fail")
        self.join(branch)

    def _any(self, mask: str, lanes: int) -> str:
        return self.call("i1", f"llvm.vector.reduce.or.v{lanes}i1", (f"<{lanes} x i1>", mask))

    def alloc(self, s: Alloc) -> None:
        if s.scope == "kernel" or self.parent is None:
            self.buffers[s.name] = (self.kernel_scratch(s), s.dtype)
            return
        size = s.size * s.dtype.itemsize
        if size <= 4096:
            name = self.fresh()
            self.allocas.append(f"  {name} = alloca [{max(size, 1)} x i8], align 64")
        else:
            name = self.fresh()
            self.allocas.append(f"  {name} = getelementptr i8, ptr %scratch, i64 {self.scratch_bytes}")
            self.scratch_bytes += -(-size // 64) * 64
        self.buffers[s.name] = (name, s.dtype)

    def kernel_scratch(self, s: Alloc) -> str:
        raise ValueError(f"kernel {self.kernel.name}: scratch {s.name} of scope {s.scope!r} is declared inside a parallel loop")

    def barrier(self, s: Barrier) -> None:
        raise ValueError(f"kernel {self.kernel.name}: a barrier needs a block of threads; see backends.cuda.emulate")

    # -- memory ------------------------------------------------------------------------------------------------------

    def load(self, s: Load) -> None:
        base, dtype = self.buffer(s.buf)
        mem = memory_type(dtype)
        where = self.place(base, mem, s.index)
        mask = self.operand(s.mask) if s.mask is not None else None
        lanes = self.lanes
        if mask is not None and mask.is_literal:
            if mask.text == "false":
                self.names[s.dst] = Value(literal(0, dtype), dtype)
                return
            mask = None
        if not lanes or (where.step == 0 and where.offsets is None):
            self.names[s.dst] = self._load_one(where, dtype, mem, mask)
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
        else:
            pointers = self._pointers(where, mem)
            p = present or "splat (i1 true)"
            name = f"llvm.masked.gather.v{lanes}{_suffix(mem)}.v{lanes}p0"
            text = self.call(full, name, (f"<{lanes} x ptr>", f"align {align} {pointers}"), (f"<{lanes} x i1>", p), (full, zero))
        if dtype.kind == "b":
            text = self.new(f"icmp ne {full} {text}, zeroinitializer")
        self.names[s.dst] = Value(text, dtype, lanes)

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

    def _load_one(self, where: Place, dtype: DType, mem: str, mask: Value | None) -> Value:
        pointer, t = where.pointer, type_of(dtype)
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

    def _stream(self, full: str, text: str, pointer: str, align: int) -> None:
        """Past the caches where the address allows it (the hardware's streaming stores are aligned ones)."""
        size = self.target.vector_bytes  # type: ignore[attr-defined]
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

    # -- accumulators ------------------------------------------------------------------------------------------------

    def declare(self, s: Acc) -> None:
        count = 1
        for d in s.shape:
            count *= d
        v = self.operand(s.init)
        lanes = self.lanes
        self.accs[s.name] = _Acc(s.dtype, s.shape, [self.wide(v, lanes) if lanes else v.text] * count, lanes)

    def _slot(self, acc: _Acc, at: tuple[Index, ...]) -> int:
        slot = 0
        for d, index in zip(acc.shape, at):
            value, _ = self.uniform(index)
            if not isinstance(value, int) or not 0 <= value < d:
                raise ValueError(f"kernel {self.kernel.name}: an accumulator is indexed by {value}, which is no constant in 0..{d - 1}")
            slot = slot * d + value
        return slot

    def _put(self, acc: _Acc, slot: int, v: Value) -> None:
        text = self.wide(v, acc.lanes) if acc.lanes else v.text
        acc.values[slot] = text

    def _get(self, acc: _Acc, slot: int) -> Value:
        return Value(acc.values[slot], acc.dtype, acc.lanes, self.depth)

    def reduce(self, s: Reduce) -> None:
        accs = [self.accs[a] for a in s.accs]
        slot = self._slot(accs[0], s.at)
        old = [self._get(a, slot) for a in accs]
        values = [self.operand(v) for v in s.values]
        if s.kind in ("argmax", "argmin"):
            new = list(argument_step(self, s.kind, old[0], old[1], values[0], values[1]))
        elif s.kind == "fma":
            new = [instruction(self, "fma", [values[0], values[1], old[0]], accs[0].dtype)]
        else:
            new = [combine(self, s.kind, old[0], values[0])]
        for acc, before, after in zip(accs, old, new):
            if self.mask and acc.lanes:  # lanes that are not there fold nothing
                t = type_of(acc.dtype, acc.lanes)
                text = self.wide(after, acc.lanes)
                after = Value(self.new(f"select <{acc.lanes} x i1> {self.mask}, {t} {text}, {t} {before.text}"), acc.dtype, acc.lanes)
            self._put(acc, slot, after)

    def set_acc(self, s: SetAcc) -> None:
        acc = self.accs[s.acc]
        self._put(acc, self._slot(acc, s.at), self.operand(s.value))

    def get_acc(self, s: GetAcc) -> None:
        acc = self.accs.get(s.acc)
        if acc is None:  # of the kernel's top level, which a phase only reads
            assert self.parent is not None
            outer = self.parent.accs[s.acc]
            slot = self._slot(outer, s.at)
            text = self._capture("acc", f"{s.acc}.{slot}", type_of(outer.dtype), outer.values[slot])
            self.names[s.dst] = Value(text, outer.dtype)
            return
        self.names[s.dst] = self._get(acc, self._slot(acc, s.at))

    def changed(self, body: list[Stmt]) -> frozenset[str]:
        """The accumulators from outside that a body changes."""
        found = self._changes.get(id(body))
        if found is None:
            out: set[str] = set()
            own: set[str] = set()
            for s in body:
                if isinstance(s, Reduce):
                    out.update(s.accs)
                elif isinstance(s, SetAcc):
                    out.add(s.acc)
                elif isinstance(s, Acc):
                    own.add(s.name)
                elif isinstance(s, (For, If)):
                    out |= self.changed(s.body)
            found = self._changes[id(body)] = frozenset(out - own)
        return found

    def _carried(self, body: list[Stmt]) -> list[_Acc]:
        changed = self.changed(body)
        return [acc for name, acc in self.accs.items() if name in changed]

    # -- control -----------------------------------------------------------------------------------------------------

    def where(self, s: If) -> None:
        cond = self.operand(s.cond)
        if cond.is_literal:
            if cond.text == "true":
                self.body(s.body)
            return
        if cond.lanes:
            raise ValueError(f"kernel {self.kernel.name}: the condition of an If differs between lanes")
        self.conditional(cond.text, self._carried(s.body), lambda: self.body(s.body))

    def conditional(self, cond: str, accs: list[_Acc], inside: Callable[[], None]) -> None:
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

    def loop(self, start: str, stop: str, step: int, accs: list[_Acc], inside: Callable[[str], None]) -> None:
        """for i in start .. stop by step: inside(i), with these accumulators carried along."""
        enter, head, after = self.block, self.label(), self.label()
        guarded = start[0] == "%" or stop[0] == "%" or not int(start) < int(stop)
        before = [list(a.values) for a in accs]
        phis: list[list[str]] = []
        for acc in accs:
            phis.append([self.fresh() for _ in acc.values])
            acc.values = list(phis[-1])
        i = self.fresh()
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
        self.line(f"{i} = phi i64 [ {start}, %{enter} ], [ {following}, %{end} ]")
        for acc, names, old in zip(accs, phis, before):
            t = type_of(acc.dtype, acc.lanes)
            for name, o, n in zip(names, old, acc.values):
                self.line(f"{name} = phi {t} [ {o}, %{enter} ], [ {n}, %{end} ]")
        self.lines += lines
        self.line(f"br i1 {again}, label %{head}, label %{after}")
        self.start_block(after)
        if guarded:
            for acc, old in zip(accs, before):
                t = type_of(acc.dtype, acc.lanes)
                acc.values = [self.new(f"phi {t} [ {o}, %{enter} ], [ {n}, %{end} ]") for o, n in zip(old, acc.values)]

    def loop_statement(self, s: For) -> None:
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
            raise ValueError(f"kernel {self.kernel.name}: a {s.kind} loop is for a GPU; see backends.cuda.emulate")
        else:
            self._serial_loop(s)

    def phase(self, s: For) -> None:
        raise ValueError(f"kernel {self.kernel.name}: a parallel loop stands inside another")

    def _serial_loop(self, s: For) -> None:
        stop, _ = self.uniform(s.extent)
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

    def _vector_loop(self, s: For) -> None:
        if self.lanes:
            raise ValueError(f"kernel {self.kernel.name}: a vector loop stands inside another")
        stop, depth = self.uniform(s.extent)
        width = s.width
        if isinstance(stop, int) and stop <= 0:
            return
        carried = self._carried(s.body)
        kinds = self._kinds(s.body)
        saved = [list(acc.values) for acc in carried]
        for acc in carried:
            if id(acc) not in kinds:
                raise ValueError(f"kernel {self.kernel.name}: SetAcc in vector loop {s.var} of an accumulator from outside it")
            acc.lanes = width
            kind, which, _ = kinds[id(acc)]
            lit = literal(neutral(kind, acc.dtype, which), acc.dtype)
            acc.values = [f"splat ({type_of(acc.dtype)} {lit})"] * len(acc.values)
        self.lane_var = s.var
        if isinstance(stop, int):
            full = stop - stop % width
            main, left = str(full), str(stop - full)
        elif s.exact:
            main, left = stop, "0"
        else:
            main = self.at(depth, f"and i64 {stop}, {-width}")
            left = self.at(depth, f"sub i64 {stop}, {main}")
        if main != "0":
            self._groups(s, main, carried)
        if left != "0":
            self._rest(s, main, left, str(stop), depth, carried)
        self.lane_var = None
        self._combine_lanes(carried, kinds, saved)

    def _groups(self, s: For, main: str, carried: list[_Acc]) -> None:
        def inside(i: str) -> None:
            self.vars[s.var] = (i, self.depth)
            self.lanes = s.width
            self.body(s.body)
            self.lanes = 0

        self.loop("0", main, s.width, carried, inside)

    def _rest(self, s: For, main: str, left: str, stop: str, depth: int, carried: list[_Acc]) -> None:
        if not self._masks_are_cheap(s):
            self._single_elements(s, main, stop, carried)
            return
        width = s.width

        def inside() -> None:
            self.vars[s.var] = (main, depth)
            t, bits = ("i32", 32) if width <= 16 else (("i8", 8) if width <= 64 else ("i16", 16))
            count = left if left[0] != "%" else self.new(f"trunc i64 {left} to {t}")
            ids = ", ".join(f"{t} {k}" for k in range(width))
            self.lanes = width
            many = self.repeat(t, count, self.depth, width)
            self.mask = self.new(f"icmp ult <{width} x {t}> <{ids}>, {many}")
            self.last_lane = self.new(f"sub i32 {self._as_i32(left)}, 1")
            self.body(s.body)
            self.lanes, self.mask, self.last_lane = 0, None, ""

        if left[0] == "%":
            some = self.new(f"icmp sgt i64 {left}, 0")
            self.conditional(some, carried, inside)
        else:
            inside()

    def _as_i32(self, text: str) -> str:
        return text if text[0] != "%" else self.new(f"trunc i64 {text} to i32")

    def _single_elements(self, s: For, main: str, stop: str, carried: list[_Acc]) -> None:
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
        cheap = self.target.masked_bits  # type: ignore[attr-defined]
        return bool(cheap) and all(d.itemsize * 8 in cheap for d in self._touched(s.body))

    def _touched(self, body: list[Stmt]) -> set[DType]:
        out: set[DType] = set()
        for s in body:
            if isinstance(s, (Load, Store)):
                out.add(self._dtype_of(s.buf))
            elif isinstance(s, (For, If)):
                out |= self._touched(s.body)
            elif isinstance(s, Alloc):
                self.local_dtypes[s.name] = s.dtype
        return out

    def _dtype_of(self, buf: str) -> DType:
        return self.local_dtypes[buf] if buf in self.local_dtypes else self.buffer(buf)[1]

    def _kinds(self, body: list[Stmt]) -> dict[int, tuple[str, int, tuple[str, ...]]]:
        """For each accumulator from outside that a vector loop folds into: the kind, which of the kind's
        accumulators it is, and all of them."""
        out: dict[int, tuple[str, int, tuple[str, ...]]] = {}
        for s in body:
            if isinstance(s, Reduce):
                for k, a in enumerate(s.accs):
                    acc = self.accs.get(a)
                    if acc is not None:
                        out[id(acc)] = (s.kind, k, s.accs)
            elif isinstance(s, (For, If)):
                out.update(self._kinds(s.body))
        return out

    def _combine_lanes(self, carried: list[_Acc], kinds: dict[int, Any], saved: list[list[str]]) -> None:
        """The partial results of all lanes, in a tree (lane i with lane i + half), then folded into what was there."""
        earlier = {id(acc): values for acc, values in zip(carried, saved)}
        for acc in carried:
            kind, which, together = kinds[id(acc)]
            if which:
                continue
            group = [self.accs[a] for a in together]
            for k in range(len(acc.values)):
                lanes = acc.lanes if acc is group[0] else 0
                values = [Value(a.values[k], a.dtype, lanes) for a in group]
                while lanes > 1:
                    lanes //= 2
                    low = [self._part(v, 0, lanes) for v in values]
                    high = [self._part(v, lanes, lanes) for v in values]
                    values = self._fold(kind, low, high)
                old = [Value(earlier[id(a)][k], a.dtype) for a in group]
                for a, v in zip(group, self._fold(kind, old, values)):
                    earlier[id(a)][k] = v.text
        for acc in carried:
            acc.lanes = 0
            acc.values = earlier[id(acc)]

    def _fold(self, kind: str, a: list[Value], b: list[Value]) -> list[Value]:
        if len(a) == 2:
            return list(argument_step(self, kind, a[0], a[1], b[0], b[1]))
        return [combine(self, kind, a[0], b[0])]

    def _part(self, v: Value, start: int, lanes: int) -> Value:
        if lanes == 1:
            return Value(self.extract(v, str(start)), v.dtype)
        t = type_of(v.dtype, v.lanes)
        order = ", ".join(f"i32 {start + k}" for k in range(lanes))
        return Value(self.new(f"shufflevector {t} {v.text}, {t} poison, <{lanes} x i32> <{order}>"), v.dtype, lanes)


def _suffix(mem: str) -> str:
    return {"float": "f32", "double": "f64"}.get(mem, mem)


def _vector_suffix(full: str) -> str:
    n, _, mem = full[1:-1].partition(" x ")
    return f"v{n}{_suffix(mem)}"


_STATEMENTS: dict[type, Callable[[Any, Any], None]] = {
    Load: FunctionEmitter.load, Store: FunctionEmitter.store, Let: FunctionEmitter.let, IndexValue: FunctionEmitter.index_value,
    Acc: FunctionEmitter.declare, Reduce: FunctionEmitter.reduce, SetAcc: FunctionEmitter.set_acc, GetAcc: FunctionEmitter.get_acc,
    For: FunctionEmitter.loop_statement, If: FunctionEmitter.where, Alloc: FunctionEmitter.alloc, Barrier: FunctionEmitter.barrier,
    Check: FunctionEmitter.check,
}  # fmt: skip
