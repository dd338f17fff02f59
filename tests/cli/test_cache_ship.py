"""`ingot cache export` and `import`: the same entries are the same bytes, and nothing that comes in is believed."""

import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import tarfile

import numpy as np
import pytest

import ingot.ir.ops  # noqa: F401  (fills the table of ops)
from ingot.backends import backend
from ingot.ir import dtypes
from ingot.ir.builder import Builder
from ingot.ir.types import tensor_type
from ingot.runtime import compiler, memory
from ingot.runtime.cache import Cache, bundle, bundle_reader, entry, journal, layer
from ingot.runtime.cli import main
from tests.support.cli import json_of, run

LEVELS = backend("cpu").levels

NAMES = ("double", "triple", "old")  # of which the last is for the lowest level, and there is the pool


def graph(name, scale):
    b = Builder(name)
    x = b.expr(b.input(tensor_type(dtypes.f32, (16,)), "x"))
    return b.freeze(((x * scale).value,))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(name -> key, key -> bytes) of real entries: two functions for this CPU, one for the lowest level, the worker pool."""
    folder = tmp_path_factory.mktemp("made")
    os.chmod(folder, 0o700)
    patch = pytest.MonkeyPatch()
    patch.setenv("INGOT_CACHE_DIR", str(folder / "cache"))
    for name in ("INGOT_CACHE_PATH", "INGOT_CPU_LEVEL"):
        patch.delenv(name, raising=False)
    try:
        arch = os.uname().machine
        lowest = next(n for n, level in LEVELS.items() if level.triple.startswith(arch))
        keys = {
            "double": compiler.code_of(graph("double", 2.0)).key,
            "triple": compiler.code_of(graph("triple", 3.0)).key,
            "old": compiler.code_of(graph("old", 2.0), LEVELS[lowest]).key,
        }
        compiler.pool_code()
        listed = list(layer.Layer(str(folder / "cache"), True).list())
    finally:
        patch.undo()
    (keys["pool"],) = {e.key for e in listed} - set(keys.values())
    data = {}
    for e in listed:
        with open(e.path, "rb") as f:
            data[e.key] = f.read()
    return keys, data, lowest


@pytest.fixture
def keys(made):
    return made[0]


@pytest.fixture
def data(made):
    return made[1]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A private folder; the cache is its `cache`, and empty."""
    os.chmod(tmp_path, 0o700)
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("INGOT_CACHE_PATH", "INGOT_CACHE_TRUST", "INGOT_CACHE_KEYS", "INGOT_CACHE_DIGESTS", "INGOT_CPU_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def cache(home, data):
    """The cache with all entries in it."""
    found = Cache(str(home / "cache"))
    for key, d in data.items():
        found.put(key, d, 5.0)
    found.set_note("toolchain", {"0.1": "1.0"})
    return found


@pytest.fixture
def other(home):
    """The folder of another, empty cache."""
    return layer.Layer(str(home / "other"), True)


def stored(where):
    return {e.key for e in where.list()}


def name_of(key, ending="so"):
    return f"v1/{key[:2]}/{key}.{ending}"


# ---- export


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


def damage(path):
    with open(path, "r+b") as f:
        f.seek(100)
        byte = f.read(1)
        f.seek(100)
        f.write(bytes([byte[0] ^ 1]))


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


# ---- import


@pytest.fixture
def tar(capsys, cache, home):
    assert run(capsys, "cache", "export", str(home / "x.tar"))[0] == 0
    return home / "x.tar"


def take(capsys, source, other, *argv, code=0):
    return json_of(capsys, "cache", "import", str(source), "--dir", other.folder, *argv, code=code)


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


def test_the_note_is_merged_and_what_is_there_wins(capsys, tar, other, data):
    version = entry.parse(next(iter(data.values()))).preimage["toolchain"]["llvmlite"]
    there = Cache(other.folder)
    there.set_note("toolchain", {"0.2": "2.0"})
    take(capsys, tar, other)
    merged = there.note("toolchain")
    assert merged.keys() == {"0.2", version}
    there.set_note("toolchain", {version: "mine"})
    take(capsys, tar, other)
    assert there.note("toolchain") == {version: "mine"}


def packed(*members):
    """A tar file of (name or TarInfo, data)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for name, d in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.type == tarfile.REGTYPE:
                info.size = len(d)
            t.addfile(info, io.BytesIO(d))
    return out.getvalue()


def special(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_only_files_with_the_names_of_entries_come_in(capsys, home, other, keys, data):
    key, d = keys["double"], data[keys["double"]]
    wrong = "0" * 64
    bad = [
        ("/etc/passwd", b"root"), ("../v1/" + name_of(key)[3:], d), ("v1/../../x.so", d), (f"v1/00/{key}.so", d),
        (f"v2/{key[:2]}/{key}.so", d),
        (f"v1/{key[:2]}/{key.upper()}.so", d), (f"./{name_of(key)}", d), (name_of(key) + "/", d), (f"v1/{key[:2]}/{key}.so.tmp", d),
        ("account", b"x"), ("misses.jsonl", b"{}"), ("so", b"x"), ("v1/ab/ü\n\x1b[31m.so", d), (f"{'d/' * 300}x", d),
        (special("v1", tarfile.DIRTYPE), b""), (special(name_of(key), tarfile.SYMTYPE, "/etc/passwd"), b""),
        (special(name_of(key), tarfile.LNKTYPE, "index.json"), b""), (special(name_of(key), tarfile.FIFOTYPE), b""),
        (special(name_of(key), tarfile.CHRTYPE), b""), (special(name_of(key), b"Z"), b""),
        (name_of(wrong), d),  # another entry under this key
        (name_of(key), d[:-1]), (name_of(key), b""),
    ]  # fmt: skip
    for member in bad:
        (home / "bad.tar").write_bytes(packed(member, (name_of(keys["triple"]), data[keys["triple"]])))
        for name in os.listdir(other.entries) if os.path.isdir(other.entries) else ():
            for f in os.listdir(os.path.join(other.entries, name)):
                os.unlink(os.path.join(other.entries, name, f))
        code, out, err = run(capsys, "cache", "import", str(home / "bad.tar"), "--dir", other.folder)
        assert code == 1 and "imported 1 entries" in out and "refused" in err, member[0]
        assert all(c.isprintable() or c == "\n" for c in err)
        assert stored(other) == {keys["triple"]}
    assert {n for n in os.listdir(home)} == {"bad.tar", "other"}


def test_the_second_of_a_name_is_refused(capsys, home, other, keys, data):
    key = keys["double"]
    (home / "bad.tar").write_bytes(packed((name_of(key), data[key]), (name_of(key), data[key])))
    doc = take(capsys, home / "bad.tar", other, code=1)
    assert doc["refused"] == [{"name": key, "why": "appears twice"}] and [e["key"] for e in doc["imported"]] == [key]


def test_damage_is_found_wherever_it_is(capsys, home, other, tar, keys, data, long):
    whole = tar.read_bytes()
    source = home / "bad.tar"
    steps = range(0, len(whole), max(len(whole) // (5000 if long else 150), 1))
    for at in steps:
        source.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        code = main(["cache", "import", str(source), "--dir", other.folder, "--dry-run", "--json"])
        doc = capsys.readouterr().out
        if code == 0:  # padding, or a field that says nothing (a mode, a time, with its checksum it does not pass)
            assert len(json.loads(doc)["imported"]) == 4
        else:
            assert code == 1
    for at in steps:
        source.write_bytes(whole[:at])
        code = main(["cache", "import", str(source), "--dir", other.folder, "--dry-run", "--json"])
        capsys.readouterr()
        assert code == 1 or at > len(whole) - 10240, at
    assert not os.path.exists(other.folder)


def test_a_truncated_tar_gives_what_it_has(capsys, home, other, tar, keys, data):
    whole = tar.read_bytes()
    cut = home / "cut.tar"
    last = sorted(data)[-1]
    cut.write_bytes(whole[: whole.index(name_of(last).encode()) + 1000])
    doc = take(capsys, cut, other, code=1)
    assert {e["key"] for e in doc["imported"]} == set(data) - {last} and "truncated" in doc["refused"][0]["why"]
    cut.write_bytes(whole + b"more")
    code, _, err = run(capsys, "cache", "import", str(cut), "--dir", other.folder)
    assert code == 1 and "behind its end" in err


def test_the_index_is_compared(capsys, home, other, keys, data):
    def source(entries, **fields):
        index = {"schema_version": 1, "entries": entries, **fields}
        (home / "i.tar").write_bytes(packed(("index.json", json.dumps(index).encode()), (name_of(keys["double"]), data[keys["double"]])))
        return home / "i.tar"

    right = {"sha256": hashlib.sha256(data[keys["double"]]).hexdigest()}
    doc = take(capsys, source({keys["double"]: right, keys["old"]: right}), other, "--dry-run", code=1)
    assert [r["name"] for r in doc["refused"]] == [keys["old"]] and "not there" in doc["refused"][0]["why"]
    doc = take(capsys, source({keys["double"]: {"sha256": "0" * 64}}), other, "--dry-run", code=1)
    assert doc["imported"] == [] and "another file" in doc["refused"][0]["why"]
    code, _, err = run(capsys, "cache", "import", str(source({}, schema_version=2)), "--dir", other.folder)
    assert code == 1 and "schema version is 2" in err
    for strange in ([], 3, "x", None):
        assert take(capsys, source(strange), other, "--dry-run", code=1)["refused"][0]["name"] == "index.json"
    assert take(capsys, source({keys["double"]: 7, "x": {"sha256": 3}}), other, "--dry-run")["refused"] == []


@pytest.mark.parametrize(
    "content, why",
    [
        (b"", "no tar"), (b"x" * 511, "no tar"), (b"x" * 5000, "no tar"), (b"PK\3\4" + b"0" * 600, "no tar"),
        (b"\x1f\x8b" + b"0" * 600, "compressed"),
    ],
)  # fmt: skip
def test_what_is_no_tar(capsys, home, other, content, why):
    (home / "x").write_bytes(content)
    code, _, err = run(capsys, "cache", "import", str(home / "x"), "--dir", other.folder)
    assert code == 1 and why in err and "Traceback" not in err


def test_sizes_that_a_header_claims_cost_nothing(capsys, home, other, keys):
    def header(size_field, name=None):
        info = tarfile.TarInfo(name or name_of(keys["double"]))
        block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
        block[124:136] = size_field
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        return bytes(block)

    for size in (b"%011o\0" % (1 << 30), b"77777777777\0", b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7, b"\xff" * 12, b"not octal!!\0"):
        (home / "x").write_bytes(header(size) + b"abc")
        code, _, err = run(capsys, "cache", "import", str(home / "x"), "--dir", other.folder)
        assert code == 1 and ("refused" not in err or "truncated" in err), (size, err)
    seen = list(bundle_reader.Reader(bundle_reader.read_tar(io.BytesIO(header(b"%011o\0" % 1000, "index.jso") + bytes(1024 + 1024)))))
    assert [r.why for r in seen] == ["has no name that a bundle may hold"]
    assert bundle.ENTRY_LIMIT == layer._SIZE_LIMIT


def test_memory_is_bounded_by_what_is_there(home, keys):
    import tracemalloc

    class Endless(io.RawIOBase):  # a member that claims a gigabyte, and has 64 MB of it
        left = 64 << 20

        def readable(self):
            return True

        def readinto(self, b):
            n = min(len(b), self.left)
            self.left -= n
            return n

    info = tarfile.TarInfo("v1/ab/no-entry")
    info.size = 1 << 30
    file = io.BufferedReader(Endless())
    head = io.BytesIO(info.tobuf(tarfile.USTAR_FORMAT))

    class Both:
        def read(self, n):
            return head.read(n) or file.read(n)

    tracemalloc.start()
    try:
        with pytest.raises(bundle_reader.BundleError, match="truncated"):
            list(bundle_reader.read_tar(Both()))
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_folder_is_read_with_the_same_eyes(capsys, cache, home, other, keys, data):
    run(capsys, "cache", "export", str(home / "out") + "/")
    folder = home / "out"
    damage(folder / name_of(keys["double"]))
    os.chmod(folder / name_of(keys["triple"]), 0o666)
    os.rename(folder / name_of(keys["old"]), home / "elsewhere")
    os.symlink(home / "elsewhere", folder / name_of(keys["old"]))
    (folder / "v1" / "ab").mkdir(exist_ok=True)
    os.mkfifo(folder / name_of("ab" * 32))
    (folder / "v1" / "zz").mkdir()
    (folder / "v1" / "zz" / "file").write_text("x")
    doc = take(capsys, folder, other, code=1)
    assert [e["key"] for e in doc["imported"]] == [keys["pool"]]
    why = {r["name"]: r["why"] for r in doc["refused"]}
    assert "another file" in why[keys["double"]] and "written by others" in why[keys["triple"]] and "symlink" in why[keys["old"]]
    assert "regular file" in why["ab" * 32] and "no name" in why["v1/zz/file"]


def test_what_others_could_have_written_is_refused(capsys, cache, home, tar, other):
    os.chmod(tar, 0o664)
    code, _, err = run(capsys, "cache", "import", str(tar), "--dir", other.folder)
    assert code == 4 and "written by others" in err
    os.chmod(tar, 0o644)
    os.symlink(tar, home / "link.tar")
    assert run(capsys, "cache", "import", str(home / "link.tar"), "--dir", other.folder)[0] == 4
    run(capsys, "cache", "export", str(home / "out") + "/")
    os.chmod(home / "out", 0o777)
    assert run(capsys, "cache", "import", str(home / "out"), "--dir", other.folder)[0] == 4
    assert run(capsys, "cache", "import", str(home / "nothing"), "--dir", other.folder)[0] == 5
    assert not os.path.exists(other.folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file away")
def test_a_tar_of_another_user_is_refused(capsys, tar, other):
    os.chown(tar, 12345, 12345)
    code, _, err = run(capsys, "cache", "import", str(tar), "--dir", other.folder)
    assert code == 4 and "belongs to user 12345" in err


def test_bounds_hold_for_imports_too(capsys, tar, other, keys, monkeypatch):
    monkeypatch.setenv("INGOT_CACHE_MAX_ENTRIES", "2")
    doc = take(capsys, tar, other, code=1)
    assert len(doc["imported"]) + len(doc["refused"]) == 4 and doc["evicted"] and "bounded" in doc["refused"][0]["why"]
    assert stored(other) == {e["key"] for e in doc["imported"]}


def remade(data, **fields):
    """(key, bytes) of a real entry whose preimage says something else, and whose key and checksums agree with that."""
    e = entry.parse(data)
    preimage = json.dumps({**e.preimage, **fields}, sort_keys=True, separators=(",", ":")).encode()
    key = hashlib.sha256(preimage).hexdigest()
    return key, entry.pack(key, bytes(e.code), e.manifest, e.record, preimage, e.texts)


def test_entries_of_another_ingot_are_pointed_out(capsys, home, other, keys, data):
    key, d = remade(data[keys["double"]], sources="0" * 64)
    (home / "x.tar").write_bytes(packed((name_of(key), d)))
    doc = take(capsys, home / "x.tar", other)
    assert doc["foreign"] == 1 and [e["key"] for e in doc["imported"]] == [key]
    assert "never asks for them" in run(capsys, "cache", "import", str(home / "x.tar"), "--dir", str(home / "third"))[2]


def test_code_for_another_processor_than_its_target_is_refused(capsys, home, other, keys, data):
    level = next(v for v in LEVELS.values() if not v.triple.startswith(os.uname().machine))
    key, d = remade(data[keys["double"]], target=json.loads(json.dumps(level.assumptions())))
    (home / "x.tar").write_bytes(packed((name_of(key), d)))
    doc = take(capsys, home / "x.tar", other, code=1)
    assert doc["imported"] == [] and [r["name"] for r in doc["refused"]] == [key]


def test_digest_lists_hold_for_imports_too(capsys, home, tar, other, keys, data, monkeypatch):
    listed = home / "digests"
    listed.write_text(f"{hashlib.sha256(data[keys['double']]).hexdigest()}  double.so\n")
    os.chmod(listed, 0o600)
    monkeypatch.setenv("INGOT_CACHE_TRUST", "digest-list")
    code, _, err = run(capsys, "cache", "import", str(tar), "--dir", other.folder)
    assert code == 4 and "INGOT_CACHE_DIGESTS" in err
    monkeypatch.setenv("INGOT_CACHE_DIGESTS", str(listed))
    os.chmod(tar, 0o666)  # who wrote the file does not count, what stands in it does
    doc = take(capsys, tar, other, code=1)
    assert [e["key"] for e in doc["imported"]] == [keys["double"]] and len(doc["refused"]) == 3


def test_signatures_travel_with_their_entries(capsys, cache, home, other, keys, data, monkeypatch):
    pytest.importorskip("cryptography")
    from ingot.runtime.cache import signing

    private, public = signing.new_key(str(home / "signer"))
    signer = signing.private_key(private)
    for name in ("double", "pool"):
        with open(cache.own.signature_path(keys[name]), "wb") as f:
            f.write(signing.sign(signer, hashlib.sha256(data[keys[name]]).digest()))
    doc = json_of(capsys, "cache", "export", str(home / "s.tar"))
    assert {e["key"] for e in doc["entries"] if e["signed"]} == {keys["double"], keys["pool"]}
    with tarfile.open(home / "s.tar") as t:
        assert sorted(t.getnames()) == t.getnames() and name_of(keys["pool"], "sig") in t.getnames()
    monkeypatch.setenv("INGOT_CACHE_TRUST", "signed")
    monkeypatch.setenv("INGOT_CACHE_KEYS", public)
    doc = take(capsys, home / "s.tar", other, code=1)
    assert {e["key"] for e in doc["imported"]} == {keys["double"], keys["pool"]}
    assert {r["name"] for r in doc["refused"]} == {keys["triple"], keys["old"]} and "no signature" in doc["refused"][0]["why"]
    with open(other.signature_path(keys["pool"]), "rb") as a, open(cache.own.signature_path(keys["pool"]), "rb") as b:
        assert a.read() == b.read()
    monkeypatch.delenv("INGOT_CACHE_TRUST")
    with open(cache.own.signature_path(keys["double"]), "ab") as f:
        f.write(b"+")
    doc = json_of(capsys, "cache", "export", str(home / "t.tar"), code=1)
    assert [s["key"] for s in doc["skipped"]] == [keys["double"]] and ".sig has 65 bytes" in doc["skipped"][0]["why"]


# ---- there and back


def test_imported_code_runs(capsys, tar, other, keys, monkeypatch):
    take(capsys, tar, other)
    monkeypatch.setenv("INGOT_CACHE_DIR", other.folder)
    monkeypatch.setenv("INGOT_FROZEN", "1")
    monkeypatch.setattr(compiler, "_executables", {})
    x, out = np.arange(16, dtype=np.float32), np.zeros(16, np.float32)
    compiler.executable(graph("triple", 3.0)).run(memory.from_numpy(x).address, memory.from_numpy(out).address)
    np.testing.assert_array_equal(out, 3 * x)
    assert journal.read(os.path.join(other.folder, "toolchain.json"))
