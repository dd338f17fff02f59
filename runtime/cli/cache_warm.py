"""`ingot cache warm` and `check`: building ahead what a deployment needs, and proving that it is there."""

from __future__ import annotations

from typing import Any

__all__ = ["add_to"]


def add_to(verb: Any) -> None:
    """Add the verbs to the parser; `verb(name, help, example, run)` makes one."""
