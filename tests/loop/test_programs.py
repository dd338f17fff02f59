"""Programs: steps, references, the arena, scalars by value, checks, and what the entry promises its caller."""

import ctypes
from functools import partial

import numpy as np
import pytest

from ingot.backends.cpu.levels import LEVELS, at_most, host_features, host_level
from ingot.backends.cpu.module import build
from ingot.ir import dtypes
from ingot.ir.loop.expression import Index
from ingot.ir.loop.interpret import run_program
from ingot.ir.loop.ir import Barrier, For, Kernel
from ingot.ir.loop.parse import parse_kernel
from ingot.ir.loop.program import Branch, Copy, Launch, Program, Ref, Repeat, While
from ingot.ir.loop.text import print_program
from ingot.ir.loop.uses import LoopVerifyError
from ingot.ir.loop.verify import verify_kernel, verify_program
from ingot.ir.size import ShapeError, symbol, symbols
from ingot.ir.struct import replace
from ingot.ir.types import tensor_type
from tests.support.calling import HOST_LEVELS, load

SCALE = """kernel @scale(x: f32 r noalias, k: f32 r noalias, y: f32 w noalias; n) {
  %k = load k[0]
  parallel p in 0..3 {
    vector v in 0..$n width 16 {
      %1 = load x[$n*p + v]
      %2 = mul(%1, %k) : f32
      store y[$n*p + v] = %2
    }
  }
}"""
POSITIVE = """kernel @positive(x: f32 r; n, code) {
  vector v in 0..$n width 16 {
    %1 = load x[v]
    %2 = gt(%1, 0x0p+0:f32) : bool
    check %2 code $code
  }
}"""
SCRATCH = """kernel @through(x: f32 r; n) {
  alloc s: f32[1000] kernel
  parallel p in 0..2 {
    alloc w: f32[2000] worker
    vector v in 0..$n width 16 {
      %1 = load x[v]
      store w[v + 3] = %1
    }
    vector v in 0..$n width 16 {
      %2 = load w[v + 3]
      store s[v + 100*p] = %2
    }
  }
  vector v in 0..$n width 16 {
    %3 = load s[v + 100]
    store x[v] = %3
  }
}""".replace("x: f32 r;", "x: f32 rw;")
F32 = tensor_type(dtypes.f32, (3, 20))


def program(steps, n_in=2, arena=0):
    kernels = {k.name: k for k in map(parse_kernel, (SCALE, POSITIVE, SCRATCH))}
    types = (F32,) * n_in
    return Program("p", types, (F32,), frozenset({1}), kernels, tuple(steps), arena)


def both(p, slots):
    """Interpreter and compiled code agree; returns the code and the slots after it."""
    verify_program(p)
    want = [s.copy() if isinstance(s, np.ndarray) else np.asarray(s) for s in slots]
    code = run_program(p, want)
    for level in HOST_LEVELS[:3]:
        got = [s.copy() if isinstance(s, np.ndarray) else s for s in slots]
        assert load(p, level)(got) == code
        for g, w in zip(got, want):
            np.testing.assert_array_equal(g, w)
    return code, want


def test_steps_and_scalars_by_value():
    steps = [
        Launch("scale", (Ref(0), Ref(1, value=True), Ref(None, 64)), (20,)),
        Launch("through", (Ref(None, 64),), (60,)),
        Copy(Ref(2), Ref(None, 64), 240),
    ]
    x = np.arange(60, dtype=np.float32).reshape(3, 20)
    code, slots = both(program(steps, arena=304), [x, np.float32(2.5), np.zeros((3, 20), np.float32)])
    assert code == 0
    np.testing.assert_array_equal(slots[2], x * np.float32(2.5))
    assert "launch @scale(arg0, value1, arena + 64; 20)" in print_program(program(steps))


