"""One folder of entries: reading, writing, setting aside and listing them. No locks anywhere.

    v1/ab/abcd….so      an entry, named by its key, never changed once it has its name
    v1/ab/abcd….sig     its detached signature, where somebody made one, see signing.py
    v1/ab/.….tmp        an entry being written by a living process (or left by a dead one: swept after an hour)
    v1/ab/.….claim      somebody compiles this key, see claim.py
    quarantine/         entries that failed their checksum
    account             sizes and costs, see account.py
    pieces              which entries hold which kernels, see pieces.py
    misses.jsonl, stats.jsonl, toolchain.json, warmed.jsonl
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from typing import NamedTuple

from ingot.runtime.cache import entry as entry_format
from ingot.runtime.cache import files
from ingot.runtime.cache.entry import Entry, EntryError
from ingot.runtime.cache.ownership import TrustError, check_folder, check_inside, open_own, open_regular
from ingot.runtime.cache.trust import SIGNATURE_BYTES, Policy, policy

__all__ = ["Layer", "Found", "Listed"]

_TOUCH_EVERY = 3600.0  # seconds between two records of use
_STALE_TEMPORARY = 3600.0
_QUARANTINE_KEEPS = 16
_SIZE_LIMIT = 1 << 30
_KEY = r"[0-9a-f]{64}\.so"


class Found:
    """A verified entry and where it came from: "disk", "shared", "memory" or "package".

    `fd`, where there is one, is open on the very file that was verified.
    """

    def __init__(self, entry: Entry, source: str, fd: int | None = None):
        self.entry, self.source, self.fd = entry, source, fd

    def close(self) -> None:
        """Close the descriptor. Safe to call once, after the code is mapped."""
        if self.fd is not None:
            files.close(self.fd)


class Listed(NamedTuple):
    """An entry as a folder listing shows it: nothing is opened for it."""

    key: str
    path: str
    size: int
    used: float  # seconds since the epoch, to within an hour


class Layer:
    """A folder of entries. `writable` layers belong to this user; the others are only read, under the rule of trust.policy().

    `refused` says why the folder is not used at all (None where it is).
    """

    def __init__(self, folder: str, writable: bool):
        self.folder = os.path.abspath(folder)
        self.entries = os.path.join(self.folder, f"v{entry_format.FORMAT}")
        self.writable = writable
        self.refused: str | None = None
        self._own: bool | None = None  # whether it passed the rule `own`; None: not known yet
        self._why: str | None = None  # it did not

    def check(self) -> bool:
        """Whether the folder exists and may be used, under the present rule. Why not is in `refused`."""
        return self._passes(None if self.writable else policy())

    def _passes(self, rule: Policy | None) -> bool:
        if rule is not None and rule.by_content:
            self.refused = rule.problem
            return rule.problem is None and os.path.isdir(self.entries)
        passed = self.owned()
        self.refused = self._why
        return passed

    def owned(self) -> bool:
        """Whether the folder exists and nobody but this user and root can write it; remembered once it does, or is refused."""
        if self._own is None:
            self._why = None
            try:
                check_folder(self.folder, own=self.writable)
                check_inside(self.entries)
                self._own = True
            except FileNotFoundError:
                pass
            except TrustError as e:
                self._own, self._why = False, str(e)
            except OSError as e:  # which may pass
                self._why = str(e)
        return self._own is True

    def path(self, key: str) -> str:
        """Where the entry of `key` is, or would be."""
        return os.path.join(self.entries, key[:2], key + ".so")

    def signature_path(self, key: str) -> str:
        """Where the detached signature of `key` is, or would be."""
        return self.path(key)[: -len(".so")] + ".sig"

    def get(self, key: str) -> Found | str:
        """The verified entry of `key`, or why there is none: absent, damaged, untrusted or unreadable."""
        rule = None if self.writable else policy()
        if not self._passes(rule):
            if self.refused and not self.writable:  # for the own one, `put` says so
                from ingot.runtime import log

                log.warn_once(f"refused {self.refused}", f"shared cache entries are not used: {self.refused}")
            return "untrusted" if self.refused else "absent"
        path = self.path(key)
        fd = -1
        try:
            if rule is not None and rule.by_content:
                return self._copied(key, rule)
            try:
                check_inside(os.path.dirname(path))
            except TrustError:
                if self.writable:  # `put` says so here too
                    return "untrusted"
                raise
            fd, st = open_own(path)
            if st.st_size > _SIZE_LIMIT:
                raise EntryError(f"{st.st_size} bytes is more than an entry may have")
            found = Found(entry_format.parse(_read(fd, st.st_size), key), "disk" if self.writable else "shared", fd)
            if self.writable and time.time() - st.st_mtime > _TOUCH_EVERY:
                _touch(fd)
            fd = -1
            return found
        except FileNotFoundError:
            return "absent"
        except EntryError as e:
            from ingot.runtime import log

            self.set_aside(key, fd if fd >= 0 else None)
            fate = "set aside" if self.writable else "left there"
            log.warn_once(f"damaged {path}", f"cache entry {key[:12]} is damaged ({e}); it is {fate} and built again")
            return "damaged"
        except TrustError as e:
            from ingot.runtime import log

            log.warn_once(f"untrusted {path}", f"cache entry {key[:12]} is not used: {e}")
            return "untrusted"
        except (OSError, MemoryError):
            return "unreadable"
        finally:
            if fd >= 0:
                files.close(fd)

    def _copied(self, key: str, rule: Policy) -> Found:
        """The entry of `key` from a folder that anybody may write: all that is used of it are the bytes that were checked."""
        fd, st = open_regular(self.path(key))
        try:
            if st.st_size > _SIZE_LIMIT:
                raise TrustError(f"{self.path(key)} has {st.st_size} bytes, more than an entry may have")
            signature = self._signature(key) if rule.needs_signature else None
            data = _read(fd, st.st_size)
        finally:
            files.close(fd)
        rule.check(key, data, signature)
        return Found(entry_format.parse(data, key), "shared")

    def _signature(self, key: str) -> bytes | None:
        """What stands in the file KEY.sig, but no more than is wrong for sure."""
        try:
            fd, _ = open_regular(self.signature_path(key))
        except FileNotFoundError:
            return None
        try:
            return _read(fd, SIGNATURE_BYTES + 1)
        finally:
            files.close(fd)

    def put(self, key: str, data: bytes) -> None:
        """Write an entry: private temporary in its own folder, fsync, rename. OSError says why it could not be."""
        temporary = os.path.join(self.folder_of(key), f".{os.getpid()}-{os.urandom(8).hex()}.tmp")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(fd, rest) :]
                os.fsync(fd)
            finally:
                os.close(fd)
            try:
                os.rename(temporary, self.path(key))
            except IsADirectoryError:  # whoever made a folder there
                self.set_aside(key)
                os.rename(temporary, self.path(key))
        except BaseException:
            _unlink(temporary)
            raise

    def folder_of(self, key: str) -> str:
        """The folder that the entry of `key` belongs in, made and checked. OSError says why it cannot be used."""
        self.create()
        shard = os.path.join(self.entries, key[:2])
        _make(shard)
        check_inside(shard)
        return shard

    def create(self) -> None:
        """Make the folder, mode 0700, and check it. OSError says why it cannot be used."""
        if self.check():
            return
        if self.refused is None:
            _make(self.entries)
            if self.check():
                return
        raise TrustError(self.refused or f"{self.folder} vanished")

    def remove(self, key: str) -> bool:
        """Delete the entry of `key` and its signature; whether there was one. Code already mapped from it stays valid."""
        removed = _unlink(self.path(key))
        _unlink(self.signature_path(key))
        return removed

    def set_aside(self, key: str, fd: int | None = None) -> None:
        """Move a damaged entry to the quarantine folder, which keeps the last few.

        fd: open on the file that was found damaged; nothing happens if another one has its name by now.
        """
        if not self.writable:
            return
        folder = os.path.join(self.folder, "quarantine")
        try:
            if fd is not None and not os.path.samestat(os.fstat(fd), os.lstat(self.path(key))):
                return
            _make(folder)
            os.rename(self.path(key), os.path.join(folder, f"{time.time_ns():020d}-{key}.so"))
            for name in sorted(os.listdir(folder))[:-_QUARANTINE_KEEPS]:
                if not _unlink(os.path.join(folder, name)):
                    import shutil  # not before: it takes two milliseconds

                    shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
        except FileNotFoundError:  # another process was faster
            pass
        except OSError:
            _unlink(self.path(key))
        _unlink(self.signature_path(key))

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """All entries whose keys begin with `prefix`, in the order of their keys. Nothing is read but the folders."""
        if not self.check():
            return
        for shard in [prefix[:2]] if len(prefix) >= 2 else _names(self.entries):
            folder = os.path.join(self.entries, shard)
            found = []
            try:
                with os.scandir(folder) as files:
                    for f in files:
                        if re.fullmatch(_KEY, f.name) and f.name.startswith(prefix):
                            try:
                                st = f.stat(follow_symlinks=False)
                            except FileNotFoundError:  # somebody removed it meanwhile
                                continue
                            found.append(Listed(f.name[:-3], f.path, st.st_size, st.st_mtime))
            except OSError:
                continue
            yield from sorted(found)

    def sweep(self, older_than: float = _STALE_TEMPORARY) -> int:
        """Delete temporaries and claims that dead processes left, and signatures without their entry; how many."""
        swept = 0
        for folder in (self.folder, *(os.path.join(self.entries, shard) for shard in _names(self.entries))):
            names = _names(folder)
            entries = {name[:-3] for name in names if re.fullmatch(_KEY, name)}
            for name in names:
                if name.endswith((".tmp", ".claim")) or name.endswith(".sig") and name[:-4] not in entries:
                    path = os.path.join(folder, name)
                    try:
                        if time.time() - os.lstat(path).st_mtime >= older_than:
                            swept += _unlink(path)
                    except OSError:
                        pass
        return swept


def _make(folder: str) -> None:
    """Make a folder and what is missing above it, all with mode 0700 (os.makedirs gives it to the last one only)."""
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
    except FileNotFoundError:
        _make(os.path.dirname(folder))  # which another process may have made since
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)


def _read(fd: int, size: int) -> bytes:
    data = os.read(fd, size)
    while len(data) < size:
        more = os.read(fd, size - len(data))
        if not more:
            break
        data += more
    return data


def _touch(fd: int) -> None:
    try:
        os.utime(fd)
    except OSError:
        pass


def _unlink(path: str) -> bool:
    try:
        os.unlink(path)
        return True
    except OSError:
        return False


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
