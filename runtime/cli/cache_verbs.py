"""`ingot cache …`: the arguments of its verbs, and the verbs that list and show."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from ingot.runtime import switches
from ingot.runtime.cache import entry as entry_format
from ingot.runtime.cache import journal
from ingot.runtime.cache.layer import Layer, Listed
from ingot.runtime.cache.store import Cache, default_folder, the_cache
from ingot.runtime.cli import output
from ingot.runtime.cli.filters import FILTERS, parse_filter
from ingot.runtime.cli.output import EXIT, CommandError

__all__ = ["add_to", "describe", "find", "the_layer"]


def add_to(verbs: Any) -> None:
    """Add `cache` and its verbs to the parser."""
    from ingot.runtime.cli import cache_changes, cache_ship, cache_warm, explain, signing_verbs

    cache = verbs.add_parser("cache", help="what was compiled, what it costs, and why", allow_abbrev=False)
    cache.set_defaults(run=None, parser=cache)
    sub = cache.add_subparsers(metavar="VERB")

    def verb(name: str, help: str, example: str, run: Any) -> argparse.ArgumentParser:
        p = sub.add_parser(name, help=help, description=help, epilog=f"example: ingot cache {example}", allow_abbrev=False)
        p.add_argument("--json", action="store_true", help="one JSON document on stdout")
        p.add_argument("--dir", help="another cache folder than the environment's")
        p.set_defaults(run=run)
        return p

    def removal(p: argparse.ArgumentParser) -> None:
        p.add_argument("--dry-run", action="store_true", help="only tell what would be removed")
        p.add_argument("--yes", action="store_true", help="do not ask")

    verb("dir", "the folder of the writable layer", "dir", _dir)
    verb("info", "layers, sizes and bounds", "info", _info)
    verb("config", "each setting with its origin", "config", _config)
    p = verb("ls", "the entries", "ls --sort cost --filter 'fn=train*'", _ls)
    p.add_argument("--filter", action="append", default=[], metavar="F", help=f"{FILTERS} (may be given again)")
    p.add_argument("--sort", choices=("cost", "size", "used", "age", "name"), default="used", help="default: %(default)s")
    p.add_argument("-q", "--quiet", action="store_true", help="only the keys")
    p = verb("show", "one entry", "show 3fa9c1 --ir", _show)
    p.add_argument("key", help="a key, or the beginning of one")
    what = p.add_mutually_exclusive_group()
    what.add_argument("--ir", action="store_true", help="the graph and the loops it became")
    what.add_argument("--preimage", action="store_true", help="what the key was made of")
    p = verb("explain", "why something was compiled", "explain train_step", explain.run)
    p.add_argument("what", metavar="KEY|FUNCTION")
    p = verb("stats", "hits, misses by reason and time saved", "stats", _stats)
    p.add_argument("--reset", action="store_true", help="start to count anew")
    p = verb("verify", "check every entry", "verify --deep", cache_changes.verify)
    p.add_argument("--deep", action="store_true", help="also decode every part and derive the key again")
    p = verb("prune", "remove what is worth least", "prune --max-size 500MiB", cache_changes.prune)
    p.add_argument("--max-size", metavar="SIZE")
    p.add_argument("--max-entries", type=int, metavar="N")
    p.add_argument("--older-than", metavar="AGE", help="not used for this long, as 30d")
    p.add_argument("--stale", action="store_true", help="made by another Ingot or llvmlite than this one")
    removal(p)
    p = verb("rm", "remove entries", "rm 3fa9c1", cache_changes.remove)
    p.add_argument("keys", nargs="+", metavar="KEY")
    removal(p)
    p = verb("clear", "remove all entries of the writable layer", "clear --yes", cache_changes.clear)
    removal(p)
    cache_ship.add_to(verb)
    cache_warm.add_to(verb)
    signing_verbs.add_to(verb)


def the_layer(args: argparse.Namespace) -> Layer:
    """The writable layer that the command is about. CommandError where there is none or it is refused."""
    folder = args.dir or default_folder()
    if folder is None:
        raise CommandError("there is no home folder and no INGOT_CACHE_DIR: nothing is kept on disk", "io")
    layer = Layer(folder, True)
    layer.check()
    if layer.refused:
        raise CommandError(layer.refused, "trust")
    return layer


def find(args: argparse.Namespace, key: str) -> tuple[Layer, Listed]:
    """The one entry whose key begins with `key`, in any layer. CommandError where there is none, or several."""
    if len(key) < 4 or any(c not in "0123456789abcdef" for c in key.lower()):
        raise CommandError(f"a key is at least 4 hex digits, not {key!r}")
    layers = [the_layer(args)]
    if not args.dir:
        layers += [Layer(p, False) for p in switches.get("INGOT_CACHE_PATH")]
    for layer in layers:
        found = [e for e in layer.list() if e.key.startswith(key.lower())]
        if len(found) > 1:
            raise CommandError(f"{key} is the beginning of {len(found)} keys: {', '.join(e.key[: len(key) + 4] for e in found[:5])}")
        if found:
            return layer, found[0]
    raise CommandError(f"no entry's key begins with {key}", "finding")


def _dir(args: argparse.Namespace) -> int:
    folder = args.dir or default_folder()
    if args.json:
        output.document("cache.dir", folder=folder)
    elif folder is None:
        raise CommandError("there is no home folder and no INGOT_CACHE_DIR: nothing is kept on disk", "io")
    else:
        print(folder)
    return EXIT["fine"]


def _info(args: argparse.Namespace) -> int:
    cache = Cache(args.dir) if args.dir else the_cache()
    rows: list[dict[str, Any]] = []
    for layer in cache.layers:
        usable = layer.check()
        listed = list(layer.list())
        state = "in use" if usable else f"refused: {layer.refused}" if layer.refused else "not there yet"
        rows.append(
            {
                "folder": layer.folder,
                "writable": layer.writable,
                "state": state,
                "entries": len(listed),
                "bytes": sum(e.size for e in listed),
                "quarantined": _count(os.path.join(layer.folder, "quarantine")),
            }
        )
    bounds = {"max_bytes": cache.max_bytes, "max_entries": cache.max_entries}
    if args.json:
        output.document("cache.info", layers=rows, **bounds)
    else:
        titles = ("layer", "folder", "state", "entries", "size", "quarantined")
        output.table(
            titles,
            [
                ("own" if r["writable"] else "shared", r["folder"], r["state"], r["entries"], output.size(r["bytes"]), r["quarantined"])
                for r in rows
            ],
            ("entries", "size", "quarantined"),
        )
        print(f"bounds: {output.size(cache.max_bytes)}, {cache.max_entries} entries")
    return EXIT["trust"] if any(r["state"].startswith("refused") for r in rows) else EXIT["fine"]


def _config(args: argparse.Namespace) -> int:
    rows = []
    for s in switches.SWITCHES:
        value = switches.get(s.name)
        if isinstance(value, frozenset):
            value = sorted(value)
        rows.append((s.name, value, "environment" if s.name in os.environ else "default"))
    if args.json:
        settings = [{"name": n, "value": v, "origin": o} for n, v, o in rows]
        output.document("cache.config", settings=settings, folder=args.dir or default_folder())
    else:
        output.table(("setting", "value", "origin"), [(n, "" if v in (None, [], ()) else v, o) for n, v, o in rows])
    return EXIT["fine"]


def describe(e: Listed) -> dict[str, Any]:
    """An entry as listings show it; `damaged` says why its record cannot be read."""
    row: dict[str, Any] = {"key": e.key, "bytes": e.size, "used": round(e.used, 3)}
    try:
        record = entry_format.peek(e.path)
    except (entry_format.EntryError, OSError) as err:
        return {**row, "name": "?", "target": "?", "compile_ms": 0.0, "created": e.used, "signature": "", "damaged": str(err)}
    row.update({k: record.get(k) for k in ("name", "target", "signature", "file", "line") if record.get(k) is not None})
    for k, default in (("compile_ms", 0.0), ("created", e.used)):
        row[k] = record[k] if isinstance(record.get(k), (int, float)) else default
    return {"name": "?", "target": "?", "signature": "", **row}


def _ls(args: argparse.Namespace) -> int:
    layer = the_layer(args)
    tests = [parse_filter(f) for f in args.filter]
    order: Any = {
        "cost": lambda r: -r["compile_ms"], "size": lambda r: -r["bytes"], "used": lambda r: -r["used"],
        "age": lambda r: r["created"], "name": lambda r: r["name"],
    }[args.sort]  # fmt: skip
    if args.quiet and not tests and args.sort == "used":  # no entry need be opened
        rows: list[dict[str, Any]] = [{"key": e.key, "used": e.used} for e in layer.list()]
    else:
        rows = [r for r in map(describe, layer.list()) if all(t(r) for t in tests)]
    rows.sort(key=lambda r: (order(r), r["key"]))
    if args.json:
        output.document("cache.ls", folder=layer.folder, entries=rows)
    elif args.quiet:
        for r in rows:
            print(r["key"])
    else:
        titles = ("key", "function", "target", "compile", "size", "used", "signature")
        cells = [
            (
                r["key"][:12],
                r["name"],
                r["target"],
                output.duration(r["compile_ms"]),
                output.size(r["bytes"]),
                output.age(r["used"]) + " ago",
                _short(r["signature"]) if "damaged" not in r else f"damaged: {r['damaged']}",
            )
            for r in rows
        ]
        output.table(titles, cells, ("compile", "size", "used"))
        total = sum(r["bytes"] for r in rows)
        sys.stdout.flush()
        print(f"{len(rows)} entries, {output.size(total)}, in {layer.folder}", file=sys.stderr)
    return EXIT["fine"]


def _short(text: str, width: int = 60) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _show(args: argparse.Namespace) -> int:
    layer, listed = find(args, args.key)
    found = layer.get(listed.key)
    if isinstance(found, str):
        raise CommandError(f"entry {listed.key[:12]} is {found}", "trust" if found == "untrusted" else "finding")
    found.close()
    e = found.entry
    if args.json:
        fields: dict[str, Any] = {"record": e.record, "manifest": e.manifest, "bytes": e.size, "path": layer.path(e.key)}
        if args.ir:
            fields["texts"] = e.texts
        if args.preimage:
            fields["preimage"] = e.preimage
        output.document("cache.show", key=e.key, **fields)
    elif args.ir:
        for name, text in e.texts.items():
            print(f"# {name}\n{text.rstrip()}\n")
    elif args.preimage:
        for name, value in sorted(e.preimage.items()):
            print(f"{name}: {value}" if name != "text" else f"text:\n{value}")
    else:
        record = e.record
        print(f"key        {e.key}")
        for name in ("name", "file", "line", "signature", "target"):
            if name in record:
                print(f"{name:<10} {record[name]}")
        times = ", ".join(f"{k} {v:.1f}" for k, v in record.get("times", {}).items())
        print(f"compile    {output.duration(record.get('compile_ms', 0))} ({times})")
        print(f"size       {output.size(e.size)}, of which code {output.size(len(e.code))}")
        if "arena_bytes" in e.manifest:
            print(f"memory     {output.size(e.manifest['arena_bytes'])} per call, {output.size(e.manifest['scratch_bytes'])} per worker")
        print(f"path       {layer.path(e.key)}")
    return EXIT["fine"]


def _stats(args: argparse.Namespace) -> int:
    layer = the_layer(args)
    path = os.path.join(layer.folder, "stats.jsonl")
    total: dict[str, int] = {}
    for record in journal.read(path):
        for k, v in record.items():
            if isinstance(v, int):
                total[k] = total.get(k, 0) + v
    if args.reset:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
    saved = total.pop("saved_ms", 0)
    if args.json:
        output.document("cache.stats", counts=total, saved_ms=saved)
    else:
        output.table(("event", "count"), sorted(total.items()), ("count",))
        print(f"compile time saved: {output.duration(saved)}")
    return EXIT["fine"]


def _count(folder: str) -> int:
    try:
        return len(os.listdir(folder))
    except OSError:
        return 0
