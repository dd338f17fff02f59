"""Bundles of cache entries: members right and wrong, and taking them in."""

import hashlib
import io
import json
import tarfile

from ingot.backends import backend
from ingot.runtime.cache import entry
from tests.support.cli import json_of

LEVELS = backend("cpu").levels


def name_of(key, ending="so"):
    return f"v1/{key[:2]}/{key}.{ending}"


def packed(*members):
    """A tar file of (name or TarInfo, data)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for name, d in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.type == tarfile.REGTYPE:
                info.size = len(d)
            t.addfile(info, io.BytesIO(d))
    return out.getvalue()


def special(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def remade(data, **fields):
    """(key, bytes) of a real entry whose preimage says something else, and whose key and checksums agree with that."""
    e = entry.parse(data)
    preimage = json.dumps({**e.preimage, **fields}, sort_keys=True, separators=(",", ":")).encode()
    key = hashlib.sha256(preimage).hexdigest()
    return key, entry.pack(key, bytes(e.code), e.manifest, e.record, preimage, e.texts)


def damage(path):
    with open(path, "r+b") as f:
        f.seek(100)
        byte = f.read(1)
        f.seek(100)
        f.write(bytes([byte[0] ^ 1]))


def stored(where):
    return {e.key for e in where.list()}


def take(capsys, source, other, *argv, code=0):
    return json_of(capsys, "cache", "import", str(source), "--dir", other.folder, *argv, code=code)
