"""Attributes as texts write them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ingot.interchange.stablehlo.module import Dense, Opaque, Type
from ingot.interchange.stablehlo.types import Types

__all__ = ["Attributes", "dense_of"]

_NUMBER = re.compile(r"0x[0-9A-Fa-f]+|[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
_FLOATS = re.compile(r"[.eE]")
_SYMBOL = re.compile(r'@(?:([A-Za-z_][\w$.]*)|(?="))')
_DIALECT = re.compile(r"[#!]([A-Za-z_][\w$.]*)")
_ALIAS = re.compile(r"#(?:\w+)(?![\w.<])")
_WORD = re.compile(r"[A-Za-z_][\w$.]*")
_ENUM = re.compile(r"<\s*\w+\s+(\w+)\s*>")
_SPATIAL = re.compile(r"\[([^\]]*)\]")
_STRUCTS = frozenset(("dot", "gather", "scatter", "conv", "channel_handle", "dot_algorithm", "output_operand_alias", "result_accuracy",
                      "ragged_dot", "replica_group_mesh_axes", "mesh_axis", "axis_ref", "mesh", "type_extensions"))  # fmt: skip


class Attributes(Types):
    """A text of attributes."""

    def __init__(self, text: str):
        self.aliases: dict[str, Any] = {}
        super().__init__(text)

    def attribute(self) -> Any:
        """An attribute, whatever its kind."""
        self.nested(1)
        out = self._attribute()
        self.nested(-1)
        return out

    def _attribute(self) -> Any:
        c = self.text[self.at : self.at + 1]
        if c == '"':
            value = self.string()
            if self.take(":"):
                self.type()
            return value
        if c == "[":
            self.take("[")
            out = [] if self.is_next("]") else self.many(self.attribute)
            self.need("]")
            return out
        if c == "{":
            return self.dictionary()
        if c == "@":
            return self.symbol()
        if c == "#":
            return self.dialect_attribute()
        if c == "-" or c.isdigit():
            return self.number()
        m = self.ahead(_WORD)
        word = m.group() if m else ""
        if word in ("true", "false"):
            self.match(_WORD)
            return word == "true"
        if word == "unit":
            self.match(_WORD)
            return True
        if word == "dense":
            self.match(_WORD)
            return self.dense()
        if word == "array":
            self.match(_WORD)
            return self.array()
        if word == "loc":
            self.match(_WORD)
            return Opaque(self.balanced())
        if word in ("dense_resource", "sparse", "affine_map", "distinct", "opaque"):
            self.fail(f"attributes of the kind {word} are not read")
        return self.type()

    def dictionary(self) -> dict[str, Any]:
        """`{name = value, name}`."""
        self.need("{")
        out: dict[str, Any] = {}
        while not self.is_next("}"):
            at = self.at
            name = self.string() if self.is_next('"') else self.word("the name of an attribute")
            if name in out:
                self.fail(f"{name!r} is given twice", at)
            out[name] = self.attribute() if self.take("=") else True
            if not self.take(","):
                break
        self.need("}")
        return out

    def symbol(self) -> str:
        m = self.match(_SYMBOL)
        if m is None:
            self.expected("a symbol")
        name = m[1] if m[1] is not None else self.string()
        if self.take("::"):
            name = f"{name}::{self.symbol()}"
        return name

    def number(self) -> Any:
        start = self.at
        m = self.match(_NUMBER)
        if m is None:
            self.expected("a number")
        text = m.group()
        if len(text) > 400:
            self.fail("a number of more than 400 characters", start)
        of = self.type() if self.take(":") else None
        if of is not None and of.dtype is not None and of.element != "index":
            return self.scalar(text, of, start).item()
        return float(text) if _FLOATS.search(text) and not text.startswith("0x") else int(text, 0 if text.startswith("0x") else 10)

    def scalar(self, text: str, of: Type, at: int) -> Any:
        """One element of a tensor's type: a number, or its bits in hexadecimal digits."""
        dtype = of.dtype
        if dtype is None:
            self.fail(f"numbers of the type {of.element} are not read", at)
        part = np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype
        try:
            if text in ("true", "false"):
                return np.array(text == "true").astype(part)
            whole = not _FLOATS.search(text) or text.startswith("0x")
            if of.element[0] in "iu":
                return _integer(int(text, 0 if text.startswith("0x") else 10), of, part)
            if text.startswith("0x"):
                bits = int(text, 16)
                return np.frombuffer(bits.to_bytes(part.itemsize, "little"), part)[0]
            return np.array(float(int(text)) if whole else float(text)).astype(part)
        except (ValueError, OverflowError):
            self.fail(f"{text} is no {of.element}", at)

    def array(self) -> list[Any]:
        """`array<i64: 1, 2>`."""
        self.need("<")
        of = Type("tensor", self.element())
        out = []
        if self.take(":"):

            def item() -> Any:
                at = self.at
                m = self.match(_NUMBER) or self.match(_WORD)
                return self.scalar(m.group() if m else self.expected("a number"), of, at).item()

            out = self.many(item)
        self.need(">")
        return out

    def dialect_attribute(self) -> Any:
        m = self.match(_ALIAS)
        if m is not None:
            return self.aliases.get(m.group(), Opaque(m.group()))
        m = self.match(_DIALECT)
        if m is None:
            self.expected("an attribute")
        name = m[1]
        dialect, _, kind = name.partition(".")
        if dialect not in ("stablehlo", "mhlo", "chlo", "vhlo"):
            return Opaque(f"#{name}{self.balanced()}" if self.is_next("<") else f"#{name}")
        if not kind:
            m = self.match(_ENUM)
            return m[1] if m is not None else Opaque(f"#{name}{self.balanced()}")
        if kind == "conv":
            return self.convolution_dims()
        if kind in _STRUCTS:
            return self.struct()
        return Opaque(f"#{name}{self.balanced()}" if self.is_next("<") else f"#{name}")

    def struct(self) -> dict[str, Any]:
        """`<name = value, …>`, where values are numbers, lists of them, words, or such again."""
        self.need("<")
        return self.fields()

    def fields(self) -> dict[str, Any]:
        out: dict[str, Any] = {}
        while not self.is_next(">"):
            name = self.word("the name of a field")
            self.need("=")
            out[name] = self.attribute()
            if not self.take(","):
                break
        self.need(">")
        return out

    def convolution_dims(self, closed: bool = True) -> dict[str, Any]:
        """`<[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]>`, with fields' names where it is `raw`."""
        if closed:
            self.need("<")
            if self.take_word("raw"):
                return self.fields()
        out: dict[str, Any] = {}
        for what, batch, feature in (("input", "b", "f"), ("kernel", "o", "i"), ("output", "b", "f")):
            start = self.at
            m = self.match(_SPATIAL)
            if m is None:
                self.expected("a list of dims")
            names = [n.strip() for n in m[1].split(",")] if m[1].strip() else []
            spatial = [n for n in names if n not in (batch, feature, "?")]
            if sorted(spatial) != sorted(map(str, range(len(spatial)))) or names.count(batch) != 1 or names.count(feature) != 1:
                self.fail(f"dims must be {batch}, {feature}, and 0, 1, … once each", start)
            first, second = names.index(batch), names.index(feature)
            if what == "kernel":
                out |= {"kernel_output_feature_dimension": first, "kernel_input_feature_dimension": second}
            else:
                out |= {f"{what}_batch_dimension": first, f"{what}_feature_dimension": second}
            out[f"{what}_spatial_dimensions"] = [names.index(str(i)) for i in range(len(spatial))]
            if what != "output":
                self.need("x" if what == "input" else "->")
        if closed:
            self.need(">")
        return out

    # ---- tensors of numbers

    def dense(self) -> Dense:
        """`dense<…> : type`, behind its first word."""
        start = self.at
        self.need("<")
        raw: bytes | None = None
        elements: list[tuple[Any, int]] = []
        shape: tuple[int, ...] | None = ()
        if self.is_next('"'):
            text = self.string()
            if not re.fullmatch(r"0x(?:[0-9A-Fa-f]{2})*", text):
                self.fail("expected bytes in hexadecimal digits", start)
            raw = bytes.fromhex(text[2:])
        elif not self.is_next(">"):
            shape = self.elements(elements)
        else:
            shape = None
        self.need(">")
        self.need(":")
        at = self.at
        of = self.type()
        if of.kind != "tensor" or of.shape is None or None in of.shape:
            self.fail(f"a tensor of numbers cannot have the type {of}", at)
        if of.dtype is None:
            self.fail(f"tensors of {of.element} are not read", at)
        if raw is not None:
            return dense_of(of, raw, lambda message: self.fail(message, start))
        if shape not in ((), of.shape) and not (shape is None and 0 in of.shape):
            self.fail(f"{'nothing' if shape is None else list(shape)} for numbers of {of}", start)
        values = np.empty(len(elements), of.dtype)
        for i, (text, where) in enumerate(elements):
            if isinstance(text, tuple):
                re_, im = (self.scalar(t, of, where) for t in text)
                if of.dtype.kind != "c":
                    self.fail(f"a pair is no {of.element}", where)
                values[i] = complex(re_, im) if np.isfinite(re_) and np.isfinite(im) else _complex(re_, im, of.dtype)
            else:
                values[i] = self.scalar(text, of, where)
        if shape == () and of.shape:
            return Dense(of, np.broadcast_to(values.reshape(()), of.shape))  # type: ignore[arg-type]
        return Dense(of, values.reshape(of.shape))  # type: ignore[arg-type]

    def elements(self, out: list[tuple[Any, int]]) -> tuple[int, ...]:
        """The elements, in order, and the shape in which they are nested."""
        at = self.at
        if self.take("["):
            self.nested(1)
            shapes = [] if self.is_next("]") else self.many(lambda: self.elements(out))
            self.nested(-1)
            self.need("]")
            if any(s != shapes[0] for s in shapes):
                self.fail("rows of different lengths", at)
            return (len(shapes), *(shapes[0] if shapes else ()))
        if self.take("("):
            parts = self.many(lambda: self.element_text())
            self.need(")")
            if len(parts) != 2:
                self.fail("a complex number is a pair", at)
            out.append((tuple(parts), at))
        else:
            out.append((self.element_text(), at))
        return ()

    def element_text(self) -> str:
        m = self.match(_NUMBER)
        if m is None:
            m = self.ahead(_WORD)
            if m is None or m.group() not in ("true", "false"):
                self.expected("a number")
            self.match(_WORD)
        if len(m.group()) > 400:
            self.fail("a number of more than 400 characters")
        return m.group()


