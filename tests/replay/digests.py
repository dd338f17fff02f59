"""Digests of the corpus: of its graphs, and of the machine code made of them, for each level."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ingot.backends import backend
from ingot.ir.graph import Graph
from ingot.runtime import toolchain

if TYPE_CHECKING:
    from ingot.backends import Keep, Make, Part

__all__ = ["FILE", "LEVELS", "Row", "compare", "dump", "measure", "parse", "versions"]

FILE = Path(__file__).with_name("digests.txt")
LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64")


class Row(NamedTuple):
    """One group: how many graphs, what they are, and the code of all of them for each level that was compiled."""

    graphs: int
    text: str
    code: dict[str, str]


def versions() -> str:
    """The toolchain, in one line: other versions make other code."""
    return " ".join(f"{k} {v}" for k, v in sorted(toolchain.versions().items()))


def measure(graphs: Sequence[Graph], levels: Iterable[str]) -> Row:
    """Compile the graphs of a group."""
    text = _digest(g.text.encode() for g in graphs)
    cpu = backend("cpu")
    by_name = {name: cpu.levels[name] for name in levels}
    code = {name: _digest(cpu.build(cpu.lower(g, level), level, _keep(name)).code for g in graphs) for name, level in by_name.items()}
    return Row(len(graphs), text, code)


@functools.cache
def _keep(level: str) -> Keep:
    """Each kernel is compiled once for a level: what it is among makes no difference (tests/backends/test_pieces.py)."""
    known: dict[bytes, bytes] = {}

    def keep(parts: Sequence[Part], make: Make) -> list[bytes]:
        missing = [p for p in parts if p.name not in known]
        known.update(zip((p.name for p in missing), make(missing, 1)))
        return [known[p.name] for p in parts]

    return keep


def _digest(parts: Iterable[bytes]) -> str:
    h = hashlib.sha256()
    for p in parts:
        h.update(hashlib.sha256(p).digest())
    return h.hexdigest()[:16]


def dump(rows: dict[str, Row]) -> str:
    """The file's text."""
    lines = [f"# {versions()}", f"# group graphs text {' '.join(LEVELS)}"]
    lines += [f"{name} {r.graphs} {r.text} {' '.join(r.code[level] for level in LEVELS)}" for name, r in rows.items()]
    return "\n".join(lines) + "\n"


def parse(text: str) -> tuple[str, dict[str, Row]]:
    """The toolchain and the rows of a file's text."""
    head, _, *lines = text.splitlines()
    rows = {}
    for line in lines:
        name, n, digest, *code = line.split()
        rows[name] = Row(int(n), digest, dict(zip(LEVELS, code)))
    return head.removeprefix("# "), rows


def compare(was: dict[str, Row], now: dict[str, Row]) -> list[str]:
    """What differs, a line each. Groups and levels that `now` lacks were not asked for."""
    out = []
    for name, row in now.items():
        before = was.get(name)
        if before is None:
            out.append(f"{name}: new")
        elif row.text != before.text:
            out.append(f"{name}: other graphs ({before.graphs}, now {row.graphs})")
        else:
            differing = [level for level, digest in row.code.items() if digest != before.code[level]]
            if differing:
                out.append(f"{name}: other code for {', '.join(differing)}")
    return out

