"""The rule `own`: only this user and root can write it. Folders are checked with the chain above them, files through their descriptor."""

from __future__ import annotations

import errno
import os
import stat

__all__ = ["TrustError", "check_folder", "check_inside", "open_checked", "open_own", "open_regular", "read_own"]


class TrustError(OSError):
    """Something that somebody else could have written; the message names it and, where there is one, the remedy."""


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
