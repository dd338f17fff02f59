"""Which folders and files the cache may read code from: those that only this user (or root) can write.

An entry is native code: whoever can write one runs code in this process. So the whole chain of folders above the
cache is checked once per process, and every entry through the descriptor it is then read and mapped from.
"""

from __future__ import annotations

import os
import stat

__all__ = ["TrustError", "check_folder", "open_checked"]


class TrustError(OSError):
    """A folder or file that somebody else can write; the message names it and the remedy."""


def check_folder(path: str, *, own: bool) -> None:
    """Check `path`, a folder, and all that stands above it, links resolved one by one.

    own: the folder itself must belong to this user (a writable layer), else root will do. TrustError names the
    first component that fails; OSError if one does not exist.
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
            if st.st_uid not in (0, me) or links > 40:
                raise TrustError(f"{step} is a symlink that user {st.st_uid} made")
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
        raise TrustError(f"{here} can be written by others; chmod go-w {here}")


def _check_parent(path: str, st: os.stat_result, me: int) -> None:
    if not stat.S_ISDIR(st.st_mode):
        raise TrustError(f"{path} is not a folder")
    if st.st_uid not in (0, me):
        raise TrustError(f"{path} belongs to user {st.st_uid}; set INGOT_CACHE_DIR to a folder of your own")
    if st.st_mode & 0o022 and not st.st_mode & stat.S_ISVTX:
        raise TrustError(f"{path} can be written by others; chmod go-w {path} or set INGOT_CACHE_DIR")


def open_checked(path: str) -> int:
    """Open a file for reading: a regular file of this user or root, one link, not writable by others.

    Everything is checked on the returned descriptor. TrustError says what is wrong; FileNotFoundError and other
    OSErrors as from os.open.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as e:
        if e.errno == 40:  # ELOOP: what O_NOFOLLOW says of a symlink
            raise TrustError(f"{path} is a symlink") from None
        raise
    try:
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode):
            raise TrustError(f"{path} is not a regular file")
        if st.st_uid not in (0, os.geteuid()):
            raise TrustError(f"{path} belongs to user {st.st_uid}")
        if st.st_nlink > 1:
            raise TrustError(f"{path} has {st.st_nlink} hard links")
        if st.st_mode & 0o022:
            raise TrustError(f"{path} can be written by others")
    except BaseException:
        os.close(fd)
        raise
    return fd
