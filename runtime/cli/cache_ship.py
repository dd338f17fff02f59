"""`ingot cache export` and `import`: entries on their way to another machine, see ingot.runtime.cache.bundle."""

from __future__ import annotations

from typing import Any

__all__ = ["add_to"]


def add_to(verb: Any) -> None:
    """Add the verbs to the parser; `verb(name, help, example, run)` makes one."""
