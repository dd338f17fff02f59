"""`ingot cache`: every verb on a folder of known entries, and the exit codes that scripts rely on."""

import os
import time

import pytest

from ingot.runtime.cache import journal
from ingot.runtime.cli.output import CommandError, parse_age, size
from tests.support.cli import json_of, run


def test_dir(capsys, cache):
    assert run(capsys, "cache", "dir") == (0, cache.own.folder + "\n", "")
    assert json_of(capsys, "cache", "dir")["folder"] == cache.own.folder
    assert run(capsys, "cache", "dir", "--dir", "/x")[1] == "/x\n"


def test_no_home(capsys, monkeypatch):
    monkeypatch.delenv("INGOT_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/")
    code, _, err = run(capsys, "cache", "ls")
    assert code == 5 and "INGOT_CACHE_DIR" in err


def test_info_and_config(capsys, cache, keys):
    doc = json_of(capsys, "cache", "info")
    (layer,) = doc["layers"]
    assert layer["entries"] == 3 and layer["state"] == "in use" and layer["bytes"] == sum(e.size for e in cache.own.list())
    code, out, _ = run(capsys, "cache", "info")
    assert code == 0 and cache.own.folder in out and "bounds: 2.0 GiB (0 % used), 100000 entries (0 % used)" in out
    rows = {r["name"]: r for r in json_of(capsys, "cache", "config")["settings"]}
    assert rows["INGOT_CACHE_DIR"] == {
        "name": "INGOT_CACHE_DIR", "value": cache.own.folder, "origin": "environment", "changes_code": False,
    }  # fmt: skip
    assert rows["INGOT_TIME"]["origin"] == "default"
    assert run(capsys, "cache", "config")[0] == 0


def test_ls(capsys, cache, keys):
    doc = json_of(capsys, "cache", "ls", "--sort", "cost")
    assert [e["key"] for e in doc["entries"]] == [keys["train2"], keys["train"], keys["serve"]]
    assert doc["entries"][0]["name"] == "train_step" and doc["entries"][0]["compile_ms"] == 900.0
    code, out, err = run(capsys, "cache", "ls", "--sort", "name")
    assert code == 0 and out.splitlines()[0].split()[:2] == ["key", "function"] and "3 entries" in err
    assert out.splitlines()[1].split()[1] == "serve"
    assert set(run(capsys, "cache", "ls", "-q")[1].split()) == set(keys.values())


@pytest.mark.parametrize(
    "text, names",
    [
        ("fn=train*", {"train", "train2"}), ("target=x86-64-v4", {"serve"}), ("compile>600", {"train2"}), ("compile<10", {"serve"}),
        ("size>1MiB", set()), ("compile>=0.9s", {"train2"}), ("compile <= 5ms", {"serve"}), ("used<1m", {"train", "train2", "serve"}),
        ("fn=serve", {"serve"}), ("fn=nobody", set()), ("age<1h", {"train", "train2", "serve"}), ("age>1d", set()),
    ],
)  # fmt: skip
def test_filters(capsys, keys, text, names):
    assert set(run(capsys, "cache", "ls", "-q", "--filter", text)[1].split()) == {keys[n] for n in names}


@pytest.mark.parametrize("text", ["", "fn", "fn=", "fn>3", "age>soon", "age=3d", "compile>x", "size>x", "size>", "colour=red"])
def test_bad_filters_are_usage_errors(capsys, keys, text):
    code, out, err = run(capsys, "cache", "ls", "--filter", text)
    assert code == 2 and not out and "expected" in err 


def test_show(capsys, cache, keys):
    key = keys["train"]
    code, out, _ = run(capsys, "cache", "show", key[:10])
    assert code == 0 and key in out and "train_step" in out and "500 ms" in out
    assert "%0 = add" in run(capsys, "cache", "show", key, "--ir")[1]
    assert "x86-64-v3" in run(capsys, "cache", "show", key, "--preimage")[1]
    doc = json_of(capsys, "cache", "show", key, "--preimage")
    assert doc["key"] == key and doc["preimage"]["target"]["name"] == "x86-64-v3"


def test_keys_that_fit_none_or_many(capsys, cache, keys):
    assert run(capsys, "cache", "show", "zz")[0] == 2
    assert run(capsys, "cache", "show", "0" * 20)[0] == 1


def test_a_damaged_entry_is_listed_found_and_set_aside(capsys, cache, keys):
    path = cache.own.path(keys["serve"])
    with open(path, "r+b") as f:
        last = f.read()[-1]
        f.seek(-1, 2)
        f.write(bytes([last ^ 1]))
    assert "damaged" in run(capsys, "cache", "ls")[1]
    code, out, err = run(capsys, "cache", "verify")
    assert code == 1 and keys["serve"][:12] in out and "3 entries checked, 1 damaged" in err
    assert not os.path.exists(path)
    assert run(capsys, "cache", "verify", "--deep")[0] == 0


