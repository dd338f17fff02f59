"""Relocatable ELF objects as the linker (`elf.py`) needs them: constants, what each relocation means, reading and checking.

Only what LLVM emits for position-independent code in the small code model is known here; anything else, and anything
malformed, raises LinkError.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from ingot.ir import struct as structs
from ingot.ir.struct import value_type


class LinkError(RuntimeError):
    """The object holds something the linker refuses, or is malformed."""


# -- ELF constants (System V gABI and the psABI supplements) -----------------------------------------------------------

SHT_NULL, SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_RELA = 0, 1, 2, 3, 4
SHT_HASH, SHT_DYNAMIC, SHT_NOBITS, SHT_REL, SHT_DYNSYM = 5, 6, 8, 9, 11
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR, SHF_INFO_LINK, SHF_TLS = 1, 2, 4, 0x40, 0x400
SHN_ABS, SHN_COMMON = 0xFFF1, 0xFFF2
STB_LOCAL, STB_GLOBAL, STT_NOTYPE, STT_FUNC, STT_TLS, STT_GNU_IFUNC = 0, 1, 0, 2, 6, 10
PT_LOAD, PT_DYNAMIC, PT_GNU_STACK, PT_GNU_RELRO = 1, 2, 0x6474E551, 0x6474E552
PF_X, PF_W, PF_R = 1, 2, 4
DT_NULL, DT_NEEDED, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_RELA, DT_RELASZ, DT_RELAENT, DT_STRSZ, DT_SYMENT = 0, 1, 4, 5, 6, 7, 8, 9, 10, 11
DT_FLAGS, DT_RELACOUNT, DT_FLAGS_1 = 30, 0x6FFFFFF9, 0x6FFFFFFB

EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")
SHDR = struct.Struct("<IIQQQQIIQQ")
SYM = struct.Struct("<IBBHQQ")
RELA = struct.Struct("<QQq")
DYN = struct.Struct("<qQ")

FILE_PAGE = 4096  # segments start at multiples of this in the file


# -- relocations: how each changes the bytes at its place --------------------------------------------------------------
# A rule gets (bytes of the section, offset, value) and patches. `target` says what the value is computed from:
#   "pc" symbol + addend - place        "call" the same, an imported function being reached through its stub
#   "got" the symbol's GOT slot + addend - place         "abs" symbol + addend, bound by the loader (writable data only)
#   "page", "low" 4 KiB page difference and low 12 bits of symbol + addend     "gotpage", "gotlow" of the GOT slot


def _signed(bits: int) -> Callable[[bytearray, int, int], None]:
    size, low, high = bits // 8, -(1 << (bits - 1)), 1 << (bits - 1)

    def patch(data: bytearray, at: int, value: int) -> None:
        if not low <= value < high:
            raise LinkError(f"a {bits}-bit relocation does not reach its target ({value:#x})")
        data[at : at + size] = value.to_bytes(size, "little", signed=True)

    return patch


def _field(shift: int, bits: int, scale: int, signed: bool) -> Callable[[bytearray, int, int], None]:
    """An immediate of a 32-bit instruction: value >> scale in `bits` bits from bit `shift`."""
    mask = (1 << bits) - 1

    def patch(data: bytearray, at: int, value: int) -> None:
        if value & ((1 << scale) - 1):
            raise LinkError(f"a relocation's target is not aligned to {1 << scale} bytes ({value:#x})")
        if signed and not -(1 << (bits + scale - 1)) <= value < 1 << (bits + scale - 1):
            raise LinkError(f"a relocation does not reach its target ({value:#x})")
        word = int.from_bytes(data[at : at + 4], "little") & ~(mask << shift)
        data[at : at + 4] = (word | ((value >> scale) & mask) << shift).to_bytes(4, "little")

    return patch


def _adrp(data: bytearray, at: int, value: int) -> None:
    pages = value >> 12
    if not -(1 << 20) <= pages < 1 << 20:
        raise LinkError(f"an ADRP relocation does not reach its target ({value:#x})")
    word = int.from_bytes(data[at : at + 4], "little") & 0x9F00001F
    data[at : at + 4] = (word | (pages & 3) << 29 | ((pages >> 2) & 0x7FFFF) << 5).to_bytes(4, "little")


@value_type
class Rule:
    """What a type of relocation means."""

    number: int
    name: str
    target: str
    size: int  # bytes patched
    patch: Callable[[bytearray, int, int], None]


def _x86_stub(at: int, slot: int) -> bytes:
    return b"\xff\x25" + struct.pack("<i", slot - at - 6) + b"\xcc" * 10  # jmp *slot(%rip)


def _arm_stub(at: int, slot: int) -> bytes:
    code = bytearray(struct.pack("<4I", 0x90000010, 0xF9400211, 0xD61F0220, 0xD503201F))  # adrp x16; ldr x17, [x16]; br x17; nop
    _adrp(code, 0, (slot & ~0xFFF) - (at & ~0xFFF))
    _field(10, 12, 3, False)(code, 4, slot & 0xFFF)
    return bytes(code)


@value_type
class Machine:
    """What differs between the machines."""

    name: str
    number: int
    page: int  # the largest page the loader may use
    relative: int  # dynamic relocation types
    glob_dat: int
    abs64: int
    stub: Callable[[int, int], bytes]
    rules: dict[int, Rule]


_LO12 = {277: 0, 278: 0, 284: 1, 285: 2, 286: 3, 299: 4}  # ADD and LDST8..128: how the immediate is scaled
X86_64 = Machine("x86-64", 62, 0x1000, 8, 6, 1, _x86_stub, {
    1: Rule(1, "R_X86_64_64", "abs", 8, _signed(64)),
    2: Rule(2, "R_X86_64_PC32", "pc", 4, _signed(32)),
    4: Rule(4, "R_X86_64_PLT32", "call", 4, _signed(32)),
    9: Rule(9, "R_X86_64_GOTPCREL", "got", 4, _signed(32)),
    24: Rule(24, "R_X86_64_PC64", "pc", 8, _signed(64)),
    41: Rule(41, "R_X86_64_GOTPCRELX", "got", 4, _signed(32)),
    42: Rule(42, "R_X86_64_REX_GOTPCRELX", "got", 4, _signed(32)),
})  # fmt: skip
AARCH64 = Machine("AArch64", 183, 0x10000, 1027, 1025, 257, _arm_stub, {
    257: Rule(257, "R_AARCH64_ABS64", "abs", 8, _signed(64)),
    260: Rule(260, "R_AARCH64_PREL64", "pc", 8, _signed(64)),
    261: Rule(261, "R_AARCH64_PREL32", "pc", 4, _signed(32)),
    275: Rule(275, "R_AARCH64_ADR_PREL_PG_HI21", "page", 4, _adrp),
    282: Rule(282, "R_AARCH64_JUMP26", "call", 4, _field(0, 26, 2, True)),
    283: Rule(283, "R_AARCH64_CALL26", "call", 4, _field(0, 26, 2, True)),
    311: Rule(311, "R_AARCH64_ADR_GOT_PAGE", "gotpage", 4, _adrp),
    312: Rule(312, "R_AARCH64_LD64_GOT_LO12_NC", "gotlow", 4, _field(10, 12, 3, False)),
    **{number: Rule(number, f"R_AARCH64 LO12 ({number})", "low", 4, _field(10, 12, scale, False)) for number, scale in _LO12.items()},
})  # fmt: skip
MACHINES = {m.number: m for m in (X86_64, AARCH64)}


# -- reading the object ------------------------------------------------------------------------------------------------


@structs.struct
class Section:
    """A section of the object. Its data is patched in place when it is relocated."""

    name: str
    type: int
    flags: int
    size: int
    link: int
    info: int
    align: int
    data: bytearray  # empty for .bss
    address: int | None = None  # where it was placed; None where it is dropped


NO_SECTION = Section("", SHT_NULL, 0, 0, 0, 0, 1, bytearray())  # what number 0 means: of symbols, that another object defines them


@value_type
class Symbol:
    """A symbol of the object. `section` 0: undefined."""

    name: str
    bind: int
    type: int
    section: int
    value: int
    size: int


@structs.struct
class Object:
    """An object, checked: every index and offset in it is in range."""

    machine: Machine
    sections: list[Section]
    symbols: list[Symbol]
    relocations: list[tuple[Section, int, Rule, Symbol, int]]  # place, offset, rule, symbol, addend


def _slice(data: bytes, offset: int, size: int, what: str) -> bytes:
    if offset + size > len(data):
        raise LinkError(f"malformed object: {what} at {offset:#x} + {size:#x} lies outside its {len(data):#x} bytes")
    return data[offset : offset + size]


def _string(table: bytes, offset: int) -> str:
    end = table.find(b"\0", offset)
    if offset >= len(table) or end < 0:
        raise LinkError(f"malformed object: no string at {offset:#x} of a string table of {len(table):#x} bytes")
    try:
        return table[offset:end].decode()
    except UnicodeDecodeError:
        raise LinkError(f"malformed object: the name at {offset:#x} of a string table is not text") from None


def _strings(sections: list[Section], index: int) -> bytes:
    if index >= len(sections) or sections[index].type != SHT_STRTAB:
        raise LinkError(f"malformed object: section {index} is not a string table")
    return bytes(sections[index].data)


def _records(section: Section, form: struct.Struct) -> list[tuple]:
    if len(section.data) % form.size:
        raise LinkError(f"malformed object: {section.name or 'a section'} is not made of whole records")
    return list(form.iter_unpack(section.data))


def kept(section: Section) -> bool:
    """Whether a section belongs to the program: unwind tables, notes and debug information do not."""
    return bool(section.flags & SHF_ALLOC) and section.type in (SHT_PROGBITS, SHT_NOBITS) and section.name != ".eh_frame"


def _read_sections(obj: bytes, offset: int, count: int, entry: int, names: int) -> list[Section]:
    if entry != SHDR.size or not 0 < count < 0xFF00:
        raise LinkError(f"malformed object: {count} section headers of {entry} bytes")
    headers = list(SHDR.iter_unpack(_slice(obj, offset, count * entry, "section header table")))
    sections = []
    for _, kind, flags, _, at, size, link, info, align, _ in headers:
        data = b"" if kind in (SHT_NULL, SHT_NOBITS) else _slice(obj, at, size, "a section")
        align = max(align, 1)
        if align & (align - 1) or align > FILE_PAGE:
            raise LinkError(f"malformed object: a section alignment of {align} (a power of two up to {FILE_PAGE} is supported)")
        if size >= 1 << 31:
            raise LinkError(f"a section of {size} bytes is too large (the limit is 2 GiB)")
        sections.append(Section("", kind, flags, size, link, info, align, bytearray(data)))
    table = _strings(sections, names)
    for section, header in zip(sections, headers):
        section.name = _string(table, header[0])
        if section.flags & SHF_ALLOC and section.size:
            if section.flags & SHF_TLS:
                raise LinkError(f"thread-local storage ({section.name}) is not supported")
            if section.name != ".eh_frame" and not (kept(section) and section.name.startswith((".text", ".rodata", ".data", ".bss"))):
                raise LinkError(f"section {section.name} (type {section.type:#x}) is not supported")
            if section.flags & SHF_WRITE and section.flags & SHF_EXECINSTR:
                raise LinkError(f"section {section.name} is both writable and executable")
    return sections


def read(obj: bytes) -> Object:
    """Read and check a relocatable object. LinkError where it is malformed or holds what is not supported."""
    header = EHDR.unpack(_slice(obj, 0, EHDR.size, "ELF header"))
    ident, kind, number, version, _, _, shoff, _, ehsize, _, _, shentsize, shnum, shstrndx = header
    if ident[:7] != b"\x7fELF\x02\x01\x01" or kind != 1 or version != 1 or ehsize != EHDR.size:
        raise LinkError("not a 64-bit little-endian relocatable ELF object")
    machine = MACHINES.get(number)
    if machine is None:
        raise LinkError(f"unsupported machine {number} (x86-64 and AArch64 are supported)")
    sections = _read_sections(obj, shoff, shnum, shentsize, shstrndx)
    tables = [i for i, s in enumerate(sections) if s.type == SHT_SYMTAB]
    if len(tables) != 1:
        raise LinkError(f"malformed object: {len(tables)} symbol tables, 1 expected")
    symtab = sections[tables[0]]
    names = _strings(sections, symtab.link)
    symbols = [
        Symbol(_string(names, name), info >> 4, info & 15, shndx, value, size)
        for name, info, _, shndx, value, size in _records(symtab, SYM)
    ]
    for symbol in symbols:
        if symbol.type in (STT_TLS, STT_GNU_IFUNC) or symbol.section == SHN_COMMON:
            raise LinkError(f"symbol {symbol.name!r}: thread-local, indirect and common symbols are not supported")
        if symbol.section < 0xFF00 and (symbol.section >= len(sections) or symbol.section and symbol.value > sections[symbol.section].size):
            raise LinkError(f"malformed object: symbol {symbol.name!r} lies outside its section")
    out = Object(machine, sections, symbols, [])
    for section in sections:
        if section.type not in (SHT_RELA, SHT_REL):
            continue
        if not section.info < len(sections):
            raise LinkError(f"malformed object: {section.name} relocates section {section.info}, which is not there")
        place = sections[section.info]
        if not kept(place):
            continue
        if section.type == SHT_REL or section.link != tables[0]:
            raise LinkError(f"malformed object: {section.name} is not a RELA section over the symbol table")
        for offset, info, addend in _records(section, RELA):
            rule = machine.rules.get(info & 0xFFFFFFFF)
            if info >> 32 >= len(symbols):
                raise LinkError(f"malformed object: {section.name} names symbol {info >> 32}, which is not there")
            symbol = symbols[info >> 32]
            if rule is None:
                raise LinkError(f"relocation type {info & 0xFFFFFFFF} ({machine.name}, against {symbol.name!r}) is not supported")
            if offset + rule.size > len(place.data):
                raise LinkError(f"malformed object: {rule.name} at {offset:#x} lies outside {place.name}")
            out.relocations.append((place, offset, rule, symbol, addend))
    return out


def merged(objects: Sequence[Object]) -> Object:
    """Several objects as one: what one needs and another defines is found there. LinkError where two define the same symbol."""
    machine = objects[0].machine
    sections: list[Section] = [NO_SECTION]
    symbols: list[Symbol] = []
    defined: dict[str, Symbol] = {}
    moved: list[dict[int, Symbol]] = []  # by identity: to hash a symbol costs more
    for one in objects:
        if one.machine is not machine:
            raise LinkError(f"objects for {machine.name} and {one.machine.name} cannot be linked")
        base = len(sections) - 1
        sections += one.sections[1:]
        own: dict[int, Symbol] = {}
        for s in (*one.symbols, *(r[3] for r in one.relocations)):
            if id(s) not in own:
                own[id(s)] = structs.replace(s, section=s.section + base) if base and 0 < s.section < 0xFF00 else s
        for s in one.symbols:
            here = own[id(s)]
            symbols.append(here)
            if s.bind != STB_LOCAL and s.section != 0 and defined.setdefault(s.name, here) is not here:
                raise LinkError(f"symbol {s.name!r} is defined twice")
        moved.append(own)
    relocations = []
    for one, own in zip(objects, moved):
        for place, offset, rule, symbol, addend in one.relocations:
            found = defined.get(symbol.name) if symbol.section == 0 else None
            relocations.append((place, offset, rule, found or own[id(symbol)], addend))
    return Object(machine, sections, symbols, relocations)


def section(code: bytes | memoryview, name: str) -> tuple[int, int, int] | None:
    """Offset, size and address of a section of a shared object, by the headers at its end; None where it has none of that name.

    LinkError where the headers are malformed.
    """
    try:
        *_, shoff, _, _, _, _, _, count, names_at = EHDR.unpack_from(code)
        headers = [SHDR.unpack_from(code, shoff + i * SHDR.size) for i in range(count)]
        names = bytes(code[headers[names_at][4] :][: headers[names_at][5]])
        for at, kind, _, address, offset, size, *_ in headers:
            if kind not in (SHT_NULL, SHT_NOBITS) and names[at : at + len(name) + 1] == name.encode() + b"\0":
                if offset + size > len(code):
                    raise LinkError(f"malformed shared object: its section {name} lies outside of it")
                return offset, size, address
    except (struct.error, IndexError):
        raise LinkError("malformed shared object: its section headers lie outside of it") from None
    return None
