"""A piece: the code of one object, laid out once, so that shared objects are put together from many pieces in microseconds each.

    data = piece(codegen.object_code(text, level), arena=Need(0), worker=Need(4096))     # kept as it is
    found = read(data)
    elf.link_all([found.object(), ...], ["ingot_entry"])

A shared object tells its pieces, in a section that is not loaded: `pieces_of` takes them out again, for other shared objects.

Constants follow the code, and what points from one to the other within a piece is settled when the piece is made; left to the linker
are the functions of other pieces and of libc, and on AArch64 what depends on where pages begin. The same object gives the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from ingot.backends.cpu import elf_object as o
from ingot.backends.cpu.elf_object import LinkError, Object, Rule, Section, Symbol
from ingot.ir.struct import value_type

__all__ = ["NAME_BYTES", "SECTION", "Need", "Piece", "piece", "pieces_of", "read", "section"]

_MAGIC = b"INGOT.PC"
_HEAD = struct.Struct("<8sHHIIIIIIQQ")  # magic, machine, alignment, how many of what follows, and bytes of arena and worker
_COUNTED = struct.Struct("<II")  # parameter, item size
_SYMBOL = struct.Struct("<III")  # name, offset, size
_RELOCATION = struct.Struct("<IIIq")  # offset, type, name (or _SELF), addend
_SELF = 0xFFFFFFFF  # the piece itself
_ALIGN = 64
SECTION = ".ingot.pieces"
NAME_BYTES = 32  # of the name that a piece is found by again: a digest
_PLACE = struct.Struct(f"<{NAME_BYTES}sQI4x")  # name, address of the code, bytes of what stands before the code in a piece


@value_type
class Need:
    """Scratch that code needs: bytes, and as many items as a parameter says, by the parameter's number and the item's size, each
    rounded up to 64 bytes."""

    nbytes: int = 0
    counted: tuple[tuple[int, int], ...] = ()


_NOTHING = Need()


@value_type
class Piece:
    """A piece, read. `symbols`: name, offset and size of what it defines. `relocations`: offset, type, name (None: itself), addend.

    arena, worker: the scratch that the code needs of a call, and of each worker.
    """

    machine: o.Machine
    align: int
    head: bytes  # all of it that stands before the code
    code: bytes
    symbols: tuple[tuple[str, int, int], ...]
    relocations: tuple[tuple[int, Rule, str | None, int], ...]
    arena: Need
    worker: Need

    def object(self, names: Mapping[str, str] | None = None) -> Object:
        """The piece as the linker takes it. `names`: others for some of the symbols it defines."""
        names = names or {}
        size = len(self.code)
        text = Section(".text", o.SHT_PROGBITS, o.SHF_ALLOC | o.SHF_EXECINSTR, size, 0, 0, self.align, bytearray(self.code))
        own = Symbol("", o.STB_LOCAL, o.STT_NOTYPE, 1, 0, 0)
        defined = [Symbol(names.get(n, n), o.STB_GLOBAL, o.STT_FUNC, 1, at, size) for n, at, size in self.symbols]
        needed: dict[str, Symbol] = {}
        relocations = []
        for at, rule, name, addend in self.relocations:
            symbol = own
            if name is not None:
                symbol = needed.get(name) or needed.setdefault(name, Symbol(name, o.STB_GLOBAL, o.STT_NOTYPE, 0, 0, 0))
            relocations.append((text, at, rule, symbol, addend))
        return Object(self.machine, [o.NO_SECTION, text], [*defined, *needed.values()], relocations)


def piece(object: bytes, arena: Need = _NOTHING, worker: Need = _NOTHING) -> bytes:
    """The piece made of a relocatable `object` of LLVM's. LinkError where it holds what is not supported, writable data among it."""
    source = o.read(bytes(object))
    kept = [s for s in source.sections if o.kept(s) and s.size]
    code = bytearray()
    align = _ALIGN
    for s in sorted(kept, key=lambda s: not s.flags & o.SHF_EXECINSTR):
        if s.flags & o.SHF_WRITE or s.type == o.SHT_NOBITS:
            raise LinkError(f"a piece of code has writable data ({s.name})")
        code += bytes(-len(code) % s.align)
        s.address = len(code)
        code += s.data
        align = max(align, s.align)
    names: dict[str, int] = {}
    relocations = []
    for place, offset, rule, symbol, addend in source.relocations:
        assert place.address is not None
        at = place.address + offset
        if rule.target not in ("pc", "call", "page", "low") and not (symbol.section == 0 and rule.target.startswith("got")):
            raise LinkError(f"{rule.name} against {symbol.name!r} cannot stand in a piece of code")
        if symbol.section == 0:
            relocations.append((at, rule.number, names.setdefault(symbol.name, len(names)), addend))
            continue
        home = None if symbol.section >= 0xFF00 else source.sections[symbol.section].address
        if home is None:
            raise LinkError(f"symbol {symbol.name!r} lies in a section that is not part of the program")
        target = home + symbol.value + addend
        if rule.target in ("pc", "call"):
            rule.patch(code, at, target - at)
        else:
            relocations.append((at, rule.number, _SELF, target))
    symbols = []
    for symbol in source.symbols:
        if symbol.bind != o.STB_LOCAL and 0 < symbol.section < 0xFF00:
            home = source.sections[symbol.section].address
            if home is None:
                raise LinkError(f"symbol {symbol.name!r} lies in a section that is not part of the program")
            symbols.append((names.setdefault(symbol.name, len(names)), home + symbol.value, symbol.size))
    text = b"".join(n.encode() + b"\0" for n in names)
    counts = len(code), len(symbols), len(relocations), len(text), len(arena.counted), len(worker.counted)
    parts = [_HEAD.pack(_MAGIC, source.machine.number, align, *counts, arena.nbytes, worker.nbytes)]
    parts += [_SYMBOL.pack(*s) for s in symbols]
    parts += [_RELOCATION.pack(*r) for r in relocations]
    parts += [_COUNTED.pack(*c) for c in (*arena.counted, *worker.counted)]
    return b"".join([*parts, text, code])


