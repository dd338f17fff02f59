"""The store: hits, misses with their reasons, damage, races, layers and bounds. No failure reaches the caller."""

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingot.runtime import log, switches
from ingot.runtime.cache import Cache, account, journal, store, the_cache
from ingot.runtime.cache.store import default_folder
from tests.support.processes import FROM_PATH, copy_package
from tests.support.stores import publish, read


def test_put_then_hit(cache, folder, make_entry):
    key, data = make_entry(1)
    assert read(cache, key) is None
    cache.put(key, data, 5.0)
    code, source = read(cache, key)
    assert source == "disk" and data.startswith(code)
    assert cache.counts == {"miss.absent": 1, "put": 1, "hit.disk": 1, "saved_ms": 5, "spent_ms": 5}
    assert os.stat(folder).st_mode & 0o777 == 0o700
    assert os.stat(cache.own.path(key)).st_mode & 0o777 == 0o600
    assert not [n for _, _, names in os.walk(folder) for n in names if n.endswith(".tmp")]


def test_a_hit_leaves_no_descriptor_open(cache, make_entry):
    key, data = make_entry(1)
    cache.put(key, data, 5.0)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        read(cache, key)
    assert len(os.listdir("/proc/self/fd")) == before


def test_no_home_keeps_entries_in_memory(make_entry):
    cache = Cache(None)
    key, data = make_entry(1)
    with pytest.warns(log.IngotWarning, match="INGOT_CACHE_DIR") as told:
        cache.put(key, data, 5.0)
        cache.put(*make_entry(2), 5.0)
    assert len(told) == 1
    assert read(cache, key)[1] == "memory"


def test_a_full_disk_keeps_entries_in_memory(cache, make_entry, monkeypatch):
    def full(fd, data):
        raise OSError(28, "No space left on device")

    key, data = make_entry(1)
    with monkeypatch.context() as m, pytest.warns(log.IngotWarning, match="No space left"):
        m.setattr(os, "write", full)
        cache.put(key, data, 5.0)
    assert read(cache, key)[1] == "memory"
    assert not list(cache.own.list()) and not os.listdir(os.path.dirname(cache.own.path(key)))


def test_a_path_that_is_a_file(tmp_path, make_entry):
    (tmp_path / "file").write_text("")
    cache = Cache(str(tmp_path / "file" / "cache"))
    key, data = make_entry(1)
    assert read(cache, key) is None
    with pytest.warns(log.IngotWarning, match="in memory only"):
        cache.put(key, data, 5.0)
    assert read(cache, key)[1] == "memory"


def test_read_only_layers_are_asked_after_the_own_one_and_never_written(tmp_path, make_entry):
    key, data = make_entry(1)
    Cache(str(tmp_path / "image")).put(key, data, 5.0)
    cache = Cache(str(tmp_path / "own"), (str(tmp_path / "nothing"), str(tmp_path / "image")))
    assert read(cache, key)[1] == "shared"
    before = {p: os.stat(p).st_mtime_ns for p in (cache.shared[1].path(key),)}
    key2, data2 = make_entry(2)
    cache.put(key2, data2, 5.0)
    assert not os.path.exists(cache.shared[1].path(key2))
    assert before == {p: os.stat(p).st_mtime_ns for p in before}
    path = cache.shared[1].path(key)
    with open(path, "r+b") as f:
        f.write(b"bad")
    with pytest.warns(log.IngotWarning, match="damaged"):
        assert read(cache, key) is None
    assert os.path.exists(path)


