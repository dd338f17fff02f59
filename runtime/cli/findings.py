"""What `ingot doctor` finds: one line each, with a remedy where something can be done."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Finding"]


class Finding(NamedTuple):
    """One thing looked at. `state`: ok, note (nothing is wrong), warn (it costs something), fail."""

    subject: str
    state: str
    text: str
    remedy: str = ""
