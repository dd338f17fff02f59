"""Records of misses: one line each in `misses.jsonl`, bounded, with enough of the preimage to say later what differed.

The graph's text is kept where it compresses to a few kilobytes; of a longer one the digest, which still tells whether
the graph or something else has changed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import time
import zlib
from typing import Any

from ingot.runtime.cache import journal

__all__ = ["record", "read", "preimage_of"]

BOUND = 2 << 20  # bytes of the file
_TEXT_BOUND = 24 << 10  # bytes of one compressed text
_UNFOLDED_BOUND = 16 << 20


def record(folder: str, key: str, reason: str, provenance: dict[str, Any], preimage: bytes) -> None:
    """Leave one record of a miss of `key`: why it was one, who asked, and the preimage in short."""
    doc = json.loads(preimage)
    text = doc.pop("text", "").encode()
    doc["text_sha256"] = hashlib.sha256(text).hexdigest()
    packed = zlib.compress(text, 6)
    if len(packed) <= _TEXT_BOUND:
        doc["text_zlib"] = base64.b64encode(packed).decode()
    line = {"key": key, "reason": reason, "time": round(time.time(), 3), **provenance, "preimage": doc}
    journal.append(os.path.join(folder, "misses.jsonl"), line, BOUND)


def read(folder: str) -> list[dict[str, Any]]:
    """All records that make sense, oldest first."""
    return [m for m in journal.read(os.path.join(folder, "misses.jsonl"), 2 * BOUND) if isinstance(m.get("key"), str)]


def preimage_of(miss: dict[str, Any]) -> dict[str, Any] | None:
    """The preimage as a document, its `text` there if it was kept. None where the record has none."""
    doc = miss.get("preimage")
    if not isinstance(doc, dict):
        return None
    out = {k: v for k, v in doc.items() if k != "text_zlib"}
    packed = doc.get("text_zlib")
    if isinstance(packed, str):
        try:
            unfold = zlib.decompressobj()
            text = unfold.decompress(base64.b64decode(packed, validate=True), _UNFOLDED_BOUND)
            if unfold.eof and hashlib.sha256(text).hexdigest() == doc.get("text_sha256"):
                out["text"] = text.decode()
                del out["text_sha256"]
        except (zlib.error, binascii.Error, ValueError):
            pass
    return out
