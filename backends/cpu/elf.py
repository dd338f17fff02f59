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

from ingot.backends.cpu import elf_object as o
from ingot.backends.cpu.elf_object import LinkError, Section, Symbol
from ingot.ir import struct as structs
from ingot.ir.struct import value_type

__all__ = ["IMPORTS", "LinkError", "link", "link_all", "symbol_hash"]

# The libc functions that generated code and the worker pool may call.
IMPORTS = frozenset((
    "memcpy", "memmove", "memset", "memcmp",
    "aligned_alloc", "clock_gettime", "sched_yield", "syscall",
    "pthread_create", "pthread_join", "pthread_sigmask",
))  # fmt: skip


def link(object: bytes, exports: Sequence[str]) -> bytes:
    """The shared object made of a relocatable `object` of LLVM's, exporting the functions named in `exports`.

    Raises LinkError where the object is malformed, lacks an export, imports a symbol that is not in `IMPORTS`, or
    holds a relocation or section that is not supported.

        so = elf.link(machine.emit_object(module), ["ingot_entry"])
    """
    return link_all([o.read(bytes(object))], exports)


def link_all(objects: Sequence[o.Object], exports: Sequence[str], note: tuple[str, Callable[[], bytes]] | None = None) -> bytes:
    """The shared object made of several objects, in this order; their bytes are patched. What one needs, another may define.

    note: the name of a section that is not loaded, and what it holds, asked for when the addresses of the sections are known.
    Raises LinkError as `link` does, and where two objects define the same symbol.
    """
    linker = _Linker(o.merged(objects) if len(objects) > 1 else objects[0], sorted(exports))
    linker.lay_out()
    if note is not None:
        linker.add_note(note[0], note[1]())
    linker.relocate()
    return linker.assemble()


def _align(value: int, to: int) -> int:
    return (value + to - 1) & -to


def symbol_hash(name: str) -> int:
    """The System V ABI's symbol hash."""
    h = 0
    for byte in name.encode():
        h = (h << 4) + byte
        h = (h ^ (h & 0xF0000000) >> 24) & 0x0FFFFFFF
    return h


@value_type
class _Out:
    """A section of the result: where it lies, and the header that describes it."""

    name: str
    type: int
    flags: int
    offset: int
    address: int
    size: int
    link: str
    info: int
    align: int
    entry: int


