"""From kernels of blocks and threads to PTX text.

The statements of one thread are emitted as for every target; here is what differs: what a block and a thread are, shared
memory, barriers, masked loads. Each kernel becomes

    .visible .entry NAME(addresses of the kernel's buffers…, its int64 parameters…, address of an int64 status)

where a failed check lowers the status (unsigned, -1 before) to its code. In the place of the buffer of a scalar input stands the number
itself, in the low bytes of an int64.
"""

from __future__ import annotations

from collections.abc import Sequence

from ingot.backends.cuda import ptx_warpgroup
from ingot.backends.cuda.block_kernel import ALIGNMENT, LINES, asked_for, geometry, multiplied_there, shared_bytes
from ingot.backends.cuda.emulate_copies import landed
from ingot.backends.cuda.numbers import by_value
from ingot.backends.cuda.wide import WideAccesses
from ingot.backends.llvm import codegen
from ingot.backends.llvm.address import Place
from ingot.backends.llvm.instructions import instruction
from ingot.backends.llvm.level import Level
from ingot.backends.llvm.memory import memory_type
from ingot.backends.llvm.rare import Rare
from ingot.backends.llvm.values import Value, literal
from ingot.backends.llvm.writer import Module
from ingot.ir.dtypes import bf16, f16, f32, u32
from ingot.ir.loop.fragments import LEFT, RIGHT, SUMS, steps
from ingot.ir.loop.ir import (
    Acc,
    Alloc,
    Barrier,
    Commit,
    CopyAsync,
    For,
    Kernel,
    Load,
    LoadMatrix,
    Mma,
    Shuffle,
    Stmt,
    Wait,
    WarpgroupMma,
    WarpgroupWait,
)
from ingot.ir.loop.program import Program
from ingot.ir.loop.walk import statements
from ingot.ir.lower.target import UnsupportedKernel
from ingot.ir.struct import replace

__all__ = ["build", "llvm_text", "verify_parameters"]

PARAMETER = 16  # bytes that a parameter takes
BYTES, MOST_BYTES = 4352, 32764  # of all parameters of a kernel; the latter from version 8.1 of PTX on


