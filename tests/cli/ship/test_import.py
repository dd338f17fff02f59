"""`ingot cache import`: what a bundle holds comes in, within bounds, and runs."""

import os
import stat

import numpy as np
import pytest

from ingot.runtime import compiler, memory
from ingot.runtime.cache import entry, journal, layer
from tests.support.bundles import name_of, packed, remade, stored, take
from tests.support.cli import run
from tests.support.prebuilt import make_graph


def test_import_of_a_tar_and_of_a_folder(capsys, cache, home, tar, other, keys, data):
    doc = take(capsys, tar, other, "--dry-run")
    assert doc["dry_run"] and [e["key"] for e in doc["imported"]] == sorted(data) and not os.path.exists(other.folder)
    doc = take(capsys, tar, other)
    assert [e["key"] for e in doc["imported"]] == sorted(data) and doc["present"] == doc["refused"] == [] and doc["foreign"] == 0
    for key, d in data.items():
        with open(other.path(key), "rb") as f:
            assert f.read() == d
        assert stat.S_IMODE(os.stat(other.path(key)).st_mode) == 0o600
    doc = take(capsys, tar, other)
    assert doc["imported"] == [] and doc["present"] == sorted(data)
    third = layer.Layer(str(home / "third"), True)
    assert len(take(capsys, cache.own.folder, third)["imported"]) == 4  # the folder of a cache
    run(capsys, "cache", "export", str(home / "out") + "/")
    assert len(take(capsys, home / "out", layer.Layer(str(home / "fourth"), True))["imported"]) == 4
    code, out, _ = run(capsys, "cache", "import", str(tar), "--dir", str(home / "fifth"))
    assert code == 0 and "imported 4 entries" in out and "0 were there already" in out
    assert run(capsys, "cache", "verify", "--deep", "--dir", str(home / "fifth"))[0] == 0


def test_what_is_there_stays(capsys, tar, other, keys, data):
    other.put(keys["double"], b"not even an entry")
    assert take(capsys, tar, other)["present"] == [keys["double"]]
    with open(other.path(keys["double"]), "rb") as f:
        assert f.read() == b"not even an entry"


def test_only_for_a_target(capsys, tar, other, keys, made):
    level = entry.parse(made[1][keys["double"]]).preimage["target"]["name"]
    if level == made[2]:
        pytest.skip("this CPU has the lowest level only")
    doc = take(capsys, tar, other, "--for-target", level)
    assert {e["key"] for e in doc["imported"]} == {keys["double"], keys["triple"], keys["pool"]} and doc["other_targets"] == 1
    assert run(capsys, "cache", "import", str(tar), "--for-target", "z80")[0] == 2


def test_bounds_hold_for_imports_too(capsys, tar, other, keys, monkeypatch):
    monkeypatch.setenv("INGOT_CACHE_MAX_ENTRIES", "2")
    doc = take(capsys, tar, other, code=1)
    assert len(doc["imported"]) + len(doc["refused"]) == 4 and doc["evicted"] and "bounded" in doc["refused"][0]["why"]
    assert stored(other) == {e["key"] for e in doc["imported"]}


def test_entries_of_another_ingot_are_pointed_out(capsys, home, other, keys, data):
    key, d = remade(data[keys["double"]], sources="0" * 64)
    (home / "x.tar").write_bytes(packed((name_of(key), d)))
    doc = take(capsys, home / "x.tar", other)
    assert doc["foreign"] == 1 and [e["key"] for e in doc["imported"]] == [key]
    assert "never asks for them" in run(capsys, "cache", "import", str(home / "x.tar"), "--dir", str(home / "third"))[2]


def test_imported_code_runs(capsys, tar, other, keys, monkeypatch):
    take(capsys, tar, other)
    monkeypatch.setenv("INGOT_CACHE_DIR", other.folder)
    monkeypatch.setenv("INGOT_FROZEN", "1")
    monkeypatch.setattr(compiler, "_executables", {})
    x, out = np.arange(16, dtype=np.float32), np.zeros(16, np.float32)
    compiler.executable(make_graph(3.0, 16, "triple")).run(memory.from_numpy(x).address, memory.from_numpy(out).address)
    np.testing.assert_array_equal(out, 3 * x)
    assert journal.read(os.path.join(other.folder, "toolchain.json"))
