"""Executables: slots, arenas, checks, every way to load one; and that no process is started."""

import gc
import os
import shutil
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest

from ingot.runtime import compiler, memory, threads
from ingot.runtime.executable import CheckError, Executable
from tests.support.objects import link_ir, native

pytestmark = native

# copies the first `count` slots to the address in the last, and reports the arena's address and the thread count there
ECHO = """
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define i32 @ingot_entry(ptr %args, ptr %table, ptr %arena) {
  %last = getelementptr i64, ptr %args, i64 COUNT
  %out = load ptr, ptr %last
  call void @llvm.memcpy.p0.p0.i64(ptr %out, ptr %args, i64 BYTES, i1 false)
  %a = getelementptr i64, ptr %out, i64 COUNT
  store ptr %arena, ptr %a
  %n_p = getelementptr i64, ptr %table, i64 1
  %n = load i64, ptr %n_p
  %b = getelementptr i64, ptr %a, i64 1
  store i64 %n, ptr %b
  ret i32 CODE
}"""


def echo(count: int, code: int = 0) -> bytes:
    return link_ir(ECHO.replace("COUNT", str(count)).replace("BYTES", str(8 * count)).replace("CODE", str(code)), "ingot_entry")


def manifest(*slots: str, **changes) -> dict:
    return {"entry": "ingot_entry", "slots": list(slots), "arena_bytes": 0, "scratch_bytes": 0, "checks": {}, **changes}


@pytest.mark.parametrize("tiny", [False, True])
@pytest.mark.parametrize(
    "kind,value,low_bytes",
    [
        ("address", 2**63 + 8, struct.pack("<Q", 2**63 + 8)), ("i64", -5, struct.pack("<q", -5)), ("i32", -5, struct.pack("<i", -5)),
        ("i8", -128, b"\x80"), ("u8", 255, b"\xff"), ("u64", 2**64 - 1, b"\xff" * 8), ("bool", True, b"\1"), ("bool", False, b"\0"),
        ("f64", 0.1, struct.pack("<d", 0.1)), ("f32", 0.1, struct.pack("<f", 0.1)), ("f32", 7, struct.pack("<f", 7)),
        ("f32", 1e39, struct.pack("<f", float("inf"))), ("f32", -1e300, struct.pack("<f", float("-inf"))),
        ("f16", 0.1, struct.pack("<e", 0.1)), ("f16", 65520.0, b"\x00\x7c"), ("f32", np.float32(2.5), struct.pack("<f", 2.5)),
        ("bf16", 1.0, b"\x80\x3f"), ("bf16", float("nan"), b"\xc0\x7f"), ("bf16", 1 + 2**-8, b"\x80\x3f"),
        ("bf16", 1 + 3 * 2**-8, b"\x82\x3f"),
        ("bf16", -1e39, b"\x80\xff"), ("bf16", 3.4e38, b"\x80\x7f"), ("i64", np.int64(3), struct.pack("<q", 3)),
    ],
)  # fmt: skip
def test_slots(kind, value, low_bytes, tiny):
    exe = Executable(echo(2), manifest("address", kind, "address", tiny=tiny))
    out = memory.allocate(64)
    exe.run(out.address, value, out.address)
    got = out.array(np.uint8, (64,)).tobytes()
    assert got[:8] == struct.pack("<Q", out.address)
    assert got[8 : 8 + len(low_bytes)] == low_bytes


def test_wrong_slots():
    exe = Executable(echo(1), manifest("f32", "address"))
    with pytest.raises(TypeError, match=r"takes 2 slots \(f32, address\), got 1"):
        exe.run(1.0)
    with pytest.raises((TypeError, ValueError)):
        exe.run("x", 0)


