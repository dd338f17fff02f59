"""Streams, events, memory, graphs and what goes wrong: `ingot.cuda` as a whole."""

import gc
import subprocess
import sys

import numpy as np
import pytest

import ingot
from ingot.runtime.cuda.allocator import PINNED

pytestmark = pytest.mark.usefixtures("cuda")


def test_what_is_known_of_devices(standin):
    assert ingot.cuda.is_available() and ingot.cuda.device_count() == 2 and ingot.cuda.is_initialized()
    p = ingot.cuda.get_device_properties(1)
    assert p.name == ingot.cuda.get_device_name() == "Emulated GPU" and (p.major, p.minor) == (9, 0) == ingot.cuda.get_device_capability()
    assert p.total_memory == 8 << 30 and p.multi_processor_count == 132 and p.warp_size == 32
    assert ingot.cuda.can_device_access_peer(0, 1) and ingot.cuda.is_bf16_supported()
    assert ingot.accelerator.is_available() and ingot.accelerator.current_accelerator().type == "cuda"
    ingot.cuda.set_device(1)
    try:
        assert ingot.cuda.current_device() == 1 and ingot.ones(1).cuda().device.index == 1
    finally:
        ingot.cuda.set_device("cuda:0")
    with ingot.cuda.device(1):
        assert ingot.cuda.current_stream() == ingot.cuda.default_stream(1) != ingot.cuda.default_stream(0)
    with ingot.cuda.device_of(ingot.ones(1, device="cuda:1")):
        assert ingot.cuda.current_device() == 1
    with pytest.raises(ValueError, match="Expected a cuda device, but got: cpu"):
        ingot.cuda.get_device_name("cpu")


def test_work_runs_in_the_stream_in_which_it_was_recorded(standin):
    s = ingot.cuda.Stream()
    x = ingot.arange(4.0, device="cuda")
    ingot.cuda.synchronize()
    s.wait_stream(ingot.cuda.current_stream())
    with ingot.cuda.stream(s):
        assert ingot.cuda.current_stream() == s
        y = x * 3
    assert ingot.cuda.current_stream() != s
    assert standin._objects[s.cuda_stream].waiting  # it was put there as the block ended
    ingot.cuda.current_stream().wait_stream(s)
    y.record_stream(ingot.cuda.current_stream())
    assert (y + 1).tolist() == [1.0, 4.0, 7.0, 10.0]
    assert s.query() and not standin._objects[s.cuda_stream].waiting


def test_events_say_when_and_how_long():
    a, b = ingot.cuda.Event(enable_timing=True), ingot.cuda.Event(enable_timing=True)
    a.record()
    y = ingot.ones(100, device="cuda").cumsum(0)
    b.record()
    b.synchronize()
    assert a.query() and b.query() and a.elapsed_time(b) >= 0.0 and y[-1].item() == 100.0
    with pytest.raises(ValueError, match="enable_timing=True"):
        ingot.cuda.Event().elapsed_time(b)
    with pytest.raises(RuntimeError, match="must be recorded"):
        a.elapsed_time(ingot.cuda.Event(enable_timing=True))


def test_memory_is_counted_kept_and_given_back():
    ingot.cuda.empty_cache()
    ingot.cuda.reset_peak_memory_stats()
    before = ingot.cuda.memory_allocated()
    x = ingot.zeros(1 << 20, device="cuda")
    ingot.cuda.synchronize()
    assert ingot.cuda.memory_allocated() - before == 4 << 20 <= ingot.cuda.max_memory_allocated() - before
    reserved = ingot.cuda.memory_reserved()
    assert reserved >= 4 << 20
    address = x.data_ptr()
    del x
    assert ingot.cuda.memory_allocated() == before and ingot.cuda.memory_reserved() == reserved
    y = ingot.ones(1 << 20, device="cuda")
    assert y.data_ptr() == address  # what was let go of comes again
    del y
    free = ingot.cuda.mem_get_info()[0]
    ingot.cuda.empty_cache()
    assert ingot.cuda.memory_reserved() < reserved and ingot.cuda.mem_get_info()[0] > free
    stats = ingot.cuda.memory_stats()
    assert stats["allocated_bytes.all.current"] == ingot.cuda.memory_allocated() and stats["num_ooms"] >= 0
    assert ingot.cuda.memory_stats_as_nested_dict()["allocated_bytes"]["all"]["peak"] >= 4 << 20


def test_memory_used_on_another_stream_is_free_when_that_has_come_as_far(standin):
    s = ingot.cuda.Stream()
    x = ingot.zeros(1 << 19, device="cuda")
    address = x.data_ptr()
    ingot.cuda.synchronize()
    with ingot.cuda.stream(s):
        y = x + 1
    del x
    z = ingot.zeros(1 << 19, device="cuda")
    assert z.data_ptr() != address
    s.synchronize()
    ingot.zeros(1, device="cuda").data_ptr(), ingot.zeros(1, device="cuda").data_ptr()
    assert ingot.zeros(1 << 19, device="cuda").data_ptr() == address and y[0].item() == 1.0


