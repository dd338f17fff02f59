"""`ingot cache dir`, `info`, `config` and `stats`: where the cache is, how full, set up by what, and how it serves."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from ingot.runtime import switches
from ingot.runtime.cache import journal, misses
from ingot.runtime.cache.layer import Layer
from ingot.runtime.cache.mapped import mapped_in
from ingot.runtime.cache.store import default_folder
from ingot.runtime.cli import output
from ingot.runtime.cli.output import EXIT, CommandError
from ingot.runtime.cli.selection import NO_FOLDER, the_layer

__all__ = ["config", "folder", "info", "origin_of_folder", "stats"]


def folder(args: argparse.Namespace) -> int:
    """`ingot cache dir`."""
    path = args.dir or default_folder()
    if args.json:
        output.document("cache.dir", folder=path, origin=origin_of_folder(args.dir))
    elif path is None:
        raise CommandError(NO_FOLDER, "io")
    else:
        print(path)
    return EXIT["fine"]


def origin_of_folder(given: str | None = None) -> str:
    """What decides where the writable layer is: an option, a variable of the environment, or the user's entry in the password file."""
    if given:
        return "--dir"
    if switches.get("INGOT_CACHE_DIR"):
        return "INGOT_CACHE_DIR"
    if os.path.isabs(os.environ.get("XDG_CACHE_HOME") or ""):
        return "XDG_CACHE_HOME"
    if default_folder() is None:
        return "none"
    return "HOME" if "HOME" in os.environ else "password file"


def info(args: argparse.Namespace) -> int:
    """`ingot cache info`. Exit code 4 where a layer is refused."""
    own = args.dir or default_folder()
    layers = [Layer(own, True)] if own else []
    if not args.dir:
        layers += [Layer(p, False) for p in switches.get("INGOT_CACHE_PATH")]
    rows = [_layer(layer) for layer in layers]
    bounds = {"max_bytes": switches.get("INGOT_CACHE_MAX_BYTES"), "max_entries": switches.get("INGOT_CACHE_MAX_ENTRIES")}
    used = {"bytes": 0.0, "entries": 0.0}
    if rows and rows[0]["writable"]:
        used = {name: round(100 * rows[0][name] / max(bounds[f"max_{name}"], 1), 1) for name in used}
    rule = switches.get("INGOT_CACHE_TRUST")
    if args.json:
        output.document("cache.info", layers=rows, percent_full=used, trust=rule, **bounds)
    else:
        if not own:
            print(NO_FOLDER, file=sys.stderr)
        titles = ("layer", "entries", "size", "mapped", "claims", "quarantined", "misses", "state", "folder")
        fields = ("entries", "bytes", "mapped", "claims", "quarantined", "misses", "state", "folder")
        cells = [("own" if r["writable"] else "shared", *(output.size(r[f]) if f == "bytes" else r[f] for f in fields)) for r in rows]
        output.table(titles, cells, titles[1:7])
        in_bytes, in_entries = (f"({used[n]:g} % used)" for n in ("bytes", "entries"))
        print(f"bounds: {output.size(bounds['max_bytes'])} {in_bytes}, {bounds['max_entries']} entries {in_entries}")
        if len(rows) > 1 or rule != "own":
            print(f"trust in shared layers: {rule}")
    return EXIT["trust"] if any(r["state"].startswith("refused") for r in rows) else EXIT["fine"]


def _layer(layer: Layer) -> dict[str, Any]:
    usable = layer.check()
    entries = nbytes = 0
    for e in layer.list():
        entries, nbytes = entries + 1, nbytes + e.size
    left = _left_over(layer)
    return {
        "folder": layer.folder,
        "writable": layer.writable,
        "state": "in use" if usable else f"refused: {layer.refused}" if layer.refused else "not there yet",
        "entries": entries,
        "bytes": nbytes,
        "mapped": len(mapped_in(layer)) if usable else 0,
        "claims": left[".claim"],
        "temporaries": left[".tmp"],
        "quarantined": len(_names(os.path.join(layer.folder, "quarantine"))) if usable else 0,
        "misses": len(misses.read(layer.folder)) if usable else 0,
    }


def _left_over(layer: Layer) -> dict[str, int]:
    counts = {".claim": 0, ".tmp": 0}
    for shard in _names(layer.entries):
        for name in _names(os.path.join(layer.entries, shard)):
            ending = os.path.splitext(name)[1]
            if ending in counts:
                counts[ending] += 1
    return counts


def _names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def config(args: argparse.Namespace) -> int:
    """`ingot cache config`. A setting that means nothing is named, and the exit code is 2."""
    rows: list[dict[str, Any]] = []
    wrong: list[str] = []
    for s in switches.SWITCHES:
        row = {"name": s.name, "origin": "environment" if s.name in os.environ else "default", "changes_code": s.changes_code}
        try:
            value = switches.get(s.name)
        except switches.SwitchError as e:
            value, row["problem"] = os.environ[s.name], str(e)
            wrong.append(str(e))
        rows.append({**row, "value": sorted(value) if isinstance(value, (frozenset, tuple)) else value})
    own, origin = _or_unknown(args)
    if args.json:
        output.document("cache.config", settings=rows, folder=own, folder_origin=origin)
    else:
        shown = [(r["name"], _text(r["value"]), r["origin"]) for r in rows]
        output.table(("setting", "value", "origin"), [*shown, ("cache folder", own or "none", origin)])
    for text in wrong:
        print(f"ingot: {text}", file=sys.stderr)
    return EXIT["usage"] if wrong else EXIT["fine"]


def _or_unknown(args: argparse.Namespace) -> tuple[str | None, str]:
    try:
        return args.dir or default_folder(), origin_of_folder(args.dir)
    except switches.SwitchError:
        return None, "INGOT_CACHE_DIR"


def _text(value: Any) -> str:
    if value is None or value == []:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def stats(args: argparse.Namespace) -> int:
    """`ingot cache stats`: what all processes counted that used the folder and ended since the last reset."""
    layer = the_layer(args)
    path = os.path.join(layer.folder, "stats.jsonl")
    total: dict[str, int] = {}
    for record in journal.read(path):
        for k, v in record.items():
            if type(v) is int:
                total[k] = total.get(k, 0) + v
    if args.reset:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
    hits, lost = _below(total, "hit."), _below(total, "miss.")
    asked = sum(hits.values()) + sum(lost.values())
    rate = round(100 * sum(hits.values()) / asked, 1) if asked else None
    saved, spent, stored, evicted = (total.get(k, 0) for k in ("saved_ms", "spent_ms", "put", "evicted"))
    if args.json:
        output.document(
            "cache.stats", folder=layer.folder, hits=hits, misses=lost, hit_percent=rate, stored=stored, evicted=evicted,
            saved_ms=saved, spent_ms=spent, reset=args.reset,
        )  # fmt: skip
        return EXIT["fine"]
    rows = [(f"hits ({k})", v) for k, v in hits.items()] + [(f"misses ({k})", v) for k, v in lost.items()]
    output.table(("event", "count"), [*rows, ("stored", stored), ("evicted", evicted)], ("count",))
    print(f"hit rate: {f'{rate:g} %' if rate is not None else 'nothing was asked yet'}")
    print(f"compile time saved: {output.duration(saved)}, spent: {output.duration(spent)}")
    return EXIT["fine"]


def _below(total: dict[str, int], prefix: str) -> dict[str, int]:
    return {k[len(prefix) :]: v for k, v in sorted(total.items()) if k.startswith(prefix)}
