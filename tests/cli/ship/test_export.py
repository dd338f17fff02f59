"""`ingot cache export`: the same entries are the same bytes; what is there is not replaced, and a failure leaves nothing."""

import hashlib
import json
import os
import stat
import subprocess
import sys
import tarfile

from ingot.runtime.cache import Cache, bundle, entry, layer
from tests.support.bundles import LEVELS, damage, name_of, stored
from tests.support.cli import json_of, run


def test_a_tar_is_the_same_for_the_same_entries(capsys, cache, home, keys, data, other):
    code, out, err = run(capsys, "cache", "export", str(home / "a.tar"))
    assert (code, err) == (0, "") and "exported 4 entries" in out
    first = (home / "a.tar").read_bytes()
    assert hashlib.sha256(first).hexdigest() in out
    for key in reversed(list(data)):  # another folder, another order, other times
        other.put(key, data[key])
        os.utime(other.path(key), (1, 1))
    assert run(capsys, "cache", "export", str(home / "b.tar"), "--dir", other.folder)[0] == 0
    assert (home / "b.tar").read_bytes() == first
    with tarfile.open(home / "a.tar") as t:
        members = t.getmembers()
        assert [m.name for m in members] == ["index.json", "toolchain.json", *sorted(map(name_of, data))]
        for m in members:
            assert m.isreg() and (m.mode, m.mtime, m.uid, m.gid, m.uname, m.gname) == (0o644, 0, 0, 0, "", "")
        assert {m.name: t.extractfile(m).read() for m in members[2:]} == {name_of(k): d for k, d in data.items()}
        index = json.load(t.extractfile("index.json"))
        assert json.load(t.extractfile("toolchain.json")).keys() == {entry.parse(data[keys["double"]]).preimage["toolchain"]["llvmlite"]}
    assert index["schema_version"] == 1 and index["entries"].keys() == data.keys()
    row = index["entries"][keys["old"]]
    assert row["sha256"] == hashlib.sha256(data[keys["old"]]).hexdigest() and row["bytes"] == len(data[keys["old"]])
    assert row["name"] == "old" and row["target"] == next(n for n in LEVELS if LEVELS[n].triple.startswith(os.uname().machine))
    assert first[257:265] == b"ustar\x0000" and len(first) % 10240 == 0
    assert sorted(os.listdir(home)) == ["a.tar", "b.tar", "cache", "other"]


def test_a_folder_serves_as_a_layer(capsys, cache, home, keys, data, monkeypatch):
    assert run(capsys, "cache", "export", str(home / "out") + "/")[0] == 0
    doc = json_of(capsys, "cache", "export", str(home / "again"), "--folder")
    assert doc["form"] == "folder" and [e["key"] for e in doc["entries"]] == sorted(data) and doc["skipped"] == []
    found = {}
    for folder, _, files in os.walk(home / "out"):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o755 and os.stat(folder).st_mtime == 0
        for f in files:
            path = os.path.join(folder, f)
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o644 and os.stat(path).st_mtime == 0
            twin = os.path.join(home / "again", os.path.relpath(path, home / "out"))
            with open(path, "rb") as a, open(twin, "rb") as b:
                found[os.path.relpath(path, home / "out")] = a.read()
                assert b.read() == found[os.path.relpath(path, home / "out")]
    assert found.keys() == {"index.json", "toolchain.json", *map(name_of, data)}
    shared = Cache(str(home / "empty"), (str(home / "out"),))
    hit = shared.lookup(keys["triple"])
    assert hit is not None and hit.source == "shared"
    hit.close()
    assert shared.note("toolchain")


def test_what_is_chosen(capsys, cache, home, keys, made):
    def chosen(*argv):
        return {e["key"] for e in json_of(capsys, "cache", "export", "--force", str(home / "x.tar"), *argv)["entries"]}

    assert chosen(keys["double"][:12], keys["pool"]) == {keys["double"], keys["pool"]}
    assert chosen("--filter", "fn=*le") == {keys["double"], keys["triple"]}
    assert chosen("--filter", "fn=*le", "--filter", "fn=d*") == {keys["double"]}
    assert chosen("--for-target", made[2]) >= {keys["old"], keys["pool"]}
    assert chosen("--for-target", "host") == set(keys.values())
    code, _, err = run(capsys, "cache", "export", str(home / "y.tar"), "--for-target", "z80")
    assert code == 2 and "x86-64-v3" in err and not (home / "y.tar").exists()
    assert run(capsys, "cache", "export", str(home / "y.tar"), "0" * 16)[0] == 1
    assert run(capsys, "cache", "export", str(home / "y.tar"), "--filter", "colour=red")[0] == 2


def test_code_for_another_machine_is_kept_apart(capsys, cache, home, keys):
    foreign = next(n for n in LEVELS if not LEVELS[n].triple.startswith(os.uname().machine))
    doc = json_of(capsys, "cache", "export", str(home / "x.tar"), "--for-target", foreign)
    assert doc["entries"] == []


def test_read_only_layers_are_exported_too(capsys, cache, home, keys, data, monkeypatch):
    run(capsys, "cache", "export", str(home / "shared") + "/")
    monkeypatch.setenv("INGOT_CACHE_DIR", str(home / "fresh"))
    monkeypatch.setenv("INGOT_CACHE_PATH", str(home / "shared"))
    assert {e["key"] for e in json_of(capsys, "cache", "export", str(home / "x.tar"))["entries"]} == set(data)
    damage(home / "shared" / name_of(keys["double"]))
    cache2 = layer.Layer(str(home / "fresh"), True)
    cache2.put(keys["double"], data[keys["double"]])  # the layer that has it whole gives it
    assert json_of(capsys, "cache", "export", str(home / "x.tar"), "--force")["skipped"] == []
    os.chmod(home / "shared", 0o777)
    assert run(capsys, "cache", "export", str(home / "y.tar"))[0] == 4


