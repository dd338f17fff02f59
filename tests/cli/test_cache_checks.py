"""`ingot cache verify`, `show --asm`, layers in listings, and completion."""

import os
import shutil
import subprocess
import sys

import pytest

from ingot.backends import backend
from ingot.runtime import compiler
from ingot.runtime.cache import Cache, entry
from ingot.runtime.cache import key as keys_module
from tests.support.cli import json_of, run
from tests.support.prebuilt import make_graph


@pytest.fixture
def real(cache):
    """Keys of entries that this very compiler made: two graphs and the worker pool."""
    before = {e.key for e in cache.own.list()}
    names = {name: compiler.code_of(make_graph(scale, 4, name)).key for name, scale in (("one", 2.0), ("two", 3.0))}
    compiler.pool_code()
    (names["pool"],) = {e.key for e in cache.own.list()} - before - set(names.values())
    return names


def replace(cache, key, **parts):
    """Store the entry anew with some parts changed, checksums being right."""
    with open(cache.own.path(key), "rb") as f:
        e = entry.parse(f.read(), key)
    new = {"code": bytes(e.code), "manifest": e.manifest, "record": e.record, "preimage": e.preimage_bytes, "texts": e.texts, **parts}
    cache.own.put(key, entry.pack(key, new["code"], new["manifest"], new["record"], new["preimage"], new["texts"]))


def damage(path, at=-1):
    with open(path, "r+b") as f:
        f.seek(at, 2)
        byte = f.read(1)
        f.seek(at, 2)
        f.write(bytes([byte[0] ^ 1]))


# -- verify ----------------------------------------------------------------------------------------------------------


def test_rebuild_gives_the_same_bytes(capsys, cache, real, keys):
    code, out, err = run(capsys, "cache", "verify", "--rebuild")
    assert code == 0 and not out
    assert "6 entries checked, 0 damaged" in err and "3 compiled again, 3 came out the same" in err
    assert "3 cannot be rebuilt here: made by another version of Ingot's compiler (555555555555" in err
    doc = json_of(capsys, "cache", "verify", "--rebuild")
    assert doc["checked"] == 6 and doc["rebuilt"] == 3 and doc["findings"] == [] and doc["deep"]
    (reason,) = doc["impossible"]
    assert reason["entries"] == 3 and reason["keys"] == sorted(keys.values())


def test_other_bytes_are_a_finding_and_stay(capsys, cache, real):
    with open(cache.own.path(real["one"]), "rb") as f:
        code = bytearray(entry.parse(f.read()).code)
    at = code.index(b"\xc3", 4096) if "x86" in backend("cpu").host_level().name else 4096
    code[at] ^= 1
    replace(cache, real["one"], code=bytes(code))
    assert run(capsys, "cache", "verify", "--deep")[0] == 0  # it looks like code
    got, out, err = run(capsys, "cache", "verify", "--rebuild", real["one"][:8], real["two"])
    assert got == 1 and f"{real['one'][:12]}  different: the code differs from byte {at:#x} on, in .text" in out
    assert "2 compiled again, 1 came out the same" in err
    doc = json_of(capsys, "cache", "verify", "--rebuild", code=1)
    assert [(f["key"], f["state"]) for f in doc["findings"]] == [(real["one"], "different")]
    assert os.path.exists(cache.own.path(real["one"]))
    assert run(capsys, "cache", "show", real["one"], "--asm")[0] == 1


def test_verify_is_about_the_keys_that_are_asked_for(capsys, cache, real):
    damage(cache.own.path(real["one"]))
    assert json_of(capsys, "cache", "verify", real["two"], real["pool"][:10])["checked"] == 2
    assert run(capsys, "cache", "verify", "0" * 10)[0] == 1
    assert run(capsys, "cache", "verify", "xyz")[0] == 2
    doc = json_of(capsys, "cache", "verify", real["one"], code=1)
    assert doc["findings"][0]["fate"] == "set aside" and not os.path.exists(cache.own.path(real["one"]))
    assert len(os.listdir(os.path.join(cache.own.folder, "quarantine"))) == 1


