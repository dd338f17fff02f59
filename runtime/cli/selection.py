"""What a verb of `ingot cache` is about: layers, entries by the beginning of their key, entries as rows."""

from __future__ import annotations

import argparse
from typing import Any

from ingot.runtime import switches
from ingot.runtime.cache import entry as entry_format
from ingot.runtime.cache.layer import Layer, Listed
from ingot.runtime.cache.store import default_folder
from ingot.runtime.cli.output import CommandError

__all__ = ["NO_FOLDER", "any_layers", "describe", "find", "layers_of", "the_layer"]

NO_FOLDER = "there is no home folder and no INGOT_CACHE_DIR: nothing is kept on disk"


def the_layer(args: argparse.Namespace) -> Layer:
    """The writable layer that the command is about. CommandError where there is none or it is refused."""
    folder = args.dir or default_folder()
    if folder is None:
        raise CommandError(NO_FOLDER, "io")
    return _checked(Layer(folder, True))


def layers_of(args: argparse.Namespace) -> list[Layer]:
    """The layers that the command is about, in the order they are asked: with `--dir` or `--layers own` the writable one alone.

    CommandError where there is none, or one is refused.
    """
    if args.dir or getattr(args, "layers", "all") == "own":
        return [the_layer(args)]
    shared = [Layer(p, False) for p in switches.get("INGOT_CACHE_PATH")]
    own = [the_layer(args)] if default_folder() is not None or not shared else []
    return own + [_checked(layer) for layer in shared]


def any_layers(args: argparse.Namespace) -> list[Layer]:
    """The layers that the environment asks for, or the folder that `--dir` names; there may be none. CommandError where one is refused."""
    own = args.dir or default_folder()
    layers = [Layer(own, True)] if own else []
    if not args.dir:
        layers += [Layer(p, False) for p in switches.get("INGOT_CACHE_PATH")]
    return [_checked(layer) for layer in layers]


def _checked(layer: Layer) -> Layer:
    if not layer.check() and layer.refused:
        raise CommandError(layer.refused, "trust")
    return layer


def find(args: argparse.Namespace, key: str) -> tuple[Layer, Listed]:
    """The one entry whose key begins with `key`, in any layer. CommandError where there is none, or several."""
    digits = key.lower()
    if len(digits) < 4 or any(c not in "0123456789abcdef" for c in digits):
        raise CommandError(f"a key is at least 4 hex digits, not {key!r}")
    found = [(layer, e) for layer in layers_of(args) for e in layer.list(digits)]
    keys = list(dict.fromkeys(e.key for _, e in found))
    if len(keys) > 1:
        longer = ", ".join(k[: len(digits) + 4] for k in keys[:5]) + (", …" if len(keys) > 5 else "")
        raise CommandError(f"{key} is the beginning of {len(keys)} keys: {longer}")
    if not found:
        raise CommandError(f"no entry's key begins with {key}", "finding")
    return found[0]


def describe(e: Listed) -> dict[str, Any]:
    """An entry as listings show it; `damaged` says why its record cannot be read."""
    row: dict[str, Any] = {"key": e.key, "bytes": e.size, "used": round(e.used, 3)}
    try:
        record = entry_format.peek(e.path)
    except (entry_format.EntryError, OSError) as err:
        return {**row, "name": "?", "target": "?", "compile_ms": 0.0, "created": e.used, "signature": "", "damaged": str(err)}
    for k, kind, default in _FIELDS:
        value = record.get(k)
        ok = isinstance(value, kind) and not isinstance(value, bool) and (kind is str or abs(value) < 1e15)
        if ok or default is not None:
            row[k] = value if ok else default
    row.setdefault("created", e.used)
    return row


_FIELDS: tuple[tuple[str, Any, Any], ...] = (  # of the record: name, type, what stands for a value that makes no sense
    ("name", str, "?"), ("target", str, "?"), ("signature", str, ""), ("file", str, None), ("line", int, None),
    ("compile_ms", (int, float), 0.0), ("created", (int, float), None),
)  # fmt: skip
