"""A kernel as a module of its own: one function for its top level, which is called, and one for each parallel loop in it.

    void ingot_kernel(i64* buffers, i64* parameters, Table* rt, ptr scratch of the call, ptr scratch of the workers, i64* status)

It begins with loads of the buffers and parameters that it reads. A phase function has the pool's signature and begins with loads of
what it reads of the top level, which that has packed in 8-byte slots: where buffers and parameters lie, from which it loads those that
it reads itself, scalars, and scratch. That buffers do not overlap is not said:
the code generator, which nothing comes before, makes the same code without it, and a function more costs a millisecond.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ingot.backends.llvm.function import FunctionEmitter
from ingot.backends.llvm.level import Level
from ingot.backends.llvm.values import Value, type_of
from ingot.backends.llvm.writer import Module
from ingot.ir import struct as structs
from ingot.ir.dtypes import DType
from ingot.ir.loop.expression import Param
from ingot.ir.loop.ir import Alloc, For, GetAcc, Kernel

__all__ = ["KERNEL", "KernelEmitter", "PhaseEmitter", "Scratch", "emit_kernel"]

KERNEL = "ingot_kernel"  # what the code of every kernel defines


@structs.struct
class Scratch:
    """How much scratch there is: bytes, and for each item of `counted` (a parameter, an item's size) as many items as that says. All of
    them are rounded up to 64 bytes."""

    nbytes: int = 0
    counted: tuple[tuple[str, int], ...] = ()

    def or_else(self, other: Scratch) -> Scratch:
        """What is enough for either."""
        more = Counter(other.counted) - Counter(self.counted)  # several parts may be of one parameter
        return Scratch(max(self.nbytes, other.nbytes), (*self.counted, *more.elements()))


class _Emitter(FunctionEmitter):
    """What the top level and its phases have in common: what is passed to the kernel, and scratch, which is laid out where the function
    begins."""

    def __init__(self, module: Module, kernel: Kernel):
        super().__init__(module, kernel)
        self.passed: dict[str, dict[str, tuple[int, str, str]]] = {"%buffers": {}, "%parameters": {}}  # slots, types, names here

    def parameter(self, name: str) -> tuple[str, int]:
        """A parameter's value and the depth that defines it."""
        return self.passed["%parameters"].setdefault(name, (self.kernel.params.index(name), "i64", f"%p.{name}"))[2], 0

    def outer_buffer(self, name: str) -> tuple[str, DType]:
        """A buffer of the kernel. KeyError where it has none of that name."""
        for k, b in enumerate(self.kernel.buffers):
            if b.name == name:
                return self.passed["%buffers"].setdefault(name, (k, "ptr", f"%buf{k}"))[2], b.dtype
        raise self.undefined(f"buffer {name}")

    def scratch(self, scratch: Scratch, base: str, s: Alloc) -> str:
        """The address of a new part of scratch, which begins at `base`."""
        name = self.fresh()
        self.allocas.append(f"  {name} = getelementptr i8, ptr {base}, i64 {self.scratch_bytes(scratch)}")
        if isinstance(s.size, Param):
            scratch.counted += ((s.size.name, s.dtype.itemsize),)
        else:
            assert isinstance(s.size, int)  # sizes have become parameters
            scratch.nbytes += -(-s.size * s.dtype.itemsize // 64) * 64
        return name

    def scratch_bytes(self, scratch: Scratch) -> str:
        """The bytes of scratch, calculated where the function begins."""
        total = str(scratch.nbytes)
        for param, itemsize in scratch.counted:
            many, up, part, more = (self.fresh() for _ in range(4))
            self.allocas += [
                f"  {many} = mul i64 {self.parameter(param)[0]}, {itemsize}", f"  {up} = add i64 {many}, 63",
                f"  {part} = and i64 {up}, -64", f"  {more} = add i64 {total}, {part}",
            ]  # fmt: skip
            total = more
        return total


class KernelEmitter(_Emitter):
    """Emits the top level of a kernel."""

    def __init__(self, module: Module, kernel: Kernel):
        super().__init__(module, kernel)
        self.phases = 0
        self.arena = Scratch()
        self.worker = Scratch()  # enough for each of the phases

    def alloc(self, s: Alloc) -> None:
        """Scratch of a kernel lies in the arena."""
        self.buffers[s.name] = (self.scratch(self.arena, "%arena", s), s.dtype)

    def phase(self, s: For) -> None:
        """A parallel loop: its functions, and here the context and the call."""
        stop, _ = self.uniform(s.extent)
        if isinstance(stop, int) and stop <= 0:
            return
        name = f"phase.{self.phases}"
        self.phases += 1
        captures, scratch = self._phase_function(s, name)
        context = self.fresh()
        self.allocas.append(f"  {context} = alloca [{max(len(captures), 1)} x i64], align 8")
        for k, (llvm, _, outer) in enumerate(captures):
            slot = self.new(f"getelementptr i64, ptr {context}, i64 {k}")
            self.line(f"store {llvm} {outer}, ptr {slot}, align 8")
        if stop == 1:
            self.line(f'call void @"{name}"(ptr {context}, i64 0, i64 1, ptr %scratch)')
        else:
            self.module.declared["ingot.parallel"] = "declare hidden void @ingot.parallel(ptr, ptr, ptr, i64, ptr, i64)"  # the driver's
            stride = self.scratch_bytes(scratch)
            self.line(f'call void @ingot.parallel(ptr %rt, ptr @"{name}", ptr {context}, i64 {stop}, ptr %scratch, i64 {stride})')

    def _phase_function(self, s: For, name: str) -> tuple[list[tuple[str, str, str]], Scratch]:
        """Write the function of a parallel loop: what it reads of the top level, and the scratch of each worker."""
        f = PhaseEmitter(self.module, self.kernel, self)

        def inside(i: str) -> None:
            f.vars[s.var] = (i, f.depth)
            f.body(s.body)

        f.loop("%begin", "%end", 1, [], inside)
        _order_streams(f)
        self.worker = self.worker.or_else(f.own)
        passed = [line for base, values in f.passed.items() if values for line in _loads(f.capture("passed", base, "ptr", base), values)]
        captures = list(f.captures.values())
        lines = [f'define internal void @"{name}"(ptr %ctx, i64 %begin, i64 %end, ptr %scratch) #0 {{', "entry:"]
        lines += _loads("%ctx", {inner: (k, t, inner) for k, (t, inner, _) in enumerate(captures)}) + passed
        self.module.functions.append("\n".join([*lines, *f.allocas, *f.lines, "  ret void", "}"]))
        return captures, f.own


class PhaseEmitter(_Emitter):
    """Emits the body of a parallel loop. What it reads of `parent`, the kernel's top level, it captures."""

    def __init__(self, module: Module, kernel: Kernel, parent: KernelEmitter):
        super().__init__(module, kernel)
        self.parent = parent
        self.captures: dict[tuple[str, str], tuple[str, str, str]] = {}  # -> (LLVM type, name here, name in the parent)
        self.own = Scratch()

    def capture(self, kind: str, name: str, llvm: str, outer: str) -> str:
        """What something of the parent's is called here, where it is loaded at the beginning."""
        found = self.captures.get((kind, name))
        if found is None:
            found = (llvm, f"%in{len(self.captures)}", outer)
            self.captures[(kind, name)] = found
        return found[1]

    def status(self) -> str:
        """The address of the word that a failed check lowers."""
        return self.capture("status", "", "ptr", self.parent.status())

    def outer_scalar(self, name: str) -> Value:
        """A scalar of the top level. KeyError where that has none."""
        outer = self.parent.scalar(name)
        return Value(outer.text if outer.is_literal else self.capture("scalar", name, type_of(outer.dtype), outer.text), outer.dtype)

    def outer_variable(self, name: str) -> tuple[str, int] | int:
        """A loop variable of the top level. KeyError where that has none."""
        outer = self.parent.variable(name)
        return outer if isinstance(outer, int) else (self.capture("var", name, "i64", outer[0]), 0)

    def outer_buffer(self, name: str) -> tuple[str, DType]:
        """A buffer of the kernel, or scratch of its top level. KeyError where it has none of that name."""
        if any(b.name == name for b in self.kernel.buffers):
            return super().outer_buffer(name)
        outer, dtype = self.parent.buffer(name)
        return self.capture("buffer", name, "ptr", outer), dtype

    def outer_accumulator(self, s: GetAcc) -> Value:
        """The value of an accumulator of the top level, which a phase only reads."""
        outer = self.parent.accs[s.acc]
        slot = self.slot(outer, s.at)
        return Value(self.capture("acc", f"{s.acc}.{slot}", type_of(outer.dtype), outer.values[slot]), outer.dtype)

    def alloc(self, s: Alloc) -> None:
        """Scratch of a worker: on its stack where it is small."""
        if s.scope == "kernel":
            raise ValueError(f"kernel {self.kernel.name}: scratch {s.name} of scope 'kernel' is declared inside a parallel loop")
        size = s.size * s.dtype.itemsize if isinstance(s.size, int) else None
        if size is not None and size <= 4096:
            name = self.fresh()
            self.allocas.append(f"  {name} = alloca [{max(size, 1)} x i8], align 64")
        else:
            name = self.scratch(self.own, "%scratch", s)
        self.buffers[s.name] = (name, s.dtype)


def _order_streams(e: FunctionEmitter) -> None:
    """Streaming stores become visible before what follows the function."""
    if e.streams and e.level.arch == "x86_64":
        e.call("void", "llvm.x86.sse.sfence")


def emit_kernel(level: Level, kernel: Kernel) -> tuple[str, Scratch, Scratch]:
    """The module of a kernel as LLVM IR, the scratch that a call needs, and the scratch of each worker. Its name is no part of it."""
    module = Module(level)
    e = KernelEmitter(module, kernel)
    e.body(kernel.body)
    _order_streams(e)
    how = 3 if _launches_only(e) else 0
    lines = [f"define void @{KERNEL}(ptr %buffers, ptr %parameters, ptr %rt, ptr %arena, ptr %scratch, ptr %status) #{how} {{", "entry:"]
    for base, values in e.passed.items():
        lines += _loads(base, values)
    module.functions.append("\n".join([*lines, *e.allocas, *e.lines, "  ret void", "}"]))
    texts = *module.helpers.values(), *module.functions, *module.declared.values(), _attributes(level)
    return "\n".join([f'target triple = "{level.triple}"', *texts]), e.arena, e.worker


def _launches_only(e: KernelEmitter) -> bool:
    """Whether the top level runs straight to its phases, so that how its code is made does not matter."""
    return e.phases > 0 and not any(line.startswith("  br ") for line in e.lines) and not any(" x " in line for line in e.lines)


def _loads(base: str, values: Mapping[str, tuple[int, str, str]]) -> list[str]:
    """Values from slots behind `base`: numbers, types and names."""
    lines = []
    for k, t, name in values.values():
        lines.append(f"  {name}.at = getelementptr i64, ptr {base}, i64 {k}")
        lines.append(f"  {name} = load {t}, ptr {name}.at, align 8")
    return lines


def _attributes(level: Level) -> str:
    common = f'nounwind "target-cpu"="{level.cpu}" "no-trapping-math"="true"'
    if level.features:
        common += f' "target-features"="{",".join("+" + f for f in level.features)}"'
    bits = level.machine.vector_bytes * 8
    wide = f' "prefer-vector-width"="{bits}" "min-legal-vector-width"="{bits}"' if level.arch == "x86_64" else ""
    # generated code, helpers, calls out of line, and what only launches phases: a third of the time, and it runs once a call
    groups = (common + wide, common, common + " noinline", common + " noinline optnone")
    return "".join(f"attributes #{k} = {{ {g} }}\n" for k, g in enumerate(groups)) + "!0 = !{i32 1}\n"
