"""Sizes that a call gives: what the driver makes of them, against the interpreter of loops and against whole numbers."""

import ctypes
import random

import numpy as np
import pytest

from ingot.ir import dtypes as dt
from ingot.ir.loop.interpret import run_program
from ingot.ir.loop.parse import parse_kernel
from ingot.ir.loop.program import Copy, Launch, Program, Ref, Repeat
from ingot.ir.size import Size, evaluate, larger, smaller, symbol, symbols
from ingot.ir.types import tensor_type
from ingot.runtime import compiler, memory, threads
from ingot.runtime.executable import CheckError, Executable
from ingot.runtime.formula import formula
from tests.support.calling import CPU, HOST_LEVELS, load

LEVEL = HOST_LEVELS[-1]
TELL = parse_kernel("kernel @tell(y: i64 w; at, n) {\nserial i in 0..1 {\n%1 = index const(n)\nstore y[i + const(at)] = %1\n}\n}")
ROWS = parse_kernel("""kernel @rows(x: f32 r, y: f32 w; rows, cols) {
  alloc all: f32[$cols] kernel
  serial j in 0..$cols {
    store all[j] = 0x1p+1:f32
  }
  parallel r in 0..$rows {
    alloc row: f32[$cols] worker
    vector i in 0..$cols width 8 {
      %1 = load x[i + $cols*r]
      %2 = load all[i]
      %3 = mul(%1, %2) : f32
      store row[i] = %3
    }
    serial k in 0..$cols {
      %4 = load row[k]
      %5 = add(%4, 0x1p+0:f32) : f32
      store y[k + $cols*r] = %5
    }
  }
}""")


def telling(sizes, *given):
    """A program that writes the values of sizes to its output."""
    steps = tuple(Launch("tell", (Ref(0),), (k, x)) for k, x in enumerate(sizes))
    return Program("p", (), (tensor_type(dt.i64, (len(sizes),)),), frozenset(), {"tell": TELL}, steps, 0, symbols=tuple(symbols(*given)))


def told(program, *values):
    out = np.full(program.out_types[0].shape, -1, np.int64)
    code = load(program, LEVEL)([out, *map(np.int64, values)])
    return code, out.tolist()


def expression(r, atoms, depth):
    """A size of these atoms, by chance."""
    if depth == 0:
        return r.choice([*atoms, *atoms, r.randint(-3, 40)])
    a, b = (expression(r, atoms, depth - 1) for _ in range(2))
    kind = r.randrange(7)
    if kind < 2:
        return a + b
    if kind < 4:
        return a * b
    return a // r.randint(1, 9) if kind == 4 else smaller(a, b) if kind == 5 else larger(a, b)


@pytest.mark.parametrize("seed", range(6))
def test_sizes_are_what_they_evaluate_to(seed):
    r = random.Random(seed)
    b, t = symbol("B", 0, 64), symbol("T", 1, 512)
    sizes = [x for x in (expression(r, [b, t, t + 1, 3 * b - 7], r.randint(1, 4)) for _ in range(40)) if isinstance(x, Size)]
    program = telling(sizes, b, t)
    for values in [(0, 1), (64, 512), *((r.randint(0, 64), r.randint(1, 512)) for _ in range(20))]:
        code, got = told(program, *values)
        assert (code, got) == (0, [evaluate(x, dict(zip("BT", values))) for x in sizes]), f"seed {seed}: {values}"


