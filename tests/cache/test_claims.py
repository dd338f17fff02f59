"""Claims spare work between processes and never stand in anybody's way; what is mapped can be known; misses can be explained."""

import ctypes
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from ingot.runtime import compiler, switches
from ingot.runtime.cache import Cache, account, claim, misses
from ingot.runtime.cache.explain import differences, nearest
from ingot.runtime.cache.mapped import mapped_in
from tests.support.processes import with_tests

KEY = "ab" * 32


def dead_process():
    child = subprocess.Popen([sys.executable, "-c", ""])
    identity = claim._identity(child.pid)
    child.wait()
    return identity


def test_the_first_claims_and_leaves_nothing(cache):
    with claim.claimed(cache.own, KEY, 5.0) as again:
        assert not again and os.path.exists(claim.claim_path(cache.own, KEY))
    assert not os.listdir(os.path.dirname(cache.own.path(KEY)))
    with pytest.raises(KeyError), claim.claimed(cache.own, KEY, 5.0):
        raise KeyError
    assert not os.listdir(os.path.dirname(cache.own.path(KEY)))


def test_others_wait_for_the_entry(cache, make_entry):
    key, data = make_entry(1)
    inside, seen = threading.Event(), []

    def other():
        inside.wait(30)
        with claim.claimed(cache.own, key, 60.0) as again:
            seen.append((again, os.path.exists(cache.own.path(key))))

    t = threading.Thread(target=other)
    t.start()
    with claim.claimed(cache.own, key, 60.0) as again:
        assert not again
        inside.set()
        time.sleep(0.05)
        assert not seen
        cache.own.put(key, data)
    t.join(30)
    assert seen == [(True, True)]
    with claim.claimed(cache.own, key, 60.0) as again:
        assert again  # it is there by now


def test_the_wait_is_bounded(cache):
    with claim.claimed(cache.own, KEY, 5.0):
        with claim.claimed(cache.own, KEY, 0.05) as again:
            assert again  # given up: the caller compiles anyway
        with claim.claimed(cache.own, KEY, 0.0) as again:
            assert not again


@pytest.mark.parametrize("told", ["dead", "reused"])
def test_nobody_waits_for_the_dead(cache, told):
    path = claim.claim_path(cache.own, KEY)
    cache.own.folder_of(KEY)
    identity = dead_process() if told == "dead" else claim._identity(os.getpid()).replace(b" ", b" 1", 1)
    with open(path, "wb") as f:
        f.write(identity)
    with claim.claimed(cache.own, KEY, 1e6) as again:  # a wait would never end
        assert not again and open(path, "rb").read() == claim._identity(os.getpid())


def test_a_claim_from_another_machine_is_waited_for(cache):
    path = claim.claim_path(cache.own, KEY)
    cache.own.folder_of(KEY)
    with open(path, "wb") as f:
        f.write(b"1 2 elsewhere pid:[3]")
    with claim.claimed(cache.own, KEY, 0.1) as again:
        assert again
    assert not os.path.exists(path)  # given up on


def test_where_nothing_can_be_written_nobody_waits(tmp_path):
    (tmp_path / "file").write_text("")
    with claim.claimed(Cache(str(tmp_path / "file" / "x")).own, KEY, 1e6) as again:
        assert not again
    with Cache(None).claimed(KEY) as again:
        assert not again


def test_what_is_mapped_is_known_and_not_evicted(tmp_path, make_entry):
    (tmp_path / "home").mkdir(mode=0o700)
    cache = Cache(str(tmp_path / "home" / "cache"), max_entries=3)
    pool = compiler.pool_code()  # any real shared object
    key, _ = make_entry(0)
    cache.own.folder_of(key)
    with open(cache.own.path(key), "wb") as f:
        f.write(pool)
    os.utime(cache.own.path(key), (0, 0))  # worth least
    assert key not in mapped_in(cache.own)
    lib = ctypes.CDLL(cache.own.path(key))
    assert lib is not None and mapped_in(cache.own) == {key: [os.getpid()]}
    assert not mapped_in(Cache(str(tmp_path / "home" / "other")).own)  # the same code of another cache is none of this one's
    for n in range(1, 8):
        cache.put(*make_entry(n), 5.0)
    left = {e.key for e in cache.own.list()}
    assert key in left and len(left) <= 3
    assert key not in {e.key for e in account.evict(cache.own, 0, 0)}


