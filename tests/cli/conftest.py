"""A cache of known entries: `cache`, `make` to add to it, and `keys` of three entries by name."""

import hashlib
import json
import time

import pytest

from ingot.backends import backend
from ingot.runtime import compiler
from ingot.runtime.cache import Cache, entry
from tests.support.prebuilt import make_graph


@pytest.fixture(scope="module")
def make():
    """Store an entry of real code under a preimage of our own: `make(cache, name, text, ms)` gives its key."""
    level = backend("cpu").host_level()
    code = compiler.code_of(make_graph(2.0, 4, "f"), level)

    def make(cache, name, text, ms, target="x86-64-v3", **fields):
        doc = {
            "schema": 1, "kind": "graph", "text": text, "sources": "5" * 64, "toolchain": {"llvmlite": "0.50.0", "llvm": "22.1.0"},
            "options": {}, "target": {"name": target, "triple": level.triple, "cpu": target},
        }  # fmt: skip
        preimage = json.dumps({**doc, **fields}, sort_keys=True, separators=(",", ":")).encode()
        key = hashlib.sha256(preimage).hexdigest()
        record = {"name": name, "target": target, "signature": "(x: f32[4]) -> (f32[4])", "compile_ms": ms, "times": {"a": ms}}
        record["created"] = time.time()
        manifest = {**code.manifest, "compile_ms": ms}
        cache.put(key, entry.pack(key, code.so, manifest, record, preimage, {"graph": text}), ms)
        return key

    return make


@pytest.fixture
def cache(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir(mode=0o700)
    folder = str(tmp_path / "home" / "cache")
    monkeypatch.setenv("INGOT_CACHE_DIR", folder)
    monkeypatch.delenv("INGOT_CACHE_PATH", raising=False)
    return Cache(folder)


@pytest.fixture
def keys(cache, make):
    return {
        "train": make(cache, "train_step", "func @a {\n  %0 = add\n}", 500.0),
        "train2": make(cache, "train_step", "func @a {\n  %0 = mul\n}", 900.0),
        "serve": make(cache, "serve", "func @b {\n}", 5.0, "x86-64-v4"),
    }
