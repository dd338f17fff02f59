"""The worker pool: every index once, whoever calls and however many workers there are; and how threads are counted."""

import ctypes
import multiprocessing
import os
import platform
import subprocess
import sys
import threading
import time

import pytest

from ingot.backends import backend
from ingot.runtime import threads
from ingot.runtime.library import open_library
from tests.support.objects import link_ir, native

pytestmark = native

# phase: ctx = {counts, workers, nested}: counts[i] += 1; workers[i] = the worker's scratch; with `nested`, runs itself once more
IR = """
define void @phase(ptr %ctx, i64 %begin, i64 %end, ptr %scratch) {
entry:
  %counts = load ptr, ptr %ctx
  %workers_p = getelementptr ptr, ptr %ctx, i64 1
  %workers = load ptr, ptr %workers_p
  %table_p = getelementptr ptr, ptr %ctx, i64 2
  %table = load ptr, ptr %table_p
  br label %loop
loop:
  %i = phi i64 [ %begin, %entry ], [ %i2, %next ]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %body, label %out
body:
  %p = getelementptr i64, ptr %counts, i64 %i
  %v = load i64, ptr %p
  %w = add i64 %v, 1
  store i64 %w, ptr %p
  %q = getelementptr ptr, ptr %workers, i64 %i
  store ptr %scratch, ptr %q
  %flat = icmp eq ptr %table, null
  br i1 %flat, label %next, label %nest
nest:
  %inner = alloca [3 x ptr]
  %inner_p = getelementptr ptr, ptr %inner, i64 1
  %inner_q = getelementptr ptr, ptr %inner, i64 2
  store ptr %p, ptr %inner
  store ptr %q, ptr %inner_p
  store ptr null, ptr %inner_q
  call void @run(ptr %table, ptr %inner, i64 1, ptr %scratch, i64 0, i64 1)
  br label %next
next:
  %i2 = add i64 %i, 1
  br label %loop
out:
  ret void
}
define void @run(ptr %table, ptr %ctx, i64 %n, ptr %scratch, i64 %stride, i64 %times) {
entry:
  %pool_p = getelementptr i64, ptr %table, i64 2
  %pool = load ptr, ptr %pool_p
  %parallel_p = getelementptr i64, ptr %table, i64 3
  %parallel = load ptr, ptr %parallel_p
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i2, %loop ]
  call void %parallel(ptr %pool, ptr @phase, ptr %ctx, i64 %n, ptr %scratch, i64 %stride)
  %i2 = add i64 %i, 1
  %done = icmp eq i64 %i2, %times
  br i1 %done, label %out, label %loop
out:
  ret void
}
"""


@pytest.fixture(scope="module")
def library():
    handle, name = open_library(link_ir(IR, "run"))
    lib = ctypes.CDLL(name, handle=handle)
    lib.run.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    lib.run.restype = None
    return lib


