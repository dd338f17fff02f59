"""The worker pool, as LLVM IR: one per process, shared by all executables.

    ptr  ingot_pool_create(i64 nthreads)     starts nthreads - 1 workers; the first 8 bytes of the pool hold how many
                                             threads there are, the caller included (fewer where the system refuses);
                                             null where memory has run out
    void ingot_pool_parallel(ptr pool, ptr fn, ptr ctx, i64 n, ptr scratch, i64 stride)
                                             runs fn(ctx, begin, end, scratch + worker * stride) until [0, n) is done
    void ingot_pool_destroy(ptr pool)        ends the workers; the pool stays valid, and runs everything on its caller

How a job runs. The caller is worker 0. Each of the T = min(nthreads, n) workers owns an equal range of [0, n) and takes
batches from its front; one whose range is done takes from the others'. Everything hangs on one word, the gate:

    bits 63..32  epoch: counts jobs          bit 31  STOP        bit 30  OPEN: there is a job
    bits 29..15  T: workers from T on stay out           bits 14..0  how many workers are inside

A worker enters by adding 1 and looking at what was there: if the gate was not open it leaves again. The caller opens
the gate, works, closes it when all batches are taken, and waits until nobody is inside. So nobody ever waits for a
worker that has not woken up, and what describes the job is only read between entering and leaving.

A worker with nothing to do spins for SPIN_NS (a wake-up by the kernel costs more than most kernels run), then sleeps on
a futex of its own. Nested calls, and calls while another thread holds the pool, run on their caller: re-entrant, and
nothing to deadlock on. Workers block signals (except those that a fault raises in them) and compute with the default
floating-point environment, whatever the thread that started them had.
"""

from __future__ import annotations

import re

__all__ = ["pool_text"]

_COMMON = {
    "SPIN_NS": "30000",
    "COUNT": str((1 << 15) - 1),
    "OPEN": str(1 << 30),
    "STOP": str(1 << 31),
    "NEW_EPOCH_OPEN": str((1 << 32) + (1 << 30)),
    "CLOSE": str(~((1 << 31) - (1 << 15)) | 1 << 31),  # clears OPEN and T, keeps the rest
    "MAX_THREADS": str((1 << 15) - 1),
    "BLOCKED": str(~0x4F8),  # all signals but ILL, TRAP, ABRT, BUS, FPE and SEGV (numbers 4 to 8 and 11)
    # bytes from the pool's start; workers' lines follow from LINES on, LINE bytes each
    "GATE": "128", "BUSY": "256", "JOB": "384", "LINES": "512", "LINE": "128",
    # bytes from a line's start
    "NEXT": "0", "END": "8", "ASLEEP": "64", "THREAD": "72", "POOL": "80", "INDEX": "88",
    "WAIT": "128", "WAKE": "129",  # FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE
}  # fmt: skip
_ARCH = {
    "x86_64": {
        "TRIPLE": "x86_64-unknown-linux-gnu", "FUTEX": "202",
        "DECLARE": "declare void @llvm.x86.sse2.pause()\ndeclare void @llvm.x86.sse.ldmxcsr(ptr)",
        "PAUSE": "call void @llvm.x86.sse2.pause()",
        "SET_FP": "%mxcsr = alloca i32\n  store i32 8064, ptr %mxcsr\n  call void @llvm.x86.sse.ldmxcsr(ptr %mxcsr)",
    },
    "aarch64": {
        "TRIPLE": "aarch64-unknown-linux-gnu", "FUTEX": "98",
        "DECLARE": "declare void @llvm.aarch64.hint(i32)\ndeclare void @llvm.aarch64.set.fpcr(i64)",
        "PAUSE": "call void @llvm.aarch64.hint(i32 1)",
        "SET_FP": "call void @llvm.aarch64.set.fpcr(i64 0)",
    },
}  # fmt: skip

