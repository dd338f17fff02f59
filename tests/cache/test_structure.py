"""The deep check: what passes its checksums and is not what the compiler writes is found, without being mapped."""

import copy
import hashlib
import json
import os
import random
import struct

import pytest

from ingot.backends import backend
from ingot.backends.cpu import elf_object as o
from ingot.ir.ops.contraction import dot
from ingot.runtime import compiler
from ingot.runtime.cache import entry, the_cache
from ingot.runtime.cache.entry import EntryError
from tests.support.graphs import graph_of
from tests.support.prebuilt import make_graph

LEVELS = backend("cpu").levels


class Parts:
    """An entry taken apart: change a part, then `check` what comes of it, checksums and key being right again."""

    def __init__(self, e):
        self.code = bytearray(e.code)
        self.manifest = copy.deepcopy(e.manifest)
        self.record = {k: v for k, v in e.record.items() if k != "code_bytes"}
        self.doc = e.preimage
        self.texts = e.texts
        self.preimage = None  # bytes, where they are not the document's

    def check(self):
        preimage = self.preimage or json.dumps(self.doc, sort_keys=True, separators=(",", ":")).encode()
        key = hashlib.sha256(preimage).hexdigest()
        data = entry.pack(key, bytes(self.code), self.manifest, self.record, preimage, self.texts)
        entry.parse(data, key).check_deep()

    def segment(self, i):
        """Offset of program header i."""
        return o.EHDR.size + i * o.PHDR.size

    def field(self, at, form, value=None):
        if value is None:
            return struct.unpack_from(form, self.code, at)[0]
        struct.pack_into(form, self.code, at, value)

    def tag(self, tag):
        """Offset of the value of an entry of the dynamic section."""
        at, size = self.field(self.segment(3) + 8, "<Q"), self.field(self.segment(3) + 32, "<Q")
        return next(p + 8 for p in range(at, at + size, 16) if self.field(p, "<q") == tag)


