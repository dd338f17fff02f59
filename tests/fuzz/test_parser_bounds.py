"""Texts that are made to exhaust a reader: nested too deep, too long, absurd. Refused in one line, or taken, in time.

Entries of the cache as well, whose checksums are right.
"""

from __future__ import annotations

import hashlib
import json
import zlib

import pytest

import ingot.ir.ops  # noqa: F401
from ingot import serialization
from ingot.ir.loop import parse as loop_text
from ingot.ir.loop.text import print_kernel
from ingot.ir.lower.schedule import ScheduleError, parse_schedule
from ingot.ir.parse import ParseError, parse
from ingot.ir.verify import verify
from ingot.runtime.cache import entry


def chain(n: int, depth: int = 0) -> str:
    """Functions that call each other, each through `depth` lists."""
    calls = [f"  %0 = call %a {{graph={'[' * depth}@f{i + 1}{']' * depth}}} : f32[2]\n  return %0\n" for i in range(n - 1)]
    return "".join(f"func @f{i}(%a: f32[2]) -> f32[2] {{\n{body}}}\n" for i, body in enumerate([*calls, "  return %a\n"]))


def function(line: str, args: str = "%a: f32[2]", result: str = "f32[2]") -> str:
    return f"func @f({args}) -> {result} {{\n  %0 = {line}\n  return %0\n}}\n"