def test_out_of_memory_is_told_and_nothing_is_lost(standin):
    ingot.cuda.empty_cache()
    kept = ingot.zeros(1 << 20, device="cuda")
    kept.data_ptr()
    cached = ingot.zeros(1 << 20, device="cuda")
    cached.data_ptr()
    del cached
    was, standin.limit = standin.limit, ingot.cuda.memory_reserved()
    try:
        there = ingot.ones(3 << 18, device="cuda")  # another class of sizes: there is room once what is kept was given back
        assert there.sum().item() == 3 << 18
        with pytest.raises(ingot.cuda.OutOfMemoryError, match=r"CUDA out of memory\. Tried to allocate 64\.0 MiB\. GPU 0 has a total") as e:
            ingot.ones(1 << 24, device="cuda").data_ptr()
        assert "is by Ingot in" in str(e.value) and isinstance(e.value, RuntimeError)
        assert ingot.cuda.memory_stats()["num_ooms"] >= 1 and ingot.cuda.memory_stats()["num_alloc_retries"] >= 2
    finally:
        standin.limit = was
    assert kept.sum().item() == 0.0
    gc.collect()
    ingot.cuda.empty_cache()  # what other tests left on the second device would serve
    ingot.cuda.set_per_process_memory_fraction(0.0, 1)
    with pytest.raises(ingot.cuda.OutOfMemoryError):
        ingot.ones(3, device="cuda:1").data_ptr()
    ingot.cuda.set_per_process_memory_fraction(1.0, 1)
    with pytest.raises(ValueError, match="Allowed range"):
        ingot.cuda.set_per_process_memory_fraction(2.0)


def test_pinned_memory():
    x = ingot.arange(5.0)
    p = x.pin_memory()
    assert p.is_pinned() and not x.is_pinned() and p.pin_memory() is p and p.tolist() == x.tolist()
    y = p.to("cuda", non_blocking=True)
    address = p.data_ptr()
    del p
    assert y.tolist() == x.tolist() and address not in PINNED
    with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
        y.pin_memory()


def test_a_graph_is_captured_and_replayed():
    x = ingot.arange(4.0, device="cuda")
    w = ingot.full((4,), 2.0, device="cuda")
    ingot.cuda.synchronize()
    g = ingot.cuda.CUDAGraph()
    with ingot.cuda.graph(g):
        assert ingot.cuda.is_current_stream_capturing()
        y = (x * w).cumsum(0)
    assert not ingot.cuda.is_current_stream_capturing()
    g.replay()
    assert y.tolist() == [0.0, 2.0, 6.0, 12.0]
    ingot.cuda.current_stream().synchronize()
    w.data_ptr()
    x.mul_(0).add_(1)
    with pytest.raises(RuntimeError, match="without a preceding successful capture"):
        ingot.cuda.CUDAGraph().replay()
    with pytest.raises(RuntimeError, match="already owns a captured graph"):
        g.capture_begin()
    g.reset()


def test_what_fails_in_flight(standin):
    x = ingot.arange(4.0, device="cuda")
    x.data_ptr()
    standin.fail("cuLaunchKernel", 700)
    with pytest.raises(RuntimeError, match=r"CUDA error: an illegal memory access was encountered .*must start again"):
        (x * 5).data_ptr()
    standin.fail("cuStreamSynchronize", 700)
    with pytest.raises(RuntimeError, match="CUDA error: an illegal memory access"):
        (x + 5).tolist()
    assert ingot.ones(2).sum().item() == 2.0 and x.tolist() == [0.0, 1.0, 2.0, 3.0]


CHILD = """
import os, ingot
x = ingot.ones(2, device="cuda") + 1
x.data_ptr()
pid = os.fork()
if pid == 0:
    try:
        ingot.ones(2, device="cuda").data_ptr()
    except RuntimeError as e:
        print(e, flush=True)
    print(ingot.ones(2).sum().item(), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(x.tolist())
"""


def _run(text, **env):
    import os

    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120, env={**os.environ, **env})
    return done.stdout + done.stderr


def test_a_child_cannot_use_cuda_after_a_fork(standin):
    out = _run(CHILD, INGOT_CUDA="emulated")
    assert "Cannot re-initialize CUDA in forked subprocess" in out and "'spawn' start method" in out
    assert out.strip().splitlines()[-2:] == ["2.0", "[2.0, 2.0]"]


def test_why_there_is_none():
    asked = "import ingot\ntry: ingot.ones(1).cuda()\nexcept RuntimeError as e: print(e)\nprint(ingot.cuda.is_available())"
    out = _run(asked, INGOT_CUDA="0")
    assert out == "device cuda: no CUDA device is available: INGOT_CUDA=0 says so\nFalse\n"
    out = _run("import ingot\ningot.cuda.is_available()", INGOT_CUDA="some")
    assert "INGOT_CUDA: expected 0, real, emulated, emulated:DEVICES or emulated:DEVICES:MEMORY, not 'some'" in out


def test_an_import_brings_nothing_of_it():
    out = _run("import sys, ingot\ningot.ones(2).sum().item()\nprint([m for m in sys.modules if 'cuda' in m or 'elsewhere' in m])")
    assert out == "[]\n"


def test_a_number_of_threads_use_it():
    from concurrent.futures import ThreadPoolExecutor

    def work(k):
        x = ingot.full((50,), float(k), device="cuda")
        for _ in range(5):
            x = (x * 2).cumsum(0) / ingot.arange(1.0, 51.0, device="cuda") / 2
        return x.cpu().numpy()

    with ThreadPoolExecutor(4) as pool:
        for k, got in enumerate(pool.map(work, range(8))):
            np.testing.assert_allclose(got, np.full(50, k), rtol=1e-5)
