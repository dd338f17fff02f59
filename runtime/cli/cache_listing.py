"""`ingot cache ls` and `show`: what is stored. Nothing is mapped, nothing is changed, not even the time of last use."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from ingot.runtime.cache import bundle, packaged
from ingot.runtime.cache.entry import Entry, EntryError
from ingot.runtime.cache.layer import Layer, Listed
from ingot.runtime.cache.ownership import TrustError
from ingot.runtime.cli import output
from ingot.runtime.cli.filters import parse_filter
from ingot.runtime.cli.output import EXIT, CommandError
from ingot.runtime.cli.selection import describe, find, layers_of

__all__ = ["ls", "show"]

_ORDER: dict[str, Any] = {
    "cost": lambda r: -r["compile_ms"], "size": lambda r: -r["bytes"], "used": lambda r: -r["used"],
    "age": lambda r: r["created"], "name": lambda r: r["name"],
}  # fmt: skip
_BY_FOLDER = ("size", "used")  # orders that a listing of the folder decides, without opening entries


def ls(args: argparse.Namespace) -> int:
    """`ingot cache ls`. Of all entries only what decides their order is held; the rest is read when it is printed."""
    if args.packaged:
        return _packaged(args)
    layers = layers_of(args)
    chosen = _chosen(layers, args)
    if args.json:
        folders = [layer.folder for layer in layers]
        rows = ({**row, "layer": layer.folder} for layer, row in _described(chosen))
        output.document("cache.ls", ("entries", rows), folder=layers[0].folder, folders=folders)
    elif args.quiet:
        for key in dict.fromkeys(e.key for _, e in chosen):
            print(key)
    else:
        several = len(layers) > 1
        titles = ["key", "function", "target", "compile", "size", "used", *(["layer"] if several else []), "signature"]
        cells = ([*_cells(row), *([_name_of(layer)] if several else []), _signature(row)] for layer, row in _described(chosen))
        output.table(titles, cells, ("compile", "size", "used"))
        sys.stdout.flush()
        where = ", ".join(layer.folder for layer in layers)
        more = f"; {len(packaged.keys())} more come with the package (--packaged)" if packaged.keys() else ""
        print(f"{len(chosen)} entries, {output.size(sum(e.size for _, e in chosen))}, in {where}{more}", file=sys.stderr)
    return EXIT["fine"]


def _packaged(args: argparse.Namespace) -> int:
    """Those that come with the package, by their names."""
    tests = [parse_filter(f) for f in args.filter]
    found = [e for e in map(packaged.find, packaged.keys()) if e is not None]
    rows = [{**e.record, "key": e.key, "bytes": e.size, "used": 0.0} for e in found]
    rows = sorted((r for r in rows if all(t(r) for t in tests)), key=lambda r: (r["name"], r["target"], r["key"]))
    if args.json:
        output.document("cache.ls", ("entries", iter(rows)), folder=packaged.FILE, folders=[packaged.FILE])
    elif args.quiet:
        for r in rows:
            print(r["key"])
    else:
        cells = ([r["key"][:12], r["name"], r["target"], output.size(r["bytes"])] for r in rows)
        output.table(["key", "function", "target", "size"], cells, ("size",))
        sys.stdout.flush()
        print(f"{len(rows)} entries, {output.size(sum(r['bytes'] for r in rows))}, in {packaged.FILE}", file=sys.stderr)
    return EXIT["fine"]


def _chosen(layers: list[Layer], args: argparse.Namespace) -> list[tuple[Layer, Listed]]:
    """The entries that pass the filters, in order."""
    tests, order = [parse_filter(f) for f in args.filter], _ORDER[args.sort]
    by_folder = not tests and args.sort in _BY_FOLDER
    found: list[tuple[Any, str, int, Listed]] = []
    for i, layer in enumerate(layers):
        for e in layer.list():
            row = {"bytes": e.size, "used": e.used} if by_folder else describe(e)
            if all(t(row) for t in tests):
                found.append((order(row), e.key, i, e))
    found.sort()
    return [(layers[i], e) for _, _, i, e in found]


def _described(chosen: list[tuple[Layer, Listed]]) -> Iterator[tuple[Layer, dict[str, Any]]]:
    return ((layer, describe(e)) for layer, e in chosen)


def _cells(row: dict[str, Any]) -> list[Any]:
    return [
        row["key"][:12], row["name"], row["target"], output.duration(row["compile_ms"]), output.size(row["bytes"]),
        output.age(row["used"]) + " ago",
    ]  # fmt: skip


def _name_of(layer: Layer) -> str:
    return "own" if layer.writable else layer.folder


def _signature(row: dict[str, Any], width: int = 60) -> str:
    text = row["signature"] if "damaged" not in row else f"damaged: {row['damaged']}"
    return text if len(text) <= width else text[: width - 1] + "…"


def show(args: argparse.Namespace) -> int:
    """`ingot cache show KEY`."""
    layer, listed = find(args, args.key)
    e = _read(layer, listed)
    path = layer.path(e.key)
    if args.json:
        fields: dict[str, Any] = {"record": e.record, "manifest": e.manifest, "bytes": e.size, "code_bytes": len(e.code), "path": path}
        if args.ir:
            fields["texts"] = e.texts
        if args.preimage:
            fields["preimage"] = e.preimage
        if args.asm:
            fields["assembly"] = _assembly(e, path)
        output.document("cache.show", key=e.key, layer=layer.folder, **fields)
    elif args.ir:
        for name, text in e.texts.items():
            if name == "payloads":  # the graph once more, with its large constants
                continue
            print(f"# {output.plain(name)}\n{output.plain(text, lines=True).rstrip()}\n")
    elif args.asm:
        print(output.plain(_assembly(e, path), lines=True).rstrip())
    elif args.preimage:
        for name, value in sorted(e.preimage.items()):
            print(f"{name}: {output.plain(value)}" if name != "text" else f"text:\n{output.plain(value, lines=True)}")
    else:
        _tell(e, layer, listed)
    return EXIT["fine"]


def _tell(e: Entry, layer: Layer, listed: Listed) -> None:
    row, record = describe(listed), e.record
    print(f"key        {e.key}")
    for name in ("name", "file", "line", "signature", "target"):
        if row.get(name):
            print(f"{name:<10} {output.plain(row[name])}")
    times = record.get("times")
    stages = [f"{output.plain(k)} {v:.1f}" for k, v in times.items() if isinstance(v, (int, float))] if isinstance(times, dict) else []
    print(f"compile    {output.duration(row['compile_ms'])}" + (f" ({', '.join(stages)})" if stages else ""))
    kernels = record.get("kernels")
    if isinstance(kernels, dict):
        print(f"kernels    {', '.join(f'{output.plain(v)} {output.plain(k)}' for k, v in sorted(kernels.items()))}")
    print(f"size       {output.size(e.size)}, of which code {output.size(len(e.code))}")
    arena, scratch = e.manifest.get("arena_bytes"), e.manifest.get("scratch_bytes")
    if isinstance(arena, int) and isinstance(scratch, int):
        print(f"memory     {output.size(arena)} per call, {output.size(scratch)} per worker")
    print(f"compiled   {output.age(row['created'])} ago, used {output.age(row['used'])} ago")
    print(f"path       {output.plain(layer.path(e.key))}")


def _read(layer: Layer, listed: Listed) -> Entry:
    try:
        return bundle.read_entry(layer, listed.key, deep=False)[1]
    except EntryError as e:
        raise CommandError(f"entry {listed.key[:12]} is damaged: {e}", "finding") from None
    except TrustError as e:
        raise CommandError(f"entry {listed.key[:12]} is not trusted: {e}", "trust") from None


def _assembly(e: Entry, path: str) -> str:
    from ingot.runtime import reproduce

    try:
        return reproduce.assembly(e)
    except reproduce.ReproduceError as err:
        raise CommandError(f"{e.key[:12]}: {output.plain(err)}; for the stored code as it is: objdump -d {path}", "finding") from None