def read(data: bytes | memoryview) -> Piece:
    """Read and check a piece. LinkError where it is malformed."""
    data = bytes(data)
    if len(data) < _HEAD.size:
        raise LinkError("malformed piece: it ends within its head")
    magic, number, align, size, n_symbols, n_relocations, n_text, n_arena, n_worker, arena, worker = _HEAD.unpack_from(data)
    machine = o.MACHINES.get(number)
    if magic != _MAGIC or machine is None or align & (align - 1) or not _ALIGN <= align <= o.FILE_PAGE:
        raise LinkError("malformed piece: its head makes no sense")
    symbols_end = _HEAD.size + n_symbols * _SYMBOL.size
    relocations_end = symbols_end + n_relocations * _RELOCATION.size
    counted_end = relocations_end + (n_arena + n_worker) * _COUNTED.size
    if counted_end + n_text + size != len(data) or max(arena, worker) >= 1 << 47:
        raise LinkError("malformed piece: its parts do not make up the whole")
    counted = tuple(_COUNTED.iter_unpack(data[relocations_end:counted_end]))
    try:
        names = data[counted_end : counted_end + n_text].decode("ascii").split("\0")[:-1]
    except UnicodeDecodeError:
        raise LinkError("malformed piece: its names are no text") from None
    symbols = []
    for name, at, length in _SYMBOL.iter_unpack(data[_HEAD.size : symbols_end]):
        if name >= len(names) or at + length > size:
            raise LinkError("malformed piece: a symbol lies outside its code")
        symbols.append((names[name], at, length))
    relocations = []
    for at, kind, name, addend in _RELOCATION.iter_unpack(data[symbols_end:relocations_end]):
        rule = machine.rules.get(kind)
        if rule is None or at + rule.size > size or name != _SELF and name >= len(names):
            raise LinkError("malformed piece: a relocation makes no sense")
        relocations.append((at, rule, None if name == _SELF else names[name], addend))
    code_at = counted_end + n_text
    needs = Need(arena, counted[:n_arena]), Need(worker, counted[n_arena:])
    return Piece(machine, align, data[:code_at], data[code_at:], tuple(symbols), tuple(relocations), *needs)


def section(pieces: Sequence[tuple[bytes, Piece, int]]) -> bytes:
    """What the section says of pieces: their names, what they are, and the address of the code of each."""
    return b"".join(_PLACE.pack(name, at, len(p.head)) + p.head + bytes(-len(p.head) % 8) for name, p, at in pieces)


def pieces_of(code: bytes | memoryview) -> dict[bytes, bytes]:
    """The pieces that a shared object tells, by name. LinkError where it is malformed.

    What the linker settled stays settled in them, and is settled again where they are used.
    """
    found: dict[bytes, bytes] = {}
    told, text = o.section(code, SECTION), o.section(code, ".text")
    if told is None:
        return found
    if text is None:
        raise LinkError("malformed shared object: it tells of pieces and has no code")
    (start, size, _), (text_at, text_size, text_address) = told, text
    at = start
    while at < start + size:
        if at + _PLACE.size > start + size:
            raise LinkError("malformed shared object: its pieces end within a record")
        name, where, length = _PLACE.unpack_from(code, at)
        at += _PLACE.size
        if at + length > start + size or length < _HEAD.size:
            raise LinkError("malformed shared object: the head of a piece ends too late")
        head = bytes(code[at : at + length])
        n = _HEAD.unpack_from(head)[3]
        if not text_address <= where <= where + n <= text_address + text_size:
            raise LinkError("malformed shared object: a piece lies outside its code")
        begin = where - text_address + text_at
        found[name] = head + bytes(code[begin : begin + n])
        at += length + -length % 8
    return found
