"""Detached Ed25519 signatures of entries: 64 bytes in KEY.sig, beside KEY.so.

What is signed is a short message that no other program signs by mistake, and that every Ed25519 tool can:

    "ingot cache entry 1", a zero byte, the SHA-256 (32 bytes) of the entry's whole file

The file holds its key, so a signature says which entry it is of. The package `cryptography` (extra `sign`) is imported when a
signature is made or checked.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from typing import Any

from ingot.runtime.cache.ownership import TrustError, open_regular

__all__ = ["message", "new_key", "private_key", "public_keys", "sign", "verified"]

_DOMAIN = b"ingot cache entry 1\0"
_PEM_LIMIT = 64 << 10
_PUBLIC = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)
_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")


def message(digest: bytes) -> bytes:
    """What is signed, for an entry whose file has this SHA-256."""
    return _DOMAIN + digest


def sign(private: Any, digest: bytes) -> bytes:
    """The signature of the entry whose file has this SHA-256, by a key from `private_key`."""
    return private.sign(message(digest))


def verified(keys: Sequence[Any], digest: bytes, signature: bytes) -> bool:
    """Whether one of `keys`, from `public_keys`, made this signature of the file with this SHA-256."""
    from cryptography.exceptions import InvalidSignature

    for k in keys:
        try:
            k.verify(signature, message(digest))
        except InvalidSignature:
            continue
        return True
    return False


def public_keys(pem: bytes, name: str) -> list[Any]:
    """The Ed25519 public keys in a PEM text, one or more; `name` is the file's, for messages.

    TrustError for anything else in it, and where `cryptography` is missing.
    """
    ed25519, serialization = _cryptography()
    labels = _LABEL.findall(pem)
    for label in labels:
        if b"PRIVATE" in label:
            raise TrustError(f"{name} holds a private key: keep it where entries are signed; the public one is wanted here")
        if label != b"PUBLIC KEY":
            raise TrustError(f"{name} holds a {label.decode()}, not a PUBLIC KEY")
    blocks = _PUBLIC.findall(pem)
    if not blocks or len(blocks) != len(labels):
        raise TrustError(f"{name} holds no whole PEM public key (-----BEGIN PUBLIC KEY-----)")
    return [_of_kind(ed25519.Ed25519PublicKey, _parsed(serialization.load_pem_public_key, block, name), name) for block in blocks]


def private_key(path: str) -> Any:
    """The Ed25519 private key in a PEM file that only this user can read.

    TrustError where others can read or write the file, where it holds something else, and where `cryptography` is missing;
    OSError where it cannot be read.
    """
    ed25519, serialization = _cryptography()
    fd, st = open_regular(path)
    with open(fd, "rb") as f:
        if st.st_uid not in (0, os.geteuid()):
            raise TrustError(f"{path} belongs to user {st.st_uid}")
        if stat.S_IMODE(st.st_mode) & 0o077:
            raise TrustError(f"{path} can be read or written by others, a private key must not be; chmod 600 {path}")
        pem = f.read(_PEM_LIMIT)
    if b"BEGIN PUBLIC KEY" in pem:
        raise TrustError(f"{path} holds a public key; the private one signs")
    if b"ENCRYPTED" in pem:
        raise TrustError(f"{path} is encrypted with a passphrase; decrypt it first: openssl pkey -in {path} -out PLAIN.pem")
    return _of_kind(ed25519.Ed25519PrivateKey, _parsed(lambda p: serialization.load_pem_private_key(p, None), pem, path), path)


def new_key(name: str) -> tuple[str, str]:
    """Make NAME.pem (for the signer, mode 0600) and NAME.pub.pem (for everybody); their paths.

    FileExistsError where one of them exists already: nothing is overwritten. TrustError where `cryptography` is missing.
    """
    ed25519, serialization = _cryptography()
    name = name[: -len(".pem")] if name.endswith(".pem") else name
    key = ed25519.Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    paths = name + ".pem", name + ".pub.pem"
    made: list[str] = []
    try:
        for path, data, mode in zip(paths, (private, public), (0o600, 0o644)):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
            made.append(path)
            with open(fd, "wb") as f:
                f.write(data)
                f.flush()
                os.fsync(fd)
    except BaseException:
        for path in made:
            os.unlink(path)
        raise
    return paths


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as e:
        raise TrustError(f"signatures need the package cryptography ({e}); pip install 'ingot[sign]'") from None
    return ed25519, serialization


def _parsed(load: Any, pem: bytes, name: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as e:
        raise TrustError(f"{name} holds no key that can be read ({str(e).splitlines()[0][:100] if str(e) else type(e).__name__})") from None


def _of_kind(kind: type, key: Any, name: str) -> Any:
    if not isinstance(key, kind):
        raise TrustError(f"{name} holds a key of another kind ({type(key).__name__.lstrip('_')}), not Ed25519")
    return key
