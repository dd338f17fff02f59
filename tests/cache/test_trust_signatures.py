"""Trust by Ed25519 signatures: which are refused, which keys count, and that nothing weaker stands in where they cannot be checked."""

import hashlib
import os
import subprocess
import sys
import warnings

import pytest

from ingot.runtime import log
from ingot.runtime.cache import signing
from ingot.runtime.cache.ownership import TrustError
from tests.support.stores import RULES, needs_cryptography, other_key, publish, read, refused


@needs_cryptography
def test_the_message_stays_as_it_is():
    """A signature of this version is one for ever (Ed25519 has one signature per key and message)."""
    from cryptography.hazmat.primitives.asymmetric import ed25519

    private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    digest = hashlib.sha256(b"an entry").digest()
    assert signing.message(digest) == b"ingot cache entry 1\0" + digest
    assert signing.sign(private, digest).hex() == (
        "8975dfb6c4c08178e347dbf2e2023bd55d7caeb80fb64d7506f853bda77881d5"
        "6249881cd8bf0eac198cd2b7d145570d822b8b2e0c03f2a998a66dbe63ff390b"
    )


@needs_cryptography
@pytest.mark.parametrize(
    "signature, match",
    [
        (None, "has no signature"),
        (b"", "has 0 bytes, not 64"),
        (b"x" * 63, "has 63 bytes, not 64"),
        (b"x" * 65, "has more bytes, not 64"),
        (b"x" * 100_000, "has more bytes, not 64"),
        (b"x" * 64, "was not made over these bytes by a key in"),
    ],
)
def test_signatures_that_are_refused(store, entry, signature, match):
    key, data = entry
    store.approve("signed", key, data)
    os.unlink(store.path(key, ".sig"))
    if signature is not None:
        publish(store.path(key, ".sig"), signature)
    assert refused(store.cache(), key, match)


@needs_cryptography
@pytest.mark.parametrize("kind", ["fifo", "symlink", "folder"])
def test_what_an_attacker_may_put_in_place_of_a_signature(store, entry, kind):
    key, data = entry
    store.approve("signed", key, data)
    path = store.path(key, ".sig")
    os.rename(path, store.folder / "good.sig")
    {"fifo": os.mkfifo, "folder": os.mkdir, "symlink": lambda p: os.symlink(store.folder / "good.sig", p)}[kind](path)
    assert refused(store.cache(), key, "is a symlink" if kind == "symlink" else "is not a regular file")


@needs_cryptography
def test_a_signature_of_another_entry_or_by_an_unknown_key_or_over_something_else(store, entry, make_entry, tmp_path):
    key, data = entry
    other, other_data = make_entry(2)
    store.add(other, other_data)
    store.approve("signed", key, data)
    store.approve("signed", other, other_data)
    cache, path = store.cache(), store.path(key, ".sig")
    good = path.read_bytes()
    publish(path, store.path(other, ".sig").read_bytes())
    assert refused(cache, key, "was not made over these bytes")
    digest = hashlib.sha256(data).digest()
    stranger = signing.private_key(signing.new_key(str(tmp_path / "trusted" / "stranger"))[0])
    for bad in (signing.sign(stranger, digest), store.private.sign(digest), store.private.sign(data)):
        publish(path, bad)
        assert read(cache, key) is None
    publish(path, good)
    assert read(cache, key) is not None