@pytest.mark.parametrize("arena,scratch", [(0, 0), (100, 0), (0, 640), (5000, 128), (3 << 20, 64)])
def test_arena(nthreads, arena, scratch):
    exe = Executable(echo(0), manifest("address", arena_bytes=arena, scratch_bytes=scratch))
    out = memory.allocate(64)
    for n in (1, 3, 2):
        nthreads(n)
        exe.run(out.address)
        address, count = out.array(np.int64, (2,)).tolist()
        assert count == n and address % 64 == 0 and (address != 0) == bool(arena + scratch)
        assert exe.peak_bytes() == -(-arena // 64) * 64 + n * scratch
        before = memory.memory_stats()["in_use"]
        exe.run(out.address)
        assert memory.memory_stats()["in_use"] == before, "the arena is given back"


def test_checks():
    checks = {"3": {"message": "index 7 is out of range", "location": "train.py:4"}}
    exe = Executable(echo(0, code=3), manifest("address", arena_bytes=64, checks=checks))
    out = memory.allocate(64)
    with pytest.raises(CheckError, match="index 7 is out of range\n  train.py:4") as e:
        exe.run(out.address)
    assert (e.value.code, e.value.message, e.value.location) == (3, "index 7 is out of range", "train.py:4")
    with pytest.raises(CheckError, match="check 4 failed"):
        Executable(echo(0, code=4), manifest("address", checks=checks)).run(out.address)


def test_sources(tmp_path):
    """A path, a descriptor, bytes, a memoryview; many of each, where numbers of descriptors repeat; trailing data."""
    out = memory.allocate(64)
    kept = []
    for i in range(12):
        so = echo(0, code=i) + b"metadata" * i
        path = tmp_path / f"{i}.so"
        path.write_bytes(so)
        fd = os.open(path, os.O_RDONLY)
        exes = [Executable(s, manifest("address")) for s in (path, str(path), fd, so, memoryview(so))]
        os.close(fd)
        kept.append(exes)
    for i, exes in enumerate(kept):
        for exe in exes:
            if i == 0:
                exe.run(out.address)
            else:
                with pytest.raises(CheckError, match=f"check {i} failed"):
                    exe.run(out.address)


def test_unloads():
    def mappings() -> int:
        with open("/proc/self/maps") as f:
            return sum("memfd:ingot" in line for line in f)

    gc.collect()  # what other tests have left behind
    before = mappings()
    exe = Executable(echo(0), manifest("address"))
    assert mappings() > before
    del exe
    gc.collect()
    assert mappings() == before


def test_refuses_what_is_no_executable(tmp_path):
    so = echo(0)
    for bad in (b"", b"not an ELF file" * 100, so[:1000], so[:5000]):
        with pytest.raises(OSError):
            Executable(bad, manifest("address"))
    with pytest.raises(FileNotFoundError):
        Executable(tmp_path / "absent.so", manifest("address"))
    with pytest.raises(AttributeError, match="no_such_entry"):
        Executable(so, manifest("address", entry="no_such_entry"))
    with pytest.raises(KeyError):
        Executable(so, {"entry": "ingot_entry"})


def test_reentrant(nthreads):
    nthreads(2)
    exe = Executable(echo(1), manifest("i64", "address", arena_bytes=4096, scratch_bytes=64))
    wrong = []

    def call(tag: int) -> None:
        out = memory.allocate(64)
        got = out.array(np.int64, (3,))
        for i in range(3000):
            exe.run(tag * i, out.address)
            if got[0] != tag * i or not got[1]:
                wrong.append(tag)

    callers = [threading.Thread(target=call, args=(k,)) for k in range(4)]
    for c in callers:
        c.start()
    for k in (1, 3, 2):
        threads.set_num_threads(k)
    for c in callers:
        c.join()
    assert not wrong


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_no_process_is_started(tmp_path):
    (tmp_path / "x.so").write_bytes(echo(0))
    (tmp_path / "pool.so").write_bytes(compiler.pool_code())
    script = f"""
import sys
from ingot.runtime import memory, threads
from ingot.runtime.executable import Executable
threads.set_num_threads(2)
threads.start_pool(open("pool.so", "rb").read())
exe = Executable("x.so", {manifest("address", arena_bytes=100)!r})
out = memory.allocate(64)
exe.run(out.address)
assert "llvmlite" not in sys.modules
"""
    (tmp_path / "script.py").write_text(script)
    command = ["strace", "-f", "-qq", "-e", "trace=execve,execveat,fork,vfork,clone,clone3", "-o", "trace", sys.executable, "script.py"]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    if "ptrace" in out.stderr or "Operation not permitted" in out.stderr:
        pytest.skip("tracing is not allowed here")
    assert out.returncode == 0, out.stderr
    lines = (tmp_path / "trace").read_text().splitlines()
    assert sum("execve" in line for line in lines) == 1, lines
    assert not [line for line in lines if "fork(" in line or "clone" in line and "CLONE_THREAD" not in line and "resumed" not in line]
