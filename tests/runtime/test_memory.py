"""The allocator: alignment, reuse, limits, sharing with NumPy, threads, shutdown."""

import gc
import random
import subprocess
import sys
import threading
import weakref

import ml_dtypes
import numpy as np
import pytest

from ingot.runtime import memory

SIZES = [0, 1, 63, 64, 65, 1000, 1024, 1025, 4096, 32767, 32768, 32769, 100_000, 1 << 20, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 9 << 20]


@pytest.mark.parametrize("nbytes", SIZES)
def test_allocate(nbytes):
    b = memory.allocate(nbytes)
    assert b.nbytes == nbytes and b.address % 64 == 0 and b.address > 0 and b.owner is None
    if nbytes >= 2 << 20:
        assert b.address % (2 << 20) == 0
    a = b.array(np.uint8, (nbytes,))
    a[:] = 7
    assert a.sum() == 7 * nbytes
    address = b.address
    del a, b
    assert memory.allocate(nbytes).address == address, "the block that was freed last is the next"


def test_blocks_do_not_overlap():
    rng = random.Random(1)
    live: list[tuple[memory.Buffer, np.ndarray, int]] = []
    for i in range(4000):
        if live and rng.random() < 0.45:
            b, a, tag = live.pop(rng.randrange(len(live)))
            assert (a == tag).all()
        else:
            b = memory.allocate(rng.choice((0, 8, 60, 200, 1000, 5000, 40_000, 300_000)))
            a = b.array(np.uint8, (b.nbytes,))
            a[:] = i % 251
            live.append((b, a, i % 251))
    assert all((a == tag).all() for _, a, tag in live)


def test_class_sizes():
    for n in [*range(0, 40_000, 13), *(1 << k for k in range(15, 34)), *((1 << k) + 1 for k in range(15, 34))]:
        size = memory._class_size(n)
        assert size >= max(n, 1) and size % 64 == 0
        assert size <= max(64, n * 1.26 + 64) or size - n < 2 << 20
        assert memory.bin_for(n).size == size


def test_large_blocks_are_given_back():
    memory.empty_cache()
    before = memory.memory_stats()
    limit = memory.keep_limit()
    buffers = [memory.allocate(4 << 20) for _ in range(5)] + [memory.allocate(100_000) for _ in range(100)]
    assert memory.memory_stats()["in_use"] >= before["in_use"] + (20 << 20) + 10_000_000
    try:
        memory.set_keep_limit(8 << 20)
        del buffers
        stats = memory.memory_stats()
        assert stats["in_use"] == before["in_use"]
        assert stats["kept"] <= before["kept"] + (10 << 20) and stats["keep_limit"] == 8 << 20
        memory.set_keep_limit(0)
        assert memory.memory_stats()["mapped"] <= before["mapped"] + (1 << 20)
    finally:
        memory.set_keep_limit(limit)
    with pytest.raises(ValueError, match="at least 0"):
        memory.set_keep_limit(-1)


def test_empty_cache_keeps_what_is_used():
    keep = [memory.allocate(512) for _ in range(1000)]
    arrays = [b.array(np.int64, (64,)) for b in keep]
    for i, a in enumerate(arrays):
        a[:] = i
    del keep[::2]  # the arrays keep their memory
    rest = arrays[1::2]
    del arrays
    memory.empty_cache()
    assert all((a == 2 * i + 1).all() for i, a in enumerate(rest))
    del keep, rest, a
    memory.empty_cache()
    assert len(memory._slabs) < 20


def test_out_of_memory():
    for nbytes in (1 << 46, 1 << 60, 1 << 80):
        with pytest.raises(RuntimeError, match=r"out of memory: cannot allocate .* \(\d+ bytes\); tensors use"):
            memory.allocate(nbytes)
    with pytest.raises(ValueError, match="-1 bytes"):
        memory.allocate(-1)
    assert memory.allocate(10).nbytes == 10