def test_a_division_rounds_down_and_divisors_may_be_sizes():
    b, t = symbol("B", 0, 100), symbol("T", 1, 9)
    sizes = [(b - 50) // 7, (b - 50) // t, (7 - b) // (t + 1)]
    for values in [(0, 1), (49, 7), (50, 7), (51, 9), (100, 3)]:
        assert told(telling(sizes, b, t), *values) == (0, [evaluate(x, dict(zip("BT", values))) for x in sizes])


@pytest.mark.parametrize(
    "values, code", [((4, 3), 0), ((3, 3), 1), ((65, 3), 1), ((-1, 3), 1), ((4, 0), 2), ((64, 1 << 62), 3), ((4, 1 << 60), 0)]
)
def test_what_does_not_fit_is_refused_before_anything_runs(values, code):
    b, t = symbol("B", 4, 64), symbol("T", 1)
    found, out = told(telling([b, b * t - t], b, t), *values)
    assert found == code and (out == [-1, -1] if code else out == [values[0], values[0] * values[1] - values[1]])


def test_sizes_that_no_step_reads_are_checked():
    """Bytes of an input are a product that a call must be able to have; where the bounds say that it fits, nothing is calculated."""
    for most, code in ((None, 2), (1 << 20, 1)):
        b = symbol("B", 0, *([] if most is None else [most]))
        x = tensor_type(dt.f32, (b, b))
        program = Program(
            "p",
            (x,),
            (tensor_type(dt.i64, (1,)),),
            frozenset(),
            {"tell": TELL},
            (Launch("tell", (Ref(1),), (0, 7)),),
            0,
            symbols=tuple(symbols(b)),
        )
        out = np.zeros(1, np.int64)
        assert load(program, LEVEL)([np.zeros(1, np.float32), out, np.int64(1 << 32)]) == code and out[0] == 0
        assert load(program, LEVEL)([np.zeros(1, np.float32), out, np.int64(3)]) == 0 and out[0] == 7


def rows_program():
    """y = 2 x + 1 by rows; z: the first and the last row of y, in a loop over a copy of it in the arena."""
    b, t = symbol("B", 1, 40), symbol("T", 0, 300)
    x, z = tensor_type(dt.f32, (b, t)), tensor_type(dt.f32, (2, t))
    row = 4 * t
    nbytes = (x.nbytes + 63) // 64 * 64
    steps = (
        Launch("rows", (Ref(0), Ref(1)), (b, t)),
        Copy(Ref(None, nbytes), Ref(1), x.nbytes),
        Repeat("i", smaller(b, 2), (Copy(Ref(2, 0, (("i", row),)), Ref(None, nbytes, (("i", row * (b - 1)),)), row),)),
    )
    return Program("p", (x,), (x, z), frozenset(), {"rows": ROWS}, steps, nbytes * 2, symbols=tuple(symbols(b, t)))


@pytest.mark.parametrize("level", HOST_LEVELS, ids=lambda level: level.name)
def test_kernels_with_scratch_loops_and_copies_of_any_size(level):
    program = rows_program()
    code = load(program, level)
    rng = np.random.default_rng(3)
    for b, t in [(1, 0), (1, 1), (2, 7), (40, 300), (13, 64), (5, 31)]:
        x = rng.standard_normal((b, t)).astype(np.float32)
        want = [x.copy(), np.zeros((b, t), np.float32), np.zeros((2, t), np.float32)]
        got = [a.copy() for a in want]
        sizes = [np.int64(b), np.int64(t)]
        assert run_program(program, [*want, *sizes]) == code([*got, *sizes]) == 0
        for w, g in zip(want, got):
            np.testing.assert_array_equal(g, w)
        np.testing.assert_array_equal(got[1], 2 * x + 1)


@pytest.fixture
def nthreads():
    threads.start_pool(compiler.pool_code())
    before = threads.get_num_threads()
    yield threads.set_num_threads
    threads.set_num_threads(before)


def test_an_executable_of_sizes(nthreads):
    built = CPU.build(rows_program(), CPU.host_level())
    exe = Executable(built.code, built.manifest)
    assert exe.symbols == ("B", "T") and built.manifest["symbols"] == [
        {"name": "B", "min": 1, "max": 40},
        {"name": "T", "min": 0, "max": 300},
    ]
    assert isinstance(built.manifest["arena_bytes"], str) and isinstance(built.manifest["scratch_bytes"], str)
    for n in (1, 3):
        nthreads(n)
        for b, t in [(40, 300), (1, 0), (40, 300), (40, 300), (7, 9)]:
            x = np.random.default_rng(b).standard_normal((b, t)).astype(np.float32)
            y, z = memory.allocate(x.nbytes), memory.allocate(8 * t)
            exe.run(memory.from_numpy(x).address, y.address, z.address, b, t)
            np.testing.assert_array_equal(y.array(np.float32, x.shape), 2 * x + 1)
            assert exe.peak_bytes(b, t) >= 2 * x.nbytes + (n + 1) * 4 * t
    with pytest.raises(CheckError, match="B, the extent of input 0 in dim 0, must be at least 1 and at most 40, not 41") as e:
        exe.run(1, 2, 3, 41, 9)
    assert e.value.code == 1
    with pytest.raises(CheckError, match="T, the extent of input 0 in dim 1, must be at least 0 and at most 300, not -1"):
        exe.run(1, 2, 3, 4, -1)
    with pytest.raises(TypeError, match="takes 5 slots"):
        exe.run(1, 2, 4, 4)


def test_memory_that_is_not_there_is_found_missing_before_anything_runs(nthreads):
    b = symbol("B", 0, 1 << 50)
    x = tensor_type(dt.f32, (b,))
    program = Program(
        "p",
        (),
        (tensor_type(dt.i64, (1,)),),
        frozenset(),
        {"tell": TELL},
        (Launch("tell", (Ref(0),), (0, b)),),
        4 * b,
        symbols=tuple(symbols(b)),
    )
    assert x.nbytes == 4 * b
    built = CPU.build(program, CPU.host_level())
    exe = Executable(built.code, built.manifest)
    out = memory.from_numpy(np.zeros(1, np.int64))
    with pytest.raises(RuntimeError, match="memory"):
        exe.run(out.address, 1 << 49)
    assert out.array(np.int64, (1,))[0] == 0
    exe.run(out.address, 5)
    assert out.array(np.int64, (1,))[0] == 5


def test_what_a_call_will_take_and_give_can_be_asked_for():
    """ingot_sizes, for callers without Python: bytes of arena and scratch, then the extents of the outputs."""
    program = rows_program()
    code = load(program, LEVEL)
    sizes = code.library.ingot_sizes
    sizes.argtypes, sizes.restype = [ctypes.c_void_p] * 2, ctypes.c_int32
    manifest = code.built.manifest
    for b, t in [(1, 0), (40, 300), (13, 64)]:
        given, out = np.array([b, t], np.int64), np.full(7, -1, np.int64)
        assert sizes(given.ctypes.data, out.ctypes.data) == 0
        told = [formula(manifest[f], ["B", "T"])(b, t) for f in ("arena_bytes", "scratch_bytes")]
        assert out.tolist() == [*told, b, t, 2, t, -1]
    given, out = np.array([41, 0], np.int64), np.full(7, -1, np.int64)
    assert sizes(given.ctypes.data, out.ctypes.data) == 1 and (out == -1).all()