def test_deep_finds_what_checksums_do_not(capsys, cache, real):
    replace(cache, real["one"], manifest={"slots": []})
    assert run(capsys, "cache", "verify")[0] == 0
    code, out, err = run(capsys, "cache", "verify", "--deep")
    assert code == 1 and "damaged:" in out and "set aside" in out and "1 damaged" in err
    assert not os.path.exists(cache.own.path(real["one"]))


def test_what_is_not_trusted_is_told_apart(capsys, cache, real):
    os.chmod(cache.own.path(real["one"]), 0o666)
    code, out, err = run(capsys, "cache", "verify")
    assert code == 4 and "untrusted:" in out and "3 entries checked, 0 damaged, 1 untrusted" in err
    assert run(capsys, "cache", "show", real["one"])[0] == 4
    assert os.path.exists(cache.own.path(real["one"]))


def test_looking_is_no_use(capsys, cache, real):
    """Listings and checks leave the time of last use alone, by which eviction goes."""
    for name in real.values():
        os.utime(cache.own.path(name), (1e9, 1e9))
    for argv in (["ls"], ["show", real["one"]], ["verify", "--rebuild"], ["show", real["one"], "--asm"], ["info"]):
        assert run(capsys, "cache", *argv)[0] == 0
    assert {e.used for e in cache.own.list()} == {1e9}


# -- show ------------------------------------------------------------------------------------------------------------


def test_assembly(capsys, cache, real):
    code, out, _ = run(capsys, "cache", "show", real["one"][:9], "--asm")
    assert code == 0 and "ingot_entry:" in out and "\tret" in out
    assert "ingot_pool_create:" in json_of(capsys, "cache", "show", real["pool"], "--asm")["assembly"]


def test_where_there_is_no_assembly(capsys, cache, keys):
    code, out, err = run(capsys, "cache", "show", keys["serve"], "--asm")
    assert code == 1 and not out
    assert "another version of Ingot's compiler" in err and f"objdump -d {cache.own.path(keys['serve'])}" in err


def test_show_maps_nothing(capsys, cache, real, monkeypatch):
    """Whatever is asked of it, no entry's code becomes part of this process."""
    from ingot.runtime import executable, threads

    for module in (executable, threads):
        monkeypatch.setattr(module, "open_library", lambda *a: pytest.fail("code was loaded"))
    for form in ((), ("--ir",), ("--asm",), ("--preimage",)):
        assert run(capsys, "cache", "show", real["one"], *form)[0] == 0
    with open("/proc/self/maps") as f:
        assert real["one"] not in f.read()


def test_what_a_file_says_cannot_write_to_the_terminal(capsys, cache, real):
    evil = "\x1b]0;owned\x07\n\ud800"
    with open(cache.own.path(real["one"]), "rb") as f:
        record = {**entry.parse(f.read()).record, "name": evil, "signature": evil, "file": evil, "times": {evil: 1.0}}
    replace(cache, real["one"], record=record, texts={"graph": evil + "\ta", evil: "x"})
    for argv in (["ls"], ["show", real["one"]], ["show", real["one"], "--ir"], ["verify", "--deep"]):
        code, out, err = run(capsys, "cache", *argv)
        assert code == 0 and not set(out + err) & set("\x1b\x07\ud800"), argv
    assert run(capsys, "cache", "ls", "--json")[0] == 0


def test_numbers_that_make_no_sense_are_listed_all_the_same(capsys, cache, real):
    for i, (ms, created) in enumerate([("x", None), (10**400, 1e308), (True, []), (float("inf"), float("nan"))]):
        replace(cache, real["one"], record={"name": i, "compile_ms": ms, "created": created, "line": [], "times": 3, "signature": 7})
        for argv in (["ls", "--sort", "cost"], ["ls", "--sort", "name", "--filter", "compile>=0"], ["show", real["one"]], ["ls", "--json"]):
            assert run(capsys, "cache", *argv)[0] == 0
        assert run(capsys, "cache", "prune", "--max-entries", "1", "--dry-run")[0] == 0


