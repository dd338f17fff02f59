"""`ingot cache export`: entries on their way to another machine, and the arguments of `import` (see cache_import.py)."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

from ingot.runtime.cache import bundle
from ingot.runtime.cache.bundle import Changed, Shipped
from ingot.runtime.cache.bundle_reader import Refused
from ingot.runtime.cache.entry import EntryError
from ingot.runtime.cache.layer import Layer, Listed
from ingot.runtime.cli import cache_import, output, targets
from ingot.runtime.cli.filters import FILTERS, parse_filter
from ingot.runtime.cli.output import EXIT, CommandError
from ingot.runtime.cli.selection import any_layers, describe, find

__all__ = ["add_to"]

_COMPRESSED = (".gz", ".tgz", ".xz", ".bz2", ".zst")
_ATTEMPTS = 5  # at an export whose entries go away while it is written


def add_to(verb: Any) -> None:
    """Add the verbs to the parser; `verb(name, help, example, run)` makes one."""
    p = verb("export", "write entries to a tar file or a folder, for another machine", "export cache.tar --filter 'fn=serve*'", _export)
    p.add_argument("out", metavar="OUT", help="a tar file, - for stdout, or a folder (FOLDER/) that serves as it is in INGOT_CACHE_PATH")
    p.add_argument("keys", nargs="*", metavar="KEY", help="only these entries; default: all, of the read-only layers too")
    p.add_argument("--filter", action="append", default=[], metavar="F", help=f"{FILTERS} (may be given again)")
    p.add_argument("--for-target", metavar="LEVEL", help=targets.HELP)
    p.add_argument("--folder", action="store_true", help="OUT is a folder")
    p.add_argument("--force", action="store_true", help="replace OUT")
    p = verb("import", "take over entries that `ingot cache export` wrote, each verified again", "import cache.tar", cache_import.run)
    p.add_argument("source", metavar="SRC", help="a tar file, - for stdin, or a folder")
    p.add_argument("--for-target", metavar="LEVEL", help=targets.HELP)
    p.add_argument("--dry-run", action="store_true", help="only tell what would be imported")


def _export(args: argparse.Namespace) -> int:
    out, kind = _destination(args)
    keep, tests = targets.target_test(args.for_target), [parse_filter(f) for f in args.filter]
    for attempt in range(_ATTEMPTS):
        shipped, skipped = _chosen(args, keep, tests)
        try:
            digest = _write(out, kind, shipped, args.force)
            break
        except Changed as e:  # somebody prunes; what was written is not yet under its name
            if kind == "stdout" or attempt == _ATTEMPTS - 1:
                raise CommandError(f"{e}; export again", "io") from None
    total = sum(s.row["bytes"] for s in shipped)
    if args.json:
        rows = [{"key": s.key, **s.row, "signed": s.signature is not None} for s in shipped]
        why = [{"key": r.name, "why": r.why} for r in skipped]
        output.document("cache.export", out=out, form=kind, sha256=digest, bytes=total, entries=rows, skipped=why)
    for r in skipped:
        print(f"{r.name[:12]}  {r.why}; skipped", file=sys.stderr)
    if not args.json:
        to = sys.stderr if kind == "stdout" else sys.stdout
        print(f"exported {len(shipped)} entries, {output.size(total)}" + (f", to {out}" if kind != "stdout" else ""), file=to)
        if digest:
            print(f"sha256 {digest}", file=to)
    return EXIT["finding"] if skipped else EXIT["fine"]


def _destination(args: argparse.Namespace) -> tuple[str, str]:
    """Where to write, and whether it is "stdout", a "tar" file or a "folder". CommandError where that will not do."""
    out = args.out
    if out == "-":
        if args.json or args.folder:
            raise CommandError(f"- writes a tar file to stdout, which does not go with {'--json' if args.json else '--folder'}")
        if sys.stdout.isatty():
            raise CommandError("stdout is a terminal: redirect it, or name a file")
        return out, "stdout"
    path = os.path.abspath(out)
    if args.folder or out.endswith("/") or os.path.isdir(out):
        if os.path.lexists(path) and not _is_empty(path):
            if not args.force:
                raise CommandError(f"{out} is there already; --force replaces it")
            if not _is_exported(path):
                raise CommandError(f"{out} holds more than an exported cache: it is not replaced")
        return path, "folder"
    if out.endswith(_COMPRESSED):
        raise CommandError(f"a plain tar file is written, not {out}; to compress it: ingot cache export - | gzip > {out}")
    if os.path.lexists(path) and not args.force:
        raise CommandError(f"{out} is there already; --force replaces it")
    return path, "tar"


def _is_empty(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path) and not os.listdir(path)


def _is_exported(path: str) -> bool:
    if os.path.islink(path) or not os.path.isdir(path):
        return False
    names = set(os.listdir(path))
    return bundle.INDEX in names and names <= {bundle.INDEX, bundle.TOOLCHAIN, os.path.basename(Layer(path, False).entries)}


def _chosen(args: argparse.Namespace, keep: Callable[[dict], bool], tests: list) -> tuple[list[Shipped], list[Refused]]:
    """What is exported, in the order of the keys, and what cannot be."""
    layers = any_layers(args)
    found: dict[str, list[tuple[Layer, Listed]]] = {}
    if args.keys:
        for k in args.keys:
            layer, e = find(args, k)
            found[e.key] = [(layer, e)]
    else:
        for layer in layers:
            for e in layer.list():
                found.setdefault(e.key, []).append((layer, e))
    shipped, skipped = [], []
    for k in sorted(found):
        why = ""
        for layer, e in found[k]:  # the first that is whole
            row = describe(e)
            if "damaged" not in row and not all(t(row) for t in tests):
                break
            try:
                s = bundle.prepare(layer, k)
            except FileNotFoundError:
                continue
            except (EntryError, OSError) as err:
                why = why or str(err)
                continue
            if keep({"target": {"name": s.row["target"]}}):
                shipped.append(s)
            why = ""
            break
        if why:
            skipped.append(Refused(k, why))
    return shipped, skipped


class _Hashing:
    """A file that is written, and hashed on the way."""

    def __init__(self, file: Any):
        self.file = file
        self.sum = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self.sum.update(data)
        self.file.write(data)


def _write(out: str, kind: str, shipped: list[Shipped], force: bool) -> str | None:
    """Write the bundle: under another name first, so that OUT is whole or not there. The SHA-256 of a tar file."""
    parts = bundle.members(shipped)
    if kind == "stdout":
        bundle.write_tar(sys.stdout.buffer, parts)
        sys.stdout.buffer.flush()
        return None
    temporary = os.path.join(os.path.dirname(out), f".{os.path.basename(out)[:100]}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        if kind == "folder":
            bundle.write_folder(temporary, parts)
            _rename_folder(temporary, out, force)
            return None
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644), "wb") as f:
            hashing = _Hashing(f)
            bundle.write_tar(hashing, parts)
            f.flush()
            os.fsync(f.fileno())
        if force:
            os.replace(temporary, out)
        else:
            _rename_new(temporary, out)
        return hashing.sum.hexdigest()
    finally:
        with contextlib.suppress(OSError):
            if kind == "folder":
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                os.unlink(temporary)


def _rename_new(temporary: str, out: str) -> None:
    """Rename, but not over a file that somebody made meanwhile."""
    try:
        os.link(temporary, out)
    except FileExistsError:
        raise CommandError(f"{out} is there already; --force replaces it") from None
    except OSError:  # a file system without hard links
        os.rename(temporary, out)


def _rename_folder(new: str, out: str, force: bool) -> None:
    """Rename, also over an empty folder, and with `force` over an exported one, which stays where that fails."""
    try:
        os.rename(new, out)
        return
    except OSError:
        if not _is_exported(out):
            raise
    if not force:
        raise CommandError(f"{out} is there already; --force replaces it")
    old = new + ".old"
    os.rename(out, old)
    try:
        os.rename(new, out)
    except OSError:
        os.rename(old, out)
        raise
    shutil.rmtree(old)
