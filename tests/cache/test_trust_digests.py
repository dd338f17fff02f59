"""Trust by a list of digests: how it is read, and when nothing of it is believed."""

import hashlib
import os
import subprocess

import pytest

from ingot.runtime import log
from ingot.runtime.cache import trust
from tests.support.stores import publish, read, refused


def test_a_list_is_read_as_sha256sum_writes_it(store, entry):
    key, data = entry
    digest = hashlib.sha256(data).hexdigest()
    store.set("INGOT_CACHE_TRUST", "digest-list")
    lines = [f"{digest}  a", f"{digest} *a b", f"\\{digest}  a\\nb", f"{digest.upper()}  a", f"# comment\n\n{digest}  a\r", f"{digest}  a"]
    for text in lines:
        publish(store.digests, text.encode())
        assert read(store.cache(), key) is not None, text
    publish(store.digests, subprocess.run(["sha256sum", str(store.path(key))], capture_output=True, check=True).stdout)
    assert read(store.cache(), key) is not None


@pytest.mark.parametrize(
    "text, match",
    [
        (b"", "holds no digest"),
        (b"# nothing\n\n", "holds no digest"),
        (b"0" * 64 + b"\n", r"digests.txt:1: expected `SHA256  NAME`"),
        (b"0" * 64 + b"  a\n" + b"0" * 63 + b"g  b\n", r"digests.txt:2: expected `SHA256  NAME`"),
        (b"SHA256 (a) = " + b"0" * 64 + b"\n", "expected `SHA256  NAME`"),
        (b"\xff\x00" * 1000, "expected `SHA256  NAME`"),
        (b"0" * 40 + b"  a\n", "expected `SHA256  NAME`"),
    ],
)
def test_a_list_that_is_none_refuses_everything(store, entry, text, match):
    store.set("INGOT_CACHE_TRUST", "digest-list")
    publish(store.digests, text)
    assert refused(store.cache(), entry[0], f"INGOT_CACHE_DIGESTS: .*{match}")


def test_a_digest_that_is_not_listed(store, entry, make_entry):
    store.approve("digest-list", *make_entry(2))
    assert refused(store.cache(), entry[0], f"the SHA-256 of {entry[0][:12]}….so is not in {store.digests}")


def test_a_changed_list_counts_at_the_next_lookup(store, entry, make_entry):
    key, data = entry
    cache = store.cache()
    store.set("INGOT_CACHE_TRUST", "digest-list")
    assert refused(cache, key, "digests.txt cannot be read: No such file")
    store.approve("digest-list", key, data)
    assert read(cache, key) is not None
    publish(store.digests, f"{'0' * 64}  other\n".encode())
    assert refused(cache, key, "is not in")
    os.unlink(store.digests)
    log._warned.clear()
    assert refused(cache, key, "digests.txt cannot be read: No such file")


def test_a_list_is_read_once(store, entry, monkeypatch):
    store.approve("digest-list", *entry)
    cache = store.cache()
    assert read(cache, entry[0]) is not None
    monkeypatch.setattr(trust, "read_own", lambda *a: pytest.fail("it was read again"))
    assert read(cache, entry[0]) is not None


def test_a_list_that_is_too_long(store, entry, monkeypatch):
    store.approve("digest-list", *entry)
    monkeypatch.setattr(trust, "_LIST_LIMIT", 50)
    assert refused(store.cache(), entry[0], "has more than the 50 bytes that it may have")
