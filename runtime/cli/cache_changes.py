"""The verbs of `ingot cache` that check and remove entries."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from typing import Any

from ingot.runtime.cache import account, key
from ingot.runtime.cache import entry as entry_format
from ingot.runtime.cache.layer import Layer, Listed
from ingot.runtime.cli import output
from ingot.runtime.cli.output import EXIT, CommandError

__all__ = ["clear", "prune", "remove", "verify"]


def verify(args: argparse.Namespace) -> int:
    """`ingot cache verify`: what is damaged is set aside; the exit code is 1 if anything was."""
    from ingot.runtime.cli.cache_verbs import the_layer

    layer = the_layer(args)
    bad, checked = [], 0
    for e in layer.list():
        checked += 1
        try:
            with open(e.path, "rb") as f:
                found = entry_format.parse(f.read(), e.key)
            if args.deep:
                found.check_deep()
        except FileNotFoundError:
            continue
        except (entry_format.EntryError, OSError) as err:
            bad.append({"key": e.key, "why": str(err)})
            layer.set_aside(e.key)
    if args.json:
        output.document("cache.verify", checked=checked, damaged=bad)
    else:
        for b in bad:
            print(f"{b['key'][:12]}  {b['why']}; set aside")
        print(f"{checked} entries checked, {len(bad)} damaged", file=sys.stderr)
    return EXIT["finding"] if bad else EXIT["fine"]


def prune(args: argparse.Namespace) -> int:
    """`ingot cache prune`: by bounds, age, or because this Ingot will never ask for it again."""
    from ingot.runtime.cli.cache_verbs import describe, the_layer

    layer = the_layer(args)
    if args.max_entries is not None and args.max_entries < 0:
        raise CommandError(f"--max-entries takes a number of at least 0, not {args.max_entries}")
    gone: dict[str, Listed] = {}
    listed = list(layer.list())
    if args.older_than:
        bound = time.time() - output.parse_age(args.older_than)
        gone.update({e.key: e for e in listed if e.used < bound})
    if args.stale:
        gone.update({e.key: e for e in listed if "damaged" in describe(e) or _stale(e)})
    if args.max_size is not None or args.max_entries is not None:
        nbytes = output.size_argument(args.max_size) if args.max_size is not None else 1 << 62
        entries = args.max_entries if args.max_entries is not None else 1 << 62
        gone.update({e.key: e for e in account.evict(layer, nbytes, entries, fill=1.0, dry_run=True)})
    elif not (args.older_than or args.stale):
        raise CommandError("say what to prune: --max-size, --max-entries, --older-than or --stale")
    return _remove(args, layer, sorted(gone.values()), "cache.prune")


def _stale(e: Listed) -> bool:
    try:
        with open(e.path, "rb") as f:
            preimage = entry_format.parse(f.read()).preimage
    except (OSError, entry_format.EntryError):
        return True
    toolchain = preimage.get("toolchain")
    llvmlite = toolchain.get("llvmlite") if isinstance(toolchain, dict) else None
    return preimage.get("sources") != key.sources_digest() or llvmlite != key.llvmlite_version()


def remove(args: argparse.Namespace) -> int:
    """`ingot cache rm KEY…`"""
    from ingot.runtime.cli.cache_verbs import find

    found = []
    layer = None
    for k in args.keys:
        at, e = find(args, k)
        if not at.writable:
            raise CommandError(f"{e.key[:12]} is in {at.folder}, which is only read", "trust")
        layer = at
        found.append(e)
    assert layer is not None
    return _remove(args, layer, sorted(set(found)), "cache.rm")


def clear(args: argparse.Namespace) -> int:
    """`ingot cache clear`: entries, quarantine and temporaries. Records of misses and statistics stay."""
    from ingot.runtime.cli.cache_verbs import the_layer

    layer = the_layer(args)
    code = _remove(args, layer, list(layer.list()), "cache.clear")
    if code == EXIT["fine"] and not args.dry_run:
        shutil.rmtree(os.path.join(layer.folder, "quarantine"), ignore_errors=True)
        layer.sweep(0.0)
        for name in ("account",):
            try:
                os.unlink(os.path.join(layer.folder, name))
            except OSError:
                pass
    return code


def _remove(args: argparse.Namespace, layer: Layer, entries: list[Listed], kind: str) -> int:
    total = sum(e.size for e in entries)
    what = f"{len(entries)} entries, {output.size(total)}"
    if entries and not args.dry_run and not output.confirm(f"remove {what} from {layer.folder}?", args.yes):
        print("nothing was removed", file=sys.stderr)
        return EXIT["finding"]
    removed: list[dict[str, Any]] = []
    for e in entries:
        if args.dry_run or layer.remove(e.key):
            removed.append({"key": e.key, "bytes": e.size})
            if not args.dry_run:
                account.removed(layer, e.key, e.size)
    if args.json:
        output.document(kind, folder=layer.folder, dry_run=args.dry_run, removed=removed)
    else:
        print(f"{'would remove' if args.dry_run else 'removed'} {len(removed)} entries, {output.size(sum(r['bytes'] for r in removed))}")
    return EXIT["fine"] if len(removed) == len(entries) else EXIT["io"]