# -- layers ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shared(cache, keys, make, tmp_path, monkeypatch):
    """A read-only layer with one entry of its own and one that the writable layer has, too."""
    other = Cache(str(tmp_path / "home" / "shared"))
    key = make(other, "elsewhere", "func @c", 7.0)
    path = other.own.path(keys["serve"])
    os.makedirs(os.path.dirname(path), exist_ok=True, mode=0o700)
    shutil.copy(cache.own.path(keys["serve"]), path)
    monkeypatch.setenv("INGOT_CACHE_PATH", other.own.folder)
    return other, key


def test_listings_show_all_layers(capsys, cache, keys, shared):
    other, key = shared
    rows = json_of(capsys, "cache", "ls", "--sort", "name")["entries"]
    assert [(r["key"], r["layer"]) for r in rows if r["name"] != "train_step"] == [
        (key, other.own.folder), (keys["serve"], cache.own.folder), (keys["serve"], other.own.folder),
    ]  # fmt: skip
    out, err = run(capsys, "cache", "ls")[1:]
    assert "layer" in out.split("\n")[0] and f"  {other.own.folder}  " in out and "  own  " in out and other.own.folder in err
    assert len(run(capsys, "cache", "ls", "-q")[1].split()) == 4  # keys, each once
    assert len(json_of(capsys, "cache", "ls", "--layers", "own")["entries"]) == 3
    assert "layer" not in run(capsys, "cache", "ls", "--layers", "own")[1].split("\n")[0]
    assert len(json_of(capsys, "cache", "ls", "--dir", other.own.folder)["entries"]) == 2


def test_a_damaged_entry_of_a_shared_layer_stays_there(capsys, cache, keys, shared):
    other, key = shared
    damage(other.own.path(key))
    doc = json_of(capsys, "cache", "verify", code=1)
    assert doc["checked"] == 5 and [(f["key"], f["fate"], f["layer"]) for f in doc["findings"]] == [(key, "left there", other.own.folder)]
    assert os.path.exists(other.own.path(key))
    assert json_of(capsys, "cache", "verify", "--layers", "own")["checked"] == 3


def test_keys_of_shared_layers_are_found_and_not_removed(capsys, cache, keys, shared):
    other, key = shared
    assert json_of(capsys, "cache", "show", key[:10])["layer"] == other.own.folder
    assert json_of(capsys, "cache", "show", keys["serve"])["layer"] == cache.own.folder
    code, _, err = run(capsys, "cache", "rm", key, "--yes")
    assert code == 4 and "only read" in err and os.path.exists(other.own.path(key))


def test_shared_layers_without_a_home(capsys, cache, keys, shared, monkeypatch):
    monkeypatch.delenv("INGOT_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/")
    assert len(json_of(capsys, "cache", "ls")["entries"]) == 2
    code, _, err = run(capsys, "cache", "info")
    assert code == 0 and "nothing is kept on disk" in err
    assert run(capsys, "cache", "clear", "--yes")[0] == 5


def test_a_shared_layer_that_is_not_trusted(capsys, cache, keys, shared):
    other, _ = shared
    os.chmod(other.own.folder, 0o777)
    code, _, err = run(capsys, "cache", "ls")
    assert code == 4 and other.own.folder in err
    assert run(capsys, "cache", "ls", "--layers", "own")[0] == 0
    doc = json_of(capsys, "cache", "info", code=4)
    assert [layer["state"][:7] for layer in doc["layers"]] == ["in use", "refused"]