class _Emitter(WideAccesses):
    """The function of one kernel."""

    tables = "internal addrspace(1)"

    def __init__(self, module: Module, kernel: Kernel):
        super().__init__(module, kernel)
        self.buffers = {b.name: (f"%b.{b.name}", b.dtype) for b in kernel.buffers}
        self.shared: list[str] = []
        self.near: dict[str, str] = {}  # and where they are there
        self.asked = asked_for(kernel) > 0
        self.in_shared: set[str] = set()  # the buffers in shared memory
        self.swizzled = multiplied_there(kernel)

    def rare(self, stmts: list[Stmt]) -> dict[int, list[Rare]]:
        """None: where the threads of a warp part ways, the warp runs both."""
        return {}

    def hardware_loop(self, s: For) -> None:
        """The register that tells a thread which block or thread it is."""
        register = "ctaid" if s.kind == "grid" else "tid"
        index = self.call("i32", f"llvm.nvvm.read.ptx.sreg.{register}.x")
        self.vars[s.var] = (self.new(f"zext i32 {index} to i64"), self.depth)
        self.body(s.body)

    def table_address(self, name: str) -> str:
        """A table lies in the memory that all threads see."""
        return f"addrspacecast (ptr addrspace(1) {name} to ptr)"

    def alloc(self, s: Alloc) -> None:
        """Scratch is memory that the threads of a block share."""
        if s.name in self.buffers:
            return
        if self.asked:  # one block of a size that the launch says
            name = f"@shared_{self.kernel.name}"
            if not self.shared:
                unit = LINES if self.swizzled else ALIGNMENT
                self.shared.append(f"{name} = external addrspace(3) global [0 x i8], align {unit}")
            name = f"getelementptr (i8, ptr addrspace(3) {name}, i64 {shared_bytes(self.kernel)[s.name][0]})"
        else:
            name = f"@{self.kernel.name}.{s.name}"
            unit = LINES if s.name in self.swizzled else ALIGNMENT
            self.shared.append(f"{name} = internal addrspace(3) global [{max(1, s.size)} x {memory_type(s.dtype)}] undef, align {unit}")
        self.aligned.add(s.name)
        self.in_shared.add(s.name)
        self.near[s.name] = name
        self.buffers[s.name] = (f"addrspacecast (ptr addrspace(3) {name} to ptr)", s.dtype)

    def barrier(self, s: Barrier) -> None:
        """Where the threads of a block wait for each other. What they have written is there for warpgroups, too, which read past it."""
        if self.swizzled:
            self.call("void", "llvm.nvvm.fence.proxy.async.shared_cta")
        self.call("void", "llvm.nvvm.barrier.cta.sync.aligned.all", ("i32", "0"))

    def copy_async(self, s: CopyAsync) -> None:
        """Copies that pass no registers; where a buffer is not aligned, loads and stores."""
        (base, of), (_, to) = self.buffer(s.src), self.buffer(s.dst)
        if not self.begins(s.src, s.at, s.nbytes // of.itemsize):
            self.body(landed(s, to, of, "unroll"))
            return
        there = self.uniform(s.to)[0]
        near = self.new(f"getelementptr {memory_type(to)}, ptr addrspace(3) {self.near[s.dst]}, i64 {there}")
        far = self.new(f"addrspacecast ptr {self.place(base, memory_type(of), s.at).pointer} to ptr addrspace(1)")
        args = [("ptr addrspace(3)", near), ("ptr addrspace(1)", far)]
        name = f"llvm.nvvm.cp.async.{'cg' if s.nbytes == 16 else 'ca'}.shared.global.{s.nbytes}"
        if s.mask is not None:
            args.append(("i32", self.new(f"select i1 {self.operand(s.mask).text}, i32 {s.nbytes}, i32 0")))
            name += ".s"
        self.call("void", name, *args)

    def commit(self, s: Commit) -> None:
        """The end of a group of copies."""
        self.call("void", "llvm.nvvm.cp.async.commit.group")

    def wait(self, s: Wait) -> None:
        """Where all groups have landed but the last."""
        self.call("void", "llvm.nvvm.cp.async.wait.group", ("i32", str(s.groups)))

    def warpgroup(self, s: WarpgroupMma) -> None:
        """Products of a warpgroup, which go on by themselves."""
        ptx_warpgroup.products(self, s, self.near)

    def settle(self, s: WarpgroupWait) -> None:
        """Where products of a warpgroup are done."""
        ptx_warpgroup.settle(self, s)

    def mma(self, s: Mma) -> None:
        """Matrix instructions of a warp, one for each product."""
        kind, each = {bf16: "bf16", f16: "f16", f32: "tf32"}[s.dtype], len(s.right) // RIGHT
        left, right = ([self.operand(x).text for x in side] for side in (s.left, s.right))
        out = "{float, float, float, float}"
        text = f"mma.sync.aligned.m16n8k{steps(s.dtype)}.row.col.f32.{kind}.{kind}.f32 "
        text += "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};"
        for k in range(len(s.accs) // SUMS):
            accs = [self.accs[a] for a in s.accs[SUMS * k : SUMS * k + SUMS]]
            words = [*left[k // each * LEFT :][:LEFT], *right[k % each * RIGHT :][:RIGHT]]
            args = ", ".join([*(f"i32 {x}" for x in words), *(f"float {a.values[0]}" for a in accs)])
            made = self.new(f'call {out} asm "{text}", "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f"({args}) convergent nounwind')
            for r, a in enumerate(accs):
                a.values[0] = self.new(f"extractvalue {out} {made}, {r}")

    def load_matrix(self, s: LoadMatrix) -> None:
        """Matrices into the registers of the warp."""
        at = self.new(f"getelementptr i32, ptr addrspace(3) {self.near[s.buf]}, i64 {self.operand(s.at).text}")
        kind = "{i32, i32, i32, i32}"
        name = f"llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4{'.trans' if s.turned else ''}.b16.p3"
        found = self.call(kind, name, ("ptr addrspace(3)", at))
        for r, name in enumerate(s.dsts):
            self.names[name] = Value(self.new(f"extractvalue {kind} {found}, {r}"), u32, 0, self.depth)

    def shuffle(self, s: Shuffle) -> None:
        """A register of another thread of the warp."""
        x = self.operand(s.src)
        kind, name = ("float", "f32") if x.dtype.kind == "f" else ("i32", "i32")
        text = self.call(kind, f"llvm.nvvm.shfl.sync.bfly.{name}", ("i32", "-1"), (kind, x.text), ("i32", str(s.lanes)), ("i32", "31"))
        self.names[s.dst] = Value(text, x.dtype, 0, self.depth)

    def load(self, s: Load) -> None:
        """Load an element. Under a false mask some other element is loaded, as to branch takes longer: one of the same shared memory, or
        a zero in global memory."""
        base, dtype = self.buffer(s.buf)
        mask = None if s.mask is None else self.operand(s.mask)
        if s.buf not in self.in_shared or mask is None or mask.is_literal or self.lanes:
            super().load(s)
            return
        mem = memory_type(dtype)
        pointer = self.new(f"select i1 {mask.text}, ptr {self.place(base, mem, s.index).pointer}, ptr {base}")
        v = self.load_one(Place(pointer, self.depth, 0), dtype, mem, None)
        self.names[s.dst] = instruction(self, "select", [mask, v, Value(literal(0, dtype), dtype)], dtype)


def _emit(module: Module, kernel: Kernel, numbers: Sequence[bool]) -> None:
    e = _Emitter(module, kernel)
    e.kernel_body()
    # noalias only of what is read: of a written buffer it would let loads pass the barriers
    args, held = [], []
    for b, number in zip(kernel.buffers, numbers):
        if number:
            args.append(f"i64 %n.{b.name}")
            held += [f"  %b.{b.name} = alloca i64, align 8", f"  store i64 %n.{b.name}, ptr %b.{b.name}, align 8"]
        else:
            args.append(f"ptr {'noalias ' if b.noalias and b.access == 'r' else ''}%b.{b.name}")
    args += [f"i64 %p.{p}" for p in kernel.params] + ["ptr %status"]
    threads = geometry(kernel)[1]
    blocks = max(1, _resident(kernel, threads, e.swizzled) // threads)
    attributes = f'nounwind "no-trapping-math"="true" "nvvm.reqntid"="{threads}" "nvvm.minctasm"="{blocks}"'
    head = f"define ptx_kernel void @{kernel.name}({', '.join(args)}) {attributes} {{\nentry:"
    module.functions.append("\n".join([*e.shared, head, *held, *e.allocas, *e.lines, "  ret void", "}"]))


def _resident(kernel: Kernel, threads: int, swizzled: set[str]) -> int:
    """How many threads share the registers of a multiprocessor: 256, 384 or 512, so that each has 255, 168 or 128."""
    every = list(statements(kernel.body))
    accs = sum(isinstance(s, Acc) for s in every)
    copied = {s.dst for s in every if isinstance(s, CopyAsync)}
    through = not swizzled <= copied and any(isinstance(s, WarpgroupMma) and s.dtype is not f32 for s in every)  # halves on their way
    if accs >= (64 if swizzled else 120) or through:
        return 256
    return 384 if threads <= 128 and (accs > 40 or swizzled) else 512


def llvm_text(program: Program, level: Level) -> str:
    """The module's LLVM IR."""
    module = Module(level)
    numbers = by_value(program)
    for name, kernel in program.kernels.items():
        _emit(module, kernel, numbers.get(name, [False] * len(kernel.buffers)))
    parts = [f'target triple = "{level.triple}"', *module.helpers.values(), *module.functions, *module.declared.values()]
    return "\n".join([*parts, "attributes #1 = { nounwind }", "attributes #2 = { nounwind noinline }", ""])


def verify_parameters(program: Program) -> None:
    """UnsupportedKernel where a kernel has more parameters than a GPU takes."""
    for k in program.kernels.values():
        if _nbytes(k) > MOST_BYTES:
            takes, most = len(k.buffers) + len(k.params), MOST_BYTES // PARAMETER - 1
            raise UnsupportedKernel(f"{k.name} takes {takes} addresses and numbers, and on a GPU {most} at most: compute it in parts")


def _nbytes(k: Kernel) -> int:
    return PARAMETER * (len(k.buffers) + len(k.params) + 1)


def build(program: Program, level: Level) -> str:
    """The PTX of a program's kernels, one module; of a later version where a kernel has many parameters."""
    if any(_nbytes(k) > BYTES for k in program.kernels.values()):
        level = replace(level, features=(*level.features, "ptx81"))
    return codegen.assembly(llvm_text(program, level), level)
