"""Which entries living processes have mapped: read from /proc when somebody wants to delete, so that a hit need not register.

An entry is known by its file's name, its key, wherever the folder is mounted. Processes of other users, and those in
other containers, cannot be seen; what they have mapped stays valid when its file is deleted, it is only compiled again.
"""

from __future__ import annotations

import os
import re

__all__ = ["mapped_keys"]

_ENTRY = re.compile(rb"/([0-9a-f]{64})\.so$", re.MULTILINE)  # a deleted file's line ends in " (deleted)"


def mapped_keys() -> frozenset[str]:
    """The keys of the entries that this user's processes have mapped from their files; what cannot be read is left out."""
    found: set[bytes] = set()
    try:
        processes = [p for p in os.listdir("/proc") if p.isdigit()]
    except OSError:
        return frozenset()
    for p in processes:
        try:
            with open(f"/proc/{p}/maps", "rb") as f:
                found.update(_ENTRY.findall(f.read()))
        except OSError:  # another user's, or ended meanwhile
            continue
    return frozenset(k.decode() for k in found)