def test_the_bounds_hold_and_the_dear_and_recent_stay(folder, make_entry):
    size = len(make_entry(0)[1])
    cache = Cache(str(folder), max_bytes=size * 10 + 100)
    for n in range(10):
        cache.put(*make_entry(n), 1000.0 if n == 3 else 5.0)
    for n in range(10):
        os.utime(cache.own.path(make_entry(n)[0]), (0, time.time() - (0 if n in (3, 4) else 86400)))
    cache.put(*make_entry(10), 5.0)
    left = {e.key for e in cache.own.list()}
    assert len(left) == 10 and cache.counts["evicted"] == 1
    assert {make_entry(n)[0] for n in (3, 4, 10)} <= left
    nbytes, entries = account.total(cache.own)
    assert entries == 10 and nbytes == sum(e.size for e in cache.own.list())


def test_the_number_of_entries_is_bounded(folder, make_entry):
    cache = Cache(str(folder), max_entries=5)
    for n in range(20):
        cache.put(*make_entry(n), 5.0)
        assert len(list(cache.own.list())) <= 5


def test_the_account_is_rebuilt_when_lost_or_damaged(cache, folder, make_entry):
    for n in range(5):
        cache.put(*make_entry(n), 5.0)
    os.unlink(folder / "account")
    cache.put(*make_entry(5), 7.0)
    assert account.total(cache.own)[1] == 6
    with open(folder / "account", "ab") as f:
        f.write(b"half a reco")
    assert account.total(cache.own)[1] == 6


def test_use_is_recorded_at_most_once_an_hour(cache, make_entry):
    key, data = make_entry(1)
    cache.put(key, data, 5.0)
    path = cache.own.path(key)
    os.utime(path, (1, 1))
    read(cache, key)
    touched = os.stat(path).st_mtime
    assert time.time() - touched < 60
    read(cache, key)
    assert os.stat(path).st_mtime == touched


def test_temporaries_of_dead_processes_are_swept(cache, make_entry):
    key, data = make_entry(1)
    cache.put(key, data, 5.0)
    old = os.path.join(os.path.dirname(cache.own.path(key)), ".1-dead.tmp")
    new = os.path.join(os.path.dirname(cache.own.path(key)), ".2-alive.tmp")
    for path in (old, new):
        with open(path, "wb"):
            pass
    os.utime(old, (0, time.time() - 7200))
    assert cache.own.sweep() == 1 and not os.path.exists(old) and os.path.exists(new)


def test_counts_add_up_over_processes(cache, folder, make_entry):
    cache.put(*make_entry(1), 5.0)
    cache.save_counts()
    cache.save_counts()
    other = Cache(str(folder))
    read(other, make_entry(1)[0])
    other.save_counts()
    records = journal.read(str(folder / "stats.jsonl"))
    assert sum(r.get("put", 0) for r in records) == 1 and sum(r.get("hit.disk", 0) for r in records) == 1


def test_journals_are_bounded_and_survive_noise(tmp_path):
    path = str(tmp_path / "j")
    for i in range(2000):
        assert journal.append(path, {"i": i, "pad": "x" * 50}, bound=10_000)
        assert os.path.getsize(path) <= 10_000
    with open(path, "ab") as f:
        f.write(b'\xff\xfe{"half":\n[1]\n')
    records = journal.read(path)
    assert records[-1]["i"] == 1999 and len(records) > 30
    assert journal.append(str(tmp_path / "no" / "j"), {}) is False
    assert journal.read(str(tmp_path / "no")) == []


def test_where_the_folder_is(monkeypatch):
    monkeypatch.delenv("INGOT_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert default_folder() == "/x/ingot"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/h")
    assert default_folder() == "/h/.cache/ingot"
    monkeypatch.setenv("HOME", "/")
    assert default_folder() is None
    monkeypatch.setenv("INGOT_CACHE_DIR", "/d")
    assert default_folder() == "/d"


KEY = """
import sys
from ingot.runtime.cache import key
toolchain = {"llvmlite": key.llvmlite_version(), "llvm": "22"}
print(key.key_of(key.preimage("graph", "func", {"name": "x"}, toolchain, {})), "llvmlite" in sys.modules)
"""


