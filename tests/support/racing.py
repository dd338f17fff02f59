"""Processes that race over the keys of one cache, and are killed: run as a program by test_cache_races.py.

    python racing.py FOLDER PREBUILT PROCESSES ROUNDS SEED [damage]

A round forks the processes from this light one; each takes the keys in an order of its own, runs what it finds, puts
what is missing, and now and then removes an entry or is so tight that it evicts. Half of them are killed with -9
wherever they are: system calls are slowed at random, and writes are cut short, so that kills and other processes come
in between. After each round the cache must be whole. With `damage`, entries are also replaced by damaged ones.

Prints one JSON document of what happened; what must not happen is a line on stderr and exit code 1.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
import warnings

from ingot.runtime import log
from ingot.runtime.cache import Cache, account, entry
from tests.support import prebuilt

ROUND_LIMIT = 120  # seconds: a round that lasts longer hangs
TIGHT = 5  # entries that a process keeps which evicts


def slow_calls(rng: random.Random) -> None:
    """Make the system calls of a put last, at random; writes may also be short, which is legal."""
    write = os.write

    def short_write(fd: int, data: memoryview) -> int:
        if len(data) > 1000 and rng.random() < 0.3:
            data = memoryview(data)[: rng.randrange(1, len(data))]
        return write(fd, data)

    os.write = short_write  # type: ignore[assignment]
    for name in ("open", "write", "fsync", "rename", "replace", "unlink", "close"):
        call = getattr(os, name)

        def slow(*args, _call=call, **kwargs):
            if rng.random() < 0.1:
                time.sleep(rng.random() * 0.004)
            return _call(*args, **kwargs)

        setattr(os, name, slow)


def worker(folder: str, entries: list[prebuilt.Prebuilt], rng: random.Random, damage: bool) -> None:
    """What one process does in a round."""
    warnings.simplefilter("error")
    if damage:
        warnings.filterwarnings("ignore", message=".*is damaged", category=log.IngotWarning)
    slow_calls(rng)
    tight = rng.random() < 0.15
    cache = Cache(folder, max_entries=TIGHT) if tight else Cache(folder)
    claim = rng.random() < 0.4  # the others compile at once: claims are a courtesy
    for e in rng.sample(entries, len(entries)):
        prebuilt.use(cache, e, claim)
        if rng.random() < 0.03:
            assert cache.own is not None
            cache.own.remove(rng.choice(entries).key)
    if rng.random() < 0.3:
        cache.record_miss(entries[0].key, {"name": "race"}, b'{"text": "x"}')
    if rng.random() < 0.3:
        cache.save_counts()


def start(gate: tuple[int, int], *args) -> int:
    """Fork a process that works once the gate opens: once no process holds the pipe's write end."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.close(gate[1])
        os.read(gate[0], 1)
        worker(*args)
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def one_round(folder: str, entries: list[prebuilt.Prebuilt], processes: int, rng: random.Random, damage: bool) -> int:
    """Start the processes, kill half of them, wait for all; how many were killed."""
    gate = os.pipe()
    living = {start(gate, folder, entries, random.Random(rng.random()), damage) for _ in range(processes)}
    doomed, killed = processes // 2, 0
    os.close(gate[0])
    os.close(gate[1])
    pause = rng.choice((0.0005, 0.002, 0.01))
    until = time.monotonic() + ROUND_LIMIT
    try:
        while living:
            time.sleep(rng.random() * pause)
            if damage and rng.random() < 0.3:
                spoil(folder, rng.choice(entries), rng)
            for pid in sorted(living):
                done, status = os.waitpid(pid, os.WNOHANG)
                if not done:
                    continue
                living.discard(pid)
                code = os.waitstatus_to_exitcode(status)
                if code not in (0, -signal.SIGKILL):
                    raise AssertionError(f"a process failed with exit code {code}")
            if living and doomed and rng.random() < 0.7:
                os.kill(rng.choice(sorted(living)), signal.SIGKILL)  # if it has ended: it is not reaped yet, so the number is its own
                doomed, killed = doomed - 1, killed + 1
            if time.monotonic() > until:
                raise AssertionError(f"{len(living)} processes hang")
    finally:
        for pid in living:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return killed


def spoil(folder: str, e: prebuilt.Prebuilt, rng: random.Random) -> None:
    """Put a damaged file in the place of an entry, if there is one."""
    path = Cache(folder).own.path(e.key)  # type: ignore[union-attr]
    bad = bytearray(e.data)
    bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
    if os.path.exists(path):
        with open(folder + ".bad", "wb") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(bad)
        os.rename(folder + ".bad", path)


def check(folder: str, damage: bool) -> tuple[int, int, int]:
    """The cache is whole; (entries, how far the account is off, temporaries of the dead)."""
    cache = Cache(folder)
    own, n, dead = cache.own, 0, 0
    assert own is not None
    for e in own.list():
        n += 1
        if not damage:
            with open(e.path, "rb") as f:
                entry.parse(f.read(), e.key).check_deep()
    quarantine = os.path.join(folder, "quarantine")
    assert damage or not os.path.exists(quarantine) or not os.listdir(quarantine), "something was set aside"
    for top, _, names in os.walk(folder):
        for name in names:
            known = name.endswith((".tmp", ".claim", ".so")) or name in ("account", "misses.jsonl", "stats.jsonl", "toolchain.json")
            assert known, f"a strange file: {top}/{name}"
            dead += name.endswith(".tmp")
    return n, abs(account.total(own)[1] - n), dead


def settle(folder: str, entries: list[prebuilt.Prebuilt]) -> None:
    """An hour later somebody evicts: nothing is left of the dead, and the account is right again."""
    for top, _, names in os.walk(folder):
        for name in names:
            if name.endswith((".tmp", ".claim")):
                os.utime(os.path.join(top, name), (1, 1))
    cache = Cache(folder, max_entries=TIGHT)
    for e in entries:
        prebuilt.use(cache, e)
    assert cache.own is not None
    account.evict(cache.own, cache.max_bytes, TIGHT)
    left = [os.path.join(top, n) for top, _, names in os.walk(folder) for n in names if n.endswith((".tmp", ".claim"))]
    assert not left, f"temporaries are left: {left[:5]}"
    listed = list(cache.own.list())
    told = account.total(cache.own)
    assert told == (sum(e.size for e in listed), len(listed)), f"the account says {told}, there are {len(listed)}"


def main(folder: str, source: str, processes: int, rounds: int, seed: int, damage: bool) -> None:
    entries = prebuilt.load(source)
    rng = random.Random(seed)
    os.environ["INGOT_CACHE_WAIT"] = "0.1"
    own = Cache(folder).own
    assert own is not None
    killed = most = drift = torn = 0
    for r in range(rounds):
        try:
            if rng.random() < 0.5:
                for e in entries:
                    own.remove(e.key)
            elif rng.random() < 0.3:
                for listed in own.list():
                    os.utime(listed.path, (1, 1))
            killed += one_round(folder, entries, processes, rng, damage)
            n, off, dead = check(folder, damage)
            most, drift, torn = max(most, n), max(drift, off), max(torn, dead)
            if r % 20 == 19 or r == rounds - 1:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore" if damage else "error")
                    settle(folder, entries)
        except BaseException:
            print(f"round {r} of seed {seed}", file=sys.stderr)
            raise
    print(json.dumps({"rounds": rounds, "killed": killed, "entries": most, "account_off": drift, "temporaries": torn}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]), damage=sys.argv[6:] == ["damage"])  # type: ignore[misc]
