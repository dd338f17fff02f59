"""`ingot cache sign` and `ingot cache digests`: make a store trusted where `INGOT_CACHE_TRUST` is `signed` or `digest-list`.

Both vouch for bytes, so both read only what nobody but this user and root can have written, and check it first.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from ingot.runtime.cache import entry as entry_format
from ingot.runtime.cache import files, signing
from ingot.runtime.cache.layer import Layer
from ingot.runtime.cache.ownership import TrustError, check_inside, open_own
from ingot.runtime.cli import output
from ingot.runtime.cli.output import EXIT, CommandError
from ingot.runtime.cli.selection import find, the_layer

__all__ = ["add_to", "digests", "sign"]


def add_to(verb: Any) -> None:
    """Add the verbs to `ingot cache`. `verb(name, help, example, run)` makes a subparser."""
    p = verb("sign", "sign entries, for stores where INGOT_CACHE_TRUST=signed", "sign --key team.pem --dir /srv/ingot", sign)
    p.add_argument("keys", nargs="*", metavar="KEY", help="only these entries (default: all of the folder)")
    what = p.add_mutually_exclusive_group(required=True)
    what.add_argument("--key", metavar="PRIVATE.pem", dest="private", help="the Ed25519 key to sign with")
    what.add_argument("--new-key", metavar="NAME", help="only make a key: NAME.pem, which signs, and NAME.pub.pem, which checks")
    p = verb("digests", "SHA-256 of entries, for INGOT_CACHE_TRUST=digest-list", "digests --dir /srv/ingot > digests.txt", digests)
    p.add_argument("keys", nargs="*", metavar="KEY", help="only these entries (default: all of the folder)")


def sign(args: argparse.Namespace) -> int:
    """`ingot cache sign`: writes KEY.sig beside each entry; an entry that cannot be vouched for is named and left out."""
    if args.new_key is not None:
        return _new_key(args)
    private = signing.private_key(args.private)
    layer = _layer(args)
    signed: list[str] = []
    already: list[str] = []
    refused: list[dict[str, str]] = []
    for key, digest in _vouched(args, layer, refused):
        signature = signing.sign(private, digest)
        if _stands(layer.signature_path(key), signature):
            already.append(key)
        else:
            files.replace(layer.signature_path(key), signature, mode=0o644, durable=True)
            signed.append(key)
    if args.json:
        output.document("cache.sign", folder=layer.folder, signed=signed, already=already, refused=refused)
    else:
        for r in refused:
            print(f"{r['key'][:12]}  {r['why']}; not signed")
        print(f"signed {len(signed)} entries in {layer.folder}; {len(already)} had this signature already")
    return _code(refused)


def _new_key(args: argparse.Namespace) -> int:
    if args.keys or args.dir:
        raise CommandError("--new-key only makes a key; sign with: ingot cache sign --key NAME.pem")
    try:
        private, public = signing.new_key(args.new_key)
    except FileExistsError as e:
        raise CommandError(f"{e.filename} is there already, and no key is overwritten", "io") from None
    if args.json:
        output.document("cache.sign", private=private, public=public)
    else:
        print(f"{private}  signs; keep it secret\n{public}  checks; name it in INGOT_CACHE_KEYS")
    return EXIT["fine"]


def digests(args: argparse.Namespace) -> int:
    """`ingot cache digests`: the lines that sha256sum would write in the folder, for entries that are whole."""
    layer = _layer(args)
    refused: list[dict[str, str]] = []
    rows = [
        {"key": key, "sha256": digest.hex(), "name": os.path.relpath(layer.path(key), layer.folder)}
        for key, digest in _vouched(args, layer, refused)
    ]
    if args.json:
        output.document("cache.digests", folder=layer.folder, entries=rows, refused=refused)
    else:
        for row in rows:
            print(f"{row['sha256']}  {row['name']}")
        sys.stdout.flush()
        for r in refused:
            print(f"ingot: {r['key'][:12]}  {r['why']}; left out", file=sys.stderr)
    return _code(refused)


def _layer(args: argparse.Namespace) -> Layer:
    layer = the_layer(args)
    if not layer.check():
        raise CommandError(f"there is no cache in {layer.folder}", "finding")
    return layer


def _vouched(args: argparse.Namespace, layer: Layer, refused: list[dict[str, str]]) -> Iterator[tuple[str, bytes]]:
    """Key and SHA-256 of the entries asked for, in order; the others go to `refused`."""
    if args.keys:
        found = [find(args, k) for k in args.keys]
        for at, e in found:
            if not at.writable:
                raise CommandError(f"{e.key[:12]} is in {at.folder}, which is only read; name the folder with --dir", "trust")
        keys = sorted({e.key for _, e in found})
    else:
        keys = [e.key for e in layer.list()]
    for key in keys:
        try:
            yield key, _digest(layer, key)
        except FileNotFoundError:  # removed meanwhile
            continue
        except TrustError as e:
            refused.append({"key": key, "why": str(e), "kind": "untrusted"})
        except entry_format.EntryError as e:
            refused.append({"key": key, "why": f"damaged: {e}", "kind": "damaged"})


def _digest(layer: Layer, key: str) -> bytes:
    """The SHA-256 of an entry's file, after the checks of rule `own` and of the entry itself."""
    path = layer.path(key)
    check_inside(os.path.dirname(path))
    with open(open_own(path)[0], "rb") as f:
        data = f.read()
    entry_format.parse(data, key)
    return hashlib.sha256(data).digest()


def _stands(path: str, signature: bytes) -> bool:
    """Whether the file holds this signature already."""
    try:
        with open(open_own(path)[0], "rb") as f:
            return f.read(len(signature) + 1) == signature
    except OSError:
        return False


def _code(refused: list[dict[str, str]]) -> int:
    if not refused:
        return EXIT["fine"]
    return EXIT["trust" if any(r["kind"] == "untrusted" for r in refused) else "finding"]