def test_the_key_knows_no_place_time_or_name(tmp_path):
    """The package copied elsewhere, every file touched, another HOME, user, host, folder and day: the same key."""
    here = subprocess.run([sys.executable, "-c", KEY], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    other = tmp_path / "elsewhere"
    copy_package(other)
    for path in other.rglob("*"):
        os.utime(path, (0, 1_000_000_000))
    env = {**os.environ, "HOME": "/nowhere", "USER": "somebody", "HOSTNAME": "elsewhere", "TZ": "Asia/Tokyo", "PYTHONPATH": str(other)}
    code = FROM_PATH + KEY + f"\nimport ingot; assert ingot.__file__.startswith({str(other)!r}), ingot.__file__"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=other)
    assert there.stdout == here, there.stderr
    assert here.split()[1] == "False"  # and llvmlite was not imported to learn its version
    with open(other / "ingot" / "ir" / "op.py", "a") as f:
        f.write("\n")
    changed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=other).stdout
    assert changed and changed != here


def test_notes(cache):
    assert cache.note("toolchain") == {}
    cache.set_note("toolchain", {"1.0": "22"})
    assert cache.note("toolchain") == {"1.0": "22"}
    shared = Cache(os.path.join(os.path.dirname(cache.own.folder), "shared"))
    shared.set_note("toolchain", {"1.0": "21", "2.0": "23"})
    both = Cache(cache.own.folder, (shared.own.folder,))
    assert both.note("toolchain") == {"1.0": "22", "2.0": "23"}


def test_log_tells_hits_and_misses(cache, make_entry, monkeypatch, capsys):
    monkeypatch.setenv("INGOT_LOG", "cache")
    key, data = make_entry(1)
    read(cache, key)
    cache.put(key, data, 1.0)
    read(cache, key)
    err = capsys.readouterr().err
    assert f"miss (absent) {key[:12]}" in err and f"hit (disk) {key[:12]}" in err
    json.dumps(dict(cache.counts))
    assert switches.get("INGOT_LOG") == {"cache"}


def test_a_signature_goes_with_its_entry(cache, make_entry):
    own, keys = cache.own, []
    for n in range(4):
        key, data = make_entry(n)
        cache.put(key, data, 5.0)
        publish(own.signature_path(key), b"s" * 64)
        keys.append(key)
    assert [e.key for e in own.list()] == sorted(keys)
    assert own.remove(keys[0]) and not os.path.exists(own.signature_path(keys[0]))
    with open(own.path(keys[1]), "wb") as f:
        f.write(b"damaged")
    with pytest.warns(log.IngotWarning, match="set aside"):
        assert read(cache, keys[1]) is None
    assert not os.path.exists(own.signature_path(keys[1]))
    os.unlink(own.path(keys[2]))
    assert own.sweep() == 0  # it may be that its entry is just being written
    os.utime(own.signature_path(keys[2]), (0, 0))
    assert own.sweep() == 1 and not os.path.exists(own.signature_path(keys[2]))
    os.utime(own.signature_path(keys[3]), (0, 0))
    assert own.sweep() == 0 and os.path.exists(own.signature_path(keys[3]))


def test_eviction_takes_signatures_along(folder, make_entry):
    cache = Cache(str(folder), max_entries=2)
    for n in range(6):
        key, data = make_entry(n)
        cache.put(key, data, 5.0)
        publish(cache.own.signature_path(key), b"s" * 64)
    left = {e.key for e in cache.own.list()}
    signatures = {n[: -len(".sig")] for _, _, names in os.walk(folder) for n in names if n.endswith(".sig")}
    assert signatures == left and len(left) <= 2


def test_threads_that_ask_first_together_get_one_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "another"))
    monkeypatch.setattr(store, "_caches", {})
    together = threading.Barrier(4)

    class Slow(Cache):
        def __init__(self, *setting):
            together.wait(timeout=30)
            super().__init__(*setting)

    monkeypatch.setattr(store, "Cache", Slow)
    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(lambda _: the_cache(), range(4)))) == 1
