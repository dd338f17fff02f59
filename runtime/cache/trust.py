"""What the cache may run code from. An entry is native code: whoever can write one runs code in this process.

Two kinds of rule, see docs/trust.md:

    own                      only this user and root can write it: the chain of folders is checked once per process, a file
                             through the descriptor that it is then read and mapped from
    digest-list, signed      anybody can: the bytes are read once, compared with a list or a signature, and used from that copy

The writable layer is under `own`. INGOT_CACHE_TRUST says what read-only layers are under; see `policy`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from typing import Any, NamedTuple

from ingot.runtime import switches

__all__ = [
    "SIGNATURE_BYTES", "Policy", "TrustError", "check_folder", "check_inside", "open_checked", "open_own", "open_regular", "policy",
    "read_own",
]  # fmt: skip

SIGNATURE_BYTES = 64  # of Ed25519
_LIST_LIMIT = 64 << 20  # bytes of a digest list: more than half a million lines
_KEY_LIMIT = 64 << 10  # bytes of a file of keys
_LINE = re.compile(rb"\\?([0-9a-fA-F]{64}) [ *].+")  # as sha256sum writes it; "\" where the name has escapes


class TrustError(OSError):
    """Something that somebody else could have written; the message names it and, where there is one, the remedy."""


# -- the rule `own` --------------------------------------------------------------------------------------------------


def check_folder(path: str, *, own: bool) -> None:
    """Check `path`, a folder, and all that stands above it, links resolved one by one.

    own: the folder itself must belong to this user (a writable layer), else root will do. TrustError names the
    first component that fails; OSError if one does not exist.

    The walk goes down from the root. Once a folder is known to be closed to others, they cannot exchange what is in it
    (nor what this user or root owns in a sticky one), so no component can change behind the walk.
    """
    me = os.geteuid()
    path = os.path.abspath(path)
    if stat.S_ISLNK(os.lstat(path).st_mode):
        raise TrustError(f"{path} is a symlink; name the folder it stands for")
    todo = [p for p in path.split("/") if p][::-1]
    here, links = "/", 0
    _check_parent("/", os.lstat("/"), me)
    while todo:
        name = todo.pop()
        if name == ".":
            continue
        if name == "..":
            here = os.path.dirname(here)
            continue
        step = os.path.join(here, name)
        st = os.lstat(step)
        if stat.S_ISLNK(st.st_mode):
            links += 1
            if st.st_uid not in (0, me):
                raise TrustError(f"{step} is a symlink that user {st.st_uid} made")
            if links > 40:
                raise TrustError(f"{path} leads through more than 40 symlinks")
            target = os.readlink(step)
            todo.extend([p for p in target.split("/") if p][::-1])
            if target.startswith("/"):
                here = "/"
            continue
        _check_parent(step, st, me)
        here = step
    st = os.lstat(here)
    if own and st.st_uid != me:
        raise TrustError(f"{here} belongs to user {st.st_uid}, not to {me}; remove it or set INGOT_CACHE_DIR")
    if st.st_mode & 0o022:
        remedy = "use a folder in it" if st.st_mode & stat.S_ISVTX else f"chmod go-w {here}"
        raise TrustError(f"{here} can be written by others; {remedy}")


def _check_parent(path: str, st: os.stat_result, me: int) -> None:
    if not stat.S_ISDIR(st.st_mode):
        raise TrustError(f"{path} is not a folder")
    if st.st_uid not in (0, me):
        raise TrustError(f"{path} belongs to user {st.st_uid}; use a folder of your own")
    if st.st_mode & 0o022 and not st.st_mode & stat.S_ISVTX:
        raise TrustError(f"{path} can be written by others; chmod go-w {path} or use a folder elsewhere")


def check_inside(path: str) -> None:
    """Check a folder in a folder that passed: no symlink, of this user or root, not writable by others.

    TrustError names what fails; FileNotFoundError if there is none.
    """
    st = os.lstat(path)
    if stat.S_ISLNK(st.st_mode):
        raise TrustError(f"{path} is a symlink")
    if not stat.S_ISDIR(st.st_mode):
        raise TrustError(f"{path} is not a folder")
    _check_owner(path, st)


def _check_owner(path: str, st: os.stat_result) -> None:
    if st.st_uid and st.st_uid != os.geteuid():
        raise TrustError(f"{path} belongs to user {st.st_uid}")
    if st.st_mode & 0o022:  # an access list that lets others write shows here too, as its mask
        raise TrustError(f"{path} can be written by others; chmod go-w {path}")


def open_regular(path: str) -> tuple[int, os.stat_result]:
    """Open a regular file of anybody for reading; its status is read from the descriptor.

    Never waits: not for the other end of a FIFO, nor for who holds a lease. TrustError for a symlink and for what is no
    regular file; FileNotFoundError and other OSErrors as from os.open.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as e:
        if e.errno == errno.ELOOP:  # what O_NOFOLLOW says of a symlink
            raise TrustError(f"{path} is a symlink") from None
        if e.errno == errno.ENXIO:  # a socket
            raise TrustError(f"{path} is not a regular file") from None
        raise
    try:
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode):
            raise TrustError(f"{path} is not a regular file")
    except BaseException:
        os.close(fd)
        raise
    return fd, st


def open_own(path: str) -> tuple[int, os.stat_result]:
    """Open a file for reading, with its status: a regular file of this user or root, one link, not writable by others.

    Everything is checked on the returned descriptor. TrustError says what is wrong; FileNotFoundError and other
    OSErrors as from os.open.
    """
    fd, st = open_regular(path)
    try:
        _check_owner(path, st)
        if st.st_nlink > 1:
            raise TrustError(f"{path} has {st.st_nlink} hard links")
    except BaseException:
        os.close(fd)
        raise
    return fd, st


def open_checked(path: str) -> int:
    """The descriptor alone of `open_own`."""
    return open_own(path)[0]


def read_own(path: str, limit: int) -> bytes:
    """The bytes of a file under rule `own`, its folder and the chain above it too.

    TrustError where it is not, or has more than `limit` bytes; OSError where it cannot be read.
    """
    path = os.path.abspath(path)
    check_folder(os.path.dirname(path), own=False)
    with open(open_checked(path), "rb") as f:
        data = f.read(limit + 1)
    if len(data) > limit:
        raise TrustError(f"{path} has more than the {limit} bytes that it may have")
    return data


# -- the rules for read-only layers ----------------------------------------------------------------------------------


class Policy(NamedTuple):
    """The rule for read-only layers, with what it needs.

    `problem` says why nothing can be trusted now: a rule whose list or keys cannot be had refuses all entries.
    """

    rule: str  # own, digest-list or signed
    source: str = ""  # the file of digests, the file or folder of keys
    problem: str | None = None
    digests: frozenset[bytes] = frozenset()
    keys: tuple[Any, ...] = ()  # Ed25519PublicKey of cryptography

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
        digest = hashlib.sha256(data).digest()
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
            match = _LINE.fullmatch(line)
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
