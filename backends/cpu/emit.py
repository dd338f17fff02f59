"""From a kernel's statements to one LLVM function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot.backends.cpu.accumulators import Accumulator
from ingot.backends.cpu.loops import Loops
from ingot.backends.cpu.memory import memory_type
from ingot.backends.cpu.rare import Rare, rare_parts
from ingot.backends.cpu.scalars import Value, constant, instruction, literal, type_of
from ingot.backends.cpu.writer import Module
from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.loop.ir import (
    Acc,
    Alloc,
    Barrier,
    Check,
    Const,
    For,
    GetAcc,
    If,
    IndexValue,
    Kernel,
    Let,
    Load,
    Operand,
    Reduce,
    SetAcc,
    Stmt,
    Store,
)

__all__ = ["Accumulator", "FunctionEmitter", "memory_type"]


class FunctionEmitter(Loops):
    """Emits statements into one function. `parent`: the function of the kernel's top level, for a phase of it."""

    def __init__(self, module: Module, kernel: Kernel, parent: FunctionEmitter | None = None):
        super().__init__(module)
        self.kernel = kernel
        self.parent = parent
        self.names: dict[str, Value] = {}
        self.vars: dict[str, tuple[str, int] | int] = {}
        self.accs: dict[str, Accumulator] = {}
        self.buffers: dict[str, tuple[str, DType]] = {}
        self.captures: dict[tuple[str, str], tuple[str, str, str]] = {}  # -> (LLVM type, name here, name in the parent)
        self.lanes = 0
        self.lane_var: str | None = None
        self.mask: str | None = None  # the lanes that are there, in a partial group
        self.last_lane = ""  # in a partial group: the last lane that is there
        self.scratch_bytes = 0
        self.streams = False
        self.local_dtypes: dict[str, DType] = {}  # of scratch seen ahead of its declaration
        self._rare: dict[int, tuple[list[Stmt], dict[int, list[Rare]]]] = {}
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
        known = self._rare.get(id(stmts))
        if known is None:
            known = self._rare[id(stmts)] = (stmts, rare_parts(stmts))  # the list is kept, so that its id stays its own
        rare = known[1]
        for s in stmts:
            if id(s) in rare:
                parts = rare[id(s)]
                if not parts:
                    continue
                for part in parts:
                    self.rarely(part)
            _STATEMENTS[type(s)](self, s)

    def rarely(self, part: Rare) -> None:
        """Run these instructions where some lane needs them; elsewhere their results are 0, which nobody reads."""
        cond = self.operand(part.cond)
        if not part.side:
            cond = instruction(self, "not", [cond], dtypes.bool_)
        start, then, after = self.block, self.label(), self.label()
        some = self._any(cond.text, cond.lanes) if cond.lanes else cond.text
        self.push()
        self.block = then
        for s in part.cone:
            self.let(s)
        end = self.block
        lines = self.pop()
        self.line(f"br i1 {some}, label %{then}, label %{after}")
        self.lines.append(f"{then}:")
        self.lines += lines
        self.line(f"br label %{after}")
        self.start_block(after)
        for name in part.results:
            v = self.names[name]
            nothing = "zeroinitializer" if v.lanes else literal(0, v.dtype)
            text = self.new(f"phi {type_of(v.dtype, v.lanes)} [ {nothing}, %{start} ], [ {v.text}, %{end} ]")
            self.names[name] = Value(text, v.dtype, v.lanes, self.depth)

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


_STATEMENTS: dict[type, Callable[[Any, Any], None]] = {
    Load: FunctionEmitter.load, Store: FunctionEmitter.store, Let: FunctionEmitter.let, IndexValue: FunctionEmitter.index_value,
    Acc: FunctionEmitter.declare, Reduce: FunctionEmitter.reduce, SetAcc: FunctionEmitter.set_acc, GetAcc: FunctionEmitter.get_acc,
    For: FunctionEmitter.loop_statement, If: FunctionEmitter.where, Alloc: FunctionEmitter.alloc, Barrier: FunctionEmitter.barrier,
    Check: FunctionEmitter.check,
}  # fmt: skip