def _complex(re_: Any, im: Any, dtype: np.dtype) -> Any:
    out = np.empty((), dtype)
    out.real, out.imag = re_, im
    return out


def _integer(value: int, of: Type, dtype: np.dtype) -> Any:
    """An integer of the type: what is written of unsigned ones may be signed, as long as the bits fit."""
    if of.element == "i1":
        return np.array(value != 0)
    bits = 64 if of.element == "index" else int(of.element.lstrip("ui"))
    if not -(1 << (bits - 1)) <= value < 1 << bits:
        raise OverflowError
    value &= (1 << bits) - 1
    if of.element.startswith("i") and value >> (bits - 1):
        value -= 1 << bits
    return np.array(value, object).astype(np.int64 if of.element.startswith("i") else np.uint64).astype(dtype)


def dense_of(of: Type, raw: Any, fail: Any) -> Dense:
    """Numbers from their bytes: all of them, or one for all. `fail` takes a message."""
    dtype, shape = of.dtype, of.shape
    assert dtype is not None and shape is not None
    n = of.numel
    if dtype == np.bool_:
        if len(raw) == (n + 7) // 8 and len(raw) != n:  # eight in a byte
            bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")[:n]
            return Dense(of, bits.astype(bool).reshape(shape))  # type: ignore[arg-type]
        if len(raw) not in (1, n):
            fail(f"{len(raw)} bytes for {of}")
        data = np.frombuffer(raw, np.uint8) != 0
    else:
        if len(raw) not in (dtype.itemsize, n * dtype.itemsize):
            fail(f"{len(raw)} bytes for {of}")
        data = np.frombuffer(raw, dtype)
    if len(data) == 1 and n != 1:
        return Dense(of, np.broadcast_to(data.reshape(()), shape))  # type: ignore[arg-type]
    return Dense(of, data.reshape(shape))  # type: ignore[arg-type]
