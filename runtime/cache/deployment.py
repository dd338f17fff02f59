"""What a deployment asks of a cache: the manifest that `ingot cache warm` writes and `ingot cache check` holds a cache against.

    {"kind": "ingot.deployment", "schema_version": 1, "sources": "…", "toolchain": {"llvm": "…", "llvmlite": "…"},
     "functions": [{"spec": "train:step(f32[32,784])", "target": "x86-64-v4", "no_grad": false,
                    "keys": [{"key": "…", "name": "step", "signature": "…", "target": "x86-64-v4", "preimage": {…}}]}]}

The preimage is that of the key, with the SHA-256 of the graph's text in the place of the text. The same calls, compiler and
levels give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from ingot.runtime.cache import files
from ingot.runtime.cache.bundle import target_name
from ingot.runtime.cache.entry import Entry

__all__ = ["Manifest", "ManifestError", "Needed", "Needs", "load", "needed", "save"]

KIND = "ingot.deployment"
SCHEMA_VERSION = 1
_LIMIT = 256 << 20  # bytes of the file


class ManifestError(ValueError):
    """A file that is no manifest; the message says why."""


class Needed(NamedTuple):
    """One piece of code that a call asks for."""

    key: str
    name: str
    signature: str
    target: str  # a level; the architecture for the worker pool
    preimage: dict[str, Any]  # without the text


class Needs(NamedTuple):
    """A call, and all the code that a fresh process asks for until it is done."""

    spec: str
    no_grad: bool
    target: str
    keys: tuple[Needed, ...]


class Manifest(NamedTuple):
    """What is in the file. `sources` and `toolchain` say which compiler it was made with."""

    sources: str
    toolchain: dict[str, str]
    functions: tuple[Needs, ...]


def needed(entry: Entry, names: dict[str, list[str]]) -> Needed:
    """What a manifest says of an entry.

    names: name and signature by the SHA-256 of a graph's text: who asked now, which need not be who compiled it once.
    """
    preimage = entry.preimage
    text = preimage.pop("text", "")
    digest = preimage["text_sha256"] = hashlib.sha256(str(text).encode()).hexdigest()
    record = entry.record
    name, signature = names.get(digest, (str(record.get("name", "?")), str(record.get("signature", ""))))
    return Needed(entry.key, name, signature, target_name(preimage), preimage)


def save(path: str, manifest: Manifest) -> None:
    """Write a manifest, whole or not at all. OSError where it cannot be written."""
    functions = [
        {"spec": f.spec, "target": f.target, "no_grad": f.no_grad, "keys": [k._asdict() for k in sorted(f.keys, key=lambda k: k.key)]}
        for f in sorted(manifest.functions, key=lambda f: f[:3])
    ]
    doc = {"kind": KIND, "schema_version": SCHEMA_VERSION, **manifest._asdict(), "functions": functions}
    text = json.dumps(doc, sort_keys=True, indent=1) + "\n"
    files.replace(path, text.encode(), durable=True)


def load(path: str) -> Manifest:
    """Read a manifest. ManifestError says what is wrong with it; OSError where it cannot be read."""
    with open(path, "rb") as f:
        data = f.read(_LIMIT + 1)
    try:
        if len(data) > _LIMIT:
            raise ManifestError(f"it has more than {_LIMIT} bytes")
        return _parsed(json.loads(data))
    except ManifestError as e:
        raise ManifestError(f"{path} is no manifest of ingot cache warm: {e}") from None
    except (ValueError, RecursionError) as e:
        raise ManifestError(f"{path} is no manifest of ingot cache warm: it is no JSON ({e})") from None


def _parsed(doc: Any) -> Manifest:
    top = _fields(doc, "the document", kind=str, schema_version=int, sources=str, toolchain=dict, functions=list)
    if top["kind"] != KIND:
        raise ManifestError(f"kind is {top['kind']!r}, expected {KIND!r}")
    if top["schema_version"] != SCHEMA_VERSION:
        raise ManifestError(f"its schema version is {top['schema_version']}, this Ingot reads {SCHEMA_VERSION}")
    functions = []
    for f in top["functions"]:
        f = _fields(f, "a function", spec=str, target=str, no_grad=bool, keys=list)
        keys = [Needed(**_fields(k, "a key", key=str, name=str, signature=str, target=str, preimage=dict)) for k in f["keys"]]
        for k in keys:
            if len(k.key) != 64 or k.key.strip("0123456789abcdef"):
                raise ManifestError(f"{ascii(k.key[:80])} is no key")
        functions.append(Needs(f["spec"], f["no_grad"], f["target"], tuple(keys)))
    if not functions:
        raise ManifestError("it names no function")
    return Manifest(top["sources"], top["toolchain"], tuple(functions))


def _fields(doc: Any, what: str, **types: type) -> dict[str, Any]:
    if not isinstance(doc, dict):
        raise ManifestError(f"{what} is no object")
    for name, t in types.items():
        if type(doc.get(name)) is not t:
            raise ManifestError(f"{what} has no {name} that is {'an' if t in (int,) else 'a'} {t.__name__}")
    return {name: doc[name] for name in types}
