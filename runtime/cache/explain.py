"""Why code was not found: the nearest stored entry, and field by field what its key was made of and this one is.

    near = nearest(layers, key, preimage, "train_step")
    near.differences     # [Difference("argument x", "f32[16,64]", "f32[32,64]"), ...]
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ingot.runtime.cache import entry as entry_format
from ingot.runtime.cache.layer import Layer, Listed
from ingot.runtime.cache.ownership import open_regular

__all__ = ["CONSIDERED", "IGNORED", "Difference", "Near", "differences", "in_words", "nearest", "short"]

CONSIDERED = (
    "the graph's text (ops, types, constants), the target level, the sources of the compiler, llvmlite and LLVM versions, "
    "options that change code"
)
IGNORED = "names, places in the source, paths, times, user and host names, the environment, the number of threads"
_LOOKED_AT = 256  # entries of one function whose preimages are compared, the latest used first
_LISTED = 20_000  # entries whose records are read, the latest used first
_MEANING = {
    "sources": "another version of Ingot's compiler",
    "toolchain.llvmlite": "another llvmlite",
    "toolchain.llvm": "another LLVM",
    "target.name": "another CPU level",
}


class Difference(NamedTuple):
    """One field that differs: what the stored entry has, what was wanted, and what that means where it is not plain."""

    field: str
    stored: Any
    wanted: Any
    meaning: str = ""

    def __str__(self) -> str:
        text = f"{self.field} is {_shown(self.wanted)}, stored is {_shown(self.stored)}"
        return f"{text} ({self.meaning})" if self.meaning else text


class Near(NamedTuple):
    """The stored entry that is nearest to what was wanted."""

    key: str
    folder: str
    record: dict[str, Any]
    differences: list[Difference]


def nearest(layers: Sequence[Layer], key: str, preimage: dict[str, Any], name: str, signature: str = "") -> Near | None:
    """The entry of function `name` that differs least from `preimage`; None where none of that name is stored.

    preimage: the document, whose `text` may be missing (as in the record of a miss, with `text_sha256` in its place).
    """
    best: tuple[tuple, Near] | None = None
    for layer, listed, record in _named(layers, name):
        if listed.key == key:
            continue
        stored = _preimage(layer, listed)
        if stored is None:
            continue
        found = _of_signatures(str(record.get("signature", "")), signature)
        found += [d for d in differences(stored, preimage) if not (found and d.field.startswith("graph"))]  # it follows from them
        rank = (len({d.field.partition(".")[0] for d in found if not d.field.startswith("argument")}), len(found), listed.key)
        if best is None or rank < best[0]:
            best = rank, Near(listed.key, layer.folder, record, found)
    return best[1] if best else None


def in_words(layers: Sequence[Layer], key: str, preimage: dict[str, Any], name: str, signature: str = "") -> str:
    """One line: how what was wanted differs from the nearest stored entry."""
    near = nearest(layers, key, preimage, name, signature)
    if near is None:
        return f"the cache holds no code of {name}{signature and ' ' + short(signature)}"
    shown = [str(d) for d in near.differences[:3]]
    more = len(near.differences) - len(shown)
    return f"the nearest stored code ({near.key[:12]}) differs: {'; '.join(shown)}" + (f" and {more} more" if more > 0 else "")


def differences(stored: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> list[Difference]:
    """Field by field, what two preimages differ in; of texts the first line that differs.

    >>> differences({"target": {"lanes": 8}}, {"target": {"lanes": 16}})
    [Difference(field='target.lanes', stored=8, wanted=16, meaning='')]
    """
    out: list[Difference] = []
    for field in sorted((stored.keys() | wanted.keys()) - {"text_sha256"}):
        a, b = stored.get(field), wanted.get(field)
        if a == b:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            out += differences(a, b, f"{prefix}{field}.")
        elif field == "text" and not prefix:
            out += _of_texts(a, b, wanted.get("text_sha256") or stored.get("text_sha256"))
        else:
            out.append(Difference(prefix + field, a, b, _MEANING.get(prefix + field, "")))
    return out


def _of_texts(a: Any, b: Any, digest: Any) -> list[Difference]:
    if isinstance(a, str) and isinstance(b, str):
        x, y = a.splitlines(), b.splitlines()
        differ = [i for i, (p, q) in enumerate(zip(x, y)) if p != q] or [min(len(x), len(y))]
        at = differ[1] if differ[0] == 0 and len(differ) > 1 else differ[0]  # the first line is long, and changes with any other
        line = [lines[at].strip() if at < len(lines) else "(its end)" for lines in (x, y)]
        return [Difference(f"graph, line {at + 1}", line[0], line[1])]
    import hashlib

    text = a if isinstance(a, str) else b if isinstance(b, str) else ""
    if digest == hashlib.sha256(text.encode()).hexdigest():
        return []
    return [Difference("graph", *("its text was too long to keep" if t is None else f"{len(t.splitlines())} lines" for t in (a, b)))]


_ARGUMENT = re.compile(r"([^\s:(),]+): (\w+\[[^\]]*\])")


def _of_signatures(stored: str, wanted: str) -> list[Difference]:
    """The arguments whose types differ, by name (and where names differ, by place)."""
    a, b = (_ARGUMENT.findall(s.partition(") -> ")[0]) for s in (stored, wanted))
    if not a or not b:
        return []
    known = dict(a)
    out = []
    for i, (name, type_) in enumerate(b):
        other = known.get(name) or (a[i][1] if len(a) == len(b) else None)
        if other is not None and other != type_:
            out.append(Difference(f"argument {name}", other, type_))
    return out


def _named(layers: Sequence[Layer], name: str) -> Iterator[tuple[Layer, Listed, dict[str, Any]]]:
    looked_at = 0
    for layer in layers:
        for e in sorted(layer.list(), key=lambda e: (-e.used, e.key))[:_LISTED]:
            try:
                record = entry_format.peek(e.path)
            except (OSError, entry_format.EntryError):
                continue
            if record.get("name") == name:
                yield layer, e, record
                looked_at += 1
                if looked_at >= _LOOKED_AT:
                    return


def _preimage(layer: Layer, e: Listed) -> dict[str, Any] | None:
    try:
        with open(open_regular(e.path)[0], "rb") as f:  # in a shared store, it may be anything
            return entry_format.parse(f.read(1 << 30), e.key).preimage
    except (OSError, MemoryError, entry_format.EntryError):
        return None


def _shown(value: Any) -> str:
    return "absent" if value is None else short(str(value))


def short(text: str, width: int = 100) -> str:
    """The text, cut where it is longer than `width`."""
    return text if len(text) <= width else text[: width - 1] + "…"