def test_repeat_moves_references():
    inner = Repeat("j", 2, (Copy(Ref(2, 0, (("i", 80), ("j", 40))), Ref(0, 40, (("i", 80), ("j", -40))), 40),))
    x = np.arange(60, dtype=np.float32).reshape(3, 20)
    _, slots = both(program([Repeat("i", 3, (inner,)), Repeat("i", 0, (inner,))]), [x, np.float32(1), np.zeros((3, 20), np.float32)])
    np.testing.assert_array_equal(slots[2].reshape(3, 2, 10), x.reshape(3, 2, 10)[:, ::-1])


def test_branches_and_loops_that_values_decide():
    def decided(flags, steps):
        p = replace(program(steps), in_types=(F32, tensor_type(dtypes.u8, (len(flags),))), scalars=frozenset())
        return both(p, [np.arange(60, dtype=np.float32).reshape(3, 20), np.array(flags, np.uint8), np.zeros((3, 20), np.float32)])[1]

    def row(k, source=0):
        return Copy(Ref(2, 80 * k), Ref(0, 80 * source), 80)

    branch = Branch(Ref(1, 1), (row(0), Branch(Ref(1, 2), (row(1),), ())), (row(2),))
    assert "if arg1 + 1 {" in print_program(program([branch])) and "} else {" in print_program(program([branch]))
    for flags, rows in (((0, 0, 1), [2]), ((0, 7, 0), [0]), ((0, 1, 1), [0, 1])):
        out = decided(flags, [branch])[2]
        assert [k for k in range(3) if out[k, 1] == 1] == rows
    # in each round a flag is shifted on; addresses that move with the loop around are found again behind a branch
    shift = Copy(Ref(1, 0), Ref(1, 1), 4)
    place = Ref(2, 0, (("i", 80),))
    inner = While((shift,), Ref(1), (Branch(Ref(1, 1), (Copy(place, Ref(0, 80), 40),), (Copy(place, Ref(0, 84), 40),)),))
    loop = Repeat("i", 3, (Copy(Ref(1), Ref(1, 5), 5), inner, Copy(replace(place, offset=40), Ref(0, 0, (("i", 80),)), 40)))
    assert "while {" in print_program(program([loop]))
    out = decided((0, 0, 0, 0, 0, 9, 1, 1, 0, 1), [loop])[2]
    assert out[:, 0].tolist() == [21, 21, 21] and out[:, 10].tolist() == [0, 20, 40]
    flags = decided((1, 1, 0, 1, 1), [While((shift,), Ref(1), ())])[1]
    assert flags.tolist() == [0, 1, 1, 1, 1]


def test_a_failed_check_ends_a_loop():
    x = -np.ones((3, 20), np.float32)
    steps = [While((Launch("positive", (Ref(0),), (60, 4)),), Ref(0, 3), (Launch("positive", (Ref(0),), (60, 2)),))]
    assert both(program(steps), [x, np.float32(1), x])[0] == 4


def test_a_failed_check_ends_a_program():
    x, out = np.ones((3, 20), np.float32), np.zeros((3, 20), np.float32)
    steps = [*(Launch("positive", (Ref(0),), (60, code)) for code in (7, 3)), Launch("scale", (Ref(0), Ref(1, value=True), Ref(2)), (20,))]
    code, written = both(program(steps), [x, np.float32(2), out])
    assert code == 0 and (written[2] == 2).all()
    x[1, 3] = -1
    code, written = both(program(steps), [x, np.float32(2), out])
    assert code == 7 and (written[2] == 0).all()


def test_the_floating_point_environment():
    """Rounding, denormals and exceptions are the entry's own inside, and the caller's again outside."""
    libm = ctypes.CDLL("libm.so.6")
    tiny = np.full((3, 20), 1e-40, np.float32)
    out = np.zeros((3, 20), np.float32)
    run = load(program([Launch("scale", (Ref(0), Ref(1, value=True), Ref(2)), (20,))]))
    upward = 0x800
    before = libm.fegetround()
    assert libm.fesetround(upward) == 0
    try:
        run([tiny, np.float32(0.3), out])
        assert libm.fegetround() == upward
    finally:
        libm.fesetround(before)
    np.testing.assert_array_equal(out, tiny * np.float32(0.3))
    assert (out > 0).all()