def test_damaged_entries_are_skipped_and_named(capsys, cache, home, keys, data):
    damage(cache.own.path(keys["triple"]))
    code, out, err = run(capsys, "cache", "export", str(home / "x.tar"))
    assert code == 1 and keys["triple"][:12] in err and "checksum" in err and "exported 3 entries" in out
    doc = json_of(capsys, "cache", "export", str(home / "x.tar"), "--force", code=1)
    assert [s["key"] for s in doc["skipped"]] == [keys["triple"]]
    assert os.path.exists(cache.own.path(keys["triple"]))  # to export is to look
    with tarfile.open(home / "x.tar") as t:
        assert len(t.getmembers()) == 5


def test_what_is_there_is_not_replaced_unasked(capsys, cache, home):
    out = home / "x.tar"
    out.write_text("mine")
    code, _, err = run(capsys, "cache", "export", str(out))
    assert code == 2 and "--force" in err and out.read_text() == "mine"
    assert run(capsys, "cache", "export", str(out), "--force")[0] == 0 and tarfile.is_tarfile(out)
    folder = home / "folder"
    folder.mkdir()
    assert run(capsys, "cache", "export", str(folder))[0] == 0  # an empty one holds nothing to lose
    code, _, err = run(capsys, "cache", "export", str(folder))
    assert code == 2 and "--force" in err
    assert run(capsys, "cache", "export", str(folder), "--force", "--filter", "fn=double")[0] == 0
    assert len(list(layer.Layer(str(folder), False).list())) == 1
    (folder / "letters").mkdir()
    code, _, err = run(capsys, "cache", "export", str(folder), "--force")
    assert code == 2 and "holds more" in err and (folder / "letters").is_dir()
    assert [n for n in os.listdir(home) if n.startswith(".")] == []


def test_a_folder_that_another_export_made_meanwhile_stays(capsys, cache, home, monkeypatch):
    folder, write = home / "folder", bundle.write_folder

    def slowly(temporary, parts):
        write(temporary, parts)
        write(str(folder), [(bundle.INDEX, b"theirs")])

    monkeypatch.setattr(bundle, "write_folder", slowly)
    code, _, err = run(capsys, "cache", "export", str(folder), "--folder")
    assert code == 2 and "--force" in err and (folder / bundle.INDEX).read_bytes() == b"theirs"
    assert [n for n in os.listdir(home) if n.startswith(".")] == []


def test_a_folder_that_cannot_be_replaced_stays(capsys, cache, home, monkeypatch):
    folder, rename = home / "folder", os.rename
    assert run(capsys, "cache", "export", str(folder), "--folder")[0] == 0
    before = (folder / bundle.INDEX).read_bytes()

    def once_gone(a, b):
        if b == str(folder) and not a.endswith(".old"):
            raise OSError(28, "No space left on device", b)
        rename(a, b)

    monkeypatch.setattr(os, "rename", once_gone)
    assert run(capsys, "cache", "export", str(folder), "--force", "--filter", "fn=double")[0] == 5
    assert (folder / bundle.INDEX).read_bytes() == before
    assert [n for n in os.listdir(home) if n.startswith(".")] == []


def test_usage_of_export(capsys, cache, home):
    assert run(capsys, "cache", "export", "-", "--json")[0] == 2
    assert run(capsys, "cache", "export", "-", "--folder")[0] == 2
    code, _, err = run(capsys, "cache", "export", str(home / "x.tar.gz"))
    assert code == 2 and "gzip" in err
    assert run(capsys, "cache", "export", str(home / "missing" / "x.tar"))[0] == 5
    code, out, _ = run(capsys, "cache", "export", "--help")
    assert code == 0 and "example: ingot cache export" in out


def test_a_failed_export_leaves_nothing(capsys, cache, home, monkeypatch):
    def full(*a):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for out in ("x.tar", "x/"):
        assert run(capsys, "cache", "export", str(home) + "/" + out)[0] == 5
    assert sorted(os.listdir(home)) == ["cache"]


def test_an_entry_that_goes_away_meanwhile(capsys, cache, home, keys, monkeypatch):
    before = bundle.members
    calls = []

    def vanish(shipped):
        calls.append(1)
        cache.own.remove(keys["old"])
        return before(shipped)

    monkeypatch.setattr(bundle, "members", vanish)
    doc = json_of(capsys, "cache", "export", str(home / "x.tar"))
    assert len(calls) == 2 and {e["key"] for e in doc["entries"]} == set(keys.values()) - {keys["old"]}
    assert sorted(os.listdir(home)) == ["cache", "x.tar"]


def test_through_a_pipe(cache, home, keys, other):
    python = [sys.executable, "-m", "ingot.runtime.cli", "cache"]
    out = subprocess.run([*python, "export", "-"], capture_output=True, timeout=300)
    assert out.returncode == 0 and b"exported 4 entries" in out.stderr
    done = subprocess.run([*python, "import", "-", "--dir", other.folder], input=out.stdout, capture_output=True, timeout=300)
    assert done.returncode == 0 and b"imported 4 entries" in done.stdout
    assert stored(other) == set(keys.values())
