"""What `ingot doctor` looks at in the cache: its folders and who may write them, their file system, and what is stored."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from ingot.runtime import switches
from ingot.runtime.cache import entry as entry_format
from ingot.runtime.cache import key as keys
from ingot.runtime.cache import ownership, trust
from ingot.runtime.cache.layer import Layer, Listed
from ingot.runtime.cache.store import default_folder
from ingot.runtime.cli import doctor_machine, output
from ingot.runtime.cli.findings import Finding

__all__ = ["entries", "file_system", "own", "shared"]

_NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "fuse.sshfs", "fuse.gluster", "fuse.ceph")
_PASSING = {  # file systems that do not keep what is written, and for how long they do
    "tmpfs": "in memory: it goes with the next restart", "ramfs": "in memory: it goes with the next restart",
    "overlay": "in the container's own layer: it goes with the container; a volume keeps it",
}  # fmt: skip
_LITTLE_SPACE = 64 << 20
_FEW_INODES = 1000
_SKEW = 5.0  # seconds
_LOOKED_AT = 20_000  # entries, the latest used first
_READ = 500  # of them, whose preimages are read


def own(folder: str | None) -> Iterator[Finding]:
    """The writable layer: whether it is there, whose it is, and whether it is used."""
    folder = folder or default_folder()
    if folder is None:
        yield Finding("cache", "warn", "there is no home folder: every process compiles anew", "set INGOT_CACHE_DIR")
        return
    layer = Layer(folder, True)
    usable = layer.check()
    place = layer.folder if usable else _existing(layer.folder)
    refused = layer.refused or (None if usable else _refusal_above(place))
    if refused:
        yield Finding("cache", "fail", f"refused: {refused}", "until then, every process compiles anew and keeps its code in memory")
    elif not os.access(place, os.W_OK | os.X_OK):
        remedy = "set INGOT_CACHE_DIR to a folder of your own"
        yield Finding("cache", "warn", f"{place} cannot be written: every process compiles anew what is not stored", remedy)
    elif usable:
        mode = stat.S_IMODE(os.stat(layer.folder).st_mode)
        yield Finding("cache", "ok", f"{layer.folder}, mode {mode:o}, nobody else can write it or what is above it")
        if mode & 0o055:
            yield Finding("cache", "note", "others can read it: what was compiled, and from where", f"chmod 700 {layer.folder}")
    else:
        yield Finding("cache", "ok", f"{layer.folder} is not there yet")


def _refusal_above(place: str) -> str | None:
    """Why nothing below the folder `place` will be trusted; None where it will."""
    try:
        ownership.check_folder(place, own=False)
    except ownership.TrustError as e:
        return None if os.stat(place).st_mode & stat.S_ISVTX else str(e)  # others may write a sticky folder, but not into ours
    return None


def _existing(folder: str) -> str:
    """The folder, or what is there of the path to it."""
    while not os.path.isdir(folder) and folder != "/":
        folder = os.path.dirname(folder)
    return folder


def shared(folders: tuple[str, ...] | None = None) -> Iterator[Finding]:
    """The layers that are only read, and the rule by which they are trusted."""
    paths = switches.get("INGOT_CACHE_PATH") if folders is None else folders
    rule = trust.policy()
    if paths and rule.problem:
        yield Finding("shared caches", "fail", f"nothing in them is trusted: {rule.problem}", "docs/trust.md")
        return
    for path in paths:
        layer = Layer(path, False)
        if layer.check():
            yield Finding("shared caches", "ok", f"{path}, only read, trust: {rule.rule}")
        elif layer.refused:
            yield Finding("shared caches", "fail", f"refused: {layer.refused}", "docs/trust.md tells how to share a cache")
        else:
            yield Finding("shared caches", "warn", f"{path} is not there", "correct INGOT_CACHE_PATH")


# -- the file system -------------------------------------------------------------------------------------------------


class _Mount(NamedTuple):
    point: str
    kind: str
    source: str
    options: frozenset[str]


def file_system(folder: str | None) -> Iterator[Finding]:
    """Do what the cache does, in a folder that is removed again: create, sync, rename, map as code."""
    folder = folder or default_folder()
    place = _existing(os.path.abspath(folder)) if folder else ""
    if not os.access(place, os.W_OK | os.X_OK):  # told above
        return
    mount = _mount(place)
    kind = mount.kind if mount else "unknown"
    if mount is not None and kind.startswith(_NETWORK):
        yield Finding("file system", "note", f"{place} is on a network file system ({kind}, {mount.source}): every lookup asks its server",
                      "a local INGOT_CACHE_DIR starts faster, with the network folder in INGOT_CACHE_PATH")  # fmt: skip
    elif kind in _PASSING:
        yield Finding("file system", "note", f"{place} is {_PASSING[kind]}")
    try:
        trial = tempfile.mkdtemp(prefix=".ingot-doctor-", dir=place)
    except OSError as e:
        yield Finding("file system", "fail", f"{place}: {e.strerror or e}", "make room or set INGOT_CACHE_DIR")
        return
    try:
        yield from _try_out(trial, place, mount)
    except OSError as e:
        yield Finding("file system", "fail", f"{place}: {e.strerror or e}", "make room or set INGOT_CACHE_DIR")
    finally:
        for name in os.listdir(trial):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(trial, name))
        os.rmdir(trial)
    yield from _room(place)


def _try_out(trial: str, place: str, mount: _Mount | None) -> Iterator[Finding]:
    a, b = os.path.join(trial, "a"), os.path.join(trial, "b")
    before = time.time()
    for path in (a, b):
        with open(path, "xb") as f:
            f.write(b"\xc3" * mmap.PAGESIZE)
            f.flush()
            os.fsync(f.fileno())
    after = time.time()
    try:
        os.close(os.open(a, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        yield Finding("file system", "fail", f"{place}: a file was created that was there already (O_EXCL does not work)",
                      "set INGOT_CACHE_DIR to a folder on a local file system")  # fmt: skip
    except FileExistsError:
        pass
    written = os.stat(a).st_mtime
    held = os.open(b, os.O_RDONLY)
    try:
        os.rename(a, b)  # over a file that somebody reads
        same = os.pread(held, 1, 0) == b"\xc3"
    finally:
        os.close(held)
    if not same or os.path.exists(a):
        yield Finding("file system", "fail", f"{place}: a rename over an open file does not leave it as it was",
                      "set INGOT_CACHE_DIR to a folder on a local file system")  # fmt: skip
    else:
        kind = mount.kind if mount else "unknown"
        yield Finding("file system", "ok", f"{kind}: writes, syncs, creates exclusively, and renames over open files")
    with open(b, "rb") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield Finding("file system", "note", "it has no locks (flock); the cache needs none")
        why = doctor_machine.refusal(f.fileno())
    if why is not None:
        noexec = mount is not None and "noexec" in mount.options
        reason = f"{mount.point} is mounted noexec" if noexec and mount is not None else f"the system refuses to map it as code ({why})"
        remedy = "" if noexec else doctor_machine.security_module()
        yield Finding("file system", "warn", f"{reason}: code is mapped from copies in memory, which processes do not share",
                      remedy or "set INGOT_CACHE_DIR to a folder on a file system without noexec")  # fmt: skip
    skew = max(before - written, written - after)
    if skew > _SKEW:
        yield Finding("file system", "warn", f"its clock differs from this machine's by {skew:.0f} s: ages, eviction and sweeps go by it",
                      "synchronise the clocks (NTP)")  # fmt: skip


def _room(place: str) -> Iterator[Finding]:
    st = os.statvfs(place)
    free = st.f_bavail * st.f_frsize
    if free < _LITTLE_SPACE:
        yield Finding("file system", "warn", f"only {output.size(free)} are free in {place}", "ingot cache prune --max-size, or make room")
    elif st.f_files and st.f_favail < _FEW_INODES:
        yield Finding("file system", "warn", f"only {st.f_favail} more files can be made in {place}", "ingot cache prune --max-entries")
    else:
        yield Finding("file system", "ok", f"{output.size(free)} free")


def _mount(path: str) -> _Mount | None:
    """What is mounted where `path` is: the last mount whose point is above it."""
    path = os.path.realpath(path)
    found = None
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
            lines = f.readlines()
    except OSError:
        return None
    for line in lines:
        head, _, tail = line.rstrip("\n").partition(" - ")
        fields, rest = head.split(" "), tail.split(" ")
        if len(fields) < 6 or len(rest) < 3:
            continue
        point = fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
        above = path == point or path.startswith(point.rstrip("/") + "/")
        if above and (found is None or len(point) >= len(found.point)):
            found = _Mount(point, rest[0], rest[1], frozenset(fields[5].split(",") + rest[2].split(",")))
    return found


# -- what is stored --------------------------------------------------------------------------------------------------


def entries(folder: str | None) -> Iterator[Finding]:
    """The entries of the writable layer: whole by their looks, for which levels, by which compiler."""
    folder = folder or default_folder()
    layer = Layer(folder, True) if folder else None
    if layer is None or not layer.check():
        return
    listed = sorted(layer.list(), key=lambda e: -e.used)
    targets, damaged = _targets(listed[:_LOOKED_AT])
    yield Finding("entries", "ok", f"{len(listed)} entries, {output.size(sum(e.size for e in listed))}")
    if damaged:
        yield Finding("entries", "warn", f"{damaged} are damaged: each costs a warning and is compiled again", "ingot cache verify")
    yield from _levels(targets)
    old = sum(_is_old(e) for e in listed[:_READ])
    if old:
        looked = min(len(listed), _READ)
        yield Finding("entries", "note", f"{old} of the {looked} latest used were made by another version of Ingot's compiler",
                      "ingot cache prune --stale")  # fmt: skip
    aside = _count(os.path.join(layer.folder, "quarantine"))
    if aside:
        yield Finding("entries", "warn", f"{aside} damaged entries were set aside in {layer.folder}/quarantine",
                      "look for a failing disk or a program that writes there; ingot cache clear empties it")  # fmt: skip
    for switch, have in (("INGOT_CACHE_MAX_BYTES", sum(e.size for e in listed)), ("INGOT_CACHE_MAX_ENTRIES", len(listed))):
        if have > 0.9 * switches.get(switch):
            yield Finding("entries", "note", "a bound is nearly reached: entries are evicted, those worth least first", f"raise {switch}")


def _targets(listed: list[Listed]) -> tuple[Counter[str], int]:
    """How many entries there are for each target, and how many cannot be read."""
    targets: Counter[str] = Counter()
    damaged = 0
    for e in listed:
        try:
            targets[str(entry_format.peek(e.path).get("target"))] += 1
        except FileNotFoundError:
            continue
        except (OSError, entry_format.EntryError):
            damaged += 1
    return targets, damaged


def _levels(targets: Counter[str]) -> Iterator[Finding]:
    from ingot.backends import backend

    cpu = backend("cpu")

    try:
        asked, best = cpu.host_level(switches.get("INGOT_CPU_LEVEL")), cpu.host_level()
    except (ValueError, RuntimeError):
        return  # told with the CPU
    for name, n in sorted(targets.items()):
        known = cpu.levels.get(name)
        if known is not None and not cpu.runs(known, best):
            yield Finding("entries", "note", f"{n} are for {name}, which this CPU cannot run: they serve other machines")
    levels = {name: n for name, n in targets.items() if name in cpu.levels}
    if levels and asked.name not in levels:
        have = ", ".join(f"{n} for {name}" for name, n in sorted(levels.items()))
        yield Finding("entries", "warn", f"none is for {asked.name}, which is asked for here ({have}): everything is compiled again",
                      f"ingot cache warm --for-target {asked.name}, or INGOT_CPU_LEVEL")  # fmt: skip


def _is_old(e: Listed) -> bool:
    try:
        return entry_format.peek_preimage(e.path).get("sources") != keys.sources_digest()
    except (OSError, entry_format.EntryError):
        return False


def _count(folder: str) -> int:
    try:
        return len(os.listdir(folder))
    except OSError:
        return 0