def test_explain(capsys, cache, keys):
    miss = {"key": keys["train2"], "name": "train_step", "reason": "absent", "time": time.time()}
    journal.append(os.path.join(cache.own.folder, "misses.jsonl"), miss)
    doc = json_of(capsys, "cache", "explain", "train_step")
    assert doc["key"] == keys["train2"] and doc["nearest"] == keys["train"] and doc["miss"]["reason"] == "absent"
    assert doc["differences"] == [{"field": "graph, line 2", "stored": "%0 = add", "wanted": "%0 = mul", "meaning": ""}]
    code, out, _ = run(capsys, "cache", "explain", "train_step")
    assert code == 0 and "graph, line 2 is %0 = mul, stored is %0 = add" in out and "paths, times" in out
    assert "for the first time" in run(capsys, "cache", "explain", keys["serve"][:8])[1]
    assert run(capsys, "cache", "explain", "nothing")[0] == 1


def test_rm_clear_and_dry_runs(capsys, cache, keys):
    code, _, err = run(capsys, "cache", "rm", keys["serve"][:8])
    assert code == 2 and "--yes" in err
    doc = json_of(capsys, "cache", "rm", keys["serve"][:8], "--dry-run")
    assert doc["dry_run"] and [r["key"] for r in doc["removed"]] == [keys["serve"]]
    assert len(list(cache.own.list())) == 3
    assert run(capsys, "cache", "rm", keys["serve"][:8], "--yes")[0] == 0
    assert {e.key for e in cache.own.list()} == {keys["train"], keys["train2"]}
    assert "would remove 2 entries" in run(capsys, "cache", "clear", "--dry-run")[1]
    assert "removed 2 entries" in run(capsys, "cache", "clear", "--yes")[1]
    assert not list(cache.own.list())
    assert run(capsys, "cache", "clear")[0] == 0


def test_prune(capsys, cache, keys):
    assert run(capsys, "cache", "prune")[0] == 2
    assert run(capsys, "cache", "prune", "--older-than", "soon")[0] == 2
    os.utime(cache.own.path(keys["serve"]), (0, time.time() - 10 * 86400))
    assert [r["key"] for r in json_of(capsys, "cache", "prune", "--older-than", "7d", "--yes")["removed"]] == [keys["serve"]]
    assert [r["key"] for r in json_of(capsys, "cache", "prune", "--max-entries", "1", "--yes")["removed"]] == [keys["train"]]
    assert json_of(capsys, "cache", "prune", "--stale", "--yes")["removed"]  # made by other sources than these
    assert json_of(capsys, "cache", "prune", "--max-size", "1MB", "--yes")["removed"] == []


def test_stats(capsys, cache, keys):
    cache.lookup(keys["train"]).close()
    cache.save_counts()
    doc = json_of(capsys, "cache", "stats")
    assert doc["hits"] == {"disk": 1} and doc["misses"] == {} and doc["stored"] == 3 and doc["hit_percent"] == 100
    assert doc["saved_ms"] == 500 and doc["spent_ms"] == 1405
    assert "500 ms" in run(capsys, "cache", "stats", "--reset")[1]
    assert json_of(capsys, "cache", "stats")["hits"] == {}


def test_a_folder_that_others_can_write(capsys, tmp_path):
    bad = tmp_path / "open"
    bad.mkdir()
    os.chmod(bad, 0o777)
    code, _, err = run(capsys, "cache", "ls", "--dir", str(bad))
    assert code == 4 and "written by others" in err


def test_usage(capsys):
    assert run(capsys)[0] == 2
    assert run(capsys, "cache")[0] == 2
    assert run(capsys, "nonsense")[0] == 2
    code, out, _ = run(capsys, "cache", "ls", "--help")
    assert code == 0 and "example: ingot cache ls" in out
    assert run(capsys, "--version")[1].startswith("ingot ")


def test_a_bad_switch_is_a_usage_error(capsys, monkeypatch):
    monkeypatch.setenv("INGOT_CACHE_MAX_BYTES", "lots")
    assert run(capsys, "cache", "info")[0] == 2


def test_inspect_and_verify_of_files_that_are_none(capsys, tmp_path):
    path = str(tmp_path / "x.ingot")
    for verb in ("inspect", "verify"):
        assert run(capsys, verb, path)[0] == 5
        with open(path, "wb") as f:
            f.write(b"hello")
        code, out, err = run(capsys, verb, path)
        assert code == 1 and "no Ingot artifact" in err and not out
        os.unlink(path)


def test_words():
    assert parse_age("2w") == 14 * 86400 and parse_age("1.5h") == 5400 and parse_age("3d12h") == 84 * 3600 == parse_age("3 D 12 H")
    assert size(1536) == "1.5 KiB" and size(10) == "10 B"
    for text in ("", "h", "-1s", "nan h", "3y", "3d12", "1e3s", "d3", "3dd", "٣s", "9" * 400 + "s"):
        with pytest.raises(CommandError):
            parse_age(text)
