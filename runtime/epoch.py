"""The process-wide epoch: a count that every write to a Module or a parameter group bumps.

A compiled function whose guards were checked in the present epoch need not check them again.
"""

from __future__ import annotations

__all__ = ["EPOCH", "bump"]

EPOCH = [0]  # a list, so that readers can hold on to it


def bump() -> None:
    """Something that compiled functions may have looked at has changed."""
    EPOCH[0] += 1