def test_a_key_that_several_entries_begin_with(capsys, cache, keys, monkeypatch):
    path = cache.own.path(keys["serve"])
    twin = keys["serve"][:-1] + ("0" if keys["serve"][-1] != "0" else "1")
    shutil.copy(path, cache.own.path(twin))
    code, _, err = run(capsys, "cache", "show", keys["serve"][:20])
    assert code == 2 and "is the beginning of 2 keys" in err
    assert run(capsys, "cache", "show", keys["serve"].upper())[0] == 0


# -- state -----------------------------------------------------------------------------------------------------------


def test_info_tells_how_full_and_what_is_left_over(capsys, cache, keys, monkeypatch):
    monkeypatch.setenv("INGOT_CACHE_MAX_ENTRIES", "4")
    shard = os.path.dirname(cache.own.path(keys["serve"]))
    for name in (".x.claim", ".1-2.tmp"):
        with open(os.path.join(shard, name), "w"):
            pass
    cache.own.set_aside(keys["train"])
    doc = json_of(capsys, "cache", "info")
    assert doc["percent_full"]["entries"] == 50.0 and doc["max_entries"] == 4
    (layer,) = doc["layers"]
    assert {k: layer[k] for k in ("entries", "claims", "temporaries", "quarantined", "mapped", "misses")} == {
        "entries": 2, "claims": 1, "temporaries": 1, "quarantined": 1, "mapped": 0, "misses": 0,
    }  # fmt: skip
    assert "4 entries (50 % used)" in run(capsys, "cache", "info")[1]


