"""`ingot cache import`: take over entries that were made elsewhere. Nothing of them is believed, see runtime/cache/bundle_reader.py."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ingot.runtime import switches
from ingot.runtime.cache import account, bundle, files, journal, key, ownership, pieces, trust
from ingot.runtime.cache.bundle_reader import BundleError, Offer, Reader, Refused, read_folder, read_tar
from ingot.runtime.cache.entry import Entry, EntryError
from ingot.runtime.cache.layer import Layer
from ingot.runtime.cli import output, targets
from ingot.runtime.cli.output import EXIT, CommandError
from ingot.runtime.cli.selection import the_layer

__all__ = ["merge_note", "run"]


def run(args: argparse.Namespace) -> int:
    """`ingot cache import SRC`."""
    rule = trust.policy()
    if rule.problem is not None:
        raise CommandError(rule.problem, "trust")
    work = _Import(the_layer(args), rule, targets.target_test(args.for_target), args.dry_run)
    with _opened(args.source, not rule.by_content) as reader:
        try:
            for offer in reader:
                work.take(offer)
        except BundleError as e:
            if not work.anything:
                raise CommandError(f"{args.source}: {e}", "finding") from None
            work.refused.append(Refused(args.source, str(e)))
    work.finish(reader)
    _tell(args, work)
    return EXIT["finding"] if work.refused else EXIT["fine"]


class _Import:
    """What becomes of the entries of a bundle, one by one."""

    def __init__(self, layer: Layer, rule: trust.Policy, keep: Callable[[dict[str, Any]], bool], dry_run: bool):
        self.layer = layer
        self.rule = rule
        self.keep = keep
        self.dry_run = dry_run
        self.imported: list[dict[str, Any]] = []
        self.present: list[str] = []
        self.refused: list[Refused] = []
        self.others = 0  # for other targets than those asked for
        self.foreign = 0  # made by another Ingot or llvmlite than this one
        self.evicted = 0
        self.bounds = switches.get("INGOT_CACHE_MAX_BYTES"), switches.get("INGOT_CACHE_MAX_ENTRIES")

    @property
    def anything(self) -> bool:
        """Whether the bundle held something."""
        return bool(self.imported or self.present or self.refused or self.others)

    def take(self, offer: Offer | Refused) -> None:
        """Verify what a bundle offers, and keep it unless it is there already. OSError where it cannot be written."""
        if isinstance(offer, Refused):
            self.refused.append(offer)
            return
        try:
            entry = bundle.verified(offer.key, offer.data, offer.signature, self.rule)
            preimage, name = entry.preimage, entry.record.get("name")
        except (EntryError, ownership.TrustError) as e:
            self.refused.append(Refused(offer.key, str(e)))
            return
        if not self.keep(preimage):
            self.others += 1
            return
        self.foreign += _is_foreign(preimage)
        if os.path.lexists(self.layer.path(offer.key)):
            self.present.append(offer.key)
            return
        if not self.dry_run:
            self._put(offer, entry)
        self.imported.append({"key": offer.key, "name": str(name), "target": bundle.target_name(preimage), "bytes": entry.size})

    def _put(self, offer: Offer, entry: Entry) -> None:
        self.layer.put(offer.key, offer.data)
        pieces.remember(self.layer, offer.key, pieces.ids_of(entry))
        if offer.signature is not None:
            files.replace(self.layer.signature_path(offer.key), offer.signature, mode=0o600)
        ms = entry.manifest.get("compile_ms")
        cost = float(ms) if isinstance(ms, (int, float)) and 0 <= ms < 1e9 else 0.0  # it decides what is evicted
        self.evicted += account.added(self.layer, offer.key, len(offer.data), cost, *self.bounds)

    def finish(self, reader: Reader) -> None:
        """Take the bundle's note, and look for what did not stay."""
        self.refused += [Refused(k, f"{bundle.INDEX} lists it, and it is not there") for k in reader.missing]
        if not self.dry_run and (self.imported or self.present):
            merge_note(self.layer, reader.toolchain)
        if self.evicted:
            there = {e.key for e in self.layer.list()}
            lost = [e["key"] for e in self.imported if e["key"] not in there]
            self.refused += [Refused(k, "there was no room for it: the cache is bounded, see ingot cache info") for k in lost]
            self.imported = [e for e in self.imported if e["key"] in there]
        self.imported.sort(key=lambda e: e["key"])
        self.present.sort()
        self.refused.sort()


@contextlib.contextmanager
def _opened(source: str, own: bool) -> Iterator[Reader]:
    """A reader of SRC. `own`: TrustError where somebody else could have written it; what comes from stdin is the caller's choice."""
    if source == "-":
        if sys.stdin.isatty():
            raise CommandError("stdin is a terminal: redirect it, or name a file")
        yield Reader(read_tar(sys.stdin.buffer))
    elif os.path.isdir(source):
        if own:
            ownership.check_folder(source, own=False)
        yield Reader(read_folder(source, own))
    else:
        with open(ownership.open_checked(source) if own else ownership.open_regular(source)[0], "rb") as f:
            yield Reader(read_tar(f))


def _is_foreign(preimage: dict[str, Any]) -> bool:
    toolchain = preimage.get("toolchain")
    llvmlite = toolchain.get("llvmlite") if isinstance(toolchain, dict) else None
    return preimage.get("sources") != key.sources_digest() or llvmlite != key.llvmlite_version()


def merge_note(layer: Layer, offered: dict[str, str]) -> None:
    """Add to the layer's note what it does not say yet: a note that is there wins."""
    path = os.path.join(layer.folder, bundle.TOOLCHAIN)
    known = (journal.read(path) or [{}])[-1]
    merged = {**offered, **known}
    if merged != known:
        journal.append(path, merged, 4096)


def _tell(args: argparse.Namespace, work: _Import) -> None:
    for r in work.refused:
        print(f"{_shown(r.name)}  {r.why}; refused", file=sys.stderr)
    if work.foreign:
        print(f"{work.foreign} entries were made by another Ingot or llvmlite: this one never asks for them", file=sys.stderr)
    if args.json:
        refused = [{"name": r.name, "why": r.why} for r in work.refused]
        output.document(
            "cache.import", folder=work.layer.folder, dry_run=args.dry_run, imported=work.imported, present=work.present, refused=refused,
            evicted=work.evicted, other_targets=work.others, foreign=work.foreign,
        )  # fmt: skip
        return
    what = f"{len(work.imported)} entries, {output.size(sum(e['bytes'] for e in work.imported))}"
    print(f"{'would import' if args.dry_run else 'imported'} {what}, into {work.layer.folder}", end="")
    print(f"; {len(work.present)} were there already, {work.others} are for other targets, {len(work.refused)} were refused")


def _shown(name: str) -> str:
    """A key or a member's name on one line, whatever characters somebody gave it."""
    return name[:12] if len(name) == 64 and name.isalnum() else ascii(name)[1:-1][:120]
