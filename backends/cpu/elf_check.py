"""Whether bytes are a shared object as the linker (`elf.py`) writes them, found out without mapping them.

    check(code, "x86_64", ["ingot_entry"])      # SharedObjectError says what is wrong

The system's loader trusts what it is given: it follows offsets out of the file, walks hash chains in circles, and runs what a
file names as its initialiser. So everything that it will look at is checked here first: headers, segments and their rights, the
dynamic section, symbols and how they are found, relocations. Of the instructions nothing can be said.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from ingot.backends.cpu import elf_object as o
from ingot.backends.cpu.elf import IMPORTS, symbol_hash
from ingot.backends.cpu.elf_object import Machine

__all__ = ["SharedObjectError", "check", "section_at"]

_LIBRARY = "libc.so.6"
_SYMBOLS = 4096  # more than any executable has
_END = 1 << 31  # addresses lie below it, as the linker promises
_MACHINES = {"x86_64": o.X86_64, "aarch64": o.AARCH64}


class SharedObjectError(ValueError):
    """Bytes that are no shared object of Ingot's; the message says why."""


class _Segment(NamedTuple):
    kind: int
    flags: int
    offset: int
    address: int
    physical: int
    filled: int
    size: int
    align: int

    @property
    def end(self) -> int:
        return self.address + self.size

    def holds(self, address: int, size: int, filled: bool = False) -> bool:
        return self.address <= address and address + size <= self.address + (self.filled if filled else self.size)


def check(code: bytes | memoryview, architecture: str, exports: Sequence[str]) -> None:
    """Check that `code` is a shared object for `architecture` that exports exactly the functions named in `exports`."""
    machine = _MACHINES.get(architecture)
    if machine is None:
        raise SharedObjectError(f"no code for {architecture!r} is known")
    _Check(bytes(code), machine, sorted(exports)).run()