_TEXT = """
target triple = "{TRIPLE}"
{DECLARE}
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)
declare ptr @aligned_alloc(i64, i64)
declare i32 @clock_gettime(i32, ptr)
declare i32 @sched_yield()
declare i64 @syscall(i64, ...)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_join(i64, ptr)
declare i32 @pthread_sigmask(i32, ptr, ptr)

define internal i64 @now() {
  %ts = alloca [2 x i64]
  %r = call i32 @clock_gettime(i32 1, ptr %ts)
  %s = load i64, ptr %ts
  %p = getelementptr i8, ptr %ts, i64 8
  %ns = load i64, ptr %p
  %s_ns = mul i64 %s, 1000000000
  %t = add i64 %s_ns, %ns
  ret i64 %t
}

define internal ptr @line(ptr %pool, i64 %i) alwaysinline {
  %o = mul i64 %i, {LINE}
  %p = getelementptr i8, ptr %pool, i64 {LINES}
  %q = getelementptr i8, ptr %p, i64 %o
  ret ptr %q
}

; Wake the worker of `line` if it sleeps or is about to: whoever sets ASLEEP looks at the gate after that, and whoever
; changes the gate looks at ASLEEP after that.
define internal void @wake(ptr %line) alwaysinline {
  %asleep = getelementptr i8, ptr %line, i64 {ASLEEP}
  %a = load atomic i32, ptr %asleep seq_cst, align 4
  %awake = icmp eq i32 %a, 0
  br i1 %awake, label %out, label %sleeping
sleeping:
  %old = atomicrmw xchg ptr %asleep, i32 0 seq_cst
  %was = icmp eq i32 %old, 0
  br i1 %was, label %out, label %call
call:
  %r = call i64 (i64, ...) @syscall(i64 {FUTEX}, ptr %asleep, i32 {WAKE}, i32 1, ptr null, ptr null, i32 0)
  br label %out
out:
  ret void
}

; Take batches until there are none: first from the worker's own range, then from those of the others in turn.
define internal void @work(ptr %pool, i64 %index, i64 %workers) {
entry:
  %job = getelementptr i8, ptr %pool, i64 {JOB}
  %fn = load ptr, ptr %job
  %ctx_p = getelementptr i8, ptr %job, i64 8
  %ctx = load ptr, ptr %ctx_p
  %scratch_p = getelementptr i8, ptr %job, i64 16
  %base = load ptr, ptr %scratch_p
  %stride_p = getelementptr i8, ptr %job, i64 24
  %stride = load i64, ptr %stride_p
  %batch_p = getelementptr i8, ptr %job, i64 32
  %batch = load i64, ptr %batch_p
  %offset = mul i64 %index, %stride
  %scratch = getelementptr i8, ptr %base, i64 %offset
  br label %range
range:
  %v = phi i64 [ %index, %entry ], [ %v2, %next_range ]
  %k = phi i64 [ 0, %entry ], [ %k2, %next_range ]
  %line = call ptr @line(ptr %pool, i64 %v)
  %end_p = getelementptr i8, ptr %line, i64 {END}
  %end = load i64, ptr %end_p
  br label %look
look:
  %seen = load atomic i64, ptr %line monotonic, align 8
  %none = icmp sge i64 %seen, %end
  br i1 %none, label %next_range, label %take
take:
  %begin = atomicrmw add ptr %line, i64 %batch monotonic
  %late = icmp sge i64 %begin, %end
  br i1 %late, label %next_range, label %run
run:
  %to = add i64 %begin, %batch
  %stop = call i64 @llvm.smin.i64(i64 %to, i64 %end)
  call void %fn(ptr %ctx, i64 %begin, i64 %stop, ptr %scratch)
  br label %look
next_range:
  %v1 = add i64 %v, 1
  %wrap = icmp eq i64 %v1, %workers
  %v2 = select i1 %wrap, i64 0, i64 %v1
  %k2 = add i64 %k, 1
  %done = icmp eq i64 %k2, %workers
  br i1 %done, label %out, label %range
out:
  ret void
}

; Whether a gate's value lets worker `index` in, if it has not seen this epoch.
define internal i1 @invites(i64 %gate, i64 %index, i64 %seen) alwaysinline {
  %open = and i64 %gate, {OPEN}
  %is_open = icmp ne i64 %open, 0
  %epoch = lshr i64 %gate, 32
  %is_new = icmp ne i64 %epoch, %seen
  %shifted = lshr i64 %gate, 15
  %limit = and i64 %shifted, {COUNT}
  %is_wanted = icmp ult i64 %index, %limit
  %a = and i1 %is_open, %is_new
  %b = and i1 %a, %is_wanted
  ret i1 %b
}

define internal ptr @worker(ptr %line) {
entry:
  {SET_FP}
  %pool_p = getelementptr i8, ptr %line, i64 {POOL}
  %pool = load ptr, ptr %pool_p
  %index_p = getelementptr i8, ptr %line, i64 {INDEX}
  %index = load i64, ptr %index_p
  %gate = getelementptr i8, ptr %pool, i64 {GATE}
  %asleep = getelementptr i8, ptr %line, i64 {ASLEEP}
  br label %idle
idle:
  %seen = phi i64 [ 0, %entry ], [ %epoch, %leave ], [ %seen, %woken ]
  %start = call i64 @now()
  %deadline = add i64 %start, {SPIN_NS}
  br label %spin
spin:
  %i = phi i64 [ 0, %idle ], [ %i2, %pause ], [ 0, %clock ], [ 0, %leave_closed ]
  %g = load atomic i64, ptr %gate acquire, align 8
  %stop_bit = and i64 %g, {STOP}
  %is_stop = icmp ne i64 %stop_bit, 0
  br i1 %is_stop, label %end, label %check
check:
  %invited = call i1 @invites(i64 %g, i64 %index, i64 %seen)
  br i1 %invited, label %enter, label %pause
pause:
  {PAUSE}
  %i2 = add i64 %i, 1
  %enough = icmp eq i64 %i2, 64
  br i1 %enough, label %clock, label %spin
clock:
  %t = call i64 @now()
  %late = icmp sge i64 %t, %deadline
  br i1 %late, label %sleep, label %spin
enter:
  %g2 = atomicrmw add ptr %gate, i64 1 acq_rel
  %still = call i1 @invites(i64 %g2, i64 %index, i64 %seen)
  br i1 %still, label %inside, label %leave_closed
leave_closed:
  %ignored = atomicrmw sub ptr %gate, i64 1 acq_rel
  br label %spin
inside:
  %shifted = lshr i64 %g2, 15
  %workers = and i64 %shifted, {COUNT}
  call void @work(ptr %pool, i64 %index, i64 %workers)
  br label %leave
leave:
  %epoch = lshr i64 %g2, 32
  %ignored2 = atomicrmw sub ptr %gate, i64 1 acq_rel
  br label %idle
sleep:
  %ignored3 = atomicrmw xchg ptr %asleep, i32 1 seq_cst
  %g3 = load atomic i64, ptr %gate seq_cst, align 8
  %stop3 = and i64 %g3, {STOP}
  %is_stop3 = icmp ne i64 %stop3, 0
  %invited3 = call i1 @invites(i64 %g3, i64 %index, i64 %seen)
  %stay = or i1 %is_stop3, %invited3
  br i1 %stay, label %woken, label %wait
wait:
  %r = call i64 (i64, ...) @syscall(i64 {FUTEX}, ptr %asleep, i32 {WAIT}, i32 1, ptr null, ptr null, i32 0)
  %a = load atomic i32, ptr %asleep seq_cst, align 4
  %again = icmp ne i32 %a, 0
  br i1 %again, label %wait, label %woken
woken:
  %ignored4 = atomicrmw xchg ptr %asleep, i32 0 seq_cst
  br label %idle
end:
  ret ptr null
}

define ptr @ingot_pool_create(i64 %wanted) {
entry:
  %mask = alloca [128 x i8], align 8
  %old_mask = alloca [128 x i8], align 8
  %at_least = call i64 @llvm.smax.i64(i64 %wanted, i64 1)
  %n = call i64 @llvm.smin.i64(i64 %at_least, i64 {MAX_THREADS})
  %lines = mul i64 %n, {LINE}
  %size = add i64 %lines, {LINES}
  %pool = call ptr @aligned_alloc(i64 {LINE}, i64 %size)
  %failed = icmp eq ptr %pool, null
  br i1 %failed, label %out, label %fill
fill:
  call void @llvm.memset.p0.i64(ptr %pool, i8 0, i64 %size, i1 false)
  call void @llvm.memset.p0.i64(ptr %mask, i8 -1, i64 128, i1 false)
  store i64 {BLOCKED}, ptr %mask
  %m = call i32 @pthread_sigmask(i32 2, ptr %mask, ptr %old_mask)
  br label %more
more:
  %i = phi i64 [ 1, %fill ], [ %i2, %started ]
  %all = icmp sge i64 %i, %n
  br i1 %all, label %finish, label %start
start:
  %line = call ptr @line(ptr %pool, i64 %i)
  %pool_p = getelementptr i8, ptr %line, i64 {POOL}
  store ptr %pool, ptr %pool_p
  %index_p = getelementptr i8, ptr %line, i64 {INDEX}
  store i64 %i, ptr %index_p
  %thread = getelementptr i8, ptr %line, i64 {THREAD}
  %e = call i32 @pthread_create(ptr %thread, ptr null, ptr @worker, ptr %line)
  %refused = icmp ne i32 %e, 0
  br i1 %refused, label %finish, label %started
started:
  %i2 = add i64 %i, 1
  br label %more
finish:
  store i64 %i, ptr %pool
  %m2 = call i32 @pthread_sigmask(i32 2, ptr %old_mask, ptr null)
  br label %out
out:
  ret ptr %pool
}

define void @ingot_pool_parallel(ptr %pool, ptr %fn, ptr %ctx, i64 %n, ptr %scratch, i64 %stride) {
entry:
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %size, label %out
size:
  %nthreads = load i64, ptr %pool
  %workers = call i64 @llvm.smin.i64(i64 %nthreads, i64 %n)
  %one = icmp sle i64 %workers, 1
  br i1 %one, label %serial, label %acquire
acquire:
  %busy = getelementptr i8, ptr %pool, i64 {BUSY}
  %c = cmpxchg ptr %busy, i32 0, i32 1 acquire monotonic
  %got = extractvalue { i32, i1 } %c, 1
  br i1 %got, label %describe, label %serial
serial:
  call void %fn(ptr %ctx, i64 0, i64 %n, ptr %scratch)
  ret void
describe:
  %job = getelementptr i8, ptr %pool, i64 {JOB}
  store ptr %fn, ptr %job
  %ctx_p = getelementptr i8, ptr %job, i64 8
  store ptr %ctx, ptr %ctx_p
  %scratch_p = getelementptr i8, ptr %job, i64 16
  store ptr %scratch, ptr %scratch_p
  %stride_p = getelementptr i8, ptr %job, i64 24
  store i64 %stride, ptr %stride_p
  %each = udiv i64 %n, %workers
  %rest = urem i64 %n, %workers
  %eighth = lshr i64 %each, 3
  %batch = call i64 @llvm.smax.i64(i64 %eighth, i64 1)
  %batch_p = getelementptr i8, ptr %job, i64 32
  store i64 %batch, ptr %batch_p
  br label %ranges
ranges:
  %v = phi i64 [ 0, %describe ], [ %v2, %ranges ]
  %begin = phi i64 [ 0, %describe ], [ %end, %ranges ]
  %has_rest = icmp ult i64 %v, %rest
  %extra = zext i1 %has_rest to i64
  %length = add i64 %each, %extra
  %end = add i64 %begin, %length
  %line = call ptr @line(ptr %pool, i64 %v)
  store atomic i64 %begin, ptr %line monotonic, align 8
  %end_p = getelementptr i8, ptr %line, i64 {END}
  store i64 %end, ptr %end_p
  %v2 = add i64 %v, 1
  %all = icmp eq i64 %v2, %workers
  br i1 %all, label %open, label %ranges
open:
  %gate = getelementptr i8, ptr %pool, i64 {GATE}
  %limit = shl i64 %workers, 15
  %delta = add i64 %limit, {NEW_EPOCH_OPEN}
  %g = atomicrmw add ptr %gate, i64 %delta seq_cst
  br label %waking
waking:
  %w = phi i64 [ 1, %open ], [ %w2, %waking ]
  %sleeper = call ptr @line(ptr %pool, i64 %w)
  call void @wake(ptr %sleeper)
  %w2 = add i64 %w, 1
  %woken = icmp eq i64 %w2, %workers
  br i1 %woken, label %take_part, label %waking
take_part:
  call void @work(ptr %pool, i64 0, i64 %workers)
  %g2 = atomicrmw and ptr %gate, i64 {CLOSE} acq_rel
  br label %wait
wait:
  %i = phi i64 [ 0, %take_part ], [ %i2, %spin ], [ 0, %yield ]
  %g3 = load atomic i64, ptr %gate acquire, align 8
  %inside = and i64 %g3, {COUNT}
  %empty = icmp eq i64 %inside, 0
  br i1 %empty, label %release, label %spin
spin:
  {PAUSE}
  %i2 = add i64 %i, 1
  %long = icmp eq i64 %i2, 1024
  br i1 %long, label %yield, label %wait
yield:
  %y = call i32 @sched_yield()
  br label %wait
release:
  store atomic i32 0, ptr %busy release, align 4
  ret void
out:
  ret void
}

define void @ingot_pool_destroy(ptr %pool) {
entry:
  %busy = getelementptr i8, ptr %pool, i64 {BUSY}
  br label %acquire
acquire:
  %c = cmpxchg ptr %busy, i32 0, i32 1 acquire monotonic
  %got = extractvalue { i32, i1 } %c, 1
  br i1 %got, label %stop, label %yield
yield:
  %y = call i32 @sched_yield()
  br label %acquire
stop:
  %n = load i64, ptr %pool
  %gate = getelementptr i8, ptr %pool, i64 {GATE}
  %g = atomicrmw or ptr %gate, i64 {STOP} seq_cst
  br label %more
more:
  %i = phi i64 [ 1, %stop ], [ %i2, %join ]
  %all = icmp sge i64 %i, %n
  br i1 %all, label %out, label %join
join:
  %line = call ptr @line(ptr %pool, i64 %i)
  call void @wake(ptr %line)
  %thread_p = getelementptr i8, ptr %line, i64 {THREAD}
  %thread = load i64, ptr %thread_p
  %r = call i32 @pthread_join(i64 %thread, ptr null)
  %i2 = add i64 %i, 1
  br label %more
out:
  ret void
}
"""


def pool_text(arch: str) -> str:
    """The pool's LLVM IR for `arch` ("x86_64" or "aarch64"). KeyError for any other."""
    values = {**_COMMON, **_ARCH[arch]}
    return re.sub(r"\{([A-Z_]+)\}", lambda m: values[m[1]], _TEXT)
