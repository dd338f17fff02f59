"""`ingot cache check`: whether a cache holds what a deployment asks for, and this Ingot will ask for just that."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from ingot.runtime.cache import bundle, deployment
from ingot.runtime.cache.deployment import ManifestError, Needed, Needs
from ingot.runtime.cache.entry import EntryError
from ingot.runtime.cache.layer import Layer
from ingot.runtime.cli import output, targets
from ingot.runtime.cli.output import EXIT, CommandError
from ingot.runtime.cli.selection import any_layers

__all__ = ["run"]


class _Finding(NamedTuple):
    spec: str
    no_grad: bool
    target: str
    function: str  # "" where it is about all of the call
    key: str
    reason: str
    absent: bool = False  # a finding also where compiling is allowed

    def __str__(self) -> str:
        call = f"{self.spec} under no_grad" if self.no_grad else self.spec
        return ": ".join(filter(None, (call, f"{self.function} {self.key[:12]}".strip(), self.reason)))


def run(args: argparse.Namespace) -> int:
    """`ingot cache check MANIFEST…`"""
    try:
        needs = [f for path in args.manifests for f in deployment.load(path).functions]
    except ManifestError as e:
        raise CommandError(str(e)) from None
    layers = any_layers(args)
    with _environment_of(args):
        levels = targets.levels_of(args.for_target)
        installed = {level: _installed(level) for level in levels}
    checked = _Checked(layers)
    found: list[_Finding] = []
    calls: list[dict[str, Any]] = []
    for spec, no_grad in sorted({(f.spec, f.no_grad) for f in needs}):
        for level in levels:
            mine = [f for f in needs if (f.spec, f.no_grad, f.target) == (spec, no_grad, level)]
            wrong = checked.call(mine, installed[level]) if mine else [_unknown(spec, no_grad, level, needs)]
            found += wrong
            keys = sorted({k.key for f in mine for k in f.keys})
            calls.append({"spec": spec, "no_grad": no_grad, "target": level, "keys": keys, "covered": not wrong})
    notes = [] if args.frozen else [f for f in found if not f.absent]
    found = [f for f in found if f not in notes]
    _tell(args, calls, found, notes)
    return EXIT["finding"] if found else EXIT["fine"]


def _tell(args: argparse.Namespace, calls: list[dict[str, Any]], found: list[_Finding], notes: list[_Finding]) -> None:
    if args.json:
        rows = [[{k: v for k, v in f._asdict().items() if k != "absent"} for f in some] for some in (found, notes)]
        output.document("cache.check", frozen=args.frozen, calls=calls, findings=rows[0], notes=rows[1])
        return
    for f in found:
        print(f)
    for f in notes:
        print(f"note: {f}")
    sys.stdout.flush()
    keys = {k for c in calls for k in c["keys"]}
    print(f"{len(calls)} calls, {len(keys)} keys, {len(found)} findings", file=sys.stderr)


@contextlib.contextmanager
def _environment_of(args: argparse.Namespace) -> Iterator[None]:
    """Within the block the folder that `--dir` names is the cache: its note says which LLVM an llvmlite has."""
    before = {name: os.environ.get(name) for name in ("INGOT_CACHE_DIR", "INGOT_CACHE_PATH")}
    try:
        if args.dir:
            os.environ.update(INGOT_CACHE_DIR=args.dir, INGOT_CACHE_PATH="")
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _installed(level: str) -> dict[str, Any]:
    """What this Ingot puts into its keys for the level, but for the graph."""
    from ingot.backends import backend
    from ingot.runtime import switches, toolchain
    from ingot.runtime.cache import key

    fields = {
        "schema": key.SCHEMA, "sources": key.sources_digest(), "toolchain": toolchain.versions(), "options": switches.code_options(),
        "target": backend("cpu").levels[level].assumptions(),
    }  # fmt: skip
    return json.loads(json.dumps(fields))  # tuples are lists in a preimage


def _unknown(spec: str, no_grad: bool, level: str, needs: list[Needs]) -> _Finding:
    known = sorted(f.target for f in needs if (f.spec, f.no_grad) == (spec, no_grad))
    reason = f"it was warmed for {', '.join(known)} only; warm it with --for-target {level}"
    return _Finding(spec, no_grad, level, "", "", reason, absent=True)


class _Checked:
    """Findings about keys; each entry is read once."""

    def __init__(self, layers: list[Layer]):
        self.layers = layers
        self._known: dict[str, tuple[str, bool] | None] = {}

    def call(self, needs: list[Needs], installed: dict[str, Any]) -> list[_Finding]:
        """What is wrong with the code that a call needs."""
        found: list[_Finding] = []
        for f in needs:
            others: dict[str, list[Needed]] = {}
            for k in f.keys:
                wrong = self._entry(k.key)
                if wrong is not None:
                    found.append(_Finding(*f[:2], f.target, k.name, k.key, *wrong))
                if k.target not in (f.target, targets.arch_of(f.target)):
                    found.append(_Finding(*f[:2], f.target, k.name, k.key, f"it is code for {k.target}, which is not what {f.target} runs"))
                elif differs := _differences(k, installed):
                    others.setdefault(differs, []).append(k)
            for differs, keys in others.items():
                names = ", ".join(dict.fromkeys(k.name for k in keys))
                reason = f"this Ingot will never ask for these {len(keys)} keys: {differs}"
                found.append(_Finding(*f[:2], f.target, names, "", reason))
        return list(dict.fromkeys(found))

    def _entry(self, key: str) -> tuple[str, bool] | None:
        """Why the entry cannot be used, and whether it is just not there; None where it can."""
        if key not in self._known:
            self._known[key] = self._read(key)
        return self._known[key]

    def _read(self, key: str) -> tuple[str, bool] | None:
        wrong = ("it is not in the cache", True)
        for layer in self.layers:
            try:
                bundle.read_entry(layer, key)
                return None
            except FileNotFoundError:
                continue
            except (EntryError, OSError) as e:
                if wrong[1]:
                    wrong = f"{layer.path(key)}: {e}", False
        return wrong


def _differences(k: Needed, installed: dict[str, Any]) -> str:
    """Field by field, how the key differs from those that this Ingot makes for the level."""
    from ingot.runtime.cache.explain import differences

    wanted = dict(installed)
    if k.preimage.get("kind") == "pool":
        wanted |= {"options": {}, "target": {"arch": targets.arch_of(installed["target"]["name"])}}
    stored = {name: k.preimage.get(name) for name in wanted}
    return "; ".join(f"{d.field} is {_short(d.wanted)}, the manifest has {_short(d.stored)}" for d in differences(stored, wanted))


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text[:12] if len(text) == 64 and text.isalnum() else text  # digests
