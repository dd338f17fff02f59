"""Whether an entry that passed its checksums is what the compiler writes: its code, its manifest, its texts and its preimage.

Checksums tell damage; this tells nonsense: an entry that somebody packed by another program, or by a faulty one. Nothing is
mapped and nothing is run. Fields that this Ingot does not know are let pass, but a change of how the linker lays code out must
raise `entry.FORMAT`.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from ingot.runtime import formula
from ingot.runtime.cache import key as keys

if TYPE_CHECKING:
    from ingot.backends import Cpu

__all__ = ["StructureError", "check", "check_preimage"]

_DTYPE = "bool|u8|i8|i16|i32|i64|u16|u32|u64|f16|bf16|f32|f64"
_TYPE = re.compile(rf"({_DTYPE})\[([^\[\]]*)\]", re.ASCII)
_DIMS = 64
_WIDTH = {"bool": 1, "bf16": 2}
_BYTES = 1 << 47  # of address space, as much as there is
_HEX64 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.$]{0,999}", re.ASCII)
_NUMBER = re.compile(r"0|[1-9]\d{0,9}", re.ASCII)
_KINDS = ("graph", "quick", "pool")
_FIELDS = ("schema", "kind", "text", "target", "sources", "toolchain", "options")


class StructureError(ValueError):
    """Something that the compiler never writes; the message says what."""


def check(code: memoryview, manifest: dict[str, Any], record: dict[str, Any], preimage: bytes, texts: dict[str, Any]) -> None:
    """Check the parts of one entry against each other. A ValueError, most often StructureError, says what is wrong."""
    doc = check_preimage(preimage)
    _record(record, len(code))
    _must(all(isinstance(t, str) for t in texts.values()), "its texts are not all text")
    _number(manifest.get("compile_ms"), "the manifest's compile_ms")
    entry = None if doc["kind"] == "pool" else _manifest(manifest)
    _cpu().check(code, architecture(doc), entry, bool(manifest.get("symbols")))


def architecture(doc: dict[str, Any]) -> str:
    """The architecture that a preimage's target names, as `uname -m` says it."""
    return doc["target"]["arch"] if doc["kind"] == "pool" else doc["target"]["triple"].partition("-")[0]


def check_preimage(data: bytes) -> dict[str, Any]:
    """The preimage as a document, if it is a canonical one. StructureError says what is wrong."""
    try:
        doc = json.loads(data)
        again = json.dumps(doc, sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError) as e:
        raise StructureError(f"the preimage is no JSON: {e}") from None
    _must(isinstance(doc, dict) and again == data, "the preimage is not in its canonical form")
    _must(set(doc) == set(_FIELDS), f"the preimage has the fields {', '.join(sorted(doc)) or '(none)'}")
    _must(type(doc["schema"]) is int and doc["schema"] == keys.SCHEMA, f"the preimage is of another schema than {keys.SCHEMA}")
    _must(doc["kind"] in _KINDS, f"the preimage's kind is none of {', '.join(_KINDS)}")
    _must(isinstance(doc["text"], str), "the preimage's text is no text")
    _must(isinstance(doc["sources"], str) and _HEX64.fullmatch(doc["sources"]), "the preimage's sources are no digest")
    toolchain, target = doc["toolchain"], doc["target"]
    ok = isinstance(toolchain, dict) and set(toolchain) == {"llvmlite", "llvm"} and all(isinstance(v, str) for v in toolchain.values())
    _must(ok, "the preimage's toolchain does not name llvmlite and LLVM")
    _must(isinstance(doc["options"], dict), "the preimage's options are no object")
    fields = ("arch",) if doc["kind"] == "pool" else ("name", "triple", "cpu")
    _must(isinstance(target, dict) and all(isinstance(target.get(f), str) for f in fields), f"the preimage's target lacks {fields[-1]}")
    _must(architecture(doc) in _cpu().architectures, f"the preimage's target is of the unknown architecture {architecture(doc)!r}")
    return doc