REFUSED = {
    "a long chain of functions": (chain(60), "nested too deep"),
    "a very long one": (chain(3000), "nested too deep"),
    "lists in functions in lists": (chain(30, 45), "nested too deep"),
    "an integer of many digits": (function("exp %a : f32[2]", f"%a: f32[{'1' * 5000}]"), "5000 digits"),
    "a float out of range": (function("constant {value=0x1p+99999999999} : f32[]", "", "f32[]"), "too large"),
    "an attribute of a megabyte": (function('exp %a {k="' + "\\u0000" * 100_000 + '"} : f32[2]'), "unknown attribute"),
    "blanks": ("func" + " " * 1_000_000, "expected a function"),
    "comments": ("//\n" * 200_000, "expected a function"),
    "more elements than there are": (function("constant {value=[1]} : f32[99999999999]", "", "f32[99999999999]"), "needs 99999999999"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    text, match = REFUSED[name]
    with pytest.raises(ParseError, match=match) as e:
        parse(text)
    assert "\n" not in str(e.value)


def test_taken():
    """Large, and yet graphs: read in a time that grows with the text."""
    assert len(verify(parse(chain(45))).text) > 1000
    many = "".join(f"func @f{i}(%a: f32[2]) -> f32[2] {{\n  return %a\n}}\n" for i in range(5000))
    assert verify(parse(many)).inputs[0].type.shape == (2,)
    huge = parse(function("iota {dtype=f32, shape=[99999999999], axis=0} : f32[99999999999]", "", "f32[99999999999]"))
    assert verify(huge).outputs[0].type.shape == (99999999999,)


def kernel(*lines: str) -> str:
    return "\n".join(("kernel @f(x: f32 r) {", *lines, "}"))


LOOPS_REFUSED = {
    "conditions": (kernel(*["if true:bool {"] * 3000, *["}"] * 3000), "nested too deep"),
    "loops": (kernel(*[f"serial i{k} in 0..2 {{" for k in range(3000)], *["}"] * 3000), "nested too deep"),
    "divisions": (kernel(f"%1 = load x[{'div(' * 3000}1{', 2)' * 3000}]"), "nested too deep"),
    "a literal out of range": (kernel("%1 = neg(0x1p+9999999999:f32) : f32"), "no literal"),
    "an extent that is a variable": (kernel("acc a: f32[i] = 0x0p+0:f32"), "expected an integer"),
    "an extent that is a parameter": (kernel("acc a: f32[const(n)] = 0x0p+0:f32"), "expected an integer"),
    "an extent of nothing": (kernel("acc a: f32[-1] = 0x0p+0:f32"), "expected an integer"),
    "parentheses": ("kernel @f" + "(" * 100_000, "expected"),
}


@pytest.mark.parametrize("name", LOOPS_REFUSED)
def test_refused_loop_text(name):
    text, match = LOOPS_REFUSED[name]
    with pytest.raises(loop_text.ParseError, match=match):
        loop_text.parse_kernel(text)


@pytest.mark.parametrize("axes", ["-" * 100_000 + "1", "-" * 4000 + "1", "1+" * 2000 + "1", "(" * 2000 + ")" * 2000])
def test_refused_schedule(axes):
    with pytest.raises(ScheduleError, match="is no schedule"):
        parse_schedule(f"Nest(axes={axes}, vector=0)")


def test_taken_loop_text():
    from ingot.ir.loop.verify import verify_kernel

    deep = loop_text.parse_kernel(kernel(*[f"serial i{k} in 0..2 {{" for k in range(90)], *["}"] * 90))
    verify_kernel(deep)
    assert loop_text.parse_kernel(print_kernel(deep)) == deep


def packed(manifest=b"{}", record=b"{}", preimage=b"{}", texts=b"{}"):
    parts = (b"\x7fELF", manifest, record, zlib.compress(preimage), zlib.compress(texts))
    body, key = b"".join(parts), hashlib.sha256(preimage).digest()
    head = entry._FOOTER.pack(entry._MAGIC, entry.FORMAT, key, *map(len, parts), hashlib.sha256(body).digest(), b"")[:-32]
    return body + head + hashlib.sha256(head).digest()


LARGE = b" " * (9 << 20) + b"{}"  # JSON all the same
BOMB = b" " * (65 << 20) + b"{}"  # 65 KB of file
ENTRIES_REFUSED = {
    "a manifest of megabytes": (lambda: packed(manifest=LARGE), "is more than any entry has"),
    "a record of megabytes": (lambda: packed(record=LARGE), "is more than any entry has"),
    "a nested manifest": (lambda: packed(manifest=b"[" * 100_000), "manifest is no JSON"),
    "texts that unfold for ever": (lambda: packed(texts=BOMB), "does not decompress to its end"),
    "a preimage that unfolds for ever": (lambda: packed(preimage=BOMB), "does not decompress to its end"),
    "nested texts": (lambda: packed(texts=b'{"a":' * 100_000), "no JSON"),
    "a nested preimage": (lambda: packed(preimage=b"[" * 100_000), "no JSON"),
}


@pytest.mark.parametrize("name", ENTRIES_REFUSED)
def test_refused_entries(name, tmp_path):
    make, match = ENTRIES_REFUSED[name]
    data = make()
    with pytest.raises(entry.EntryError, match=match):
        entry.parse(data).check_deep()
    path = tmp_path / "entry"
    path.write_bytes(data)
    for peek in (entry.peek, entry.peek_preimage):
        try:
            peek(str(path))
        except entry.EntryError:
            pass


def saved(tree=None, tensors=None, data=b""):
    """A file as `ingot.save` writes it, around any tree."""
    document = json.dumps({"version": serialization._VERSIONS[-1], "tree": tree})
    head = json.dumps({**({} if tree is None else {"__metadata__": {serialization._KEY: document}}), **(tensors or {})}).encode()
    return len(head).to_bytes(8, "little") + head + data


def one(dtype, *shape, nbytes):
    return {"i": {"dtype": dtype, "shape": list(shape), "data_offsets": [0, nbytes]}}


STATE_DICTS_REFUSED = [
    pytest.param(saved(["tensor", "i", True], one("I32", 1, nbytes=4), b"1234"), id="an integer with a gradient"),
    pytest.param(saved(["float", "0x1p99999"]), id="a float out of range"),
    pytest.param(saved(None, one("F32", 0, 2**62, 4, nbytes=0)), id="an extent that NumPy has not"),
    pytest.param(saved(None, one("F32", *[1] * 100, nbytes=4), b"1234"), id="a hundred dims"),
    pytest.param(saved(["list", 3]), id="a list of nothing"),
    pytest.param(saved(["dict", [[["list", []], 1]]]), id="a list as a key"),
    pytest.param(saved(["tensor", ["i"], True], one("F32", 1, nbytes=4), b"1234"), id="a list as a name"),
    pytest.param(b"\xff" * 8, id="an endless header"),
]


@pytest.mark.parametrize("data", STATE_DICTS_REFUSED)
def test_refused_state_dicts(data):
    with pytest.raises(serialization.SerializationError):
        serialization.loads(data)
