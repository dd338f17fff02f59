"""A store of cache entries that anybody may write, and what the environment says to trust of it."""

import hashlib
import importlib.util
import os

import pytest

from ingot.runtime import log
from ingot.runtime.cache import Cache, signing

OTHER = 12345  # a user that is not us
needs_cryptography = pytest.mark.skipif(
    importlib.util.find_spec("cryptography") is None, reason="signatures need cryptography: pip install 'ingot[sign]'"
)
RULES = ["digest-list", pytest.param("signed", marks=needs_cryptography)]


def read(cache, key):
    """(code, where it was) of the entry, or None."""
    found = cache.lookup(key)
    if found is None:
        return None
    try:
        return bytes(found.entry.code), found.source
    finally:
        found.close()


def refused(cache, key, match):
    """The lookup misses, with one warning."""
    before = cache.counts["miss.untrusted"]
    with pytest.warns(log.IngotWarning, match=match) as told:
        assert read(cache, key) is None
    assert len(told) == 1 and cache.counts["miss.untrusted"] == before + 1
    return True


def publish(path, data):
    """Write a file as a careful publisher does: under another name first."""
    path = str(path)
    with open(path + ".new", "wb") as f:
        f.write(data)
    os.replace(path + ".new", path)


class Store:
    """A store in a folder that anybody can write, and where the environment says what to trust of it."""

    def __init__(self, tmp_path, monkeypatch):
        self.folder = tmp_path / "open" / "store"
        self.digests = tmp_path / "trusted" / "digests.txt"
        self.keys = tmp_path / "trusted" / "keys.pem"
        self.digests.parent.mkdir(mode=0o755)
        self.set = monkeypatch.setenv
        self.set("INGOT_CACHE_DIGESTS", str(self.digests))
        self.set("INGOT_CACHE_KEYS", str(self.keys))
        self.name = str(tmp_path / "trusted" / "signer")
        self._listed = b""

    def add(self, key, data):
        """An entry, as somebody else may put it there."""
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        for p in (path, path.parent, path.parent.parent, self.folder, self.folder.parent):
            os.chmod(p, 0o777)
            if os.geteuid() == 0:
                os.chown(p, OTHER, OTHER)
        return path

    def path(self, key, end=".so"):
        return self.folder / "v1" / key[:2] / (key + end)

    def approve(self, rule, key, data):
        """Have `data` trusted as the entry of `key`."""
        digest = hashlib.sha256(data).digest()
        self.set("INGOT_CACHE_TRUST", rule)
        if rule == "digest-list":
            self._listed += f"{digest.hex()}  v1/{key[:2]}/{key}.so\n".encode()
            publish(self.digests, self._listed)
        else:
            publish(self.path(key, ".sig"), signing.sign(self.private, digest))

    @property
    def private(self):
        if not os.path.exists(self.name + ".pem"):
            signing.new_key(self.name)
            os.rename(self.name + ".pub.pem", self.keys)
        return signing.private_key(self.name + ".pem")

    def cache(self):
        return Cache(None, (str(self.folder),))


def other_key(tmp_path, kind):
    """PEM of a public key that is not Ed25519, or of something else altogether."""
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, x25519

    private = {
        "ec": lambda: ec.generate_private_key(ec.SECP256R1()), "x25519": x25519.X25519PrivateKey.generate,
        "ed448": ed448.Ed448PrivateKey.generate,
    }.get(kind, ed25519.Ed25519PrivateKey.generate)()  # fmt: skip
    if kind == "private":
        return private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    if kind == "encrypted":
        return private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"secret"))
    return private.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
