"""The verbs of `ingot cache` that remove entries: `prune`, `rm` and `clear`.

What a living process has mapped stays, unless `--force`: removing it would do no harm (mapped code stays valid), but the next
process would compile it again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import time
from typing import Any

from ingot.runtime.cache import account, key
from ingot.runtime.cache import entry as entry_format
from ingot.runtime.cache.layer import Layer, Listed
from ingot.runtime.cache.mapped import mapped_in
from ingot.runtime.cli import output
from ingot.runtime.cli.output import EXIT, CommandError
from ingot.runtime.cli.selection import describe, find, the_layer

__all__ = ["clear", "prune", "remove"]

_NO_BOUND = 1 << 62
_ONE_BY_ONE = 64  # removals that are accounted for one by one
_BEING_WRITTEN = 60.0  # seconds that a temporary may be somebody's


def prune(args: argparse.Namespace) -> int:
    """`ingot cache prune`: by bounds, age, or because this Ingot will never ask for it again."""
    layer = the_layer(args)
    if args.max_entries is not None and args.max_entries < 0:
        raise CommandError(f"--max-entries takes a number of at least 0, not {args.max_entries}")
    bounded = args.max_size is not None or args.max_entries is not None
    if not (bounded or args.older_than or args.stale):
        raise CommandError("say what to prune: --max-size, --max-entries, --older-than or --stale")
    nbytes = output.size_argument(args.max_size) if args.max_size is not None else _NO_BOUND
    entries = args.max_entries if args.max_entries is not None else _NO_BOUND
    old = time.time() - output.parse_age(args.older_than) if args.older_than else -1.0
    gone: list[Listed] = []
    rest: list[Listed] = []
    for e in layer.list():
        (gone if e.used < old or (args.stale and _stale(e)) else rest).append(e)
    busy = _busy(args, layer)
    staying = [e for e in gone if e.key in busy]
    over, stuck = _over(layer, rest, nbytes - sum(e.size for e in staying), entries - len(staying), busy) if bounded else ([], [])
    return _remove(args, layer, sorted(gone + over + stuck), busy, "cache.prune")


def _over(layer: Layer, rest: list[Listed], nbytes: int, entries: int, busy: dict[str, list[int]]) -> tuple[list[Listed], list[Listed]]:
    """The entries that are worth least, so many that the others are within the bounds; and those that would go, too, were they not busy."""
    known, now = account.costs(layer), time.time()

    def worth(e: Listed) -> tuple[bool, float, str]:
        return e.key in busy, account.score(e.size, known.get(e.key[:16]) or _cost_of(e), now - e.used), e.key

    size, count = sum(e.size for e in rest), len(rest)
    gone: list[Listed] = []
    if size > nbytes or count > entries:
        for e in sorted(rest, key=worth):
            if size <= nbytes and count <= entries:
                break
            gone.append(e)
            size, count = size - e.size, count - 1
    return [e for e in gone if e.key not in busy], [e for e in gone if e.key in busy]


def _cost_of(e: Listed) -> float:
    return float(describe(e)["compile_ms"])


def _stale(e: Listed) -> bool:
    """Whether this Ingot will never ask for the entry: it is damaged, or other sources or another llvmlite made it."""
    try:
        preimage = entry_format.peek_preimage(e.path)
    except FileNotFoundError:
        return False
    except (OSError, entry_format.EntryError):
        return True
    if preimage.get("sources") != key.sources_digest():
        return True
    toolchain, here = preimage.get("toolchain"), key.llvmlite_version()  # None where nothing can be compiled: then all serve
    return here is not None and (not isinstance(toolchain, dict) or toolchain.get("llvmlite") != here)


def remove(args: argparse.Namespace) -> int:
    """`ingot cache rm KEY…`"""
    layer = the_layer(args)
    found = []
    for k in args.keys:
        at, e = find(args, k)
        if not at.writable:
            raise CommandError(f"{e.key[:12]} is in {at.folder}, which is only read", "trust")
        found.append(e)
    return _remove(args, layer, sorted(set(found)), _busy(args, layer), "cache.rm")


def clear(args: argparse.Namespace) -> int:
    """`ingot cache clear`: entries, quarantine and what dead writers left. Records of misses and statistics stay."""
    layer = the_layer(args)
    return _remove(args, layer, list(layer.list()), _busy(args, layer), "cache.clear", rest=True)


def _busy(args: argparse.Namespace, layer: Layer) -> dict[str, list[int]]:
    """What other processes have mapped of a layer; nothing where that does not matter."""
    if args.force:
        return {}
    others = {k: [p for p in pids if p != os.getpid()] for k, pids in mapped_in(layer).items()}
    return {k: pids for k, pids in others.items() if pids}


def _remove(args: argparse.Namespace, layer: Layer, asked: list[Listed], busy: dict[str, list[int]], kind: str, rest: bool = False) -> int:
    """Remove what was asked for and is not busy; `rest`: with the quarantine and what dead writers left."""
    free, staying = [e for e in asked if e.key not in busy], [e for e in asked if e.key in busy]
    question = f"remove {_sum(free)} from {layer.folder}?"
    if free and not args.dry_run and not output.confirm(question, args.yes):
        print("nothing was removed", file=sys.stderr)
        return EXIT["finding"]
    removed: list[Listed] = []
    failed: list[Listed] = []
    for e in free:
        if args.dry_run or layer.remove(e.key):
            removed.append(e)
        elif os.path.lexists(e.path):  # else somebody was faster
            failed.append(e)
    if not args.dry_run:
        _account(layer, removed)
        if rest and not failed:
            shutil.rmtree(os.path.join(layer.folder, "quarantine"), ignore_errors=True)
            layer.sweep(_BEING_WRITTEN)
    if args.json:
        output.document(
            kind, folder=layer.folder, dry_run=args.dry_run, removed=_rows(removed), failed=_rows(failed),
            busy=[{**row, "processes": busy[row["key"]]} for row in _rows(staying)],
        )  # fmt: skip
    else:
        print(f"{'would remove' if args.dry_run else 'removed'} {_sum(removed)}")
        for e in failed:
            print(f"{e.key[:12]}  cannot be removed from {layer.folder}", file=sys.stderr)
    for e in staying:
        print(f"{e.key[:12]}  stays: {_users(busy[e.key])} it; --force removes it all the same", file=sys.stderr)
    return EXIT["io"] if failed else EXIT["busy"] if staying else EXIT["fine"]


def _users(pids: list[int]) -> str:
    if len(pids) == 1:
        return f"process {pids[0]} has mapped"
    return f"processes {', '.join(map(str, pids[:3]))}{' and more' if len(pids) > 3 else ''} have mapped"


def _account(layer: Layer, removed: list[Listed]) -> None:
    with contextlib.suppress(OSError):  # an account that is wrong is noticed and made anew
        if len(removed) <= _ONE_BY_ONE:
            for e in removed:
                account.removed(layer, e.key, e.size)
        else:
            account.evict(layer, _NO_BOUND, _NO_BOUND)  # looks at what is left


def _rows(entries: list[Listed]) -> list[dict[str, Any]]:
    return [{"key": e.key, "bytes": e.size} for e in entries]


def _sum(entries: list[Listed]) -> str:
    return f"{len(entries)} entries, {output.size(sum(e.size for e in entries))}"
