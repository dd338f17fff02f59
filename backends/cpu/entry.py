"""The entry of an executable: one function that runs a program's steps.

    i32 ingot_entry(i64* args, Table* rt, i8* arena)      0, or the code of a failed check

    Table { i64 abi_version; i64 nthreads; ptr pool; ptr parallel; }
    parallel: void (ptr pool, ptr fn, ptr ctx, i64 n, ptr scratch, i64 scratch_stride)
"""

from __future__ import annotations

from ingot.backends.llvm.writer import Module
from ingot.ir.loop.program import Copy, Launch, Program, Ref, Repeat, Step

__all__ = ["ENTRY", "emit_entry", "parallel_helper"]

ENTRY = "ingot_entry"
MXCSR = 0x1F80  # round to nearest, denormals kept, exceptions masked


def parallel_helper(scratch_bytes: int) -> str:
    """void @ingot.parallel(rt, fn, ctx, n, scratch): one chunk runs here, more go to the pool."""
    return f"""define internal void @ingot.parallel(ptr %rt, ptr %fn, ptr %ctx, i64 %n, ptr %scratch) #2 {{
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %run, label %done
run:
  %one = icmp eq i64 %n, 1
  br i1 %one, label %here, label %spread
here:
  call void %fn(ptr %ctx, i64 0, i64 1, ptr %scratch)
  br label %done
spread:
  %pp = getelementptr i8, ptr %rt, i64 16
  %pool = load ptr, ptr %pp
  %fp = getelementptr i8, ptr %rt, i64 24
  %parallel = load ptr, ptr %fp
  call void %parallel(ptr %pool, ptr %fn, ptr %ctx, i64 %n, ptr %scratch, i64 {scratch_bytes})
  br label %done
done:
  ret void
}}
"""


class _Entry:
    def __init__(self, program: Program, module: Module):
        self.program = program
        self.module = module
        self.lines: list[str] = []
        self.args: list[str] = []  # loads of argument slots, at the top
        self.loaded: dict[int, str] = {}
        self.vars: dict[str, str] = {}
        self.addresses: dict[Ref, str] = {}
        self.count = 0
        self.block = "entry"

    def new(self, expr: str) -> str:
        self.count += 1
        self.lines.append(f"  %x{self.count} = {expr}")
        return f"%x{self.count}"

    def address(self, ref: Ref) -> str:
        found = self.addresses.get(ref)
        if found is not None:
            return found
        offset = ref.offset
        if ref.arg is None:
            text = "%arena"
        elif ref.value:
            text, offset = "%args", offset + 8 * ref.arg
        else:
            text = self.loaded.get(ref.arg, "")
            if not text:
                text = self.loaded[ref.arg] = f"%a{ref.arg}"
                self.args.append(f"  %slot{ref.arg} = getelementptr i64, ptr %args, i64 {ref.arg}")
                self.args.append(f"  {text} = load ptr, ptr %slot{ref.arg}, align 8")
        for var, stride in ref.strides:
            text = self.new(f"getelementptr i8, ptr {text}, i64 {self.new(f'mul i64 {self.vars[var]}, {stride}')}")
        if offset:
            text = self.new(f"getelementptr i8, ptr {text}, i64 {offset}")
        self.addresses[ref] = text
        return text

    def steps(self, steps: tuple[Step, ...], arena_bytes: int) -> None:
        for s in steps:
            if isinstance(s, Launch):
                kernel = self.program.kernels[s.kernel]
                args = [f"ptr {self.address(r)}" for r in s.bufs] + [f"i64 {p}" for p in s.params]
                if len(s.bufs) != len(kernel.buffers) or len(s.params) != len(kernel.params):
                    raise ValueError(f"launch of {s.kernel}: {len(s.bufs)} buffers and {len(s.params)} parameters for "
                                     f"{len(kernel.buffers)} and {len(kernel.params)}")  # fmt: skip
                args += ["ptr %rt", "ptr %scratch0", "ptr %scratch", "ptr %status"]
                self.lines.append(f'  call void @"{s.kernel}"({", ".join(args)})')
            elif isinstance(s, Copy):
                self.module.declare("void", "llvm.memmove.p0.p0.i64", ("ptr", "ptr", "i64", "i1"))
                dst, src = self.address(s.dst), self.address(s.src)
                self.lines.append(f"  call void @llvm.memmove.p0.p0.i64(ptr {dst}, ptr {src}, i64 {s.nbytes}, i1 false)")
            elif isinstance(s, Repeat):
                self.repeat(s, arena_bytes)
            else:
                raise TypeError(f"not a step of a program: {s!r}")

    def repeat(self, s: Repeat, arena_bytes: int) -> None:
        if s.count <= 0:
            return
        self.count += 1
        head, after, i = f"l{self.count}", f"e{self.count}", f"%i{self.count}"
        self.lines += [f"  br label %{head}", f"{head}:"]
        at = len(self.lines)
        enter, self.block = self.block, head
        outer = dict(self.addresses)
        self.vars[s.var] = i
        self.steps(s.steps, arena_bytes)
        self.addresses = outer
        following = self.new(f"add nuw nsw i64 {i}, 1")
        again = self.new(f"icmp slt i64 {following}, {s.count}")
        self.lines.insert(at, f"  {i} = phi i64 [ 0, %{enter} ], [ {following}, %{self.block} ]")
        self.lines += [f"  br i1 {again}, label %{head}, label %{after}", f"{after}:"]
        self.block = after


def emit_entry(module: Module, program: Program, arena_bytes: int, kernel_bytes: int) -> None:
    """Add the entry. The arena: the program's bytes, then `kernel_bytes` for kernels' scratch, then the workers'."""
    e = _Entry(program, module)
    e.steps(program.steps, arena_bytes)
    head = [
        f"define dso_local i32 @{ENTRY}(ptr %args, ptr %rt, ptr %arena) #0 {{",
        "entry:",
        "  %status = alloca i64, align 8",
        "  store i64 -1, ptr %status, align 8",
        f"  %scratch0 = getelementptr i8, ptr %arena, i64 {arena_bytes - kernel_bytes}",
        f"  %scratch = getelementptr i8, ptr %arena, i64 {arena_bytes}",
    ]
    tail = []
    if module.level.arch == "x86_64":
        module.declare("void", "llvm.x86.sse.stmxcsr", ("ptr",))
        module.declare("void", "llvm.x86.sse.ldmxcsr", ("ptr",))
        head += [
            "  %saved = alloca i32, align 4",
            "  %mode = alloca i32, align 4",
            "  call void @llvm.x86.sse.stmxcsr(ptr %saved)",
            f"  store i32 {MXCSR}, ptr %mode, align 4",
            "  call void @llvm.x86.sse.ldmxcsr(ptr %mode)",
        ]
        tail = ["  call void @llvm.x86.sse.ldmxcsr(ptr %saved)"]
    elif module.level.arch == "aarch64":
        module.declare("i64", "llvm.aarch64.get.fpcr", ())
        module.declare("void", "llvm.aarch64.set.fpcr", ("i64",))
        head += ["  %saved = call i64 @llvm.aarch64.get.fpcr()", "  call void @llvm.aarch64.set.fpcr(i64 0)"]
        tail = ["  call void @llvm.aarch64.set.fpcr(i64 %saved)"]
    tail += [
        "  %code = load i64, ptr %status, align 8",
        "  %fine = icmp eq i64 %code, -1",
        "  %short = trunc i64 %code to i32",
        "  %result = select i1 %fine, i32 0, i32 %short",
        "  ret i32 %result",
        "}",
    ]
    module.functions.append("\n".join([*head, *e.args, *e.lines, *tail]))
