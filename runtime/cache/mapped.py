"""Which entries living processes have mapped: read from /proc when somebody wants to delete, so that a hit need not register.

An entry is known by its file's name and inode, wherever its folder is mounted. Processes of other users, and those in other
containers, cannot be seen; what they have mapped stays valid when its file is deleted, it is only compiled again.
"""

from __future__ import annotations

import os
import re

from ingot.runtime.cache.layer import Layer

__all__ = ["mapped_in"]

_ENTRY = re.compile(rb" (\d+) +/[^\n]*/([0-9a-f]{64})\.so$", re.MULTILINE)  # a deleted file's line ends in " (deleted)"


def mapped_in(layer: Layer) -> dict[str, list[int]]:
    """The entries of a layer that this user's processes have mapped from their files, each with the processes' numbers.

    What cannot be read is left out.
    """
    found: dict[tuple[bytes, bytes], list[int]] = {}
    try:
        processes = sorted(int(p) for p in os.listdir("/proc") if p.isdigit())
    except OSError:
        return {}
    for p in processes:
        try:
            with open(f"/proc/{p}/maps", "rb") as f:
                mapped = set(_ENTRY.findall(f.read()))
        except OSError:  # another user's, or ended meanwhile
            continue
        for one in mapped:
            found.setdefault(one, []).append(p)
    return {key.decode(): pids for (inode, key), pids in found.items() if _inode(layer.path(key.decode())) == int(inode)}


def _inode(path: str) -> int:
    try:
        return os.lstat(path).st_ino
    except OSError:
        return -1
