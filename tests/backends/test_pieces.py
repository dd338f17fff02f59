"""Kernels as pieces of code: known by what they do, the same bytes whatever stands beside them, and put together without LLVM."""

import subprocess
import sys

import numpy as np
import pytest

from ingot.backends import backend
from ingot.backends.cpu import elf_piece
from ingot.backends.cpu.elf_object import LinkError
from ingot.backends.cpu.levels import LEVELS
from ingot.backends.cpu.module import identity
from ingot.ir import dtypes as dt
from ingot.ir.loop.parse import parse_kernel
from ingot.ir.loop.program import Copy, Launch, Program, Ref, Repeat
from ingot.ir.loop.text import print_kernel
from ingot.ir.types import tensor_type
from tests.support.calling import HOST_LEVELS, load
from tests.support.programs import mixed

CPU = backend("cpu")
LEVEL = HOST_LEVELS[-1]
ADD = """kernel @{name}(x: f32 r, y: f32 w; n, by) {{
serial i in 0..$n {{
%1 = load x[i]
%2 = add(%1, 0x1p+0:f32) : f32
store y[i] = %2
}}
}}"""


class Kept(dict):
    """A Keep that remembers, and notes what it was asked to make."""

    def __init__(self, known=()):
        super().__init__(known)
        self.made = []

    def __call__(self, parts, make):
        missing = [p for p in parts if p.name not in self]
        self.update(zip((p.name for p in missing), make(missing, 2)))
        self.made += [p.text for p in missing]
        return [self[p.name] for p in parts]


@pytest.mark.parametrize("level", LEVELS.values(), ids=str)
def test_code_taken_from_one_object_makes_the_same_bytes_of_another(level):
    first, second = (CPU.lower(g, level) for g in (mixed(), mixed("other", 40)))
    alone = [CPU.build(p, level) for p in (first, second)]
    again = Kept(CPU.pieces(alone[0].code))
    assert CPU.build(first, level, again) == alone[0] and not again.made
    both = Kept(CPU.pieces(alone[0].code))
    assert CPU.build(second, level, both) == alone[1]  # some of its kernels were made beside others
    assert CPU.build(second, level, Kept(CPU.pieces(alone[1].code) | CPU.pieces(alone[0].code))) == alone[1]


def test_what_a_kernel_is_called_does_not_matter_and_its_constants_do():
    a, b = (parse_kernel(ADD.format(name=n)) for n in ("a", "b"))
    assert identity(a) == identity(b) != identity(parse_kernel(ADD.format(name="a").replace("0x1p+0", "0x1p+1")))


def test_nothing_of_llvm_is_needed_for_known_kernels():
    code = (
        "import sys\n"
        "from ingot.backends import backend\n"
        "from tests.support.programs import mixed\n"
        "cpu = backend('cpu'); level = cpu.host_level()\n"
        "known = cpu.pieces(open(sys.argv[1], 'rb').read())\n"
        "made = cpu.build(cpu.lower(mixed(), level), level, lambda parts, make: [known[p.name] for p in parts])\n"
        "assert 'llvmlite' not in sys.modules and made.code == open(sys.argv[1], 'rb').read()\n"
    )
    import tempfile

    from tests.support.processes import with_tests

    level = CPU.host_level()
    with tempfile.NamedTemporaryFile(suffix=".so") as f:
        f.write(CPU.build(CPU.lower(mixed(), level), level).code)
        f.flush()
        done = subprocess.run([sys.executable, "-c", code, f.name], capture_output=True, text=True, env=with_tests())
    assert done.returncode == 0, done.stderr


def program(steps, n_in=1, n_out=1, arena_bytes=0):
    kernel = parse_kernel(ADD.format(name="add"))
    t = tensor_type(dt.f32, (64,))
    return Program("p", (t,) * n_in, (t,) * n_out, frozenset(), {"add": kernel}, tuple(steps), arena_bytes)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_loops_within_loops_and_copies(count):
    """y[4 i + j] = x[4 i + j] + 1 by launches that move with both loops, over the arena; then y is copied to z."""
    place = (("i", 16), ("j", 4))
    inner = [
        Launch("add", (Ref(0, 0, place), Ref(None, 64, (("j", 4),))), (1, 0)),
        Copy(Ref(1, 0, place), Ref(None, 64, (("j", 4),)), 4),
    ]
    steps = [Repeat("i", count, (Repeat("j", 4, tuple(inner)),)), Copy(Ref(2, 8), Ref(1, 0), 200)]
    x, y, z = np.arange(64, dtype=np.float32), np.zeros(64, np.float32), np.zeros(64, np.float32)
    assert load(program(steps, 1, 2, 128), LEVEL)([x, y, z]) == 0
    want = np.where(np.arange(64) < 4 * count, x + 1, 0).astype(np.float32)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(z[2:52], want[:50])
    assert not z[:2].any() and not z[52:].any()


def test_far_offsets_are_whole():
    """Offsets beyond what an address word holds are added by themselves: this one leaves the arena and comes back."""
    far = 1 << 50
    steps = [Repeat("i", 1, (Launch("add", (Ref(0), Ref(1, far, (("i", 0),))), (0, 0)),)), Launch("add", (Ref(0), Ref(1)), (64, 0))]
    x, y = np.arange(64, dtype=np.float32), np.zeros(64, np.float32)
    assert load(program(steps), LEVEL)([x, y]) == 0
    np.testing.assert_array_equal(y, x + 1)


def test_a_launch_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="launch of add: 1 buffers and 2 parameters for 2 and 2"):
        CPU.build(program([Launch("add", (Ref(0),), (1, 0))]), LEVEL)


def test_damaged_pieces_are_refused():
    code = CPU.build(program([Launch("add", (Ref(0), Ref(1)), (64, 0))]), LEVEL).code
    piece = next(p for p in CPU.pieces(code).values())
    for size in range(0, len(piece), 7):
        with pytest.raises(LinkError, match="malformed piece"):
            elf_piece.read(piece[:size])
    rng = np.random.default_rng(7)
    at, size, _ = elf_piece.o.section(code, elf_piece.SECTION)
    for where in rng.integers(at, at + size, 200):
        bad = bytearray(code)
        bad[where] ^= 1 << int(rng.integers(8))
        try:
            for found in CPU.pieces(bytes(bad)).values():
                elf_piece.read(found).object()
        except (ValueError, LinkError):
            pass


def test_nans_of_other_bits_are_other_constants():
    text = ADD.format(name="a")
    kernels = [parse_kernel(text.replace("0x1p+0", nan)) for nan in ("nan", "nan0xfff8000000000000", "nan0x7ff8000020000000")]
    assert len({identity(k) for k in kernels}) == len({repr(k.body) for k in kernels}) == 3
    assert [parse_kernel(print_kernel(k)) for k in kernels] == kernels
    for k, sign in zip(kernels, (False, True, False)):
        t = tensor_type(dt.f32, (1,))
        p = Program("p", (t,), (t,), frozenset(), {"a": k}, (Launch("a", (Ref(0), Ref(1)), (1, 0)),), 0)
        y = np.zeros(1, np.float32)
        assert load(p, LEVEL)([np.zeros(1, np.float32), y]) == 0
        assert np.isnan(y[0]) and np.signbit(y[0]) == sign
