"""`ingot cache explain`: why something was compiled: which field of its key no stored entry had."""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

from ingot.runtime.cache import entry as entry_format
from ingot.runtime.cache import journal
from ingot.runtime.cache.layer import Layer, Listed
from ingot.runtime.cli import output
from ingot.runtime.cli.output import EXIT, CommandError

__all__ = ["run", "differences"]

CONSIDERED = "the graph's text, the target level, the sources of the compiler, llvmlite and LLVM versions, options that change code"
IGNORED = "paths, times, user and host names, the environment, the number of threads"


def run(args: argparse.Namespace) -> int:
    """`ingot cache explain KEY|FUNCTION`."""
    from ingot.runtime.cli.cache_verbs import the_layer

    layer = the_layer(args)
    misses = [m for m in journal.read(os.path.join(layer.folder, "misses.jsonl")) if isinstance(m.get("key"), str)]
    mine = [m for m in misses if m.get("name") == args.what or m["key"].startswith(args.what.lower())]
    listed = {e.key: e for e in layer.list()}
    keys = list(dict.fromkeys([m["key"] for m in reversed(mine)] + [k for k, e in listed.items() if _is(e, k, args.what)]))
    if not keys:
        raise CommandError(f"neither an entry nor a recorded miss is called {args.what!r}", "finding")
    key = keys[0]
    miss = next((m for m in reversed(mine) if m["key"] == key), None)
    here = _preimage(layer, key)
    name = (miss or {}).get("name") or _record(listed.get(key)).get("name", "?")
    best: tuple[list[dict[str, Any]], str] | None = None
    for other, e in listed.items():
        if other != key and _record(e).get("name") == name:
            found = differences(_preimage(layer, other) or {}, here) if here is not None else []
            if best is None or (len(found), other) < (len(best[0]), best[1]):
                best = found, other
    if args.json:
        output.document(
            "cache.explain", key=key, name=name, miss=miss, nearest=best[1] if best else None, stored=key in listed,
            differences=best[0] if best else [], considered=CONSIDERED, ignored=IGNORED,
        )  # fmt: skip
        return EXIT["fine"]
    print(f"{name}  {key[:12]}")
    if miss:
        print(f"missed {output.age(float(miss.get('time', time.time())))} ago: {miss.get('reason', '?')}, {len(mine)} recorded misses")
    if here is None:
        print("its entry is not stored any more, so its key cannot be taken apart")
    elif best is None:
        print(f"no other entry of {name} is stored: it was compiled for the first time, or its entries were removed")
    else:
        print(f"nearest stored entry: {best[1][:12]}, which differs in:")
        for d in best[0]:
            print(f"  {d['field']}: {d['stored']} -> {d['wanted']}")
    print(f"considered: {CONSIDERED}")
    print(f"ignored: {IGNORED}")
    return EXIT["fine"]


def differences(stored: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> list[dict[str, Any]]:
    """Field by field, what two preimages differ in; texts are compared by line."""
    out: list[dict[str, Any]] = []
    for field in sorted(stored.keys() | wanted.keys()):
        a, b = stored.get(field), wanted.get(field)
        if a == b:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            out += differences(a, b, f"{prefix}{field}.")
        elif field == "text" and isinstance(a, str) and isinstance(b, str):
            x, y = a.splitlines(), b.splitlines()
            at = next((i for i, (p, q) in enumerate(zip(x, y)) if p != q), min(len(x), len(y)))
            line = [lines[at].strip() if at < len(lines) else "(its end)" for lines in (x, y)]
            out.append({"field": f"graph, line {at + 1}", "stored": line[0], "wanted": line[1]})
        else:
            out.append({"field": prefix + field, "stored": a, "wanted": b})
    return out


def _is(e: Listed, key: str, what: str) -> bool:
    return key.startswith(what.lower()) or _record(e).get("name") == what


def _record(e: Listed | None) -> dict[str, Any]:
    if e is None:
        return {}
    try:
        return entry_format.peek(e.path)
    except (OSError, entry_format.EntryError):
        return {}


def _preimage(layer: Layer, key: str) -> dict[str, Any] | None:
    try:
        with open(layer.path(key), "rb") as f:
            return entry_format.parse(f.read(), key).preimage
    except (OSError, entry_format.EntryError):
        return None
