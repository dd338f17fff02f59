"""Who may have written a bundle, and the lists and signatures that stand for its entries."""

import hashlib
import os
import tarfile

import pytest

from tests.support.bundles import name_of, take
from tests.support.cli import json_of, run


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
