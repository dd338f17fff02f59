"""The machine's own limits, measured with kernels of a few instructions: fma rate and memory bandwidth."""

from __future__ import annotations

import ctypes
import time
from typing import Any

__all__ = ["limits"]

ACCUMULATORS = 12


def _kernel(lanes: int, temporal: bool) -> str:
    """LLVM IR: a phase that does nothing but fma, one that copies, one that reads; and calls of the pool."""
    v = f"<{lanes} x float>"
    size = 4 * lanes
    chain = "\n".join(f"  %n{i} = call {v} @llvm.fma({v} %a{i}, {v} %x, {v} %y)" for i in range(ACCUMULATORS))
    phis = "\n".join(f"  %a{i} = phi {v} [ %x, %entry ], [ %n{i}, %loop ]" for i in range(ACCUMULATORS))
    sums = "\n".join(f"  %s{i} = fadd {v} %{'n0' if i == 1 else f's{i - 1}'}, %n{i}" for i in range(1, ACCUMULATORS))
    hint = "" if temporal else ", !nontemporal !0"
    return f"""
    declare {v} @llvm.fma({v}, {v}, {v})
    define void @fma(ptr %ctx, i64 %begin, i64 %end, ptr %scratch) #0 {{
    entry:
      %times = load i64, ptr %ctx
      %p = getelementptr i8, ptr %ctx, i64 64
      %x = load {v}, ptr %p, align 4
      %y = fneg {v} %x
      br label %loop
    loop:
      %i = phi i64 [ 0, %entry ], [ %i2, %loop ]
    {phis}
    {chain}
      %i2 = add i64 %i, 1
      %m = icmp slt i64 %i2, %times
      br i1 %m, label %loop, label %out
    out:
    {sums}
      %o = getelementptr i8, ptr %ctx, i64 256
      %at = mul i64 %begin, {size}
      %q = getelementptr i8, ptr %o, i64 %at
      store {v} %s{ACCUMULATORS - 1}, ptr %q, align 4
      ret void
    }}
    define void @copy(ptr %ctx, i64 %begin, i64 %end, ptr %scratch) #0 {{
    entry:
      %dst = load ptr, ptr %ctx
      %sp = getelementptr i8, ptr %ctx, i64 8
      %src = load ptr, ptr %sp
      %first = mul i64 %begin, 65536
      %last = mul i64 %end, 65536
      br label %loop
    loop:
      %i = phi i64 [ %first, %entry ], [ %i2, %loop ]
      %p = getelementptr i8, ptr %src, i64 %i
      %q = getelementptr i8, ptr %dst, i64 %i
      %x = load {v}, ptr %p, align {size}
      store {v} %x, ptr %q, align {size}{hint}
      %i2 = add i64 %i, {size}
      %m = icmp slt i64 %i2, %last
      br i1 %m, label %loop, label %out
    out:
      ret void
    }}
    define void @run(ptr %table, i1 %fma, ptr %ctx, i64 %n) {{
      %pool_p = getelementptr i64, ptr %table, i64 2
      %pool = load ptr, ptr %pool_p
      %parallel_p = getelementptr i64, ptr %table, i64 3
      %parallel = load ptr, ptr %parallel_p
      %fn = select i1 %fma, ptr @fma, ptr @copy
      call void %parallel(ptr %pool, ptr %fn, ptr %ctx, i64 %n, ptr null, i64 0)
      ret void
    }}
    attributes #0 = {{ "prefer-vector-width"="{32 * lanes}" "min-legal-vector-width"="{32 * lanes}" }}
    !0 = !{{i32 1}}
    """


def _library(temporal: bool) -> tuple[Any, int]:
    import llvmlite.binding as llvm

    from ingot.backends.cpu import elf
    from ingot.runtime.library import open_library

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    lanes = 16 if features.get("avx512f") else 8 if features.get("avx2") and features.get("fma") else 4
    target = llvm.Target.from_triple(llvm.get_process_triple())
    machine = target.create_target_machine(cpu="generic", features=features.flatten(), opt=2, reloc="pic", codemodel="small")
    module = llvm.parse_assembly(_kernel(lanes, temporal), llvm.create_context())
    handle, name = open_library(elf.link(machine.emit_object(module), ["run"]))
    library = ctypes.CDLL(name, handle=handle)
    library.run.argtypes = (ctypes.c_void_p, ctypes.c_bool, ctypes.c_void_p, ctypes.c_int64)
    library.run.restype = None
    return library, lanes


def limits(threads: int, nbytes: int = 256 << 20, repeats: int = 5) -> dict[str, float]:
    """`gflops`: fp32 fma peak; `copy` and `copy_nt`: GB/s read plus written, with plain and with non-temporal stores.

    All on `threads` threads, the best of `repeats`.
    """
    from ingot.runtime import compiler, memory
    from ingot.runtime import threads as pool

    pool.start_pool(compiler.pool_code())
    pool.set_num_threads(threads)
    table = pool.pool_table()
    src, dst = memory.allocate(nbytes), memory.allocate(nbytes)
    for b in (src, dst):
        b.array("u1", (nbytes,))[:] = 1
    out = {}
    times = 2_000_000
    work = memory.allocate(256 + 64 * threads)
    head = work.array("i8", (32,))
    for name, temporal in (("copy", True), ("copy_nt", False)):
        library, lanes = _library(temporal)
        best = 1e9
        head[:2] = dst.address, src.address
        for _ in range(repeats):
            start = time.perf_counter()
            library.run(table.address, False, work.address, nbytes // 65536)
            best = min(best, time.perf_counter() - start)
        out[name] = 2 * nbytes / best / 1e9
    best = 1e9
    head[:] = 0
    head[0] = times
    for _ in range(repeats):
        start = time.perf_counter()
        library.run(table.address, True, work.address, threads)
        best = min(best, time.perf_counter() - start)
    out["gflops"] = 2.0 * threads * times * ACCUMULATORS * lanes / best / 1e9
    return out
