"""MLIR bytecode: sections of strings, attributes, types and operations, as portable StableHLO artifacts have them.

Strict and bounded: every count is checked against the bytes that are left, attributes are read when something refers to them, and
locations never. Source: https://mlir.llvm.org/docs/BytecodeFormat.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from ingot.interchange.stablehlo.module import StablehloError

__all__ = ["MAGIC", "Cursor", "Raw", "RawBlock", "RawOperation", "Sections", "is_bytecode"]

MAGIC = b"ML\xefR"
NEWEST = 6  # version of the container
DEPTH = 64  # regions within each other, and attributes
_STRING, _DIALECT, _ATTRIBUTES, _OFFSETS, _IR, _RESOURCE, _RESOURCE_OFFSETS, _VERSIONS, _PROPERTIES = range(9)
_HAS_ATTRS, _HAS_RESULTS, _HAS_OPERANDS, _HAS_SUCCESSORS, _HAS_REGIONS, _HAS_ORDERS, _HAS_PROPERTIES = (1 << i for i in range(7))


def is_bytecode(data: Any) -> bool:
    """Whether bytes begin as MLIR bytecode does."""
    return bytes(data[:4]) == MAGIC


class Cursor:
    """Bytes from `at` to `end`, read one after the other."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: memoryview, at: int, end: int):
        self.data, self.at, self.end = data, at, end

    def fail(self, message: str) -> NoReturn:
        raise StablehloError(f"byte {self.at}: {message}")

    def byte(self) -> int:
        if self.at >= self.end:
            self.fail("the bytes end in the middle of something")
        value = self.data[self.at]
        self.at += 1
        return value

    def varint(self) -> int:
        """An unsigned integer, whose first byte says by its lowest bits how many follow."""
        first = self.byte()
        if first & 1:
            return first >> 1
        more = 8 if not first else (first & -first).bit_length() - 1
        if self.end - self.at < more:
            self.fail("the bytes end in the middle of a number")
        rest = int.from_bytes(self.data[self.at : self.at + more], "little")
        self.at += more
        return rest if more == 8 else ((rest << 8) | first) >> (more + 1)

    def signed(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def flagged(self) -> tuple[int, bool]:
        """A number, and the flag in its lowest bit."""
        value = self.varint()
        return value >> 1, bool(value & 1)

    def count(self) -> int:
        """How many things follow, each of at least one byte."""
        n = self.varint()
        if n > self.end - self.at:
            self.fail(f"{n} things are announced, and {self.end - self.at} bytes are left")
        return n

    def take(self, n: int) -> memoryview:
        if n > self.end - self.at:
            self.fail(f"{n} bytes are announced, and {self.end - self.at} are left")
        self.at += n
        return self.data[self.at - n : self.at]

    def within(self, n: int) -> Cursor:
        """The next n bytes, on their own."""
        self.take(n)
        return Cursor(self.data, self.at - n, self.at)

    def text(self) -> str:
        """Up to a zero byte."""
        start = self.at
        while self.byte():
            pass
        return bytes(self.data[start : self.at - 1]).decode("utf-8", "replace")

    def section(self) -> tuple[int, Cursor]:
        kind = self.byte()
        n = self.varint()
        if kind & 128:
            align = self.varint()
            if align not in (1, 2, 4, 8, 16, 32, 64, 128, 256):
                self.fail(f"an alignment of {align}")
            while self.at % align:
                if self.byte() != 0xCB:
                    self.fail("something stands where bytes only align what follows")
        return kind & 127, self.within(n)


class Raw:
    """An attribute or type that is not read yet: whose it is, and where it stands."""

    __slots__ = ("at", "custom", "dialect", "done", "end", "value")

    def __init__(self, dialect: str, at: int, end: int, custom: bool):
        self.dialect, self.at, self.end, self.custom = dialect, at, end, custom
        self.done: bool | None = None  # None while nothing was done, False while it is being read
        self.value: Any = None


class RawOperation:
    """attrs, properties: an index of an attribute, and bytes; types of results: indices"""

    __slots__ = ("at", "attrs", "inputs", "isolated", "name", "properties", "regions", "results", "types")

    def __init__(self, name: str, at: int):
        self.name, self.at = name, at
        self.attrs: int | None = None
        self.properties: Cursor | None = None
        self.types: list[int] = []
        self.inputs: list[int] = []
        self.results = 0  # the number of the first one
        self.regions: list[list[RawBlock]] = []
        self.isolated = False  # its regions see no value from outside, and count their own from 0


class RawBlock:
    __slots__ = ("args", "first", "ops")

    def __init__(self) -> None:
        self.args: list[int] = []
        self.first = 0
        self.ops: list[RawOperation] = []


class Sections:
    """What a file holds, with its attributes and types unread.

    version: of the container; producer: who wrote it
    """

    def __init__(self, data: Any):
        view = memoryview(data).cast("B")
        c = Cursor(view, 0, len(view))
        if bytes(c.take(min(4, len(view)))) != MAGIC:
            c.at = 0
            c.fail("this is no MLIR bytecode")
        self.version = c.varint()
        if self.version > NEWEST:
            c.fail(f"bytecode of version {self.version}; up to {NEWEST} is read")
        self.producer = c.text()
        found: dict[int, Cursor] = {}
        while c.at < c.end:
            kind, body = c.section()
            if kind in found:
                body.fail(f"the section {kind} is there twice")
            found[kind] = body
        for kind in (_STRING, _DIALECT, _ATTRIBUTES, _OFFSETS, _IR):
            if kind not in found:
                c.fail(f"the section {kind} is missing")
        self.data = view
        self.strings = self._strings(found[_STRING])
        self.names = self._dialects(found[_DIALECT])
        self.attributes, self.types = self._offsets(found[_OFFSETS], found[_ATTRIBUTES])
        self.properties = self._properties(found.get(_PROPERTIES))
        self.ops = self._ir(found[_IR])

    def _strings(self, c: Cursor) -> list[str]:
        lengths = [c.varint() for _ in range(c.count())]
        if sum(lengths) != c.end - c.at or 0 in lengths:
            c.fail("the strings have other lengths than they should")
        at, out = c.end, []
        for n in lengths:  # the last string comes first
            at -= n
            out.append(bytes(c.data[at : at + n - 1]).decode("utf-8", "replace"))
        return out[::-1]

    def string(self, c: Cursor, i: int | None = None) -> str:
        i = c.varint() if i is None else i
        if i >= len(self.strings):
            c.fail(f"there is no string {i}")
        return self.strings[i]

    def _dialects(self, c: Cursor) -> list[str]:
        self.dialects = []
        for _ in range(c.count()):
            i, versioned = c.flagged() if self.version else (c.varint(), False)
            self.dialects.append(self.string(c, i))
            if versioned:
                c.section()
        if self.version >= 4:
            c.varint()  # how many names there are
        names: list[str] = []
        while c.at < c.end:
            dialect = self._dialect(c)
            for _ in range(c.count()):
                i = c.varint() >> 1 if self.version >= 5 else c.varint()
                names.append(f"{dialect}.{self.string(c, i)}")
        return names

    def _dialect(self, c: Cursor) -> str:
        i = c.varint()
        if i >= len(self.dialects):
            c.fail(f"there is no dialect {i}")
        return self.dialects[i]

    def _offsets(self, c: Cursor, body: Cursor) -> tuple[list[Raw], list[Raw]]:
        counts = c.varint(), c.varint()
        if sum(counts) > c.end - c.at:
            c.fail("more attributes are announced than there are")
        out: tuple[list[Raw], list[Raw]] = ([], [])
        at = body.at
        for entries, n in zip(out, counts):
            while len(entries) < n:
                dialect = self._dialect(c)
                for _ in range(c.count()):
                    size, custom = c.flagged()
                    if at + size > body.end or len(entries) == n:
                        c.fail("an attribute reaches beyond its section")
                    entries.append(Raw(dialect, at, at + size, custom))
                    at += size
        return out

    def _properties(self, c: Cursor | None) -> list[Cursor]:
        return [] if c is None else [c.within(c.varint()) for _ in range(c.count())]

    # ---- operations

    def _ir(self, c: Cursor) -> list[RawOperation]:
        (block,) = self._blocks(c, _Numbers(), 0, count=1)
        return block.ops

    def _region(self, c: Cursor, numbers: _Numbers, depth: int) -> list[RawBlock]:
        n = c.count()
        if not n:
            return []
        return self._blocks(c, numbers.inner(c.count()), depth, n)

    def _blocks(self, c: Cursor, numbers: _Numbers, depth: int, count: int) -> list[RawBlock]:
        if depth > DEPTH:
            c.fail(f"more than {DEPTH} regions within each other")
        out = []
        for _ in range(count):
            block = RawBlock()
            ops, has_args = c.flagged()
            if ops > c.end - c.at:
                c.fail(f"{ops} operations are announced, and {c.end - c.at} bytes are left")
            block.first = numbers.next
            if has_args:
                for _ in range(c.count()):
                    if self.version >= 4:
                        i, located = c.flagged()
                    else:
                        i, located = c.varint(), True
                    block.args.append(i)
                    if located:
                        c.varint()
                numbers.next += len(block.args)
                if self.version >= 3 and c.byte():
                    _orders(c, len(block.args))
            for _ in range(ops):
                block.ops.append(self._operation(c, numbers, depth))
            out.append(block)
        return out

    def _operation(self, c: Cursor, numbers: _Numbers, depth: int) -> RawOperation:
        at, i = c.at, c.varint()
        if i >= len(self.names):
            c.fail(f"there is no operation {i}")
        out = RawOperation(self.names[i], at)
        mask = c.byte()
        c.varint()  # the location
        if mask & _HAS_ATTRS:
            out.attrs = c.varint()
        if mask & _HAS_PROPERTIES:
            which = c.varint()
            if which >= len(self.properties):
                c.fail(f"there are no properties {which}")
            out.properties = self.properties[which]
        out.results = numbers.next
        if mask & _HAS_RESULTS:
            out.types = [c.varint() for _ in range(c.count())]
            numbers.next += len(out.types)
        if mask & _HAS_OPERANDS:
            out.inputs = [c.varint() for _ in range(c.count())]
        if mask & _HAS_SUCCESSORS:
            c.fail("successors are not read")
        if mask & _HAS_ORDERS:
            _orders(c, len(out.types))
        if mask & _HAS_REGIONS:
            n, isolated = c.flagged()
            out.isolated = isolated
            if n > c.end - c.at:
                c.fail(f"{n} regions are announced")
            body = c
            if isolated and self.version >= 2:  # all of them in a section of their own
                kind, body = c.section()
                if kind != _IR:
                    c.fail("a region is expected")
            out.regions = [self._region(body, _Numbers() if isolated else numbers, depth + 1) for _ in range(n)]
        return out

    def resolved(self, entries: list[Raw], i: int, c: Cursor, read: Callable[[Cursor, str], Any], depth: int) -> Any:
        """An attribute or type: read once, by `read`."""
        if i >= len(entries):
            c.fail(f"there is no attribute or type {i}")
        e = entries[i]
        if e.done is None:
            if depth > DEPTH:
                c.fail(f"more than {DEPTH} attributes within each other")
            if not e.custom:
                c.fail(f"attributes and types of the dialect {e.dialect} as text are not read")
            e.done = False
            e.value = read(Cursor(self.data, e.at, e.end), e.dialect)
            e.done = True
        elif not e.done:
            c.fail("an attribute is part of itself")
        return e.value


class _Numbers:
    """How values are numbered: within a region go on from what is around it, unless it sees nothing of that."""

    __slots__ = ("next", "size")

    def __init__(self, first: int = 0, size: int = 0):
        self.next, self.size = first, size

    def inner(self, count: int) -> _Numbers:
        return _Numbers(self.size, self.size + count)


def _orders(c: Cursor, results: int) -> None:
    """In what order uses are listed, which means nothing here."""
    for _ in range(c.count() if results > 1 else 1):
        if results > 1:
            c.varint()
        n, _ = c.flagged()
        if n > c.end - c.at:
            c.fail(f"{n} numbers are announced")
        for _ in range(n):
            c.varint()
