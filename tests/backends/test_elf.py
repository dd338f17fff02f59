"""The in-process linker: what it makes loads and computes; what it must refuse, it refuses with LinkError."""

from __future__ import annotations

import ctypes
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from ingot.backends.cpu import elf
from tests.support.objects import TRIPLES, compile_ir, native


def load(so: bytes, tmp_path: Path) -> ctypes.CDLL:
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.so"
    path.write_bytes(so)
    return ctypes.CDLL(str(path))


EVERYTHING = """
@table = private unnamed_addr constant [4 x float] [float 1.0, float 2.0, float 3.0, float 4.0]
@counter = internal global i64 41, align 8
@zeros = internal global [1000 x i64] zeroinitializer, align 64
@pointers = internal constant [2 x ptr] [ptr @add_one, ptr @times_two]
@libc = internal global ptr @memset
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
declare ptr @memcpy(ptr, ptr, i64)
declare ptr @memset(ptr, i32, i64)
define i64 @add_one(i64 %x) { %r = add i64 %x, 1  ret i64 %r }
define i64 @times_two(i64 %x) noinline { %r = mul i64 %x, 2  ret i64 %r }
define float @look_up(i64 %i) {
  %p = getelementptr float, ptr @table, i64 %i
  %v = load float, ptr %p
  %r = fadd float %v, 1.5
  ret float %r
}
define i64 @count() {
  %v = load i64, ptr @counter
  %n = call i64 @add_one(i64 %v)
  store i64 %n, ptr @counter
  ret i64 %n
}
define i64 @sum_zeros(i64 %i, i64 %x) {
  %p = getelementptr i64, ptr @zeros, i64 %i
  store i64 %x, ptr %p
  %q = getelementptr i64, ptr @zeros, i64 999
  %v = load i64, ptr %q
  ret i64 %v
}
define i64 @by_pointer(i64 %which, i64 %x) {
  %p = getelementptr ptr, ptr @pointers, i64 %which
  %f = load ptr, ptr %p
  %r = call i64 %f(i64 %x)
  ret i64 %r
}
define ptr @address_of_times_two() { ret ptr @times_two }
define ptr @address_of_memcpy() { ret ptr @memcpy }
define void @fill(ptr %d, i32 %v, i64 %n) {
  %f = load ptr, ptr @libc
  %r = call ptr %f(ptr %d, i32 %v, i64 %n)
  ret void
}
define void @clear(ptr %d, i64 %n) { call void @llvm.memset.p0.i64(ptr %d, i8 0, i64 %n, i1 false) ret void }
define void @move(ptr %d, ptr %s, i64 %n) { call void @llvm.memmove.p0.p0.i64(ptr %d, ptr %s, i64 %n, i1 false) ret void }
define void @copy(ptr %d, ptr %s, i64 %n) { %r = call ptr @memcpy(ptr %d, ptr %s, i64 %n) ret void }
define void @vectors(ptr %p) {
  %v = load <8 x float>, ptr %p, align 4
  %r = fadd <8 x float> %v, <float 1.0, float 2.0, float 3.0, float 4.0, float 5.0, float 6.0, float 7.0, float 8.0>
  store <8 x float> %r, ptr %p, align 4
  ret void
}
define i64 @jump_table(i64 %x) {
  switch i64 %x, label %d [i64 0, label %a  i64 1, label %b  i64 2, label %c  i64 3, label %e  i64 4, label %f  i64 5, label %g]
a:
  ret i64 17
b:
  %b1 = call i64 @times_two(i64 %x)
  ret i64 %b1
c:
  %c1 = call i64 @count()
  ret i64 %c1
d:
  ret i64 -1
e:
  %e1 = call i64 @sum_zeros(i64 %x, i64 %x)
  ret i64 %e1
f:
  %f1 = mul i64 %x, %x
  ret i64 %f1
g:
  ret i64 99
}
"""
EXPORTS = [
    "add_one", "times_two", "look_up", "count", "sum_zeros", "by_pointer", "address_of_times_two", "address_of_memcpy", "fill",
    "clear", "move", "copy", "vectors", "jump_table",
]  # fmt: skip


