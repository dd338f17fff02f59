"""Any number of processes and threads on one cache, killed at any moment: no failure, no wrong number, and the cache stays whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
import warnings

import numpy as np
import pytest

from ingot.runtime import compiler, log
from ingot.runtime.cache import Cache, account, entry, journal
from tests.support import prebuilt, racing
from tests.support.faults import trace, watched
from tests.support.processes import ROOT
from tests.support.scenarios import STEPS, prepared


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder with the entries that processes race for."""
    folder = tmp_path_factory.mktemp("prebuilt")
    prebuilt.save(str(folder))
    return str(folder)


def race(folder, source, processes, rounds, seed, *mode):
    """Run racing.py; what it counted."""
    command = [sys.executable, "-m", "tests.support.racing", str(folder), source, str(processes), str(rounds), str(seed), *mode]
    env = {**os.environ, "INGOT_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    print(f"seed {seed}: {told}")
    return told


def test_processes_race_over_eight_keys_while_they_are_killed(folder, source, long):
    seed = int.from_bytes(os.urandom(4), "big") if long else 1
    told = race(folder, source, 64 if long else 24, 1000 if long else 10, seed)
    assert told["killed"] > 0 and told["entries"] > 0
    assert told["temporaries"] > 0 or not long  # some died while they wrote: the kills come where they matter


def test_processes_race_to_set_damaged_entries_aside(folder, source, long):
    seed = int.from_bytes(os.urandom(4), "big") if long else 2
    race(folder, source, 64 if long else 16, 200 if long else 6, seed, "damage")
    quarantine = os.path.join(folder, "quarantine")
    assert 0 < len(os.listdir(quarantine)) <= 16 + 64


# -- killed at each system call ----------------------------------------------------------------------------------------

READS = {"lstat", "stat", "fstat", "read", "pread", "lseek", "listdir", "scandir", "access", "readlink"}


def die_at(folder, work, n, half):
    """Do `work` in a child that kills itself in place of its n-th system call (for a write: after half of it); its exit code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads that a fork leaves behind
        pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    count = 0

    def hook(name, call):
        nonlocal count
        if count == n:
            if half:
                call.half()
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        return call()

    code = 1
    try:
        warnings.simplefilter("ignore")
        with watched(folder, hook):
            work(folder)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def assert_whole(folder, damaged=False):
    """What the next processes find: everything works, nothing is set aside, and what the dead left goes in time."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if damaged:
            warnings.filterwarnings("ignore", message=".*is damaged", category=log.IngotWarning)
        first = Cache(folder)
        for e in prebuilt.entries()[:3]:
            prebuilt.use(first, e)
        first.record_miss("0" * 64, {"name": "f"}, b'{"text":"t"}')
        first.save_counts()
        again = Cache(folder)
        assert all([prebuilt.use(again, e) for e in prebuilt.entries()[:3]])
    for listed in again.own.list():
        with open(listed.path, "rb") as f:
            entry.parse(f.read(), listed.key).check_deep()
    if not damaged:
        assert not os.path.exists(os.path.join(folder, "quarantine"))
    for name in ("misses.jsonl", "stats.jsonl"):
        assert journal.read(os.path.join(folder, name))
    racing.settle(folder, list(prebuilt.entries()[:3]))


@pytest.mark.parametrize("name", STEPS)
def test_killed_at_any_system_call(tmp_path, monkeypatch, name, long):
    """kill -9 in place of each call of a step, and in the middle of each write. The short form leaves out calls that only look."""
    monkeypatch.setattr(log, "_warned", set())
    monkeypatch.setenv("INGOT_CACHE_WAIT", "0.01")
    _, work = STEPS[name]
    (tmp_path / "home").mkdir(mode=0o700)
    folder = prepared(name, str(tmp_path / "home"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calls = trace(folder, lambda: work(folder))
    assert any(c not in READS for c in calls)
    moments = [(n, False) for n, call in enumerate(calls) if long or call not in READS]
    moments += [(n, True) for n, call in enumerate(calls) if call == "write"]
    for n, half in moments:
        folder = prepared(name, str(tmp_path / "home"))
        code = die_at(folder, work, n, half)
        where = f"killed {'half through' if half else 'before'} call {n}, {calls[n]}, of {' '.join(calls)}"
        assert code == -signal.SIGKILL, where
        try:
            if name == "statistics_folded":
                counted = sum(r.get("put", 0) for r in journal.read(os.path.join(folder, "stats.jsonl")))
                assert counted in (14_000, 14_001)
            assert_whole(folder, damaged=name == "set_aside_and_rebuild")
        except BaseException:
            print(where)
            raise


@pytest.mark.parametrize("name", STEPS)
def test_interrupted_at_any_system_call(tmp_path, monkeypatch, name):
    """Ctrl-C in place of each call that changes something: it comes through, and nothing temporary is left."""
    _, work = STEPS[name]
    (tmp_path / "home").mkdir(mode=0o700)
    folder = prepared(name, str(tmp_path / "home"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calls = trace(folder, lambda: work(folder))
        for n, call in enumerate(calls):
            if call in READS or call == "close":  # a descriptor that is not closed would be the test's fault
                continue
            folder = prepared(name, str(tmp_path / "home"))
            count = 0

            def hook(name, call, n=n):
                nonlocal count
                count += 1
                if count == n + 1:
                    raise KeyboardInterrupt
                return call()

            with watched(folder, hook), pytest.raises(KeyboardInterrupt):
                work(folder)
            left = [f for _, _, names in os.walk(folder) for f in names if f.endswith((".tmp", ".claim"))]
            assert call in ("unlink", "remove") or not left, f"interrupted at call {n}, {call}, of {' '.join(calls)}: {left}"
            cache = Cache(folder)
            for _ in range(2):
                prebuilt.use(cache, prebuilt.entries()[0])


# -- threads, and processes that start cold ----------------------------------------------------------------------------


@pytest.fixture
def own_cache(folder, monkeypatch):
    """The process's cache is empty, and the process remembers nothing."""
    monkeypatch.setenv("INGOT_CACHE_DIR", str(folder))
    monkeypatch.setattr(compiler, "_executables", {})
    compiler.counts.clear()


@pytest.mark.parametrize("keys", [1, 8])
def test_threads_compile_each_key_once(own_cache, keys, long):
    graphs = [prebuilt.make_graph(20.0 + i) for i in range(keys)]
    for n in range(20 if long else 2):
        compiler._executables.clear()
        failures, found = [], []
        gate = threading.Barrier(16)

        def work(i, gate=gate, found=found, failures=failures):
            try:
                gate.wait()
                for j in range(keys):
                    k = (i + j) % keys
                    exe = compiler.executable(graphs[k])
                    prebuilt.run(exe, 20.0 + k)
                    found.append((k, id(exe)))
            except BaseException as e:
                failures.append(e)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failures, failures
        assert len(found) == 16 * keys and len(set(found)) == keys
        assert compiler.counts["compiled"] == keys and compiler.counts["cache"] == n * keys


COLD = """
import ingot

@ingot.compile
def f(x):
    return ingot.softmax(x @ x.T, dim=-1)

x = ingot.arange(12, dtype=ingot.float32).reshape(3, 4) / 10
print(f(x).numpy().tobytes().hex())
"""


def test_processes_that_start_cold_on_one_key(folder, tmp_path, long):
    """Eight real processes, an empty cache, one function: the same bits from all, and not a word of trouble."""
    env = {**os.environ, "INGOT_CACHE_DIR": str(folder)}
    for n in range(5 if long else 1):
        os.makedirs(folder, 0o700, exist_ok=True)
        env["INGOT_CACHE_DIR"] = str(folder / f"round{n}")
        command, pipe = [sys.executable, "-W", "error", "-c", COLD], subprocess.PIPE
        running = [subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=env, cwd=tmp_path) for _ in range(8)]
        told = [p.communicate() for p in running]
        assert [p.returncode for p in running] == [0] * 8, told
        assert {err for _, err in told} == {""} and len({out for out, _ in told}) == 1
        x = np.arange(12, dtype=np.float32).reshape(3, 4) / 10
        e = np.exp(x @ x.T - (x @ x.T).max(-1, keepdims=True))
        y = np.frombuffer(bytes.fromhex(told[0][0]), np.float32).reshape(3, 3)
        np.testing.assert_allclose(y, e / e.sum(-1, keepdims=True), rtol=1e-5)
        cache = Cache(env["INGOT_CACHE_DIR"])
        listed = list(cache.own.list())
        assert listed and account.total(cache.own)[1] >= len(listed)
        for e in listed:
            with open(e.path, "rb") as f:
                entry.parse(f.read(), e.key).check_deep()