def test_misses_keep_what_explains_them(folder):
    folder.mkdir()
    for i in range(200):
        text = "".join(f"%{k} = op {k * 7919 * (i + 1)}\n" for k in range(200 if i % 2 else 200_000 // (1 + 40 * (i > 1))))
        preimage = json.dumps({"text": text, "sources": "s", "target": {"n": i}}).encode()
        misses.record(str(folder), f"{i:064x}", "absent", {"name": "f"}, preimage)
    assert os.path.getsize(folder / "misses.jsonl") <= misses.BOUND
    found = misses.read(str(folder))
    assert found[-1]["key"] == f"{199:064x}" and misses.preimage_of(found[-1])["text"].startswith("%0 = op 0\n%1 = op 1583800")
    assert len(found) > 20
    assert misses.preimage_of({"preimage": 3}) is None
    for broken in ("!!", "AAAA", 5):
        doc = misses.preimage_of({"preimage": {"text_zlib": broken, "text_sha256": "x", "kind": "graph"}})
        assert doc == {"text_sha256": "x", "kind": "graph"}


def test_the_nearest_entry_is_the_one_that_differs_least(cache, make_entry):
    from ingot.runtime.cache import entry, key

    def put(n, **fields):
        doc = {"kind": "graph", "text": "func\n  a\n  b", "sources": "s", "toolchain": {"llvm": "22"}, "target": {"lanes": 16}, **fields}
        data = json.dumps(doc, sort_keys=True, separators=(",", ":")).encode()
        record = {"name": "f", "signature": f"(x: f32[{n}]) -> (f32[1])", "compile_ms": 1.0}
        cache.own.put(key.key_of(data), entry.pack(key.key_of(data), b"\x7fELF", {}, record, data, {}))
        return key.key_of(data), doc

    far, _ = put(3, text="func\n  z", sources="old", toolchain={"llvm": "21"})
    near, doc = put(4, sources="old")
    wanted = {**doc, "sources": "s"}
    found = nearest(cache.layers, KEY, wanted, "f", "(x: f32[4]) -> (f32[1])")
    assert found.key == near and [d.field for d in found.differences] == ["sources"]
    found = nearest(cache.layers, near, wanted, "f", "(x: f32[4]) -> (f32[1])")
    assert found.key == far
    assert [d.field for d in found.differences] == ["argument x", "sources", "toolchain.llvm"]
    assert str(found.differences[0]) == "argument x is f32[4], stored is f32[3]"
    assert nearest(cache.layers, KEY, wanted, "g") is None
    kept = {"text_sha256": "0" * 64, **{k: v for k, v in doc.items() if k != "text"}}
    assert [d.field for d in differences(doc, kept)] == ["graph"]
    assert [d.field for d in differences({"text": "func 1\n a\n b"}, {"text": "func 2\n a\n c"})] == ["graph, line 3"]
    assert [d.field for d in differences({"text": "func 1\n a"}, {"text": "func 2\n a"})] == ["graph, line 1"]


def test_two_processes_compile_once(tmp_path):
    """Two fresh processes on one cold key: one compiles, the other waits and finds."""
    script = """
import sys
from ingot.runtime import compiler
from tests.support import prebuilt
print("ready", flush=True)
sys.stdin.readline()
prebuilt.run(compiler.executable(prebuilt.make_graph(2.5)), 2.5)
print(compiler.counts["compiled"], flush=True)
"""
    env = with_tests(INGOT_CACHE_DIR=str(tmp_path / "cache"), INGOT_CACHE_WAIT="300")
    children = [
        subprocess.Popen([sys.executable, "-c", script], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        for _ in range(4)
    ]
    for c in children:
        assert c.stdout.readline() == "ready\n"
    for c in children:
        c.stdin.write("go\n")
        c.stdin.flush()
    assert sum(int(c.communicate(timeout=300)[0]) for c in children) == 1


def test_without_a_compiler_the_noted_one_is_looked_for(monkeypatch, tmp_path):
    from ingot.runtime import toolchain
    from ingot.runtime.cache import key, the_cache

    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "c"))
    the_cache().set_note("toolchain", {"0.9.1": "20", "0.50.0": "22.1.0", "broken": 3})
    monkeypatch.setattr(key, "llvmlite_version", lambda: None)
    assert toolchain.versions() == {"llvmlite": "0.50.0", "llvm": "22.1.0"}
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "d"))
    assert toolchain.versions() == {"llvmlite": "none", "llvm": "none"}


@pytest.mark.parametrize("text", ["soon", "-1", "nan"])
def test_the_wait_is_a_number_of_seconds(monkeypatch, text):
    monkeypatch.setenv("INGOT_CACHE_WAIT", text)
    with pytest.raises(switches.SwitchError, match="seconds"):
        switches.get("INGOT_CACHE_WAIT")