@native
@pytest.mark.parametrize("opt", [0, 3])
def test_everything_loads_and_computes(tmp_path, opt):
    lib = load(elf.link(compile_ir(EVERYTHING, opt=opt), EXPORTS) + b"trailing data" * 999, tmp_path)
    i64 = ctypes.c_int64
    for name in ("add_one", "times_two", "count", "sum_zeros", "by_pointer", "jump_table"):
        getattr(lib, name).restype = i64
    lib.look_up.restype = ctypes.c_float
    lib.look_up.argtypes = [i64]
    assert [lib.look_up(i) for i in range(4)] == [2.5, 3.5, 4.5, 5.5]
    assert [lib.count(), lib.count()] == [42, 43]
    assert lib.sum_zeros(i64(0), i64(5)) == 0
    assert lib.sum_zeros(i64(999), i64(7)) == 7
    assert [lib.by_pointer(i64(k), i64(20)) for k in (0, 1)] == [21, 40]
    assert [lib.jump_table(i64(k)) for k in (0, 1, 4, 5, 6)] == [17, 2, 16, 99, -1]
    lib.address_of_times_two.restype = ctypes.c_void_p
    assert ctypes.CFUNCTYPE(i64, i64)(lib.address_of_times_two())(21) == 42
    lib.address_of_memcpy.restype = ctypes.c_void_p
    assert lib.address_of_memcpy()
    data = ctypes.create_string_buffer(b"abcdefgh", 8)
    lib.clear(data, i64(2))
    assert data.raw == b"\0\0cdefgh"
    lib.move(ctypes.byref(data, 1), data, i64(7))
    assert data.raw == b"\0\0\0cdefg"
    lib.copy(data, ctypes.byref(data, 4), i64(4))
    assert data.raw == b"defgdefg"
    lib.fill(data, 0x41, i64(3))
    assert data.raw == b"AAAgdefg"
    floats = (ctypes.c_float * 8)(*range(8))
    lib.vectors(floats)
    assert list(floats) == [2.0 * i + 1 for i in range(8)]


@native
def test_only_exports_are_visible(tmp_path):
    lib = load(elf.link(compile_ir(EVERYTHING), ["count"]), tmp_path)
    assert lib.count() == 42
    with pytest.raises(AttributeError):
        lib.add_one()


