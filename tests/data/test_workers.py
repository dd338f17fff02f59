"""DataLoader's worker processes: order, seeds, errors, deaths, time limits, clean ends."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import ingot
from ingot.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info


class Items(Dataset):
    def __init__(self, n: int, act=None):
        self.n = n
        self.act = act

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int):
        return i if self.act is None else self.act(i)


def alive(pids: list[int]) -> list[int]:
    out = []
    for p in pids:
        try:
            os.kill(p, 0)
            with open(f"/proc/{p}/stat") as f:
                if f.read().rsplit(")", 1)[1].split()[0] != "Z":
                    out.append(p)
        except (ProcessLookupError, FileNotFoundError):
            pass
    return out


def pid(i: int) -> int:
    return os.getpid()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_same_batches_as_without_workers(workers: int) -> None:
    def slow_first(i):
        if i == 0:
            time.sleep(0.1)
        return {"x": ingot.full((2,), float(i)), "y": np.int32(i), "s": str(i)}

    batches = list(DataLoader(Items(10, slow_first), batch_size=3, num_workers=workers))
    assert [b["y"].tolist() for b in batches] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert isinstance(batches[0]["x"], ingot.Tensor) and batches[1]["x"].tolist() == [[3, 3], [4, 4], [5, 5]] and batches[3]["s"] == ["9"]


def test_workers_compute_with_tensors() -> None:
    def act(i):
        return (ingot.arange(4.0) * i).sum()

    pending = ingot.ones(3) + 1  # not computed yet when the workers start
    assert [b.item() for b in DataLoader(Items(4, act), num_workers=2)] == [0, 6, 12, 18]
    assert pending.tolist() == [2, 2, 2]


def test_other_processes_do_the_work_and_end() -> None:
    pids = [p for b in DataLoader(Items(8, pid), batch_size=2, num_workers=2) for p in b.tolist()]
    assert len(set(pids)) == 2 and os.getpid() not in pids and not alive(list(set(pids)))


def test_stopping_early_ends_the_workers() -> None:
    it = iter(DataLoader(Items(100, pid), num_workers=2))
    pids = [next(it).item() for _ in range(2)]
    del it
    gc.collect()
    assert not alive(pids)


def test_persistent_workers() -> None:
    loader = DataLoader(Items(6, pid), num_workers=2, persistent_workers=True)
    first, second = ({b.item() for b in loader} for _ in range(2))
    assert first == second
    it = iter(loader)
    next(it)
    del it  # an abandoned pass
    assert {b.item() for b in loader} == first
    del loader
    gc.collect()
    assert not alive(list(first))


def test_streams() -> None:
    class Shard(IterableDataset):
        def __iter__(self):
            info = get_worker_info()
            return iter(range(info.id, 11, info.num_workers))

    assert sorted(i for b in DataLoader(Shard(), batch_size=2, num_workers=3) for i in b.tolist()) == list(range(11))
    a = [b.tolist() for b in DataLoader(Shard(), batch_size=2, num_workers=2)]
    assert a == [[0, 2], [1, 3], [4, 6], [5, 7], [8, 10], [9]]


def test_seeds() -> None:
    def draw(i):
        return [random.random(), float(np.random.rand()), ingot.rand(()).item(), float(get_worker_info().seed)]

    def run():
        ingot.manual_seed(1)
        return [tuple(v.item() for v in b) for b in DataLoader(Items(4, draw), num_workers=2)]

    a = run()
    assert a == run() and len({x[0] for x in a}) == 4 and len({x[2] for x in a}) == 4 and a[1][3] == a[0][3] + 1


class Custom(Exception):
    def __init__(self, a, b):
        super().__init__(a, b)


@pytest.mark.parametrize("error, caught", [(ValueError, ValueError), (KeyError, KeyError), (Custom, RuntimeError)])
def test_errors_come_back_with_their_traceback(error: type, caught: type) -> None:
    def explode(i):
        if i == 3:
            raise error("bad item", 7) if error is Custom else error("bad item")
        return i

    it = iter(DataLoader(Items(6, explode), num_workers=2))
    assert [next(it).item() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(caught) as e:
        next(it)
    text = str(e.value)
    assert f"Caught {error.__name__} in DataLoader worker process 1" in text and "in explode" in text and "bad item" in text


def test_errors_of_init_and_of_collation() -> None:
    def init(worker):
        raise OSError(f"no disk for {worker}")

    with pytest.raises(OSError, match="no disk for 0"):
        next(iter(DataLoader(Items(3), num_workers=1, worker_init_fn=init)))
    with pytest.raises(TypeError, match="default_collate"):
        next(iter(DataLoader(Items(3, lambda i: object()), num_workers=1)))
    seen = []
    for b in DataLoader(
        Items(3, lambda i: os.environ.get("SEEN", "")), num_workers=1, worker_init_fn=lambda w: os.environ.update(SEEN=str(w))
    ):
        seen += b
    assert seen == ["0", "0", "0"]


def test_what_cannot_be_sent_is_an_error() -> None:
    with pytest.raises(Exception, match="Caught .* in DataLoader worker process 0"):
        next(iter(DataLoader(Items(3, lambda i: lambda: i), num_workers=1, collate_fn=lambda b: b)))


def test_a_killed_worker_is_reported() -> None:
    def die(i):
        if i == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return i

    start = time.monotonic()
    with pytest.raises(RuntimeError, match=r"DataLoader worker 0 \(pid \d+\) was killed by signal 9"):
        list(DataLoader(Items(6, die), num_workers=2))

    def leave(i):
        os._exit(3)

    with pytest.raises(RuntimeError, match="exited with code 3"):
        list(DataLoader(Items(6, leave), num_workers=1))
    assert time.monotonic() - start < 20


def test_timeout() -> None:
    def slow(i):
        time.sleep(30)

    start = time.monotonic()
    with pytest.raises(RuntimeError, match="timed out after 0.5 seconds"):
        list(DataLoader(Items(2, slow), num_workers=1, timeout=0.5))
    assert time.monotonic() - start < 15


def test_big_batches_and_long_index_lists_do_not_deadlock() -> None:
    loader = DataLoader(Items(200_000), batch_size=50_000, num_workers=2, prefetch_factor=4)
    assert sum(b.sum().item() for b in loader) == 200_000 * 199_999 // 2


def test_spawned_workers() -> None:
    loader = DataLoader(Items(4), batch_size=2, num_workers=1, multiprocessing_context="spawn")
    assert [b.tolist() for b in loader] == [[0, 1], [2, 3]]


def test_workers_end_with_their_parent() -> None:
    code = """
        import os, sys, time
        from ingot.utils.data import DataLoader, Dataset
        class D(Dataset):
            def __len__(self): return 100
            def __getitem__(self, i): return os.getpid()
        it = iter(DataLoader(D(), num_workers=2))
        print(next(it).item(), next(it).item(), flush=True)
        os.kill(os.getpid(), 9)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    pids = [int(p) for p in done.stdout.split()]
    assert len(pids) == 2, done.stderr
    deadline = time.monotonic() + 15
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not alive(pids)
