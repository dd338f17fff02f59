"""A kernel as LLVM functions: one for its top level, which the entry calls, and two for each parallel loop in it.

A phase function has the pool's signature and unpacks the context that the top level packed (addresses, parameters and
scalars that the phase reads, in 8-byte slots); the function behind it takes them as arguments, so that `noalias` can
be said of buffers.
"""

from __future__ import annotations

from ingot.backends.cpu.emit import FunctionEmitter
from ingot.backends.cpu.writer import Module
from ingot.ir.loop.ir import Alloc, Buffer, For, Kernel

__all__ = ["KernelEmitter", "emit_kernel"]


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

    def kernel_scratch(self, s: Alloc) -> str:
        name = self.fresh()
        self.allocas.append(f"  {name} = getelementptr i8, ptr %arena, i64 {self.arena_bytes}")
        self.arena_bytes += -(-s.size * s.dtype.itemsize // 64) * 64
        self.alone.add(s.name)
        return name

    def phase(self, s: For) -> None:
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
            self.module.helper("parallel")
            self.line(f'call void @ingot.parallel(ptr %rt, ptr @"{name}", ptr {context}, i64 {stop}, ptr %scratch)')

    def _phase_functions(self, s: For, name: str) -> list[tuple[str, str, str]]:
        f = FunctionEmitter(self.module, self.kernel, self)

        def inside(i: str) -> None:
            f.vars[s.var] = (i, f.depth)
            f.body(s.body)

        f.loop("%begin", "%end", 1, [], inside)
        if f.streams and f.target.is_x86:  # type: ignore[attr-defined]
            f.call("void", "llvm.x86.sse.sfence")
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


def emit_kernel(module: Module, kernel: Kernel) -> KernelEmitter:
    """Add a kernel to the module: void @"<name>"(buffers, parameters, rt, arena, scratch, status)."""
    e = KernelEmitter(module, kernel)
    e.body(kernel.body)
    if e.streams and e.target.is_x86:  # type: ignore[attr-defined]
        e.call("void", "llvm.x86.sse.sfence")
    args = [f"ptr {'noalias ' if b.name in e.alone else ''}%buf{k}" for k, b in enumerate(kernel.buffers)]
    args += [f"i64 %p.{p}" for p in kernel.params]
    args += ["ptr %rt", "ptr %arena", "ptr %scratch", "ptr %status"]
    head = f'define internal void @"{kernel.name}"({", ".join(args)}) #0 {{\nentry:'
    module.functions.append("\n".join([head, *e.allocas, *e.lines, "  ret void", "}"]))
    return e