def _manifest(m: dict[str, Any]) -> str:
    """Check how a graph's code is to be called; the name of its entry."""
    entry, slots, checks, aliases = m.get("entry"), m.get("slots"), m.get("checks"), m.get("aliases")
    _must(isinstance(entry, str) and _NAME.fullmatch(entry), "the manifest names no entry")
    assert isinstance(entry, str)
    symbols = _symbols(m.get("symbols", []))
    for name in ("arena_bytes", "scratch_bytes"):
        n = m.get(name)
        _must(type(n) is int and 0 <= n < _BYTES or isinstance(n, str) and _size(n, symbols), f"the manifest's {name} is no size")
    _must(isinstance(m.get("tiny"), bool), "the manifest's field tiny is neither true nor false")
    ins, outs = (_types(m.get(f), f, symbols) for f in ("inputs", "outputs"))
    kept, once = m.get("kept", 64), m.get("once", [])
    _must(type(kept) is int and 64 <= kept < _BYTES, "the manifest's kept is no size")
    _must(isinstance(once, list) and all(type(i) is int and 0 <= i < len(ins) for i in once), "the manifest's inputs read once are none")
    wanted = len(ins) + len(outs) + ("kept" in m) + len(symbols)
    _must(isinstance(slots, list) and len(slots) == wanted, "the manifest has not one slot for each input, output and symbol")
    assert isinstance(slots, list)
    for k, (slot, type_) in enumerate(zip(slots, [*ins, *([""] * (wanted - len(symbols) - len(ins))), *(["i64[]"] * len(symbols))])):
        fits = slot == "address" and k < wanted - len(symbols) or isinstance(slot, str) and type_ == f"{slot}[]"
        _must(fits, f"the manifest has a slot {slot!r:.40} for {type_ or 'an output'}")
    _must(isinstance(checks, dict), "the manifest has no checks")
    for code, what in (checks or {}).items():
        ok = _NUMBER.fullmatch(code) and 0 < int(code) < 1 << 31 and isinstance(what, dict) and isinstance(what.get("message"), str)
        node = what.get("node", 0) if isinstance(what, dict) else None
        known = ok and ("symbol" not in what or what["symbol"] in symbols)
        _must(known and type(node) is int and node >= 0, f"the manifest's check {code[:40]!r} makes no sense")
    _must(isinstance(aliases, dict), "the manifest has no aliases")
    for out, of in (aliases or {}).items():
        ok = _NUMBER.fullmatch(out) and int(out) < len(outs) and isinstance(of, list)
        ok = ok and all(type(i) is int and 0 <= i < len(ins) and ins[i] == outs[int(out)] for i in of)
        _must(ok, f"the manifest's aliases of output {out[:40]!r} make no sense")
    return entry


def _symbols(values: Any) -> list[str]:
    """The names of a manifest's symbols."""
    _must(isinstance(values, list), "the manifest's symbols are no list")
    names = []
    for s in values:
        ok = isinstance(s, dict) and isinstance(s.get("name"), str) and formula.is_name(s["name"]) and type(s.get("min")) is int
        ok = ok and 0 <= s["min"] < 1 << 63 and (s.get("max") is None or type(s["max"]) is int and s["min"] <= s["max"] < 1 << 63)
        _must(ok, f"the manifest has a symbol {s!r:.60}")
        names.append(s["name"])
    _must(len(set(names)) == len(names), "the manifest has a symbol twice")
    return names


def _size(text: str, symbols: list[str]) -> bool:
    try:
        return formula.names_in(text) <= set(symbols)
    except formula.FormulaError:
        return False


def _types(values: Any, what: str, symbols: list[str]) -> list[str]:
    _must(isinstance(values, list), f"the manifest's {what} are no list")
    for text in values:
        found = _TYPE.fullmatch(text) if isinstance(text, str) else None
        dims = formula.parts(found[2]) if found is not None else []
        ok = found is not None and len(dims) <= _DIMS and all(_size(d, symbols) for d in dims)
        _must(ok, f"the manifest's {what} hold {text!r:.60}, which is no type")
        assert found is not None
        dtype, known = found[1], [int(d) for d in dims if d.isdigit()]
        _must(math.prod(known) * (_WIDTH.get(dtype) or int(dtype[1:]) // 8) < _BYTES, f"the manifest's {what} hold the absurd {text:.60}")
    return values


def _record(r: dict[str, Any], code_bytes: int) -> None:
    for name in ("name", "target", "signature", "file"):
        _must(isinstance(r.get(name, ""), str), f"the record's {name} is no text")
    _must(type(r.get("line", 0)) is int, "the record's line is no number")
    for name in ("compile_ms", "created"):
        _number(r.get(name), f"the record's {name}")
    times = r.get("times", {})
    _must(isinstance(times, dict), "the record's times are no object")
    for name, ms in times.items():
        _number(ms, f"the record's time of {name:.40}")
    _must(r.get("code_bytes", code_bytes) == code_bytes, "the record tells another size of the code")


def _number(value: Any, what: str) -> None:
    ok = isinstance(value, (int, float)) and not isinstance(value, bool)
    _must(ok and 0 <= value < 1e15, f"{what} is no number that makes sense")


def _must(ok: Any, otherwise: str) -> None:
    if not ok:
        raise StructureError(otherwise)


def _cpu() -> Cpu:
    from ingot.backends import backend

    return backend("cpu")