def everything():
    """Real entries by name, for every level and both pools."""
    keys = {f"graph {name}": compiler.code_of(make_graph(3.0), level).key for name, level in LEVELS.items()}
    product = graph_of([(31, 200), (200, 136)], lambda x, w: dot(x, w, batch=((), ()), contract=((1,), (0,))), "kept")
    keys["what is kept"] = compiler.code_of(product.replace(steady=frozenset([1])), LEVELS["x86-64-v3"]).key
    before = {e.key for e in the_cache().own.list()}
    for arch in ("x86_64", "aarch64"):
        compiler.pool_code(arch)
        (new,) = {e.key for e in the_cache().own.list()} - before
        keys[f"pool {arch}"] = new
        before.add(new)
    out = {}
    for name, key in keys.items():
        with open(the_cache().own.path(key), "rb") as f:
            out[name] = entry.parse(f.read(), key)
    return out


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("structure")
    os.chmod(folder, 0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INGOT_CACHE_DIR", str(folder / "cache"))
        return everything()


@pytest.fixture
def parts(entries):
    return Parts(entries["graph x86-64-v3"])


@pytest.fixture
def pool(entries):
    return Parts(entries["pool x86_64"])


def test_what_the_compiler_writes_passes(entries):
    assert len(entries) == len(LEVELS) + 3 and entries["what is kept"].manifest["once"] == [1]
    for e in entries.values():
        e.check_deep()
        Parts(e).check()


def refuses(parts, match):
    with pytest.raises(EntryError, match=match):
        parts.check()


CODE = [
    ("no ELF file", lambda p: p.field(1, "<B", 0)),
    ("for ELF machine 183", lambda p: p.field(18, "<H", 183)),
    ("no shared object", lambda p: p.field(16, "<H", 2)),
    ("not laid out", lambda p: p.field(56, "<H", 7)),
    ("not laid out", lambda p: p.field(32, "<Q", 0)),
    ("section headers", lambda p: p.code.extend(b"\0" * 8)),
    ("section headers", lambda p: p.field(40, "<Q", 1 << 63)),
    ("both writable and executable", lambda p: p.field(p.segment(1) + 4, "<I", 7)),
    ("both writable and executable", lambda p: p.field(p.segment(5) + 4, "<I", 7)),
    ("segments are not those", lambda p: p.field(p.segment(3), "<I", 3)),
    ("segment 1 reaches beyond", lambda p: p.field(p.segment(1) + 8, "<Q", 1 << 40)),
    ("segment 2 reaches beyond", lambda p: p.field(p.segment(2) + 40, "<Q", 8)),
    ("segment 2 does not lie", lambda p: p.field(p.segment(2) + 48, "<Q", 1)),
    ("segment 1 does not lie", lambda p: p.field(p.segment(1) + 16, "<Q", 5)),
    ("dynamic section lies outside", lambda p: p.field(p.segment(3) + 16, "<Q", 64)),
    ("becomes read-only", lambda p: p.field(p.segment(4) + 16, "<Q", 64)),
    ("entry 0xc that", lambda p: p.field(p.tag(o.DT_FLAGS) - 8, "<q", 12)),  # DT_INIT
    ("entry 0x16 that", lambda p: p.field(p.tag(o.DT_NULL) - 8, "<q", 22)),  # DT_TEXTREL
    ("another way of loading", lambda p: p.field(p.tag(o.DT_FLAGS), "<Q", 0)),
    ("string table does not end", lambda p: p.field(p.tag(o.DT_STRSZ), "<Q", 3)),
    ("string table lies outside", lambda p: p.field(p.tag(o.DT_STRTAB), "<Q", 1 << 62)),
    ("name lies outside", lambda p: p.field(p.tag(o.DT_NEEDED), "<Q", 1 << 20)),
    ("needs the library 'ingot_entry'", lambda p: p.field(p.tag(o.DT_NEEDED), "<Q", p.field(p.field(p.tag(o.DT_SYMTAB), "<Q") + 24, "<I"))),
    ("hash table lies outside", lambda p: p.field(p.tag(o.DT_HASH), "<Q", 8)),
    ("has 4294967295 symbols", lambda p: p.field(p.field(p.tag(o.DT_HASH), "<Q") + 4, "<I", 2**32 - 1)),
    ("0 buckets", lambda p: p.field(p.field(p.tag(o.DT_HASH), "<Q"), "<I", 0)),
    ("runs in a circle", lambda p: p.field(p.field(p.tag(o.DT_HASH), "<Q") + 16, "<I", 1)),
    ("does not lead to 'ingot_entry'", lambda p: p.field(p.field(p.tag(o.DT_HASH), "<Q") + 8, "<I", 0)),
    ("no plain function", lambda p: p.field(p.field(p.tag(o.DT_SYMTAB), "<Q") + 28, "<B", 0x1A)),  # indirect
    ("outside the executable", lambda p: p.field(p.field(p.tag(o.DT_SYMTAB), "<Q") + 32, "<Q", 8)),
    ("imports 'ingot_entry'", lambda p: p.field(p.field(p.tag(o.DT_SYMTAB), "<Q") + 30, "<H", 0)),
    ("no whole records", lambda p: p.field(p.tag(o.DT_RELASZ), "<Q", 7)),
]  # fmt: skip


@pytest.mark.parametrize("match, change", CODE)
def test_code_that_the_linker_never_writes(parts, match, change):
    change(parts)
    refuses(parts, match)


RELOCATIONS = [
    ("relocation 0 is not of an address", lambda p, at: p.field(at, "<Q", 0)),
    ("relocation 0 is not of a kind", lambda p, at: p.field(at + 8, "<I", 37)),  # IRELATIVE
    ("relocation 0 is not of a kind", lambda p, at: p.field(at + 12, "<I", 0)),
    ("relocations lies outside", lambda p, at: p.field(p.tag(o.DT_RELA), "<Q", 1 << 60)),
]


@pytest.mark.parametrize("match, change", RELOCATIONS)
def test_relocations_that_the_linker_never_writes(pool, match, change):
    change(pool, pool.field(pool.tag(o.DT_RELA), "<Q"))
    refuses(pool, match)


def test_imports_that_are_not_allowed(pool):
    at = bytes(pool.code).index(b"pthread_join\0")
    pool.code[at : at + 12] = b"system\0_join"
    refuses(pool, "imports 'system', which is not one")


def test_code_of_another_kind(entries):
    parts, pool = Parts(entries["graph x86-64-v3"]), Parts(entries["pool x86_64"])
    pool.code = parts.code
    refuses(pool, "exports ingot_entry; expected is ingot_pool_create")
    parts.manifest["entry"] = "other"
    refuses(parts, "exports ingot_entry; expected is other")
    parts = Parts(entries["graph x86-64-v3"])
    parts.code = Parts(entries["graph aarch64"]).code
    refuses(parts, "ELF machine 183, its target is x86-64")


PARTS = [
    ("names no entry", lambda p: p.manifest.update(entry="")),
    ("arena_bytes is no size", lambda p: p.manifest.update(arena_bytes=-1)),
    ("arena_bytes is no size", lambda p: p.manifest.update(arena_bytes=1 << 50)),
    ("scratch_bytes is no size", lambda p: p.manifest.update(scratch_bytes=True)),
    ("scratch_bytes is no size", lambda p: p.manifest.pop("scratch_bytes")),
    ("inputs are no list", lambda p: p.manifest.pop("inputs")),
    ("which is no type", lambda p: p.manifest.update(inputs=["f31[2]"])),
    ("which is no type", lambda p: p.manifest.update(outputs=[["f32[2]"]])),
    ("absurd", lambda p: p.manifest.update(inputs=["f32[9999999999,9999999999]"])),
    ("one slot for each", lambda p: p.manifest.update(slots=["address"])),
    ("slot 'f32'", lambda p: p.manifest.update(slots=["f32", "address"])),
    ("slot 'i64' for an output", lambda p: p.manifest.update(slots=["address", "i64"])),
    ("slot \\['address'", lambda p: p.manifest.update(slots=[["address"], "address"])),
    ("has no checks", lambda p: p.manifest.update(checks=None)),
    ("check 'x' makes no sense", lambda p: p.manifest.update(checks={"x": {"message": ""}})),
    ("check '1' makes no sense", lambda p: p.manifest.update(checks={"1": "out of range"})),
    ("check '1' makes no sense", lambda p: p.manifest.update(checks={"1": {"message": "", "node": -1}})),
    ("aliases of output '1'", lambda p: p.manifest.update(aliases={"1": [0]})),
    ("aliases of output '0'", lambda p: p.manifest.update(aliases={"0": [7]})),
    ("tiny", lambda p: p.manifest.update(tiny=1)),
    ("manifest's compile_ms", lambda p: p.manifest.update(compile_ms=float("nan"))),
    ("record's name", lambda p: p.record.update(name=3)),
    ("record's created", lambda p: p.record.update(created="today")),
    ("record's time of lower", lambda p: p.record["times"].update(lower=-1)),
    ("another size of the code", lambda p: p.record.update(code_bytes=1)),
    ("not all text", lambda p: p.texts.update(graph=1)),
    ("preimage has the fields", lambda p: p.doc.update(host="here")),
    ("preimage has the fields", lambda p: p.doc.pop("text")),
    ("another schema", lambda p: p.doc.update(schema=True)),
    ("kind is none of", lambda p: p.doc.update(kind=[])),
    ("sources are no digest", lambda p: p.doc.update(sources="0")),
    ("toolchain", lambda p: p.doc.update(toolchain={"llvmlite": 1, "llvm": "2"})),
    ("target lacks", lambda p: p.doc.update(target=[])),
    ("target lacks", lambda p: p.doc["target"].pop("cpu")),
    ("unknown architecture 'z80'", lambda p: p.doc["target"].update(triple="z80-linux")),
    ("options are no object", lambda p: p.doc.update(options=[])),
    ("canonical", lambda p: setattr(p, "preimage", json.dumps(p.doc, sort_keys=True).encode())),
    ("canonical", lambda p: setattr(p, "preimage", json.dumps(p.doc, sort_keys=True, separators=(",", ":")).encode("utf-16"))),
    ("no JSON", lambda p: setattr(p, "preimage", b"[" * 100000)),
    ("no JSON", lambda p: setattr(p, "preimage", b"\xff" * 10)),
]  # fmt: skip


@pytest.mark.parametrize("match, change", PARTS)
def test_parts_that_make_no_sense(parts, match, change):
    change(parts)
    refuses(parts, match)


KEPT = [
    ("not one slot", lambda m: m.pop("kept")),
    ("kept is no size", lambda m: m.update(kept=1)),
    ("kept is no size", lambda m: m.update(kept="64")),
    ("slot 'i64' for an output", lambda m: m["slots"].__setitem__(-1, "i64")),
    ("inputs read once", lambda m: m.update(once=[2])),
    ("inputs read once", lambda m: m.update(once=[-1])),
    ("inputs read once", lambda m: m.update(once=[True])),
    ("inputs read once", lambda m: m.update(once=7)),
]  # fmt: skip


@pytest.mark.parametrize("match, change", KEPT)
def test_what_is_kept_makes_sense(entries, match, change):
    parts = Parts(entries["what is kept"])
    change(parts.manifest)
    refuses(parts, match)


def test_a_text_that_unfolds_without_end_is_refused(parts, monkeypatch):
    monkeypatch.setattr(entry, "_TEXT_LIMIT", 1000)
    parts.doc["text"] = "x" * 100_000
    refuses(parts, "does not decompress to its end")


def test_texts_for_people_are_left_out_where_they_are_endless(parts, monkeypatch):
    preimage = json.dumps(parts.doc, sort_keys=True, separators=(",", ":")).encode()
    monkeypatch.setattr(entry, "_TEXT_LIMIT", 1000 + len(preimage))
    key, texts = hashlib.sha256(preimage).hexdigest(), {"graph": "x" * 100_000}
    found = entry.parse(entry.pack(key, bytes(parts.code), parts.manifest, parts.record, preimage, texts), key)
    found.check_deep()
    assert found.texts == {}


def test_noise_in_what_the_loader_reads_is_refused_or_harmless(entries, long):
    """Bytes changed in the headers and tables: an EntryError, or a check that passes. Nothing else, and soon."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for name in ("graph x86-64-v3", "graph aarch64", "pool x86_64"):
        whole = Parts(entries[name])
        text = whole.field(whole.segment(1) + 8, "<Q")
        dynamic, end = whole.field(whole.segment(2) + 8, "<Q"), len(whole.code)
        tables = [*range(0, min(text, 2000)), *range(dynamic, min(dynamic + 400, end)), *range(max(end - 800, 0), end)]
        for _ in range(30_000 if long else 500):
            parts = Parts(entries[name])
            for _ in range(rng.randint(1, 4)):
                at = rng.choice(tables)
                noise = rng.choice((b"\0", b"\xff", b"\x01", b"\x7f", rng.randbytes(4), rng.randbytes(8)))
                parts.code[at : at + rng.choice((1, 4, 8))] = noise
            if rng.random() < 0.1:
                del parts.code[rng.randrange(len(parts.code)) :]
            try:
                parts.check()
            except EntryError:
                pass