@needs_cryptography
def test_several_keys_in_a_file_or_a_folder(store, entry, tmp_path):
    key, data = entry
    store.approve("signed", key, data)
    mine = store.keys.read_bytes()
    other = other_key(tmp_path, "ed25519")
    publish(store.keys, b"The keys of two teams.\n" + other + b"\n" + mine)
    assert read(store.cache(), key) is not None
    publish(store.keys, other)
    cache = store.cache()
    assert refused(cache, key, "by a key in")
    folder = tmp_path / "trusted" / "keys"
    folder.mkdir(mode=0o755)
    publish(folder / "a.pem", other)
    (folder / "README").write_text("not a key, and not read")
    store.set("INGOT_CACHE_KEYS", str(folder))
    assert read(cache, key) is None
    publish(folder / "b.pem", mine)
    assert read(cache, key) is not None
    os.unlink(folder / "b.pem")  # a key that is taken away counts no more, in a process that runs too
    assert read(cache, key) is None
    os.unlink(folder / "a.pem")
    log._warned.clear()
    assert refused(cache, key, "keys holds no file NAME.pem")
    publish(folder / "b.pem", mine)
    os.chmod(folder, 0o777)
    log._warned.clear()
    assert refused(cache, key, "keys can be written by others")


@needs_cryptography
@pytest.mark.parametrize(
    "kind, match",
    [
        ("ec", "holds a key of another kind .*not Ed25519"),
        ("x25519", "holds a key of another kind .*not Ed25519"),
        ("ed448", "holds a key of another kind .*not Ed25519"),
        ("private", "holds a private key: keep it where entries are signed"),
        ("encrypted", "holds a private key"),
        (b"", "holds no whole PEM public key"),
        (b"\xff\x00garbage\n" * 9, "holds no whole PEM public key"),
        (b"-----BEGIN PUBLIC KEY-----\nMCow", "holds no whole PEM public key"),
        (b"-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n", "holds no key that can be read"),
        (b"-----BEGIN PUBLIC KEY-----\n\n-----END PUBLIC KEY-----\n", "holds no key that can be read"),
        (b"-----BEGIN CERTIFICATE-----\nMCow\n-----END CERTIFICATE-----\n", "holds a CERTIFICATE, not a PUBLIC KEY"),
        (b"x" * (65 << 10), "has more than the 65536 bytes that it may have"),
    ],
)
def test_key_files_that_refuse_everything(store, entry, tmp_path, kind, match):
    store.approve("signed", *entry)
    good = store.keys.read_bytes()
    publish(store.keys, kind if isinstance(kind, bytes) else other_key(tmp_path, kind))
    assert refused(store.cache(), entry[0], f"INGOT_CACHE_KEYS: {store.keys} {match}")
    if kind != b"" and len(store.keys.read_bytes()) < 1000:  # no good key beside a bad one either
        publish(store.keys, good + store.keys.read_bytes())
        if b"garbage" not in store.keys.read_bytes():  # text between keys is text
            log._warned.clear()
            assert refused(store.cache(), entry[0], match)


def test_without_cryptography_signed_refuses_everything_and_names_the_extra(store, entry, monkeypatch):
    """Never a weaker rule: the store could be ours in every respect."""
    for name in ("cryptography", "cryptography.hazmat.primitives", "cryptography.hazmat.primitives.asymmetric"):
        monkeypatch.setitem(sys.modules, name, None)
    store.set("INGOT_CACHE_TRUST", "signed")
    publish(store.keys, b"-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n")
    cache = store.cache()
    assert refused(cache, entry[0], r"signatures need the package cryptography .*pip install 'ingot\[sign\]'")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(cache, entry[0]) is None
    with pytest.raises(TrustError, match="cryptography"):
        signing.new_key(str(store.keys) + "x")


UNTOUCHED = """
import os, sys
from ingot.runtime.cache import Cache
key, store = sys.argv[1:]
assert Cache(None, (store,)).lookup(key) is not None
print("cryptography" in sys.modules)
"""


@pytest.mark.parametrize("rule", RULES)
def test_cryptography_is_imported_for_signatures_only(store, entry, rule):
    store.approve(rule, *entry)
    argv = [sys.executable, "-c", UNTOUCHED, entry[0], str(store.folder)]
    done = subprocess.run(argv, capture_output=True, text=True, env=os.environ)
    assert done.stdout == f"{rule == 'signed'}\n", done.stderr