def run(lib, table: threads.Table, n: int, times: int = 1, nested: bool = False) -> tuple[list[int], list[int]]:
    """(how often each index ran, the worker that ran it last)."""
    counts = (ctypes.c_int64 * max(n, 1))()
    workers = (ctypes.c_int64 * max(n, 1))()
    ctx = (ctypes.c_void_p * 3)(ctypes.addressof(counts), ctypes.addressof(workers), table.address if nested else None)
    lib.run(table.address, ctypes.addressof(ctx), n, 64, 64, times)
    return list(counts)[:n], [w // 64 - 1 for w in list(workers)[:n]]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16])
def test_every_index_once(library, nthreads, count):
    nthreads(count)
    table = threads.pool_table()
    assert table.nthreads == count == threads.get_num_threads()
    for n in (0, 1, 2, 3, count - 1, count, count + 1, 100, 1000, 4097):
        counts, workers = run(library, table, n, times=5)
        assert counts == [5] * n
        assert all(0 <= w < count for w in workers)
    counts, _ = run(library, table, 64, times=500)
    assert counts == [500] * 64
    assert run(library, table, 200, nested=True)[0] == [2] * 200


def test_workers_sleep_and_wake(library, nthreads):
    nthreads(4)
    table = threads.pool_table()
    for pause in (0, 0.00002, 0.00004, 0.0001, 0.002):
        for _ in range(30):
            time.sleep(pause)
            assert run(library, table, 9, times=2)[0] == [2] * 9


def test_all_workers_take_part(library, nthreads):
    nthreads(2)
    table = threads.pool_table()
    seen = set()
    for _ in range(50):
        seen |= set(run(library, table, 100_000)[1])
    assert seen == {0, 1}


def test_many_callers(library, nthreads):
    nthreads(3)
    table = threads.pool_table()
    wrong = []

    def call(n: int) -> None:
        for _ in range(40):
            if run(library, table, n, times=10, nested=n % 2 == 0)[0] != [20 if n % 2 == 0 else 10] * n:
                wrong.append(n)

    callers = [threading.Thread(target=call, args=(n,)) for n in (50, 77, 130, 201)]
    for c in callers:
        c.start()
    for c in callers:
        c.join()
    assert not wrong


def test_change_while_running(library, nthreads):
    """A table that was handed out stays good after set_num_threads: its calls run serially."""
    nthreads(4)
    old = threads.pool_table()
    stop = threading.Event()
    wrong = []

    def call() -> None:
        while not stop.is_set():
            if run(library, old, 100, times=20)[0] != [20] * 100:
                wrong.append(1)

    callers = [threading.Thread(target=call) for _ in range(2)]
    for c in callers:
        c.start()
    for k in (2, 3, 1, 5, 2) * 3:
        nthreads(k)
        assert run(library, threads.pool_table(), 50)[0] == [1] * 50
    stop.set()
    for c in callers:
        c.join()
    assert not wrong
    assert run(library, old, 100)[1] == [0] * 100


def _tasks(expected: int) -> int:
    """How many threads the kernel lists, read until it is `expected`: one that was joined is listed a moment longer."""
    for _ in range(1000):
        if (found := len(os.listdir("/proc/self/task"))) == expected:
            break
        time.sleep(0.01)
    return found


def _count_threads(connection) -> None:
    found = []
    for n in (1, 4, 1):  # a child starts with one thread, whatever its parent had
        threads.set_num_threads(n)
        threads.pool_table()
        found.append(_tasks(n))
    connection.send(found)


def test_no_threads_for_one(nthreads):
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_count_threads, args=(theirs,))
    child.start()
    assert ours.poll(60), "the child hangs"
    assert ours.recv() == [1, 4, 1]
    child.join(30)
    assert child.exitcode == 0


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads MXCSR")
def test_floating_point_environment(nthreads):
    """Workers start with the default environment, whatever the thread had that started them."""
    text = """
    declare void @llvm.x86.sse.stmxcsr(ptr)
    declare void @llvm.x86.sse.ldmxcsr(ptr)
    declare i32 @sched_yield()
    define void @set(i32 %v) { %p = alloca i32  store i32 %v, ptr %p  call void @llvm.x86.sse.ldmxcsr(ptr %p)  ret void }
    define void @phase(ptr %ctx, i64 %begin, i64 %end, ptr %scratch) {
    entry:
      br label %loop
    loop:
      %i = phi i64 [ %begin, %entry ], [ %i2, %loop ]
      %p = getelementptr i32, ptr %ctx, i64 %i
      call void @llvm.x86.sse.stmxcsr(ptr %p)
      %y = call i32 @sched_yield()
      %i2 = add i64 %i, 1
      %m = icmp slt i64 %i2, %end
      br i1 %m, label %loop, label %out
    out:
      ret void
    }"""
    handle, name = open_library(link_ir(text, "set", "phase"))
    lib = ctypes.PyDLL(name, handle=handle)
    nthreads(1)
    lib.set(0x9FC0)  # flush to zero, denormals are zero
    try:
        nthreads(2)
        table = threads.pool_table()
        out = (ctypes.c_uint32 * 1000)()
        layout = table._layout
        prototype = ctypes.PYFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)
        seen = set()
        for _ in range(20):
            prototype(layout.parallel)(layout.pool, ctypes.cast(lib.phase, ctypes.c_void_p), ctypes.addressof(out), 1000, None, 0)
            seen |= {v & 0xFFC0 for v in out}
    finally:
        lib.set(0x1F80)
    assert seen == {0x9FC0, 0x1F80}, "the caller's own, and the workers' default"


def _in_child(lib, connection) -> None:
    table = threads.pool_table()
    connection.send((run(lib, table, 1000, times=20)[0] == [20] * 1000, table.nthreads, _tasks(3)))


def test_fork(library, nthreads):
    nthreads(3)
    assert run(library, threads.pool_table(), 100)[0] == [1] * 100
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_in_child, args=(library, theirs))
    child.start()
    assert ours.poll(30), "the child hangs"
    assert ours.recv() == (True, 3, 3)
    child.join(30)
    assert child.exitcode == 0
    assert run(library, threads.pool_table(), 100)[0] == [1] * 100


ENDINGS = ["", "import os; os._exit(0)", "import sys; sys.exit()", "threading.Thread(target=work, daemon=True).start()"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_exit(tmp_path, ending):
    script = f"""
import threading, time
from ingot.runtime import compiler, threads
threads.start_pool(compiler.pool_code())
threads.set_num_threads(4)
def work():
    while True: threads.pool_table(); time.sleep(0.001)
assert threads.pool_table().nthreads == 4
{ending}
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (out.returncode, out.stdout, out.stderr) == (0, "", "")


def test_counts(monkeypatch, nthreads):
    monkeypatch.setenv("INGOT_NUM_THREADS", "5")
    assert threads.default_num_threads() == 5
    monkeypatch.delenv("INGOT_NUM_THREADS")
    assert 1 <= threads.default_num_threads() <= len(os.sched_getaffinity(0))
    for quota, expected in ((0.4, 1), (1.0, 1), (None, 64), (2.5, 2), (1000.0, 64)):
        monkeypatch.setattr(threads, "_quota", lambda quota=quota: quota)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
        assert threads.default_num_threads() == expected
    for bad, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError), (True, TypeError)):
        with pytest.raises(error, match="set_num_threads expects"):
            threads.set_num_threads(bad)


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_pool_builds_the_same_bytes(arch):
    assert backend("cpu").build_pool(arch) == backend("cpu").build_pool(arch)


def test_no_pool_for_other_machines():
    with pytest.raises(RuntimeError, match="'sparc'"):
        backend("cpu").build_pool("sparc")