class _Check:
    """One object under examination: each step relies on what the steps before it have found right."""

    def __init__(self, data: bytes, machine: Machine, exports: list[str]):
        self.data = data
        self.machine = machine
        self.exports = exports

    def run(self) -> None:
        self.header()
        self.segments()
        self.sections()
        self.dynamic()
        self.symbols()
        self.hash_table()
        self.relocations()

    def at(self, form: struct.Struct, offset: int, what: str) -> tuple[Any, ...]:
        if offset + form.size > len(self.data):
            raise SharedObjectError(f"{what} lies outside the code")
        return form.unpack_from(self.data, offset)

    def header(self) -> None:
        head = self.at(o.EHDR, 0, "the ELF header")
        ident, kind, number, version, entry, phoff, self.shoff, flags, size, phsize, phnum, shsize, self.shnum, shstrndx = head
        if ident != b"\x7fELF\x02\x01\x01" + bytes(9):
            raise SharedObjectError("the code is no ELF file")
        if number != self.machine.number:
            raise SharedObjectError(f"the code is for ELF machine {number}, its target is {self.machine.name} ({self.machine.number})")
        if (kind, version, entry, flags) != (3, 1, 0, 0):
            raise SharedObjectError("the code is no shared object of Ingot's (its ELF header says otherwise)")
        if (phoff, size, phsize, phnum, shsize) != (o.EHDR.size, o.EHDR.size, o.PHDR.size, 6, o.SHDR.size) or shstrndx != self.shnum - 1:
            raise SharedObjectError("the ELF header is not laid out as Ingot's linker does")

    def segments(self) -> None:
        found = [_Segment(*self.at(o.PHDR, o.EHDR.size + i * o.PHDR.size, "a program header")) for i in range(6)]
        R, RX, RW = o.PF_R, o.PF_R | o.PF_X, o.PF_R | o.PF_W
        wanted = ((o.PT_LOAD, R), (o.PT_LOAD, RX), (o.PT_LOAD, RW), (o.PT_DYNAMIC, RW), (o.PT_GNU_RELRO, R), (o.PT_GNU_STACK, RW))
        for s in found:
            if s.flags & o.PF_W and s.flags & o.PF_X:
                raise SharedObjectError("a segment is both writable and executable")
        if [(s.kind, s.flags) for s in found] != list(wanted):
            raise SharedObjectError("the segments are not those that Ingot's linker makes")
        page, end = self.machine.page, 0
        for i, s in enumerate(found[:3]):
            if s.offset + s.filled > len(self.data) or s.filled > s.size or (s.flags != RW and s.filled != s.size):
                raise SharedObjectError(f"segment {i} reaches beyond the code")
            if s.align != page or (s.address - s.offset) % page or s.address != s.physical or not 0 < s.size or s.end >= _END:
                raise SharedObjectError(f"segment {i} does not lie where it can be mapped")
            if s.address // page * page < end or (i == 0 and (s.offset or s.address)):
                raise SharedObjectError(f"segment {i} overlaps another")
            end = s.end
        self.read, self.code, self.write, self.dyn, relro, stack = found
        if (relro.address, relro.offset) != (self.write.address, self.write.offset) or relro.size > self.write.size:
            raise SharedObjectError("what becomes read-only is not the beginning of the writable segment")
        inside = self.write.holds(self.dyn.address, self.dyn.size, filled=True)
        if not inside or self.dyn.address - self.dyn.offset != self.write.address - self.write.offset or self.dyn.size != self.dyn.filled:
            raise SharedObjectError("the dynamic section lies outside the writable segment")
        if stack.size or stack.filled:
            raise SharedObjectError("the header of the stack has a size")

    def sections(self) -> None:
        """Nobody needs them but tools such as objdump."""
        if self.shoff + self.shnum * o.SHDR.size != len(self.data):
            raise SharedObjectError("the section headers do not end the code")
        for i in range(self.shnum):
            _, kind, _, _, offset, size, *_ = self.at(o.SHDR, self.shoff + i * o.SHDR.size, "a section header")
            if kind not in (o.SHT_NULL, o.SHT_NOBITS) and offset + size > len(self.data):
                raise SharedObjectError(f"section {i} lies outside the code")

    def dynamic(self) -> None:
        wanted = (
            o.DT_NEEDED, o.DT_HASH, o.DT_STRTAB, o.DT_SYMTAB, o.DT_STRSZ, o.DT_SYMENT, o.DT_RELA, o.DT_RELASZ, o.DT_RELAENT,
            o.DT_RELACOUNT, o.DT_FLAGS, o.DT_FLAGS_1, o.DT_NULL,
        )  # fmt: skip
        if self.dyn.size != len(wanted) * o.DYN.size:
            raise SharedObjectError("the dynamic section has not the entries that Ingot's linker writes")
        pairs = [self.at(o.DYN, self.dyn.offset + i * o.DYN.size, "the dynamic section") for i in range(len(wanted))]
        for (tag, _), want in zip(pairs, wanted):
            if tag != want:
                raise SharedObjectError(f"the dynamic section has an entry {tag:#x} that Ingot's linker never writes there")
        self.tags = dict(pairs)
        fixed = {o.DT_SYMENT: o.SYM.size, o.DT_RELAENT: o.RELA.size, o.DT_FLAGS: 8, o.DT_FLAGS_1: 1, o.DT_NULL: 0}
        if any(self.tags[tag] != value for tag, value in fixed.items()):
            raise SharedObjectError("the dynamic section asks for another way of loading")
        self.strings = self.table(o.DT_STRTAB, self.tags[o.DT_STRSZ], 1, "the string table")
        if not self.strings.endswith(b"\0"):
            raise SharedObjectError("the string table does not end")
        needed = self.string(self.tags[o.DT_NEEDED])
        if needed != _LIBRARY:
            raise SharedObjectError(f"the code needs the library {needed!r}; only {_LIBRARY} is allowed")

    def table(self, tag: int, size: int, align: int, what: str) -> bytes:
        """A table that the loader reads: it must lie behind the headers in the first segment, where addresses are offsets."""
        start, least = self.tags[tag], o.EHDR.size + 6 * o.PHDR.size
        if start < least or start % align or not self.read.holds(start, size):
            raise SharedObjectError(f"{what} lies outside the read-only segment")
        return self.data[start : start + size]

    def string(self, offset: int) -> str:
        end = self.strings.find(b"\0", offset) if offset < len(self.strings) else -1
        if end < 0:
            raise SharedObjectError("a name lies outside the string table")
        return self.strings[offset:end].decode("ascii", "backslashreplace")

    def symbols(self) -> None:
        _, count = struct.unpack("<2I", self.table(o.DT_HASH, 8, 4, "the symbols' hash table"))
        if not 1 < count <= _SYMBOLS:
            raise SharedObjectError(f"the code has {count} symbols")
        records = list(o.SYM.iter_unpack(self.table(o.DT_SYMTAB, o.SYM.size * count, 8, "the symbol table")))
        if records[0] != (0, 0, 0, 0, 0, 0):
            raise SharedObjectError("the symbol table does not begin as it must")
        self.names: list[str] = [""]
        self.imports: set[int] = set()
        for i, (name_at, info, other, section, value, size) in enumerate(records[1:], 1):
            name = self.string(name_at)
            if name in self.names:
                raise SharedObjectError(f"the symbol {name!r} is there twice")
            self.names.append(name)
            if info != o.STB_GLOBAL << 4 | o.STT_FUNC or other:
                raise SharedObjectError(f"the symbol {name!r} is no plain function")
            if section == 0:
                if name not in IMPORTS or value or size:
                    raise SharedObjectError(f"the code imports {name!r}, which is not one of the functions that it may import")
                self.imports.add(i)
            elif section >= self.shnum or not self.code.holds(value, max(size, 1)):
                raise SharedObjectError(f"the function {name!r} lies outside the executable segment")
        exported = sorted(name for i, name in enumerate(self.names) if i and i not in self.imports)
        if exported != self.exports:
            raise SharedObjectError(f"the code exports {', '.join(exported)}; expected is {', '.join(self.exports)}")

    def hash_table(self) -> None:
        buckets, count = struct.unpack("<2I", self.table(o.DT_HASH, 8, 4, "the symbols' hash table"))
        if not 0 < buckets <= count:
            raise SharedObjectError(f"the symbols' hash table has {buckets} buckets for {count} symbols")
        words = struct.unpack(f"<{2 + buckets + count}I", self.table(o.DT_HASH, 4 * (2 + buckets + count), 4, "the symbols' hash table"))
        heads, chains = words[2 : 2 + buckets], words[2 + buckets :]
        found: set[tuple[int, str]] = set()
        for bucket, i in enumerate(heads):
            for _ in range(count):
                if i == 0 or i >= count:
                    break
                found.add((bucket, self.names[i]))
                i = chains[i]
            if i != 0:
                raise SharedObjectError("the symbols' hash table runs in a circle or out of the symbols")
        for name in self.exports:
            if (symbol_hash(name) % buckets, name) not in found:
                raise SharedObjectError(f"the symbols' hash table does not lead to {name!r}")

    def relocations(self) -> None:
        machine = self.machine
        size, relative = self.tags[o.DT_RELASZ], self.tags[o.DT_RELACOUNT]
        if size % o.RELA.size or relative > size // o.RELA.size:
            raise SharedObjectError("the relocations are no whole records")
        records = o.RELA.iter_unpack(self.table(o.DT_RELA, size, 8, "the relocations"))
        for i, (where, info, addend) in enumerate(records):
            kind, symbol = info & 0xFFFFFFFF, info >> 32
            if where < self.dyn.end or not self.write.holds(where, 8, filled=True):
                raise SharedObjectError(f"relocation {i} is not of an address in the writable segment")
            if i < relative:
                if kind != machine.relative or symbol or not any(s.holds(addend, 0) for s in (self.read, self.code, self.write)):
                    raise SharedObjectError(f"relocation {i} is not of a kind that Ingot's linker writes")
            elif kind not in (machine.glob_dat, machine.abs64) or symbol not in self.imports or (kind == machine.glob_dat and addend):
                raise SharedObjectError(f"relocation {i} is not of a kind that Ingot's linker writes")


def section_at(code: bytes | memoryview, offset: int) -> str:
    """The name of the section of a shared object that the byte at `offset` belongs to; empty where none does."""
    try:
        *_, shoff, _, _, _, _, _, count, names_at = o.EHDR.unpack_from(code)
        headers = [o.SHDR.unpack_from(code, shoff + i * o.SHDR.size) for i in range(count)]
        names = bytes(code[headers[names_at][4] :][: headers[names_at][5]])
        for name, kind, _, _, start, size, *_ in headers:
            if kind not in (o.SHT_NULL, o.SHT_NOBITS) and start <= offset < start + size:
                return names[name:].split(b"\0")[0].decode("ascii", "replace")
    except (ValueError, IndexError, OverflowError, struct.error):
        pass
    return ""
