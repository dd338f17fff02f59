"""`ingot cache sign` and `digests`: what they write is what the rules `signed` and `digest-list` ask for."""

import hashlib
import os
import shutil
import subprocess

import pytest

from ingot.runtime.cache import Cache, entry, signing
from ingot.runtime.cli import main
from tests.support.cli import json_of, run
from tests.support.stores import needs_cryptography


@pytest.fixture
def cache(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir(mode=0o700)
    folder = str(tmp_path / "home" / "cache")
    monkeypatch.setenv("INGOT_CACHE_DIR", folder)
    for name in ("PATH", "TRUST", "DIGESTS", "KEYS"):
        monkeypatch.delenv(f"INGOT_CACHE_{name}", raising=False)
    return Cache(folder)


@pytest.fixture
def keys(cache):
    out = []
    for n in range(3):
        preimage = b'{"n":%d}' % n
        key = hashlib.sha256(preimage).hexdigest()
        cache.put(key, entry.pack(key, b"\x7fELF" + bytes(50), {"n": n}, {"name": f"f{n}"}, preimage, {}), 5.0)
        out.append(key)
    return sorted(out)


@pytest.fixture
def key_file(cache, tmp_path):
    return signing.new_key(str(tmp_path / "home" / "team"))


def serves(store, keys):
    """The keys that a process with this store as its read-only layer finds."""
    shared = Cache(None, (store,))
    return [k for k in keys if shared.lookup(k) is not None]


def contents(folder):
    return {os.path.join(d, n): open(os.path.join(d, n), "rb").read() for d, _, names in os.walk(folder) for n in names}


@needs_cryptography
def test_from_a_new_key_to_a_hit(capsys, cache, keys, tmp_path, monkeypatch):
    name = str(tmp_path / "home" / "team")
    code, out, _ = run(capsys, "cache", "sign", "--new-key", name)
    assert code == 0 and f"{name}.pem" in out and f"{name}.pub.pem" in out
    before = contents(cache.own.folder)
    doc = json_of(capsys, "cache", "sign", "--key", name + ".pem")
    assert doc == {
        "schema_version": 1, "kind": "cache.sign", "folder": cache.own.folder, "signed": keys, "already": [], "refused": [],
    }  # fmt: skip
    after = contents(cache.own.folder)
    assert {p: after[p] for p in before} == before
    assert sorted(set(after) - set(before)) == sorted(cache.own.signature_path(k) for k in keys)
    assert all(len(after[p]) == 64 for p in set(after) - set(before))
    store = str(tmp_path / "open")
    shutil.copytree(cache.own.folder, store)
    os.chmod(store, 0o777)
    monkeypatch.setenv("INGOT_CACHE_TRUST", "signed")
    monkeypatch.setenv("INGOT_CACHE_KEYS", name + ".pub.pem")
    assert serves(store, keys) == keys
    doc = json_of(capsys, "cache", "sign", "--key", name + ".pem")
    assert doc["already"] == keys and doc["signed"] == []
    assert contents(cache.own.folder) == after


@needs_cryptography
def test_some_entries_by_abbreviated_keys_and_another_key_later(capsys, cache, keys, key_file, tmp_path):
    code, out, _ = run(capsys, "cache", "sign", "--key", key_file[0], keys[1][:8])
    assert code == 0 and out == f"signed 1 entries in {cache.own.folder}; 0 had this signature already\n"
    assert [os.path.exists(cache.own.signature_path(k)) for k in keys] == [False, True, False]
    old = open(cache.own.signature_path(keys[1]), "rb").read()
    other, _ = signing.new_key(str(tmp_path / "home" / "other"))
    assert json_of(capsys, "cache", "sign", "--key", other, keys[1])["signed"] == [keys[1]]
    assert open(cache.own.signature_path(keys[1]), "rb").read() != old
    assert run(capsys, "cache", "sign", "--key", other, "0000")[0] == 1


@needs_cryptography
def test_what_cannot_be_vouched_for_is_not_signed(capsys, cache, keys, key_file):
    path = cache.own.path(keys[0])
    data = open(path, "rb").read()
    with open(path, "wb") as f:
        f.write(data[:-1])
    doc = json_of(capsys, "cache", "sign", "--key", key_file[0], code=1)
    assert doc["signed"] == keys[1:] and [(r["key"], r["kind"]) for r in doc["refused"]] == [(keys[0], "damaged")]
    os.chmod(cache.own.path(keys[1]), 0o622)
    code, out, _ = run(capsys, "cache", "sign", "--key", key_file[0])
    assert code == 4 and f"{keys[0][:12]}  damaged: " in out and "can be written by others" in out
    assert not os.path.exists(cache.own.signature_path(keys[0]))
    os.chmod(cache.own.folder, 0o777)
    code, _, err = run(capsys, "cache", "sign", "--key", key_file[0])
    assert code == 4 and "can be written by others" in err


@needs_cryptography
def test_private_keys_that_are_refused(capsys, cache, keys, key_file, tmp_path):
    private, public = key_file
    os.chmod(public, 0o600)
    for path, code, words in (
        (public, 4, "holds a public key"),
        (str(tmp_path / "none.pem"), 5, "No such file"),
        (str(tmp_path), 4, "is not a regular file"),
    ):
        got, out, err = run(capsys, "cache", "sign", "--key", path)
        assert (got, out) == (code, "") and words in err and len(err.splitlines()) == 1
    os.chmod(private, 0o644)
    code, _, err = run(capsys, "cache", "sign", "--key", private)
    assert code == 4 and f"chmod 600 {private}" in err
    assert not [p for p in contents(cache.own.folder) if p.endswith(".sig")]


@needs_cryptography
def test_no_key_is_overwritten(capsys, key_file, tmp_path):
    before = contents(tmp_path / "home")
    code, _, err = run(capsys, "cache", "sign", "--new-key", str(tmp_path / "home" / "team"))
    assert code == 5 and "team.pem is there already, and no key is overwritten" in err
    assert contents(tmp_path / "home") == before


@needs_cryptography
def test_a_signature_is_written_whole_or_not_at_all(cache, keys, key_file, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main(["cache", "sign", "--key", key_file[0]]) == 5
    assert not [p for p in contents(cache.own.folder) if p.endswith((".sig", ".tmp"))]


@needs_cryptography
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the command openssl")
def test_another_ed25519_tool_makes_the_same_signature(capsys, cache, keys, key_file, tmp_path):
    """As docs/trust.md shows it, for keys that no Python process may read."""
    data = open(cache.own.path(keys[0]), "rb").read()
    (tmp_path / "message").write_bytes(b"ingot cache entry 1\0" + hashlib.sha256(data).digest())
    argv = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key_file[0], "-in", str(tmp_path / "message"), "-out", str(tmp_path / "sig")]
    if subprocess.run(argv, capture_output=True).returncode != 0:
        pytest.skip("this openssl does not sign with Ed25519")
    assert json_of(capsys, "cache", "sign", "--key", key_file[0])["signed"] == keys
    assert open(cache.own.signature_path(keys[0]), "rb").read() == (tmp_path / "sig").read_bytes()


@pytest.mark.parametrize(
    "argv",
    [
        ("sign",),
        ("sign", "--key", "a", "--new-key", "b"),
        ("sign", "--new-key", "b", "0123abcd"),
        ("sign", "--new-key", "b", "--dir", "/x"),
    ],
)
def test_usage(capsys, cache, argv):
    code, out, err = run(capsys, "cache", *argv)
    assert code == 2 and out == "" and "--new-key" in err


def test_digests(capsys, cache, keys, tmp_path, monkeypatch):
    code, out, err = run(capsys, "cache", "digests")
    assert (code, err) == (0, "")
    assert [line.split("  ")[1] for line in out.splitlines()] == [f"v1/{k[:2]}/{k}.so" for k in keys]
    (tmp_path / "home" / "list").write_text(out)
    done = subprocess.run(["sha256sum", "--check", "--strict", str(tmp_path / "home" / "list")], cwd=cache.own.folder, capture_output=True)
    assert done.returncode == 0
    doc = json_of(capsys, "cache", "digests", keys[0][:8])
    assert [(r["key"], r["sha256"]) for r in doc["entries"]] == [(keys[0], out.split()[0])]
    store = str(tmp_path / "open")
    shutil.copytree(cache.own.folder, store)
    os.chmod(store, 0o777)
    monkeypatch.setenv("INGOT_CACHE_TRUST", "digest-list")
    monkeypatch.setenv("INGOT_CACHE_DIGESTS", str(tmp_path / "home" / "list"))
    assert serves(store, keys) == keys


def test_digests_of_damaged_entries_are_left_out(capsys, cache, keys):
    with open(cache.own.path(keys[0]), "ab") as f:
        f.write(b"x")
    code, out, err = run(capsys, "cache", "digests")
    assert code == 1 and len(out.splitlines()) == 2 and keys[0] not in out
    assert keys[0][:12] in err and "left out" in err
    doc = json_of(capsys, "cache", "digests", code=1)
    assert [r["key"] for r in doc["refused"]] == [keys[0]] and [r["key"] for r in doc["entries"]] == keys[1:]


@pytest.mark.parametrize("verb", ["digests", pytest.param("sign", marks=needs_cryptography)])
def test_a_folder_that_holds_no_cache(capsys, cache, tmp_path, request, verb):
    argv = ["--key", request.getfixturevalue("key_file")[0]] if verb == "sign" else []
    code, out, err = run(capsys, "cache", verb, "--dir", str(tmp_path / "home" / "nothing"), *argv)
    assert (code, out) == (1, "") and "there is no cache in" in err


@pytest.mark.parametrize("verb", ["digests", pytest.param("sign", marks=needs_cryptography)])
def test_entries_of_read_only_layers_are_not_vouched_for(capsys, cache, keys, tmp_path, monkeypatch, request, verb):
    monkeypatch.setenv("INGOT_CACHE_PATH", cache.own.folder)
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "home" / "empty"))
    Cache(str(tmp_path / "home" / "empty")).own.create()
    argv = ["--key", request.getfixturevalue("key_file")[0]] if verb == "sign" else []
    code, out, err = run(capsys, "cache", verb, keys[0], *argv)
    assert (code, out) == (4, "") and "which is only read; name the folder with --dir" in err


@pytest.mark.parametrize("verb", [("rm", 0), ("clear",)])
def test_removal_takes_signatures_along(capsys, cache, keys, verb):
    for k in keys:
        with open(cache.own.signature_path(k), "wb") as f:
            f.write(bytes(64))
    argv = [keys[a] if isinstance(a, int) else a for a in verb]
    code, _, err = run(capsys, "cache", *argv, "--yes")
    assert code == 0, err
    left = {n for _, _, names in os.walk(cache.own.folder) for n in names if n.endswith((".so", ".sig"))}
    assert left == (set() if verb == ("clear",) else {k + end for k in keys[1:] for end in (".so", ".sig")})