@pytest.mark.parametrize("arch", TRIPLES)
@pytest.mark.parametrize("text,exports", [(EVERYTHING, EXPORTS), ("define i32 @f() { ret i32 7 }", ["f"])])
def test_structure(arch, text, exports, tmp_path):
    obj = compile_ir(text, arch)
    so = elf.link(obj, exports)
    assert so == elf.link(bytes(obj), list(reversed(exports))), "the same input gives the same bytes"
    phoff, phnum = struct.unpack_from("<Q", so, 32)[0], struct.unpack_from("<H", so, 56)[0]
    page = 0x1000 if arch == "x86_64" else 0x10000
    end = 0
    rights = []
    for i in range(phnum):
        kind, flags, offset, vaddr, _, filesz, memsz, align = struct.unpack_from("<IIQQQQQQ", so, phoff + 56 * i)
        if kind == 1:
            rights.append(flags)
            assert align == page and offset % page == vaddr % page and memsz >= filesz and offset + filesz <= len(so)
            assert vaddr // page * page >= end, "segments share no page"
            end = -(-(vaddr + memsz) // page) * page
        if kind == 0x6474E551:
            assert not flags & 1, "no executable stack"
    assert rights == [4, 5, 6], "R, RX, RW"
    if not shutil.which("readelf"):
        return
    path = tmp_path / "x.so"
    path.write_bytes(so)
    out = subprocess.run(["readelf", "-W", "-a", str(path)], capture_output=True, text=True)
    assert out.returncode == 0 and not out.stderr, out.stderr
    assert "libc.so.6" in out.stdout and out.stdout.count("(NEEDED)") == 1 and "BIND_NOW" in out.stdout
    for name in exports:
        assert f" {name}\n" in out.stdout


def _symbols(so: bytes) -> dict[str, int]:
    """dynsym by name, read from the section headers."""
    shoff, shnum = struct.unpack_from("<Q", so, 40)[0], struct.unpack_from("<H", so, 60)[0]
    headers = [struct.unpack_from("<IIQQQQIIQQ", so, shoff + 64 * i) for i in range(shnum)]
    dynsym = next(h for h in headers if h[1] == 11)
    strings = headers[dynsym[6]]
    out = {}
    for at in range(dynsym[4] + 24, dynsym[4] + dynsym[5], 24):
        name, _, _, _, value, _ = struct.unpack_from("<IBBHQQ", so, at)
        start = strings[4] + name
        out[so[start : so.index(b"\0", start)].decode()] = value
    return out


def test_aarch64_instructions():
    """Decode what was patched: ADRP + load reach the constant, BL reaches the stub, the stub reaches its GOT slot."""
    text = """
    declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
    define void @f(ptr %p, i64 %n) {
      call void @llvm.memset.p0.i64(ptr %p, i8 0, i64 %n, i1 false)
      store <4 x i32> <i32 11, i32 22, i32 33, i32 45>, ptr %p
      ret void
    }"""
    so = elf.link(compile_ir(text, "aarch64"), ["f"])
    bias = 0x10000  # of the code segment: its address less its offset in the file
    start = _symbols(so)["f"] - bias
    words = [struct.unpack_from("<I", so, start + 4 * i)[0] for i in range(40)]

    def adrp(i: int) -> int:
        imm = ((words[i] >> 5 & 0x7FFFF) << 2 | words[i] >> 29 & 3) << 12
        return (start + bias + 4 * i & ~0xFFF) + (imm - (1 << 33) if imm >> 32 else imm)

    i = next(i for i, w in enumerate(words) if w & 0x9F000000 == 0x90000000)
    j = next(j for j, w in enumerate(words) if w & 0xFFC00000 == 0x3DC00000)  # ldr q, [x, #imm]
    assert struct.unpack_from("<4i", so, adrp(i) + (words[j] >> 10 & 0xFFF) * 16) == (11, 22, 33, 45)
    k = next(k for k, w in enumerate(words) if w >> 26 == 0b100101)  # bl
    stub = start + bias + 4 * (k + words[k] % (1 << 26))
    first, second = struct.unpack_from("<2I", so, stub - bias)
    imm = ((first >> 5 & 0x7FFFF) << 2 | first >> 29 & 3) << 12
    slot = (stub & ~0xFFF) + imm + (second >> 10 & 0xFFF) * 8
    shoff, shnum = struct.unpack_from("<Q", so, 40)[0], struct.unpack_from("<H", so, 60)[0]
    headers = [struct.unpack_from("<IIQQQQIIQQ", so, shoff + 64 * i) for i in range(shnum)]
    rela = next(h for h in headers if h[1] == 4)
    assert struct.unpack_from("<QQq", so, rela[4]) == (slot, 1 << 32 | 1025, 0)


CONSTRUCTOR = "@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 1, ptr @f, ptr null }]\n"


@pytest.mark.parametrize("arch", TRIPLES)
@pytest.mark.parametrize(
    "text,message",
    [
        ("declare double @sin(double)\ndefine double @f(double %x) { %r = call double @sin(double %x) ret double %r }", "'sin'"),
        ("declare i32 @system(ptr)\ndefine ptr @f() { ret ptr @system }", "'system'"),
        ("@t = thread_local global i64 0\ndefine ptr @f() { ret ptr @t }", "not supported|may import"),
        ("@g = common global i64 0\ndefine ptr @f() { ret ptr @g }", "common"),
        ("define void @g() { ret void }", "'f'"),
        ("define internal i64 @f() { ret i64 1 }\ndefine i64 @g() { %r = call i64 @f() ret i64 %r }", "'f'"),
        (CONSTRUCTOR + "define void @f() { ret void }", "section .(ctors|init_array)"),
    ],
)  # fmt: skip
def test_refuses(arch, text, message):
    with pytest.raises(elf.LinkError, match=message):
        elf.link(compile_ir(text, arch), ["f"])


def test_refuses_text_relocations():
    text = "@p = constant ptr @f\ndefine ptr @f() { ret ptr @p }"
    with pytest.raises(elf.LinkError, match="reloc='pic'"):
        elf.link(compile_ir(text, "x86_64", reloc="static"), ["f"])
    with pytest.raises(elf.LinkError, match="exported twice"):
        elf.link(compile_ir("define void @f() { ret void }"), ["f", "f"])
    with pytest.raises(elf.LinkError, match="relocatable ELF"):
        elf.link(bytes(100), ["f"])


@pytest.mark.parametrize("arch", TRIPLES)
def test_malformed(arch):
    """Truncated or altered objects: a LinkError or a harmless result, never another exception."""
    obj = compile_ir(EVERYTHING, arch)
    for size in [*range(0, 70), *range(70, len(obj), 41)]:
        with pytest.raises(elf.LinkError):
            elf.link(obj[:size], EXPORTS)
    rng = random.Random(0)
    for _ in range(1500):
        bad = bytearray(obj)
        for _ in range(rng.choice((1, 1, 2, 8))):
            bad[rng.randrange(len(bad))] = rng.choice((0, 0xFF, 0x7F, 0x80, rng.randrange(256)))
        try:
            elf.link(bytes(bad), EXPORTS)
        except elf.LinkError:
            pass