class _Linker:
    """The state of one link: what is needed, then where it lies, then what it holds."""

    def __init__(self, source: o.Object, exports: list[str]):
        self.source = source
        self.machine = source.machine
        self.exports = exports
        self.note: tuple[int, bytes] | None = None
        self.defined: dict[str, Symbol] = {}
        for s in source.symbols:
            if s.bind != o.STB_LOCAL and s.section != 0:
                if s.name in self.defined:
                    raise LinkError(f"symbol {s.name!r} is defined twice")
                self.defined[s.name] = s
        for a, b in zip(exports, exports[1:]):
            if a == b:
                raise LinkError(f"{a!r} is exported twice")
        for name in exports:
            e = self.defined.get(name)
            if e is None or e.section >= 0xFF00 or not o.kept(source.sections[e.section]) or e.value >= source.sections[e.section].size:
                raise LinkError(f"cannot export {name!r}: the object does not define it")
        self.imports = sorted({symbol.name for _, _, _, symbol, _ in source.relocations if symbol.section == 0})
        for name in self.imports:
            if name not in IMPORTS:
                raise LinkError(f"the code needs {name or 'a nameless symbol'!r}, which is not one of the functions that it may import")
        self.index = {name: i + 1 for i, name in enumerate([*self.imports, *exports])}  # in .dynsym
        # One GOT slot for each symbol that is reached through it: by name for imports, else the symbol itself.
        self.slots: dict[str | Symbol, int] = {}
        self.n_addresses = 0  # addresses in data, for the loader to fill in
        for place, _, rule, symbol, _ in source.relocations:
            if rule.target.startswith("got") or rule.target == "call" and symbol.section == 0:
                self.slots.setdefault(symbol.name if symbol.section == 0 else symbol, len(self.slots))
            elif rule.target == "abs":
                if not place.flags & o.SHF_WRITE:
                    what = f"{rule.name} against {symbol.name!r} in {place.name}"
                    raise LinkError(f"{what}: read-only data cannot hold an address (compile with reloc='pic')")
                self.n_addresses += 1
        self.stubs = [s for s in self.slots if isinstance(s, str)]
        self.strings = bytearray(b"\0")
        self.string_at = {text: self._string(text) for text in ["libc.so.6", *self.imports, *exports]}

    def _string(self, text: str) -> int:
        at = len(self.strings)
        self.strings += text.encode() + b"\0"
        return at

    # -- where everything lies --

    def lay_out(self) -> None:
        """Give every section of the result, and with it every section of the object, an offset and an address."""
        sections = [s for s in self.source.sections if o.kept(s)]
        constants = [s for s in sections if not s.flags & (o.SHF_WRITE | o.SHF_EXECINSTR)]
        code = [s for s in sections if s.flags & o.SHF_EXECINSTR]
        data = [s for s in sections if s.flags & o.SHF_WRITE and s.type != o.SHT_NOBITS]
        zeros = [s for s in sections if s.flags & o.SHF_WRITE and s.type == o.SHT_NOBITS]
        if any(s.type == o.SHT_NOBITS for s in constants + code):
            raise LinkError("malformed object: a read-only section without contents")
        R, RX, RW = o.SHF_ALLOC, o.SHF_ALLOC | o.SHF_EXECINSTR, o.SHF_ALLOC | o.SHF_WRITE
        self.outs: list[_Out] = []
        self.at = o.EHDR.size + 6 * o.PHDR.size  # in the file
        self.bias = 0  # an address less its offset in the file
        self.n_symbols, self.n_buckets = len(self.index) + 1, max(1, len(self.exports))
        page = self.machine.page

        self.hash = self._put(".hash", o.SHT_HASH, R, 4 * (2 + self.n_buckets + self.n_symbols), ".dynsym", entry=4)
        self.dynsym = self._put(".dynsym", o.SHT_DYNSYM, R, o.SYM.size * self.n_symbols, ".dynstr", info=1, entry=o.SYM.size)
        self.dynstr = self._put(".dynstr", o.SHT_STRTAB, R, len(self.strings), align=1)
        n_dynamic = len(self.slots) + self.n_addresses
        self.rela = self._put(".rela.dyn", o.SHT_RELA, R, o.RELA.size * n_dynamic, ".dynsym", entry=o.RELA.size)
        self._put_all(".rodata", o.SHT_PROGBITS, R, constants)
        segments = [(o.PT_LOAD, o.PF_R, 0, 0, self.at, self.at, page)]

        start = self._next_segment()
        self._put_all(".text", o.SHT_PROGBITS, RX, code)
        self.plt = self._put(".plt", o.SHT_PROGBITS, RX, 16 * len(self.stubs), align=16)
        size = self.at - start
        segments.append((o.PT_LOAD, o.PF_R | o.PF_X, start, start + self.bias, size, size, page))

        start = self._next_segment()
        self.dynamic = self._put(".dynamic", o.SHT_DYNAMIC, RW, 13 * o.DYN.size, ".dynstr", entry=o.DYN.size)
        self.got = self._put(".got", o.SHT_PROGBITS, RW, 8 * len(self.slots), entry=8)
        relro = _align(self.at - start, o.FILE_PAGE)  # made read-only by the loader, so data starts on another page
        if data or zeros:
            self.at = start + relro
            self._put_all(".data", o.SHT_PROGBITS, RW, data)
        filled = self.at - start
        self._put_all(".bss", o.SHT_NOBITS, RW, zeros)
        total = max(relro, self.outs[-1].offset + self.outs[-1].size - start)
        dynamic = self.dynamic
        segments += [
            (o.PT_LOAD, o.PF_R | o.PF_W, start, start + self.bias, filled, total, page),
            (o.PT_DYNAMIC, o.PF_R | o.PF_W, dynamic.offset, dynamic.address, dynamic.size, dynamic.size, 8),
            (o.PT_GNU_RELRO, o.PF_R, start, start + self.bias, min(filled, relro), relro, 1),
            (o.PT_GNU_STACK, o.PF_R | o.PF_W, 0, 0, 0, 0, 16),
        ]
        self.segments = segments
        self.end = start + filled
        if start + total + self.bias >= 1 << 31:
            raise LinkError("the program is too large (the limit is 2 GiB)")

    def _put(self, name: str, kind: int, flags: int, size: int, link: str = "", info: int = 0, align: int = 8, entry: int = 0) -> _Out:
        at = _align(self.at, align)
        out = _Out(name, kind, flags, at, at + self.bias, size, link, info, align, entry)
        self.outs.append(out)
        if kind != o.SHT_NOBITS:
            self.at = at + size
        return out

    def _put_all(self, name: str, kind: int, flags: int, sections: list[Section]) -> None:
        """One section of the result, made of several of the object's."""
        if not sections:
            return
        size, places = 0, []
        for s in sections:
            places.append(_align(size, s.align))
            size = places[-1] + s.size
        out = self._put(name, kind, flags, size, align=max(s.align for s in sections))
        for s, place in zip(sections, places):
            s.address = out.address + place

    def _next_segment(self) -> int:
        """Go to a new page, in the file and in memory: segments of different rights never share one."""
        self.at = _align(self.at, o.FILE_PAGE)
        if self.at % self.machine.page:
            self.bias += self.machine.page
        return self.at

    def add_note(self, name: str, data: bytes) -> None:
        """A section behind the segments."""
        self.at = _align(self.end, 8)
        out = self._put(name, o.SHT_PROGBITS, 0, len(data))
        self.outs[-1] = structs.replace(out, address=0)
        self.note = (out.offset, data)
        self.end = self.at

    # -- what the code and the loader must know of it --

    def _address(self, symbol: Symbol) -> int:
        base = None if symbol.section >= 0xFF00 else self.source.sections[symbol.section].address
        if base is None:
            raise LinkError(f"symbol {symbol.name!r} lies in a section that is not part of the program")
        return base + symbol.value

    def _target(self, rule: o.Rule, symbol: Symbol) -> int:
        """What a relocation points to, before its addend."""
        if rule.target.startswith("got"):
            return self.got.address + 8 * self.slots[symbol.name if symbol.section == 0 else symbol]
        if symbol.section != 0:
            return self._address(symbol)
        if rule.target != "call":
            raise LinkError(f"{rule.name} against the imported {symbol.name!r} is not supported (compile with reloc='pic')")
        return self.plt.address + 16 * self.stubs.index(symbol.name)

    def relocate(self) -> None:
        """Patch the object's sections, and collect what is left to the loader."""
        machine, index = self.machine, self.index
        self.relative: list[tuple[int, int, int]] = []  # records of .rela.dyn: addresses within the object itself,
        self.symbolic: list[tuple[int, int, int]] = []  # and those of imported functions
        for owner, i in self.slots.items():
            slot = self.got.address + 8 * i
            if isinstance(owner, str):
                self.symbolic.append((slot, index[owner] << 32 | machine.glob_dat, 0))
            else:
                self.relative.append((slot, machine.relative, self._address(owner)))
        for place, offset, rule, symbol, addend in self.source.relocations:
            assert place.address is not None  # all kept sections were placed
            here = place.address + offset
            if not -(1 << 31) <= addend < 1 << 31:
                raise LinkError(f"{rule.name} against {symbol.name!r}: an addend of {addend:#x} lies outside any object")
            if rule.target == "abs":
                if symbol.section == 0:
                    self.symbolic.append((here, index[symbol.name] << 32 | machine.abs64, addend))
                else:
                    self.relative.append((here, machine.relative, self._address(symbol) + addend))
                continue
            target = self._target(rule, symbol) + addend
            if rule.target in ("page", "gotpage"):
                value = (target & ~0xFFF) - (here & ~0xFFF)
            elif rule.target in ("low", "gotlow"):
                value = target & 0xFFF
            else:
                value = target - here
            rule.patch(place.data, offset, value)

    # -- the bytes --

    def assemble(self) -> bytes:
        """The file."""
        outs = self.outs
        names, section_names = bytearray(b"\0"), {}
        for name in [*(out.name for out in outs), ".shstrtab"]:
            section_names[name] = len(names)
            names += name.encode() + b"\0"
        headers_at = _align(self.end + len(names), 8)
        image = bytearray(headers_at)
        o.EHDR.pack_into(
            image, 0, b"\x7fELF\x02\x01\x01" + bytes(9), 3, self.machine.number, 1, 0, o.EHDR.size, headers_at, 0,
            o.EHDR.size, o.PHDR.size, len(self.segments), o.SHDR.size, len(outs) + 2, len(outs) + 1,
        )  # fmt: skip
        for i, (kind, flags, offset, address, filled, size, align) in enumerate(self.segments):
            o.PHDR.pack_into(image, o.EHDR.size + i * o.PHDR.size, kind, flags, offset, address, address, filled, size, align)
        image[self.dynstr.offset : self.dynstr.offset + len(self.strings)] = self.strings
        image[self.end : self.end + len(names)] = names
        if self.note is not None:
            at, data = self.note
            image[at : at + len(data)] = data
        numbers = {out.name: i + 1 for i, out in enumerate(outs)}
        self._write_symbols(image, numbers)
        for i, record in enumerate([*sorted(self.relative), *sorted(self.symbolic)]):
            o.RELA.pack_into(image, self.rela.offset + i * o.RELA.size, *record)
        for section in self.source.sections:
            if section.address is not None and section.data:
                out = next(x for x in outs if x.address <= section.address < x.address + x.size)
                offset = section.address - out.address + out.offset
                image[offset : offset + len(section.data)] = section.data
        for i, name in enumerate(self.stubs):
            stub = self.machine.stub(self.plt.address + 16 * i, self.got.address + 8 * self.slots[name])
            image[self.plt.offset + 16 * i : self.plt.offset + 16 * (i + 1)] = stub
        self._write_dynamic(image)
        image += bytes(o.SHDR.size)
        for x in outs:
            link = numbers.get(x.link, 0)
            image += o.SHDR.pack(section_names[x.name], x.type, x.flags, x.address, x.offset, x.size, link, x.info, x.align, x.entry)
        image += o.SHDR.pack(section_names[".shstrtab"], o.SHT_STRTAB, 0, 0, self.end, len(names), 0, 0, 1, 0)
        return bytes(image)

    def _write_symbols(self, image: bytearray, numbers: dict[str, int]) -> None:
        buckets, chains = [0] * self.n_buckets, [0] * self.n_symbols
        for name in reversed(self.exports):
            bucket = symbol_hash(name) % self.n_buckets
            chains[self.index[name]], buckets[bucket] = buckets[bucket], self.index[name]
        form = f"<{2 + self.n_buckets + self.n_symbols}I"
        struct.pack_into(form, image, self.hash.offset, self.n_buckets, self.n_symbols, *buckets, *chains)
        for name, i in self.index.items():
            if name in self.imports:
                record = (self.string_at[name], o.STB_GLOBAL << 4 | o.STT_FUNC, 0, 0, 0, 0)
            else:
                s = self.defined[name]
                section = self.source.sections[s.section].address
                assert section is not None  # an export's section is kept
                home = next(numbers[x.name] for x in self.outs if x.address <= section < x.address + max(x.size, 1))
                record = (self.string_at[name], o.STB_GLOBAL << 4 | s.type, 0, home, self._address(s), s.size)
            o.SYM.pack_into(image, self.dynsym.offset + i * o.SYM.size, *record)

    def _write_dynamic(self, image: bytearray) -> None:
        tags = [
            (o.DT_NEEDED, self.string_at["libc.so.6"]),
            (o.DT_HASH, self.hash.address),
            (o.DT_STRTAB, self.dynstr.address),
            (o.DT_SYMTAB, self.dynsym.address),
            (o.DT_STRSZ, len(self.strings)),
            (o.DT_SYMENT, o.SYM.size),
            (o.DT_RELA, self.rela.address),
            (o.DT_RELASZ, self.rela.size),
            (o.DT_RELAENT, o.RELA.size),
            (o.DT_RELACOUNT, len(self.relative)),
            (o.DT_FLAGS, 8),  # DF_BIND_NOW
            (o.DT_FLAGS_1, 1),  # DF_1_NOW
            (o.DT_NULL, 0),
        ]
        for i, tag in enumerate(tags):
            o.DYN.pack_into(image, self.dynamic.offset + i * o.DYN.size, *tag)
