"""`ingot cache verify`: checksums, structure, and that the same preimage still gives the same bytes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from typing import Any

from ingot.runtime.cache import bundle
from ingot.runtime.cache import entry as entry_format
from ingot.runtime.cache.entry import Entry, EntryError
from ingot.runtime.cache.layer import Layer, Listed
from ingot.runtime.cache.ownership import TrustError
from ingot.runtime.cli import output
from ingot.runtime.cli.output import EXIT
from ingot.runtime.cli.selection import find, layers_of

__all__ = ["verify"]


def verify(args: argparse.Namespace) -> int:
    """`ingot cache verify [KEY…]`: exit code 1 if anything is damaged or comes out otherwise, 4 if anything is not trusted.

    What is damaged is set aside where it can be; what differs from what this compiler makes stays.
    """
    deep, rebuild = args.deep or args.rebuild, args.rebuild
    findings: list[dict[str, Any]] = []
    impossible: dict[str, list[str]] = {}
    checked = rebuilt = 0
    for layer, listed in _asked(args):
        try:
            found = bundle.read_entry(layer, listed.key, deep=deep)[1]
        except FileNotFoundError:  # somebody removed it meanwhile
            continue
        except EntryError as e:
            findings.append(_tell(args, layer, listed, "damaged", str(e), "set aside" if _set_aside(layer, listed) else "left there"))
        except TrustError as e:
            findings.append(_tell(args, layer, listed, "untrusted", str(e), "not used"))
        except OSError as e:
            findings.append(_tell(args, layer, listed, "unreadable", str(e), "not used"))
        else:
            if rebuild:
                state, why = _compare(found)
                rebuilt += state != "impossible"
                if state == "impossible":
                    impossible.setdefault(why, []).append(listed.key)
                elif state == "different":
                    findings.append(_tell(args, layer, listed, "different", why, "kept; remove it with: ingot cache rm"))
        checked += 1
    reasons = [{"why": why, "entries": len(keys), "keys": sorted(keys)} for why, keys in sorted(impossible.items())]
    if args.json:
        more: dict[str, Any] = {"rebuilt": rebuilt, "impossible": reasons} if rebuild else {}
        output.document("cache.verify", checked=checked, findings=findings, deep=deep, **more)
    else:
        sys.stdout.flush()
        _sum_up(checked, rebuilt if rebuild else None, findings, reasons)
    states = {f["state"] for f in findings}
    return EXIT["trust"] if "untrusted" in states else EXIT["finding"] if states else EXIT["fine"]


def _asked(args: argparse.Namespace) -> Iterator[tuple[Layer, Listed]]:
    if args.keys:
        yield from dict.fromkeys(find(args, k) for k in args.keys)
        return
    for layer in layers_of(args):
        for listed in layer.list():
            yield layer, listed


def _tell(args: argparse.Namespace, layer: Layer, listed: Listed, state: str, why: str, fate: str) -> dict[str, Any]:
    """A finding, told at once: an examination of many entries takes its time."""
    if not args.json:
        print(f"{listed.key[:12]}  {state}: {output.plain(why)}; {fate}", flush=True)
    return {"key": listed.key, "layer": layer.folder, "state": state, "why": why, "fate": fate}


def _set_aside(layer: Layer, listed: Listed) -> bool:
    """Set a damaged entry aside, unless another one has its name by now."""
    if not layer.writable:
        return False
    try:
        with open(listed.path, "rb") as f:
            try:
                entry_format.parse(f.read(), listed.key).check_deep()
                return False
            except EntryError:
                layer.set_aside(listed.key, f.fileno())
    except OSError:
        return False
    return not os.path.exists(listed.path)


def _compare(found: Entry) -> tuple[str, str]:
    from ingot.runtime import reproduce

    return reproduce.compare(found)


def _sum_up(checked: int, rebuilt: int | None, findings: list[dict[str, Any]], reasons: list[dict[str, Any]]) -> None:
    counts = {state: sum(f["state"] == state for f in findings) for state in ("damaged", "untrusted", "unreadable", "different")}
    bad = [f"{n} {state}" for state, n in counts.items() if n or state == "damaged"]
    print(f"{checked} entries checked, {', '.join(bad)}", file=sys.stderr)
    if rebuilt is not None:
        print(f"{rebuilt} compiled again, {rebuilt - counts['different']} came out the same", file=sys.stderr)
    for r in reasons:
        print(f"{r['entries']} cannot be rebuilt here: {output.plain(r['why'])}", file=sys.stderr)
