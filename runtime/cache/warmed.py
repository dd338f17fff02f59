"""Under which names functions were warmed: one line each in `warmed.jsonl`, so that `ingot cache explain` knows them by those names."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ingot.runtime.cache import journal

__all__ = ["names", "record"]


def record(folder: str, spec: str, functions: Iterable[str]) -> None:
    """Note that the call `spec` asked for code of these functions."""
    line = {"spec": spec, "functions": sorted(set(functions))}
    path = os.path.join(folder, "warmed.jsonl")
    if line not in journal.read(path):
        journal.append(path, line)


def names(folder: str, what: str) -> set[str]:
    """The functions whose code was warmed as `what`: a call's text, its `module:attribute`, or the attribute alone."""
    found: set[str] = set()
    for line in journal.read(os.path.join(folder, "warmed.jsonl")):
        spec, functions = line.get("spec"), line.get("functions")
        if isinstance(spec, str) and isinstance(functions, list):
            place = spec.partition("(")[0].replace(" ", "")
            if what in (spec, place, place.partition(":")[2]):
                found.update(f for f in functions if isinstance(f, str))
    return found
