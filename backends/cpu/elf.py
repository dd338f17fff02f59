"""From a relocatable object to a shared object, in process: the few hundred lines of a linker that Ingot needs.

`link(object, exports)` takes what LLVM emits for self-contained code (x86-64 or AArch64, position-independent, small
code model) and lays it out as an ELF shared object that `dlopen` takes:

    R    ELF header, program headers, .hash .dynsym .dynstr .rela.dyn, read-only data
    RX   code, then one stub per imported function
    RW   .dynamic .got (read-only once relocated), then .data .bss, where there are any

Every relocation is bound when the object is loaded. It needs libc alone, and of libc only the functions in `IMPORTS`.
Whatever is not on a list here (a symbol, a relocation, a kind of section) is refused: the caller asked LLVM for
something that Ingot's executables must not depend on. The same input gives the same bytes. Data appended to the
result does not disturb it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = ["IMPORTS", "LinkError", "link"]

# The libc functions that generated code and the worker pool may call.
IMPORTS = frozenset((
    "memcpy", "memmove", "memset", "memcmp",
    "aligned_alloc", "free", "clock_gettime", "sched_yield", "syscall",
    "pthread_create", "pthread_join", "pthread_sigmask",
))  # fmt: skip


class LinkError(RuntimeError):
    """The object holds something the linker refuses, or is malformed."""


# -- ELF constants (System V gABI and the psABI supplements) -----------------------------------------------------------

SHT_NULL, SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_HASH, SHT_DYNAMIC, SHT_NOBITS, SHT_REL, SHT_DYNSYM = 0, 1, 2, 3, 4, 5, 6, 8, 9, 11
SHT_X86_64_UNWIND = 0x70000001
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


@dataclass(frozen=True)
class _Rule:
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


@dataclass(frozen=True)
class _Machine:
    name: str
    number: int
    page: int  # the largest page the loader may use
    relative: int  # dynamic relocation types
    glob_dat: int
    abs64: int
    stub: Callable[[int, int], bytes]
    rules: dict[int, _Rule]


_LO12 = {277: 0, 278: 0, 284: 1, 285: 2, 286: 3, 299: 4}  # ADD and LDST8..128: how the immediate is scaled
X86_64 = _Machine("x86-64", 62, 0x1000, 8, 6, 1, _x86_stub, {
    1: _Rule("R_X86_64_64", "abs", 8, _signed(64)),
    2: _Rule("R_X86_64_PC32", "pc", 4, _signed(32)),
    4: _Rule("R_X86_64_PLT32", "call", 4, _signed(32)),
    9: _Rule("R_X86_64_GOTPCREL", "got", 4, _signed(32)),
    24: _Rule("R_X86_64_PC64", "pc", 8, _signed(64)),
    41: _Rule("R_X86_64_GOTPCRELX", "got", 4, _signed(32)),
    42: _Rule("R_X86_64_REX_GOTPCRELX", "got", 4, _signed(32)),
})  # fmt: skip
AARCH64 = _Machine("AArch64", 183, 0x10000, 1027, 1025, 257, _arm_stub, {
    257: _Rule("R_AARCH64_ABS64", "abs", 8, _signed(64)),
    260: _Rule("R_AARCH64_PREL64", "pc", 8, _signed(64)),
    261: _Rule("R_AARCH64_PREL32", "pc", 4, _signed(32)),
    275: _Rule("R_AARCH64_ADR_PREL_PG_HI21", "page", 4, _adrp),
    282: _Rule("R_AARCH64_JUMP26", "call", 4, _field(0, 26, 2, True)),
    283: _Rule("R_AARCH64_CALL26", "call", 4, _field(0, 26, 2, True)),
    311: _Rule("R_AARCH64_ADR_GOT_PAGE", "gotpage", 4, _adrp),
    312: _Rule("R_AARCH64_LD64_GOT_LO12_NC", "gotlow", 4, _field(10, 12, 3, False)),
    **{number: _Rule(f"R_AARCH64 LO12 ({number})", "low", 4, _field(10, 12, scale, False)) for number, scale in _LO12.items()},
})  # fmt: skip
_MACHINES = {m.number: m for m in (X86_64, AARCH64)}


# -- reading the object ------------------------------------------------------------------------------------------------


@dataclass
class _Section:
    name: str
    type: int
    flags: int
    size: int
    link: int
    info: int
    align: int
    data: bytearray  # empty for .bss
    address: int | None = None  # where it was placed; None where it is dropped


@dataclass(frozen=True)
class _Symbol:
    name: str
    bind: int
    type: int
    section: int  # 0: undefined
    value: int
    size: int


@dataclass
class _Object:
    machine: _Machine
    sections: list[_Section]
    symbols: list[_Symbol]
    relocations: list[tuple[_Section, int, _Rule, _Symbol, int]] = field(default_factory=list)  # place, offset, rule, symbol, addend


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


def _strings(sections: list[_Section], index: int) -> bytes:
    if index >= len(sections) or sections[index].type != SHT_STRTAB:
        raise LinkError(f"malformed object: section {index} is not a string table")
    return bytes(sections[index].data)


def _records(section: _Section, form: struct.Struct) -> list[tuple]:
    if len(section.data) % form.size:
        raise LinkError(f"malformed object: {section.name or 'a section'} is not made of whole records")
    return list(form.iter_unpack(section.data))


def _kept(section: _Section) -> bool:
    """Whether a section belongs to the program: unwind tables, notes and debug information do not."""
    return bool(section.flags & SHF_ALLOC) and section.type in (SHT_PROGBITS, SHT_NOBITS) and section.name != ".eh_frame"


def _read_sections(obj: bytes, offset: int, count: int, entry: int, names: int) -> list[_Section]:
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
        sections.append(_Section("", kind, flags, size, link, info, align, bytearray(data)))
    table = _strings(sections, names)
    for section, header in zip(sections, headers):
        section.name = _string(table, header[0])
        if section.flags & SHF_ALLOC and section.size:
            if section.flags & SHF_TLS:
                raise LinkError(f"thread-local storage ({section.name}) is not supported")
            if section.name != ".eh_frame" and not (_kept(section) and section.name.startswith((".text", ".rodata", ".data", ".bss"))):
                raise LinkError(f"section {section.name} (type {section.type:#x}) is not supported")
            if section.flags & SHF_WRITE and section.flags & SHF_EXECINSTR:
                raise LinkError(f"section {section.name} is both writable and executable")
    return sections


def _read(obj: bytes) -> _Object:
    ident, kind, number, version, _, _, shoff, _, ehsize, _, _, shentsize, shnum, shstrndx = EHDR.unpack(_slice(obj, 0, EHDR.size, "ELF header"))
    if ident[:7] != b"\x7fELF\x02\x01\x01" or kind != 1 or version != 1 or ehsize != EHDR.size:
        raise LinkError("not a 64-bit little-endian relocatable ELF object")
    machine = _MACHINES.get(number)
    if machine is None:
        raise LinkError(f"unsupported machine {number} (x86-64 and AArch64 are supported)")
    sections = _read_sections(obj, shoff, shnum, shentsize, shstrndx)
    tables = [i for i, s in enumerate(sections) if s.type == SHT_SYMTAB]
    if len(tables) != 1:
        raise LinkError(f"malformed object: {len(tables)} symbol tables, 1 expected")
    symtab = sections[tables[0]]
    names = _strings(sections, symtab.link)
    symbols = [_Symbol(_string(names, name), info >> 4, info & 15, shndx, value, size) for name, info, _, shndx, value, size in _records(symtab, SYM)]
    for symbol in symbols:
        if symbol.type in (STT_TLS, STT_GNU_IFUNC) or symbol.section == SHN_COMMON:
            raise LinkError(f"symbol {symbol.name!r}: thread-local, indirect and common symbols are not supported")
        if symbol.section < 0xFF00 and (symbol.section >= len(sections) or symbol.section and symbol.value > sections[symbol.section].size):
            raise LinkError(f"malformed object: symbol {symbol.name!r} lies outside its section")
    out = _Object(machine, sections, symbols)
    for section in sections:
        if section.type not in (SHT_RELA, SHT_REL):
            continue
        if not section.info < len(sections):
            raise LinkError(f"malformed object: {section.name} relocates section {section.info}, which is not there")
        place = sections[section.info]
        if not _kept(place):
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


# -- writing the shared object -----------------------------------------------------------------------------------------


def _align(value: int, to: int) -> int:
    return (value + to - 1) & -to


def _hash(name: str) -> int:
    h = 0
    for byte in name.encode():
        h = (h << 4) + byte
        h = (h ^ (h & 0xF0000000) >> 24) & 0x0FFFFFFF
    return h


@dataclass
class _Out:
    """A section of the result: where it lies, and the header that describes it."""

    name: str
    type: int
    flags: int
    offset: int
    address: int
    size: int
    link: str = ""
    info: int = 0
    align: int = 8
    entry: int = 0


def link(object: bytes, exports: Sequence[str]) -> bytes:
    """The shared object made of a relocatable `object` of LLVM's, exporting the functions named in `exports`.

    Raises LinkError where the object is malformed, lacks an export, imports a symbol that is not in `IMPORTS`, or
    holds a relocation or section that is not supported.

        so = elf.link(machine.emit_object(module), ["ingot_entry"])
    """
    source = _read(bytes(object))
    machine = source.machine
    defined: dict[str, _Symbol] = {}
    for s in source.symbols:
        if s.bind != STB_LOCAL and s.section != 0:
            if s.name in defined:
                raise LinkError(f"symbol {s.name!r} is defined twice")
            defined[s.name] = s
    names = sorted(exports)
    for a, b in zip(names, names[1:]):
        if a == b:
            raise LinkError(f"{a!r} is exported twice")
    for name in names:
        if name not in defined or not defined[name].section < 0xFF00 or not _kept(source.sections[defined[name].section]):
            raise LinkError(f"cannot export {name!r}: the object does not define it")
    imports = _imports(source)

    # What the GOT and the loader must do, before sizes are known: one slot per symbol that is reached through it.
    slots: dict[str | _Symbol, int] = {}
    for place, _, rule, symbol, _ in source.relocations:
        if rule.target.startswith("got") or rule.target == "call" and symbol.section == 0:
            slots.setdefault(symbol.name if symbol.section == 0 else symbol, len(slots))
        if rule.target == "abs" and not place.flags & SHF_WRITE:
            raise LinkError(f"{rule.name} against {symbol.name!r} in {place.name}: read-only data cannot hold an address (compile with reloc='pic')")
    stubs = [s for s in slots if isinstance(s, str)]
    n_dynamic = len(slots) + sum(rule.target == "abs" for _, _, rule, _, _ in source.relocations)

    # Dynamic symbols: imports, then exports.
    strtab = bytearray(b"\0")
    offsets = {}
    for text in ["libc.so.6", *imports, *names]:
        offsets[text] = len(strtab)
        strtab += text.encode() + b"\0"
    index = {name: i + 1 for i, name in enumerate([*imports, *names])}
    n_symbols = len(index) + 1
    n_buckets = max(1, len(names))

    # Layout.
    kept = [s for s in source.sections if _kept(s)]
    constants = [s for s in kept if not s.flags & (SHF_WRITE | SHF_EXECINSTR)]
    code = [s for s in kept if s.flags & SHF_EXECINSTR]
    data = [s for s in kept if s.flags & SHF_WRITE and s.type != SHT_NOBITS]
    zeros = [s for s in kept if s.flags & SHF_WRITE and s.type == SHT_NOBITS]
    if any(s.type == SHT_NOBITS for s in constants + code):
        raise LinkError("malformed object: a read-only section without contents")
    n_segments = 6
    outs: list[_Out] = []
    at, bias = EHDR.size + n_segments * PHDR.size, 0

    def put(name: str, kind: int, flags: int, size: int, link: str = "", info: int = 0, align: int = 8, entry: int = 0) -> _Out:
        nonlocal at
        at = _align(at, align)
        outs.append(_Out(name, kind, flags, at, at + bias, size, link, info, align, entry))
        at += 0 if kind == SHT_NOBITS else size
        return outs[-1]

    def put_all(name: str, kind: int, flags: int, sections: list[_Section]) -> None:
        if not sections:
            return
        size, align = 0, max(s.align for s in sections)
        places = []
        for s in sections:
            size = _align(size, s.align)
            places.append(size)
            size += s.size
        out = put(name, kind, flags, size, align=align)
        for s, place in zip(sections, places):
            s.address = out.address + place

    def next_segment() -> int:
        """A new page, in the file and in memory: segments of different rights never share one."""
        nonlocal at, bias
        at = _align(at, FILE_PAGE)
        bias += machine.page if at % machine.page else 0
        return at

    hashes = put(".hash", SHT_HASH, SHF_ALLOC, 4 * (2 + n_buckets + n_symbols), ".dynsym", entry=4)
    dynsym = put(".dynsym", SHT_DYNSYM, SHF_ALLOC, SYM.size * n_symbols, ".dynstr", info=1, entry=SYM.size)
    dynstr = put(".dynstr", SHT_STRTAB, SHF_ALLOC, len(strtab), align=1)
    rela = put(".rela.dyn", SHT_RELA, SHF_ALLOC, RELA.size * n_dynamic, ".dynsym", entry=RELA.size)
    put_all(".rodata", SHT_PROGBITS, SHF_ALLOC, constants)
    segments = [(PT_LOAD, PF_R, 0, 0, at, at, machine.page)]
    start = next_segment()
    put_all(".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, code)
    plt = put(".plt", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 16 * len(stubs), align=16)
    segments.append((PT_LOAD, PF_R | PF_X, start, start + bias, at - start, at - start, machine.page))
    start = next_segment()
    dynamic = put(".dynamic", SHT_DYNAMIC, SHF_ALLOC | SHF_WRITE, 13 * DYN.size, ".dynstr", entry=DYN.size)
    got = put(".got", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 8 * len(slots), entry=8)
    relro = _align(at - start, FILE_PAGE)
    if data or zeros:
        at = start + relro
        put_all(".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, data)
    filled = at - start
    put_all(".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, zeros)
    total = max(filled, relro, outs[-1].offset + outs[-1].size - start)
    segments += [
        (PT_LOAD, PF_R | PF_W, start, start + bias, filled, total, machine.page),
        (PT_DYNAMIC, PF_R | PF_W, dynamic.offset, dynamic.address, dynamic.size, dynamic.size, 8),
        (PT_GNU_RELRO, PF_R, start, start + bias, min(filled, relro), relro, 1),
        (PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0, 16),
    ]
    assert len(segments) == n_segments
    if at + bias + total >= 1 << 31:
        raise LinkError("the program is too large (the limit is 2 GiB)")

    # Relocate.
    def slot(symbol: _Symbol) -> int:
        return got.address + 8 * slots[symbol.name if symbol.section == 0 else symbol]

    def address(symbol: _Symbol) -> int:
        if symbol.section >= 0xFF00 or (base := source.sections[symbol.section].address) is None:
            raise LinkError(f"symbol {symbol.name!r} lies in a section that is not part of the program")
        return base + symbol.value

    relative: list[tuple[int, int, int]] = []  # records of .rela.dyn: an address within the object itself,
    symbolic: list[tuple[int, int, int]] = []  # or that of an imported function
    for owner, i in slots.items():
        if isinstance(owner, str):
            symbolic.append((got.address + 8 * i, index[owner] << 32 | machine.glob_dat, 0))
        else:
            relative.append((got.address + 8 * i, machine.relative, address(owner)))
    for place, offset, rule, symbol, addend in source.relocations:
        assert place.address is not None
        here = place.address + offset
        if rule.target == "abs":
            if not -(1 << 31) <= addend < 1 << 31:
                raise LinkError(f"{rule.name} against {symbol.name!r}: an addend of {addend:#x} lies outside any object")
            if symbol.section == 0:
                symbolic.append((here, index[symbol.name] << 32 | machine.abs64, addend))
            else:
                relative.append((here, machine.relative, address(symbol) + addend))
            continue
        if rule.target.startswith("got"):
            target = slot(symbol) + addend
        elif symbol.section == 0:
            if rule.target != "call":
                raise LinkError(f"{rule.name} against the imported {symbol.name!r} is not supported (compile with reloc='pic')")
            target = plt.address + 16 * stubs.index(symbol.name) + addend
        else:
            target = address(symbol) + addend
        if rule.target in ("page", "gotpage"):
            value = (target & ~0xFFF) - (here & ~0xFFF)
        elif rule.target in ("low", "gotlow"):
            value = target & 0xFFF
        else:
            value = target - here
        rule.patch(place.data, offset, value)

    # Assemble.
    shstrtab = bytearray(b"\0")
    section_names = {}
    for out in [*outs, _Out(".shstrtab", SHT_STRTAB, 0, 0, 0, 0)]:
        section_names[out.name] = len(shstrtab)
        shstrtab += out.name.encode() + b"\0"
    strings_at = start + filled
    headers_at = _align(strings_at + len(shstrtab), 8)
    image = bytearray(headers_at)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    EHDR.pack_into(image, 0, ident, 3, machine.number, 1, 0, EHDR.size, headers_at, 0, EHDR.size, PHDR.size, n_segments, SHDR.size, len(outs) + 2, len(outs) + 1)  # fmt: skip
    for i, (kind, flags, offset, vaddr, filesz, memsz, align) in enumerate(segments):
        PHDR.pack_into(image, EHDR.size + i * PHDR.size, kind, flags, offset, vaddr, vaddr, filesz, memsz, align)
    buckets, chains = [0] * n_buckets, [0] * n_symbols
    for name in reversed(names):
        bucket = _hash(name) % n_buckets
        chains[index[name]], buckets[bucket] = buckets[bucket], index[name]
    struct.pack_into(f"<{2 + n_buckets + n_symbols}I", image, hashes.offset, n_buckets, n_symbols, *buckets, *chains)
    numbers = {out.name: i + 1 for i, out in enumerate(outs)}
    for name, i in index.items():
        if name in defined:
            s = defined[name]
            home = numbers[next(o.name for o in outs if o.address <= address(s) < o.address + max(o.size, 1) and o.flags & SHF_ALLOC)]
            entry = (offsets[name], STB_GLOBAL << 4 | s.type, 0, home, address(s), s.size)
        else:
            entry = (offsets[name], STB_GLOBAL << 4 | STT_FUNC, 0, 0, 0, 0)
        SYM.pack_into(image, dynsym.offset + i * SYM.size, *entry)
    image[dynstr.offset : dynstr.offset + len(strtab)] = strtab
    for i, record in enumerate([*sorted(relative), *sorted(symbolic)]):
        RELA.pack_into(image, rela.offset + i * RELA.size, *record)
    for section in kept:
        if section.data:
            offset = _file_offset(outs, section)
            image[offset : offset + len(section.data)] = section.data
    for i, name in enumerate(stubs):
        image[plt.offset + 16 * i : plt.offset + 16 * (i + 1)] = machine.stub(plt.address + 16 * i, got.address + 8 * slots[name])
    tags = [
        (DT_NEEDED, offsets["libc.so.6"]), (DT_HASH, hashes.address), (DT_STRTAB, dynstr.address), (DT_SYMTAB, dynsym.address),
        (DT_STRSZ, len(strtab)), (DT_SYMENT, SYM.size), (DT_RELA, rela.address), (DT_RELASZ, rela.size), (DT_RELAENT, RELA.size),
        (DT_RELACOUNT, len(relative)), (DT_FLAGS, 8), (DT_FLAGS_1, 1), (DT_NULL, 0),
    ]  # fmt: skip
    for i, tag in enumerate(tags):
        DYN.pack_into(image, dynamic.offset + i * DYN.size, *tag)
    image[strings_at : strings_at + len(shstrtab)] = shstrtab
    image += bytes(SHDR.size)
    for o in outs:
        image += SHDR.pack(section_names[o.name], o.type, o.flags, o.address, o.offset, o.size, numbers.get(o.link, 0), o.info, o.align, o.entry)
    image += SHDR.pack(section_names[".shstrtab"], SHT_STRTAB, 0, 0, strings_at, len(shstrtab), 0, 0, 1, 0)
    return bytes(image)


def _imports(source: _Object) -> list[str]:
    """The undefined symbols that relocations use, sorted; each must be on the list."""
    used = sorted({symbol.name for _, _, _, symbol, _ in source.relocations if symbol.section == 0})
    for name in used:
        if name not in IMPORTS:
            raise LinkError(f"the code calls {name or 'a nameless symbol'!r}, which is not one of the functions an executable may import")
    return used


def _file_offset(outs: list[_Out], section: _Section) -> int:
    assert section.address is not None
    out = next(o for o in outs if o.address <= section.address < o.address + max(o.size, 1) and o.type != SHT_NOBITS)
    return section.address - out.address + out.offset