def test_same_program_same_bytes():
    steps = [Launch("scale", (Ref(0), Ref(1, value=True), Ref(2)), (20,)), Launch("through", (Ref(2),), (60,))]
    a, b = (build(program(steps), host_level()) for _ in range(2))
    assert a == b
    assert a.manifest["scratch_bytes"] >= 8000 and a.manifest["arena_bytes"] >= 4000


@pytest.mark.parametrize("step", [
    Launch("nothing", (), ()),
    Launch("scale", (Ref(0),), (20,)),
    Launch("scale", (Ref(0), Ref(1), Ref(5)), (20,)),
    Copy(Ref(0, 0, (("i", 4),)), Ref(1), 4),
])  # fmt: skip
def test_verifier_refuses_steps(step):
    with pytest.raises(LoopVerifyError):
        verify_program(program([step]))


def test_levels():
    host = host_level()
    assert at_most(host, host) and at_most(LEVELS["x86-64-v2"], LEVELS["x86-64-v4"]) and not at_most(LEVELS["aarch64"], LEVELS["x86-64-v4"])
    assert host_features()
    if host.arch == "x86_64":
        assert host_level("x86-64-v2").name == "x86-64-v2"
        with pytest.raises(ValueError, match="x86-64-v9"):
            host_level("x86-64-v9")


ROWS = """kernel @rows(x: f32 r noalias, y: f32 w noalias; n, m) {
  parallel p in 0..$n {
    alloc w: f32[$m] worker
    alloc other: f32[$m] worker
    vector v in 0..$m width 8 {
      %1 = load x[$m*p + v]
      store w[v] = %1
      store other[v] = %1
    }
    vector u in 0..$m width 8 {
      %2 = load w[u]
      store y[$m*p + mod(u + 1, $m) + 0] = %2
    }
  }
}"""


def sized_program():
    t = symbol("T", 0, 40)
    x = tensor_type(dtypes.f32, (t, t + 1))
    rows = parse_kernel(ROWS)
    half = Ref(None, x.nbytes)
    steps = (
        Launch("rows", (Ref(0), Ref(None)), (t, t + 1)),
        Repeat("i", t, (Copy(replace(half, strides=(("i", 4 * t + 4),)), Ref(None, 0, (("i", 4 * t + 4),)), 4 * t + 4),)),
        Launch("rows", (half, Ref(1)), (t, t + 1)),
    )
    return Program("sized", (x,), (x,), frozenset(), {"rows": rows}, steps, 2 * x.nbytes, symbols=tuple(symbols(t)))


def test_sizes_come_from_the_slots_of_symbols():
    p = sized_program()
    verify_program(p)
    assert "program @sized where T <= 40  # arena 8*T*T+8*T bytes" in print_program(p)
    assert "launch @rows(arg0, arena; T, T+1)" in print_program(p)
    assert "copy arena + 4*T*T+4*T + (4*T+4)*i = arena + (4*T+4)*i" in print_program(p)
    for t in (0, 1, 2, 7, 40):
        x = np.arange(t * (t + 1), dtype=np.float32).reshape(t, t + 1)
        y = np.zeros_like(x)
        for run in (partial(run_program, p), load(p)):
            y[...] = 0
            assert run([x, y, np.int64(t)]) == 0
            np.testing.assert_array_equal(y, np.roll(x, 2, 1))
    with pytest.raises(ShapeError, match="program sized runs for T <= 40, not for 41"):
        run_program(p, [x, y, np.int64(41)])


def test_sizes_without_symbols_are_refused():
    p = sized_program()
    with pytest.raises(LoopVerifyError, match="needs T, which is no symbol of it"):
        verify_program(replace(p, symbols=()))
    with pytest.raises(LoopVerifyError, match="is known only at run time, and no parameter"):
        verify_kernel(Kernel("k", (), (), [For("i", Index(symbol("T"), ()), "serial", [Barrier()])]))
