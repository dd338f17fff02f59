"""A kernel as LLVM functions: one for its top level, which the entry calls, and two for each parallel loop in it.

A phase function has the pool's signature and unpacks the context that the top level packed (addresses, parameters and
scalars that the phase reads, in 8-byte slots); the function behind it takes them as arguments, so that `noalias` can
be said of buffers.
"""

from __future__ import annotations

from ingot.backends.llvm.function import FunctionEmitter
from ingot.backends.llvm.values import Value, type_of
from ingot.backends.llvm.writer import Module
from ingot.ir.dtypes import DType
from ingot.ir.loop.ir import Alloc, Buffer, For, GetAcc, Kernel

__all__ = ["KernelEmitter", "PhaseEmitter", "emit_kernel"]


def _alone(buffers: tuple[Buffer, ...]) -> set[str]:
    """The buffers of which LLVM's `noalias` holds: `Buffer.noalias` excludes overlap with what is written elsewhere,
    LLVM's also excludes others' reads of what is written here."""
    return {b.name for b in buffers if b.noalias and ("w" not in b.access or all(o.noalias for o in buffers if o is not b))}


class KernelEmitter(FunctionEmitter):
    """Emits the top level of a kernel."""

    def __init__(self, module: Module, kernel: Kernel):
        super().__init__(module, kernel)
        self.buffers = {b.name: (f"%buf{k}", b.dtype) for k, b in enumerate(kernel.buffers)}
        self.alone = _alone(kernel.buffers)
        self.phases = 0
        self.arena_bytes = 0
        self.worker_bytes = 0

    def alloc(self, s: Alloc) -> None:
        """Scratch of a kernel lies in the arena."""
        name = self.fresh()
        self.allocas.append(f"  {name} = getelementptr i8, ptr %arena, i64 {self.arena_bytes}")
        self.arena_bytes += -(-s.size * s.dtype.itemsize // 64) * 64
        self.alone.add(s.name)
        self.buffers[s.name] = (name, s.dtype)

    def phase(self, s: For) -> None:
        """A parallel loop: its functions, and here the context and the call."""
        stop, _ = self.uniform(s.extent)
        if isinstance(stop, int) and stop <= 0:
            return
        name = f"{self.kernel.name}.{self.phases}"
        self.phases += 1
        captures = self._phase_functions(s, name)
        context = self.fresh()
        self.allocas.append(f"  {context} = alloca [{max(len(captures), 1)} x i64], align 8")
        for k, (llvm, _, outer) in enumerate(captures):
            slot = self.new(f"getelementptr i64, ptr {context}, i64 {k}")
            self.line(f"store {llvm} {outer}, ptr {slot}, align 8")
        if stop == 1:
            self.line(f'call void @"{name}"(ptr {context}, i64 0, i64 1, ptr %scratch)')
        else:
            self.module.helpers.setdefault("parallel", "")  # its text is written when the scratch size is known (module.py)
            self.line(f'call void @ingot.parallel(ptr %rt, ptr @"{name}", ptr {context}, i64 {stop}, ptr %scratch)')

    def _phase_functions(self, s: For, name: str) -> list[tuple[str, str, str]]:
        f = PhaseEmitter(self.module, self.kernel, self)

        def inside(i: str) -> None:
            f.vars[s.var] = (i, f.depth)
            f.body(s.body)

        f.loop("%begin", "%end", 1, [], inside)
        _order_streams(f)
        self.worker_bytes = max(self.worker_bytes, f.scratch_bytes)
        captures = list(f.captures.values())
        alone = {inner for (kind, b), (_, inner, _) in f.captures.items() if kind == "buffer" and b in self.alone}
        args = [f"{t} {'noalias ' if inner in alone else ''}{inner}" for t, inner, _ in captures]
        args += ["i64 %begin", "i64 %end", "ptr noalias %scratch"]
        head = f'define internal void @"{name}.body"({", ".join(args)}) #0 {{\nentry:'
        self.module.functions.append("\n".join([head, *f.allocas, *f.lines, "  ret void", "}"]))
        lines = [f'define internal void @"{name}"(ptr %ctx, i64 %begin, i64 %end, ptr %scratch) #0 {{']
        for k, (t, _, _) in enumerate(captures):
            lines.append(f"  %s{k} = getelementptr i64, ptr %ctx, i64 {k}")
            lines.append(f"  %v{k} = load {t}, ptr %s{k}, align 8")
        passed = [f"{t} %v{k}" for k, (t, _, _) in enumerate(captures)] + ["i64 %begin", "i64 %end", "ptr %scratch"]
        lines += [f'  tail call void @"{name}.body"({", ".join(passed)})', "  ret void", "}"]
        self.module.functions.append("\n".join(lines))
        return captures


class PhaseEmitter(FunctionEmitter):
    """Emits the body of a parallel loop. What it reads of `parent`, the kernel's top level, it captures: it becomes an argument."""

    def __init__(self, module: Module, kernel: Kernel, parent: KernelEmitter):
        super().__init__(module, kernel)
        self.parent = parent
        self.captures: dict[tuple[str, str], tuple[str, str, str]] = {}  # -> (LLVM type, name here, name in the parent)
        self.scratch_bytes = 0

    def capture(self, kind: str, name: str, llvm: str, outer: str) -> str:
        """The argument that something of the parent's becomes."""
        found = self.captures.get((kind, name))
        if found is None:
            found = (llvm, f"%in{len(self.captures)}", outer)
            self.captures[(kind, name)] = found
        return found[1]

    def parameter(self, name: str) -> tuple[str, int]:
        """A parameter's value and the depth that defines it."""
        return self.capture("param", name, "i64", self.parent.parameter(name)[0]), 0

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
        """A buffer of the kernel. KeyError where it has none of that name."""
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
        size = s.size * s.dtype.itemsize
        name = self.fresh()
        if size <= 4096:
            self.allocas.append(f"  {name} = alloca [{max(size, 1)} x i8], align 64")
        else:
            self.allocas.append(f"  {name} = getelementptr i8, ptr %scratch, i64 {self.scratch_bytes}")
            self.scratch_bytes += -(-size // 64) * 64
        self.buffers[s.name] = (name, s.dtype)


def _order_streams(e: FunctionEmitter) -> None:
    """Streaming stores become visible before what follows the function."""
    if e.streams and e.level.arch == "x86_64":
        e.call("void", "llvm.x86.sse.sfence")


def emit_kernel(module: Module, kernel: Kernel) -> KernelEmitter:
    """Add a kernel to the module: void @"<name>"(buffers, parameters, rt, arena, scratch, status)."""
    e = KernelEmitter(module, kernel)
    e.body(kernel.body)
    _order_streams(e)
    args = [f"ptr {'noalias ' if b.name in e.alone else ''}%buf{k}" for k, b in enumerate(kernel.buffers)]
    args += [f"i64 %p.{p}" for p in kernel.params]
    args += ["ptr %rt", "ptr %arena", "ptr %scratch", "ptr %status"]
    head = f'define internal void @"{kernel.name}"({", ".join(args)}) #0 {{\nentry:'
    module.functions.append("\n".join([head, *e.allocas, *e.lines, "  ret void", "}"]))
    return e
