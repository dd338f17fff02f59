"""Protocol Buffers' wire format for messages that a table describes: strict, bounded in depth and memory, nothing copied that is large.

    class Point(Message):
        FIELDS = {1: "x int", 2: "tags string*"}

    decode(Point, data).x
    encode(Point(x=3))

Kinds are "int" (64 bits, signed), "float", "double", "string", "bytes", or the name of a class of messages; `*` makes a list of them,
and with `?` what is not there is None. Bytes stay views of what was read. Source: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

__all__ = ["Message", "WireError", "decode", "encode", "parts"]

DEPTH = 100  # messages within messages
MESSAGES = 1 << 23  # of one file
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIRES = {"int": _VARINT, "float": _FIXED32, "double": _FIXED64, "string": _BYTES, "bytes": _BYTES}
_DEFAULTS: dict[str, Any] = {"int": 0, "float": 0.0, "double": 0.0, "string": "", "bytes": b""}

M = TypeVar("M", bound="Message")


class WireError(ValueError):
    """What was read is no message of the kind that was asked for; the message says where."""


class _Field(NamedTuple):
    name: str
    kind: str
    mark: str  # "*", "?" or nothing

    def default(self) -> Any:
        return [] if self.mark == "*" else None if self.mark else _DEFAULTS.get(self.kind)


class Message:
    """A message: its fields by name; those that are not given are at their defaults (0, "", None for messages, [] for lists)."""

    FIELDS: ClassVar[Mapping[int, str]] = {}
    _table: ClassVar[dict[int, _Field]]
    _named: ClassVar[dict[str, _Field]]
    _plain: ClassVar[dict[str, Any]]  # defaults
    _lists: ClassVar[tuple[str, ...]]  # names of fields that begin as empty lists
    _classes: ClassVar[dict[str, type[Message]]] = {}

    def __init_subclass__(cls) -> None:
        cls._table = {}
        for number, text in cls.FIELDS.items():
            name, kind = text.split(" ")
            cls._table[number] = _Field(name, kind.rstrip("*?"), kind[-1] if kind[-1] in "*?" else "")
        cls._named = {f.name: f for f in cls._table.values()}
        cls._plain = {f.name: f.default() for f in cls._table.values() if f.mark != "*"}
        cls._lists = tuple(f.name for f in cls._table.values() if f.mark == "*")
        Message._classes[cls.__name__] = cls

    def __init__(self, **fields: Any):
        state = self.__dict__
        state.update(self._plain)
        for name in self._lists:
            state[name] = []
        if fields:
            if unknown := fields.keys() - self._named.keys():
                raise TypeError(f"{type(self).__name__} has no {', '.join(unknown)}")
            state.update(fields)

    def __repr__(self) -> str:
        shown = (f"{n}={getattr(self, n)!r}" for n, f in self._named.items() if getattr(self, n) != f.default())
        return f"{type(self).__name__}({', '.join(shown)})"


class _Reader:
    def __init__(self, data: memoryview):
        self.data = data
        self.left = MESSAGES

    def varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            if at >= end:
                raise WireError(f"a number is cut off at byte {at}")
            byte = self.data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value & 0xFFFFFFFFFFFFFFFF, at
            shift += 7
            if shift > 63:
                raise WireError(f"a number of more than ten bytes at byte {at}")

    def message(self, cls: type[M], at: int, end: int, depth: int) -> M:
        self.left -= 1
        if depth > DEPTH or self.left < 0:
            raise WireError("messages are nested too deep" if depth > DEPTH else f"more than {MESSAGES} messages")
        out = cls()
        table, data = cls._table, self.data
        while at < end:
            tag = data[at]
            if tag < 128:  # in nearly all of them
                at += 1
            else:
                tag, at = self.varint(at, end)
            number, wire = tag >> 3, tag & 7
            if not 0 < number < 1 << 29:
                raise WireError(f"a field with the number {number} at byte {at}")
            start = at
            if wire == _VARINT:
                value, at = self.varint(at, end)
                stop = at
            elif wire == _BYTES:
                if at < end and data[at] < 128:
                    n, start = data[at], at + 1
                else:
                    n, start = self.varint(at, end)
                stop = at = start + n
            elif wire in (_FIXED32, _FIXED64):
                value, stop = 0, at + (4 if wire == _FIXED32 else 8)
                at = stop
            else:
                raise WireError(f"a field of wire type {wire} at byte {at}")
            if at > end:
                raise WireError(f"field {number} of {cls.__name__} reaches beyond its message at byte {start}")
            known = table.get(number)
            if known is None:
                continue  # of a newer version
            name, kind, mark = known
            expected = _WIRES.get(kind, _BYTES)
            if wire != expected:
                if mark == "*" and wire == _BYTES:
                    getattr(out, name).extend(self.packed(kind, start, stop))
                    continue
                raise WireError(f"{cls.__name__}.{name} has wire type {wire} at byte {start}")
            item: Any
            if kind == "int":
                item = value - (1 << 64) if value >> 63 else value
            elif kind == "string":
                item = self.text(start, stop, cls, name)
            elif kind == "bytes":
                item = self.data[start:stop]
            elif kind in ("float", "double"):
                item = struct.unpack("<f" if kind == "float" else "<d", self.data[start:stop])[0]
            else:
                item = self.message(Message._classes[kind], start, stop, depth + 1)
            if mark == "*":
                getattr(out, name).append(item)
            else:
                setattr(out, name, item)
        return out

    def text(self, start: int, stop: int, cls: type, name: str) -> str:
        try:
            return str(self.data[start:stop], "utf-8")
        except UnicodeDecodeError:
            raise WireError(f"{cls.__name__}.{name} is no UTF-8 text at byte {start}") from None

    def packed(self, kind: str, start: int, stop: int) -> list[Any]:
        data = np.frombuffer(self.data[start:stop], np.uint8)
        if kind != "int":
            size = 4 if kind == "float" else 8
            if len(data) % size:
                raise WireError(f"packed numbers are cut off at byte {stop}")
            return data.view(f"<f{size}").tolist()
        ends = np.flatnonzero(data < 128)
        if len(data) and (not len(ends) or ends[-1] != len(data) - 1):
            raise WireError(f"packed numbers are cut off at byte {stop}")
        begins = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
        lengths = ends - begins + 1
        if len(ends) and lengths.max() > 10:
            raise WireError(f"a packed number of more than ten bytes before byte {stop}")
        values = np.zeros(len(ends), np.uint64)
        for k in range(int(lengths.max()) if len(ends) else 0):
            has = lengths > k
            values[has] |= (data[begins[has] + k].astype(np.uint64) & np.uint64(127)) << np.uint64(7 * k)
        return values.view(np.int64).tolist()


def decode(cls: type[M], data: Any) -> M:
    """The message of class `cls` in a buffer. WireError where it is none; fields that the class does not know are left out."""
    view = memoryview(data).cast("B")
    return _Reader(view).message(cls, 0, len(view), 0)


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def parts(message: Message) -> tuple[list[Any], int]:
    """The message's bytes as a list of buffers, and how many they are: what is large is not copied."""
    out: list[Any] = []
    for number, field in message._table.items():
        value = getattr(message, field.name)
        wire = _WIRES.get(field.kind, _BYTES)
        if field.mark != "*":
            if value is not None and (field.mark or field.kind not in _DEFAULTS or len(value) if wire == _BYTES else field.mark or value):
                out += _field(number, field.kind, wire, value)
        elif wire == _BYTES:
            for item in value:
                out += _field(number, field.kind, wire, item)
        elif len(value):
            if field.kind == "int":
                body = b"".join([_varint(int(v)) for v in value])
            else:
                body = np.asarray(value, "<f4" if field.kind == "float" else "<f8").tobytes()
            out += (_varint(number << 3 | _BYTES), _varint(len(body)), body)
    return out, sum(map(len, out))


def _field(number: int, kind: str, wire: int, item: Any) -> list[Any]:
    tag = _varint(number << 3 | wire)
    if kind == "int":
        return [tag, _varint(int(item))]
    if wire != _BYTES:
        return [tag, struct.pack("<f" if kind == "float" else "<d", item)]
    if isinstance(item, Message):
        inner, n = parts(item)
        return [tag, _varint(n), *inner]
    body = item.encode() if isinstance(item, str) else memoryview(item).cast("B")
    return [tag, _varint(len(body)), body]


def encode(message: Message) -> bytes:
    """The message's bytes. struct.error or OverflowError for numbers that its fields cannot hold."""
    return b"".join(parts(message)[0])
