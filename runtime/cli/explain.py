"""`ingot cache explain`: why something was compiled: which field of its key no stored entry had."""

from __future__ import annotations

import argparse
import time
from collections.abc import Container
from typing import Any

from ingot.runtime import switches
from ingot.runtime.cache import entry as entry_format
from ingot.runtime.cache import misses, packaged, warmed
from ingot.runtime.cache.explain import CONSIDERED, IGNORED, Near, nearest, short
from ingot.runtime.cache.layer import Layer, Listed
from ingot.runtime.cli import output
from ingot.runtime.cli.output import EXIT, CommandError
from ingot.runtime.cli.selection import the_layer

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """`ingot cache explain KEY|FUNCTION`: what it was made of, against the nearest stored entry."""
    layers = [the_layer(args)] + ([] if args.dir else [Layer(p, False) for p in switches.get("INGOT_CACHE_PATH")])
    names = {args.what} | {name for layer in layers for name in warmed.names(layer.folder, args.what)}
    mine = [m for m in misses.read(layers[0].folder) if _is(m.get("name"), m["key"], args.what, names)]
    stored = _stored(layers, args.what, names)
    came = [key for key in packaged.keys() if len(args.what) >= 4 and key.startswith(args.what.lower())]
    if came and not stored:
        return _with_the_package(came[0], args)
    if not mine and not stored:
        raise CommandError(f"neither an entry nor a recorded miss is called {args.what!r}", "finding")
    key = mine[-1]["key"] if mine else next(iter(stored))
    again = [m for m in mine if m["key"] == key]
    entry = _entry(layers, key)
    if entry is not None:
        preimage, record = entry.preimage, entry.record
    else:
        preimage, record = (misses.preimage_of(again[-1]) if again else None) or {}, again[-1] if again else {}
    name = str(record.get("name", "?"))
    near = nearest(layers, key, preimage, name, str(record.get("signature", ""))) if preimage else None
    if args.json:
        output.document(
            "cache.explain", key=key, name=name, stored=entry is not None, miss=again[-1] if again else None, misses=len(again),
            nearest=near.key if near else None, differences=[d._asdict() for d in near.differences] if near else [],
            considered=CONSIDERED, ignored=IGNORED,
        )  # fmt: skip
    else:
        _tell(key, name, record, again, entry is not None, bool(preimage), near)
    return EXIT["fine"]


def _with_the_package(key: str, args: argparse.Namespace) -> int:
    """What there is to say of an entry that nobody has compiled here."""
    entry = packaged.find(key)
    name = str(entry.record.get("name", "?")) if entry is not None else "?"
    if args.json:
        output.document(
            "cache.explain", key=key, name=name, stored=True, miss=None, misses=0, nearest=None, differences=[], considered=CONSIDERED,
            ignored=IGNORED,
        )  # fmt: skip
    else:
        print(output.plain(f"{name}  {key[:12]}"))
        print("comes with the package; nothing is compiled for it")
    return EXIT["fine"]


def _tell(key: str, name: str, record: dict, again: list[dict], stored: bool, known: bool, near: Near | None) -> None:
    def say(text: str) -> None:
        print(output.plain(text))

    where = f"  {record['file']}:{record.get('line', '?')}" if "file" in record else ""
    say(f"{name}  {key[:12]}{where}")
    kernels = record.get("kernels")
    if isinstance(kernels, dict):
        came = f", {kernels['packaged']} of these with the package" if kernels.get("packaged") else ""
        say(f"kernels: {kernels.get('compiled')} compiled, {kernels.get('known')} known{came}")
    if record.get("signature"):
        say(f"signature: {short(str(record['signature']), 200)}")
    if again:
        times = "once" if len(again) == 1 else f"{len(again)} times"
        state = "stored now" if stored else "not stored now"
        say(f"missed {times}, last {output.age(_time(again[-1]))} ago: {again[-1].get('reason', '?')}; {state}")
    elif stored:
        say("stored; no miss of it is on record")
    if not known:
        say("the record of its miss says not enough to compare it")
    elif near is None:
        say(f"no other entry of {name} is stored: it was compiled for the first time, or its entries were removed")
    else:
        say(f"nearest stored entry: {near.key[:12]}, which differs in:")
        for d in near.differences:
            say(f"  {d}")
    say(f"considered: {CONSIDERED}")
    say(f"ignored: {IGNORED}")


def _time(miss: dict[str, Any]) -> float:
    t = miss.get("time")
    return float(t) if isinstance(t, (int, float)) else time.time()


def _is(name: Any, key: str, what: str, names: Container[str]) -> bool:
    return isinstance(name, str) and name in names or (len(what) >= 4 and key.startswith(what.lower()))


def _stored(layers: list[Layer], what: str, names: Container[str]) -> dict[str, Listed]:
    """The entries that `what` means, the latest used first."""
    prefix = what.lower() if len(what) >= 4 and all(c in "0123456789abcdef" for c in what.lower()) else ""
    found: list[Listed] = []
    for layer in layers:
        if prefix:
            found += layer.list(prefix)
    if not found:
        found = [e for layer in layers for e in layer.list() if _name(e) in names]
    return {e.key: e for e in sorted(found, key=lambda e: (-e.used, e.key))}


def _name(e: Listed) -> str:
    try:
        return str(entry_format.peek(e.path).get("name"))
    except (OSError, entry_format.EntryError):
        return ""


def _entry(layers: list[Layer], key: str) -> entry_format.Entry | None:
    for layer in layers:
        found = layer.get(key)
        if not isinstance(found, str):
            found.close()
            return found.entry
    return None
