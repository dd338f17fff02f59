"""`ingot cache import`: nothing that comes in is believed; what is damaged, foreign or absurd is refused by name."""

import hashlib
import io
import json
import os
import tarfile

import pytest

from ingot.runtime.cache import Cache, bundle, bundle_reader, entry, layer
from ingot.runtime.cli import main
from tests.support.bundles import LEVELS, damage, name_of, packed, remade, special, stored, take
from tests.support.cli import run


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


def test_code_for_another_processor_than_its_target_is_refused(capsys, home, other, keys, data):
    level = next(v for v in LEVELS.values() if not v.triple.startswith(os.uname().machine))
    key, d = remade(data[keys["double"]], target=json.loads(json.dumps(level.assumptions())))
    (home / "x.tar").write_bytes(packed((name_of(key), d)))
    doc = take(capsys, home / "x.tar", other, code=1)
    assert doc["imported"] == [] and [r["name"] for r in doc["refused"]] == [key]