@pytest.mark.parametrize(
    "environment, folder, origin",
    [
        ({"INGOT_CACHE_DIR": "/a/b"}, "/a/b", "INGOT_CACHE_DIR"),
        ({"INGOT_CACHE_DIR": "", "XDG_CACHE_HOME": "/xdg", "HOME": "/home/x"}, "/xdg/ingot", "XDG_CACHE_HOME"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/home/x"}, "/home/x/.cache/ingot", "HOME"),
        ({"HOME": "/"}, None, "none"),
    ],
)
def test_where_the_folder_comes_from(capsys, monkeypatch, environment, folder, origin):
    for name in ("INGOT_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    doc = json_of(capsys, "cache", "config")
    assert (doc["folder"], doc["folder_origin"]) == (folder, origin)
    assert json_of(capsys, "cache", "dir")["origin"] == origin
    assert json_of(capsys, "cache", "config", "--dir", "/q")["folder_origin"] == "--dir"


def test_config_names_what_means_nothing(capsys, cache, monkeypatch):
    monkeypatch.setenv("INGOT_NUM_THREADS", "none")
    code, out, err = run(capsys, "cache", "config")
    assert code == 2 and "INGOT_CACHE_DIR" in out and "INGOT_NUM_THREADS: expected an integer" in err
    (row,) = [r for r in json_of(capsys, "cache", "config", code=2)["settings"] if "problem" in r]
    assert row["name"] == "INGOT_NUM_THREADS" and row["value"] == "none"


def test_misses_by_reason_and_the_hit_rate(capsys, cache, keys):
    damage(cache.own.path(keys["serve"]))
    with pytest.warns(UserWarning, match="damaged"):
        assert cache.lookup(keys["serve"]) is None
    assert cache.lookup("0" * 64) is None
    for _ in range(2):
        cache.lookup(keys["train"]).close()
    cache.save_counts()
    doc = json_of(capsys, "cache", "stats")
    assert doc["hits"] == {"disk": 2} and doc["misses"] == {"absent": 1, "damaged": 1} and doc["hit_percent"] == 50.0
    out = run(capsys, "cache", "stats", "--reset")[1]
    assert "misses (damaged)" in out and "hit rate: 50 %" in out and "saved: 1.0 s, spent: 1.4 s" in out
    assert "nothing was asked yet" in run(capsys, "cache", "stats")[1]


# -- pruning ---------------------------------------------------------------------------------------------------------


def test_stale_without_a_compiler_goes_by_the_sources_alone(capsys, cache, keys, real, monkeypatch):
    monkeypatch.setattr(keys_module, "llvmlite_version", lambda: None)
    doc = json_of(capsys, "cache", "prune", "--stale", "--yes")
    assert {r["key"] for r in doc["removed"]} == set(keys.values())
    monkeypatch.setattr(keys_module, "llvmlite_version", lambda: "0.1")
    assert {r["key"] for r in json_of(capsys, "cache", "prune", "--stale", "--yes")["removed"]} == set(real.values())


def test_a_bound_counts_what_age_leaves(capsys, cache, keys):
    os.utime(cache.own.path(keys["train2"]), (1e9, 1e9))  # worth most, and old
    doc = json_of(capsys, "cache", "prune", "--older-than", "1w", "--max-entries", "2", "--yes")
    assert [r["key"] for r in doc["removed"]] == [keys["train2"]]
    assert run(capsys, "cache", "prune", "--max-size", "lots")[0] == 2
    assert run(capsys, "cache", "prune", "--max-entries", "-1")[0] == 2


def test_many_removals_leave_the_account_right(capsys, cache, make):
    from ingot.runtime.cache import account

    made = [make(cache, f"f{i}", f"func {i}", 1.0) for i in range(80)]
    assert account.total(cache.own)[1] == 80
    assert len(json_of(capsys, "cache", "prune", "--max-entries", "5", "--yes")["removed"]) == 75
    assert account.total(cache.own)[1] == 5 == len(list(cache.own.list())) < len(made)


def test_clear_leaves_what_is_being_written(capsys, cache, keys):
    shard = os.path.dirname(cache.own.path(keys["serve"]))
    for name, age in ((".new.tmp", 0), (".old.tmp", 1e9)):
        with open(os.path.join(shard, name), "w"):
            pass
        if age:
            os.utime(os.path.join(shard, name), (age, age))
    cache.own.set_aside(keys["train"])
    assert run(capsys, "cache", "clear", "--yes")[0] == 0
    assert os.listdir(shard) == [".new.tmp"] and not os.path.exists(os.path.join(cache.own.folder, "quarantine"))


# -- completion ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_is_a_script(capsys, tmp_path, shell):
    pytest.importorskip("shtab")
    code, out, err = run(capsys, "completion", shell)
    assert code == 0 and not err and "ingot cache ls -q" in out
    if shutil.which(shell):
        (tmp_path / "script").write_text(out)
        assert subprocess.run([shell, "-n", str(tmp_path / "script")], capture_output=True).returncode == 0
    assert run(capsys, "completion", "powershell")[0] == 2


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_completes_verbs_files_and_keys(capsys, cache, keys, tmp_path):
    pytest.importorskip("shtab")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ingot").write_text(f'#!/bin/sh\nexec {sys.executable} -m ingot "$@"\n')
    os.chmod(tmp_path / "bin" / "ingot", 0o755)
    (tmp_path / "model.ingot").write_text("")
    script = run(capsys, "completion", "bash")[1]
    asked = [
        (["ingot", "cache", "ver"], "verify"), (["ingot", "cache", "show", keys["serve"][:6]], keys["serve"]),
        (["ingot", "inspect", f"{tmp_path}/mod"], f"{tmp_path}/model.ingot"),
        (["ingot", "cache", "ls", "--dir", f"{tmp_path}/bi"], f"{tmp_path}/bin"),
    ]  # fmt: skip
    for words, _ in asked:
        line = " ".join(f"'{w}'" for w in words)
        script += f'\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; COMPREPLY=(); _shtab_ingot; echo "${{COMPREPLY[@]}}"\n'
    env = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, timeout=120)
    assert done.stdout.splitlines() == [wanted for _, wanted in asked], done.stderr


def test_completion_without_shtab_names_the_extra(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    code, out, err = run(capsys, "completion", "bash")
    assert code == 5 and not out and "pip install 'ingot[completion]'" in err