@pytest.mark.parametrize("dtype", [np.float32, np.bool_, np.int8, np.float16, ml_dtypes.bfloat16, np.uint64])
@pytest.mark.parametrize("shape", [(), (0,), (3, 4), (2, 0, 5)])
def test_array_keeps_memory_alive(dtype, shape):
    b = memory.allocate(int(np.prod(shape)) * np.dtype(dtype).itemsize)
    ref = weakref.ref(b)
    a = b.array(dtype, shape)
    assert a.dtype == dtype and a.shape == shape and a.flags.c_contiguous and a.flags.writeable
    assert a.__array_interface__["data"][0] == b.address
    a[...] = 1
    view = a[...].reshape(-1)[:1]
    del a, b
    gc.collect()
    assert ref() is not None
    assert (view.astype(np.float32) == 1).all()
    del view
    gc.collect()
    assert ref() is None
    with pytest.raises(ValueError, match="cannot hold"):
        memory.allocate(7).array(np.float32, (2,))


def test_from_numpy():
    a = np.arange(12, dtype=np.float32).reshape(3, 4)
    b = memory.from_numpy(a)
    assert b.owner is a and b.nbytes == 48 and b.writable
    a[0, 0] = 99
    assert b.array(np.float32, (3, 4))[0, 0] == 99
    ref = weakref.ref(a)
    del a
    assert ref() is not None, "the buffer keeps the array alive"
    odd = np.zeros(9, np.uint8)[1:].view(np.float64)
    for other in (np.arange(12.0).reshape(3, 4).T, np.arange(12.0)[::2], np.arange(3, dtype=">f4"), odd):
        c = memory.from_numpy(other)
        assert c.owner is None
        np.testing.assert_array_equal(c.array(other.dtype.newbyteorder("="), other.shape), other)
    frozen = np.ones(4)
    frozen.flags.writeable = False
    d = memory.from_numpy(frozen)
    assert d.owner is frozen and not d.writable and not d.array(np.float64, (4,)).flags.writeable
    assert memory.from_numpy(np.zeros((0, 3))).nbytes == 0
    for bad in (np.array(["x"]), np.array([object()]), np.array(["2020-01-01"], "M8[D]"), np.zeros(2, [("a", "f4")])):
        with pytest.raises(TypeError, match="no tensor equivalent"):
            memory.from_numpy(bad)
    with pytest.raises(TypeError, match="numpy.ndarray, got list"):
        memory.from_numpy([1.0])


def test_threads():
    errors = []

    def work(tag: int) -> None:
        rng = random.Random(tag)
        live = []
        for _ in range(1500):
            b = memory.allocate(rng.choice((16, 500, 3000, 50_000, 3 << 20)))
            a = b.array(np.uint8, (min(b.nbytes, 64),))
            a[:] = tag
            live.append((b, a))
            if len(live) > 20:
                _, a = live.pop(rng.randrange(20))
                if not (a == tag).all():
                    errors.append(tag)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for w in workers:
        w.start()
    for _ in range(20):
        memory.empty_cache()
    for w in workers:
        w.join()
    assert not errors


def test_shutdown_is_silent(tmp_path):
    script = """
import sys, types
from ingot.runtime import memory
import numpy as np
keep = types.ModuleType("keep"); sys.modules["zz"] = keep
keep.b = [memory.allocate(n) for n in (8, 100_000, 4 << 20)]
keep.a = [b.array(np.uint8, (8,)) for b in keep.b]
class Cycle: pass
c = Cycle(); c.c = c; c.b = memory.allocate(5 << 20)
sys.foo = c
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert (out.returncode, out.stdout, out.stderr) == (0, "", "")


def test_a_block_is_lent_where_its_own_size_has_none():
    memory.empty_cache()
    own, larger = memory.bin_for(3 << 20), memory.bin_for(9 << 20)
    assert memory.lender_of(3 << 20) is own
    larger.append(larger.take())
    assert memory.lender_of(3 << 20) is larger and memory.lender_of(9 << 20) is larger
    assert memory.lender_of(64) is memory.bin_for(64)
    own.append(own.take())
    assert memory.lender_of(3 << 20) is own
    memory.empty_cache()
