"""What the cache may run code from. An entry is native code: whoever can write one runs code in this process.

Two kinds of rule, see docs/trust.md:

    own                      only this user and root can write it: the chain of folders is checked once per process, a file
                             through the descriptor that it is then read and mapped from
    digest-list, signed      anybody can: the bytes are read once, compared with a list or a signature, and used from that copy

The writable layer is under `own`. INGOT_CACHE_TRUST says what read-only layers are under; see `policy`.
"""

from __future__ import annotations

import os
import re
from typing import Any

from ingot.runtime import switches
from ingot.runtime.cache.ownership import TrustError, check_folder, read_own
from ingot.runtime.digest import sha256

__all__ = ["SIGNATURE_BYTES", "Policy", "policy"]

SIGNATURE_BYTES = 64  # of Ed25519
_LIST_LIMIT = 64 << 20  # bytes of a digest list: more than half a million lines
_KEY_LIMIT = 64 << 10  # bytes of a file of keys
_LINE = rb"\\?([0-9a-fA-F]{64}) [ *].+"  # as sha256sum writes it; "\" where the name has escapes


class Policy:
    """The rule for read-only layers, with what it needs.

    rule       own, digest-list or signed
    source     the file of digests, the file or folder of keys
    problem    why nothing can be trusted now: a rule whose list or keys cannot be had refuses all entries
    keys       Ed25519PublicKey of cryptography
    """

    def __init__(
        self, rule: str, source: str = "", problem: str | None = None, digests: frozenset[bytes] = frozenset(), keys: tuple[Any, ...] = (),
    ):  # fmt: skip
        self.rule, self.source, self.problem, self.digests, self.keys = rule, source, problem, digests, keys

    @property
    def by_content(self) -> bool:
        """Whether entries are known by their bytes, and may then stand in anybody's folder."""
        return self.rule != "own"

    @property
    def needs_signature(self) -> bool:
        """Whether `check` wants to see a signature."""
        return self.rule == "signed"

    def check(self, key: str, data: bytes | memoryview, signature: bytes | None = None) -> None:
        """Whether `data`, the whole file of the entry `key`, may be used. TrustError says why not.

        signature: what stands in KEY.sig, None where there is none. Use this very `data` afterwards and never the file
        again. Under `own` everything passes: there the file is what is checked (see `open_checked`), not its bytes.

        >>> policy().check("ab12", b"the file")
        """
        if not self.by_content:
            return
        if self.problem is not None:
            raise TrustError(self.problem)
        digest = sha256(data).digest()
        name = f"{key[:12]}….so"
        if not self.needs_signature:
            if digest not in self.digests:
                raise TrustError(f"the SHA-256 of {name} is not in {self.source}")
            return
        from ingot.runtime.cache import signing

        if signature is None:
            raise TrustError(f"{name} has no signature; sign it with: ingot cache sign --key PRIVATE.pem")
        if len(signature) != SIGNATURE_BYTES:
            size = len(signature) if len(signature) < SIGNATURE_BYTES else "more"
            raise TrustError(f"the signature of {name} has {size} bytes, not {SIGNATURE_BYTES}")
        if not signing.verified(self.keys, digest, signature):
            raise TrustError(f"the signature of {name} was not made over these bytes by a key in {self.source}")


_OWN = Policy("own")
_SOURCES = {"digest-list": "INGOT_CACHE_DIGESTS", "signed": "INGOT_CACHE_KEYS"}
_loaded: dict[tuple[str, str], tuple[Any, Policy]] = {}  # by rule and source: the files' identity, what was in them


def policy() -> Policy:
    """The rule that INGOT_CACHE_TRUST asks for now, with its list or its keys.

    These are read once, and again when their file changes. Never raises, but SwitchError for a rule that is none.
    """
    rule = switches.get("INGOT_CACHE_TRUST")
    if rule == "own":
        return _OWN
    source = switches.get(_SOURCES[rule])
    if source is None:
        return Policy(rule, "", f"INGOT_CACHE_TRUST={rule} needs {_SOURCES[rule]}, which is not set")
    source = os.path.abspath(source)
    identity = _identity(source)
    known = _loaded.get((rule, source))
    if known is not None and known[0] == identity:
        return known[1]
    try:
        if rule == "digest-list":
            found = Policy(rule, source, digests=_digests(source))
        else:
            found = Policy(rule, source, keys=_keys(source))
    except TrustError as e:
        found = Policy(rule, source, f"{_SOURCES[rule]}: {e}")
    except (OSError, MemoryError) as e:  # which may pass
        return Policy(rule, source, f"{_SOURCES[rule]}: {source} cannot be read: {getattr(e, 'strerror', None) or type(e).__name__}")
    if identity is not None:
        _loaded[rule, source] = identity, found
    return found


def _identity(source: str) -> Any:
    """What changes when the file does, or one of the folder's files; None where it cannot be had."""
    try:
        names = [os.path.join(source, n) for n in sorted(os.listdir(source))] if os.path.isdir(source) else []
        return [(n, st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns) for n in (source, *names) for st in (os.lstat(n),)]
    except OSError:
        return None


def _digests(path: str) -> frozenset[bytes]:
    """The digests in a list. Names are for people: an entry's bytes hold its key."""
    found = set()
    for number, line in enumerate(read_own(path, _LIST_LIMIT).split(b"\n"), 1):
        line = line.strip()
        if line and not line.startswith(b"#"):
            match = re.fullmatch(_LINE, line)
            if match is None:
                raise TrustError(f"{path}:{number}: expected `SHA256  NAME` as sha256sum writes it")
            found.add(bytes.fromhex(match[1].decode()))
    if not found:
        raise TrustError(f"{path} holds no digest")
    return frozenset(found)


def _keys(source: str) -> tuple[Any, ...]:
    """The keys in a file, or in all files NAME.pem of a folder."""
    from ingot.runtime.cache import signing

    files = [source]
    if os.path.isdir(source):
        check_folder(source, own=False)
        files = [os.path.join(source, n) for n in sorted(os.listdir(source)) if n.endswith(".pem")]
        if not files:
            raise TrustError(f"{source} holds no file NAME.pem")
    return tuple(k for path in files for k in signing.public_keys(read_own(path, _KEY_LIMIT), path))
