"""A program's steps as data: the table of 64-bit words that the driver walks. What the words mean: `driver_text.py`.

Numbers that the symbols of the program decide are calculated once, before the first step, and checked on the way; addresses that move
with a loop, in each round.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import inf
from typing import Any

from ingot.backends.cpu import elf_object as o
from ingot.backends.cpu.driver_text import ADDRESS_BITS, FRAME, HEAD, OPS
from ingot.ir.loop.program import Branch, Copy, Launch, Program, Ref, Repeat, Step, While
from ingot.ir.size import Dim, Product, Quotient, Size, Smaller, Symbol, bounds

__all__ = ["Table", "data", "object_of", "refusals"]

_PLACES = 1 << 16  # words of a frame, which lies on the stack
_OFFSET = 1 << (63 - ADDRESS_BITS)  # offsets in an address word are less than this
_WORD = 1 << 63  # numbers are less than this
_ALIGN = 64
Address = tuple[int, int]  # a place in the frame, and an offset


def refusals(program: Program) -> dict[int, tuple[str, str | None]]:
    """Code -> what is wrong with the sizes of a call, and the symbol that it depends on; codes follow those of the program's checks."""
    first = max(program.checks, default=0) + 1
    found: dict[int, tuple[str, str | None]] = {}
    for k, s in enumerate(program.symbols):
        most = "" if s.max == inf else f" and at most {s.max}"
        found[first + k] = f"{_where(program, s)} must be at least {s.min}{most}", s.name
    if program.symbols:
        found[first + len(program.symbols)] = "sizes are too large: their products do not fit into 64 bits", None
    return found


def _where(program: Program, s: Symbol) -> str:
    """A symbol by the first dim of an input that it is."""
    for k, t in enumerate(program.in_types):
        for d, x in enumerate(t.shape):
            if isinstance(x, Size) and str(x) == s.name:
                return f"{s.name}, the extent of input {k} in dim {d},"
    return s.name


def object_of(program: Program, machine: o.Machine, arena_bytes: Dim, kernel_bytes: Dim, worker_bytes: Dim) -> o.Object:
    """The table as an object that defines `ingot_table` and needs `kernel.0`, `kernel.1`, … in the order of the program's kernels;
    where there are steps that copy, the number after the last one copies.

    arena_bytes: where in the arena the kernels' scratch begins, which is of `kernel_bytes`; that of the workers follows.
    """
    table = Table(program)
    table.begin(arena_bytes, kernel_bytes)
    table.steps(program.steps)
    if program.symbols:
        outputs = [d for t in program.out_types for d in t.shape]
        table.telling = [table.number(x) for x in (arena_bytes + kernel_bytes, worker_bytes, *outputs)]
    words, kernels = table.words()
    section, own = data("ingot_table", struct.pack(f"<{len(words)}q", *words))
    symbols = [o.Symbol(f"kernel.{k}", o.STB_GLOBAL, o.STT_NOTYPE, 0, 0, 0) for k in range(len(program.kernels) + 1)]
    distance = next(r for r in machine.rules.values() if r.target == "pc" and r.size == 8)
    relocations = [(section, 8 * at, distance, symbols[k], 8 * at) for at, k in kernels]  # counted from the table's beginning
    return o.Object(machine, [o.NO_SECTION, section], [own, *symbols], relocations)


def data(name: str, content: bytes) -> tuple[o.Section, o.Symbol]:
    """The only section of an object that holds constants, and the symbol that it defines."""
    section = o.Section(".rodata", o.SHT_PROGBITS, o.SHF_ALLOC, len(content), 0, 0, _ALIGN, bytearray(content))
    return section, o.Symbol(name, o.STB_GLOBAL, o.STT_NOTYPE, 1, 0, len(content))


class Table:
    """A table being written: instructions, the image of the frame behind the arguments, and the parameters of launches.

    `before`: what is calculated before the first step; `code`: the steps.
    """

    def __init__(self, program: Program):
        self.program = program
        self.numbers = {name: k for k, name in enumerate(program.kernels)}
        slots = len(program.in_types) + len(program.out_types)
        self.n_args = slots + len(program.symbols)
        self.before: list[int] = []
        self.code: list[int] = []
        self.image: list[int] = []
        self.parameters: list[int] = []
        self.constants: dict[int, int] = {}  # their places in the frame
        self.sizes: dict[Size, int] = {}
        self.products: dict[Product, int] = {(s,): FRAME + slots + k for k, s in enumerate(program.symbols)}
        self.tuples: dict[tuple[Dim, ...], tuple[bool, int]] = {}  # whether in the frame, and the first word
        self.kernels: list[tuple[int, int]] = []  # which word of the code is the distance of which kernel
        self.given: list[int] = []  # words of the code that count from where the parameters begin
        self.vars: dict[str, int] = {}
        self.moved: dict[Ref, Address] = {}  # addresses of this round of a loop
        self.still: dict[tuple[int, Size], int] = {}  # places of addresses that no loop moves
        self.buffers = 0
        self.too_large = max(refusals(program), default=0)
        self.telling: list[int] = []  # places of what may be asked for

    # -- places in the frame -----------------------------------------------------------------------------------------

    def place(self, value: int = 0) -> int:
        """A new word of the frame, which holds `value` at first."""
        self.image.append(value)
        return FRAME + self.n_args + len(self.image) - 1

    def constant(self, value: int) -> int:
        """The place of a number."""
        found = self.constants.get(value)
        if found is None:
            if not -_WORD <= value < _WORD:
                raise ValueError(f"{self.program.name}: the number {value} in its steps does not fit into 64 bits")
            found = self.constants[value] = self.place(value)
        return found

    def calculated(self, code: list[int], op: str, a: int, b: int) -> int:
        """The place of what two places give."""
        result = self.place()
        code += (OPS[op], result, a, b)
        return result

    def number(self, x: Dim) -> int:
        """The place of a number or of a size, which is calculated before the first step."""
        if not isinstance(x, Size):
            return self.constant(x)
        found = self.sizes.get(x)
        if found is None:
            total: int | None = self.constant(x.const) if x.const else None
            for product, c in sorted(x.terms, key=lambda t: t[1] < 0):  # what is taken away comes last: fewer signs to change
                part, op = self.product(product), "ADD"
                if total is not None and c < 0:
                    op, c = "SUB", -c
                if c != 1:
                    part = self.calculated(self.before, "MUL", part, self.constant(c))
                total = part if total is None else self.calculated(self.before, op, total, part)
            assert total is not None  # a size has terms
            found = self.sizes[x] = total
        return found

    def product(self, atoms: Product) -> int:
        found = self.products.get(atoms)
        if found is None:
            if len(atoms) > 1:
                found = self.calculated(self.before, "MUL", self.product(atoms[:-1]), self.product(atoms[-1:]))
            else:
                found = self.atom(atoms[0])
            self.products[atoms] = found
        return found

    def atom(self, atom: Any) -> int:
        if isinstance(atom, Symbol):
            raise ValueError(f"{self.program.name}: nothing gives the symbol {atom.name} of its sizes")
        op = "DIV" if isinstance(atom, Quotient) else "MIN" if isinstance(atom, Smaller) else "MAX"
        a, b = (self.number(part) for part in atom.parts)
        return self.calculated(self.before, op, a, b)

    # -- addresses ---------------------------------------------------------------------------------------------------

    def address(self, ref: Ref) -> int:
        """The word of an address."""
        place, offset = self.moved.get(ref) or self._address(ref)
        return place | offset << ADDRESS_BITS

    def _address(self, ref: Ref) -> Address:
        place, offset = (0 if ref.arg is None else FRAME + ref.arg), ref.offset
        if ref.value:
            assert ref.arg is not None
            place, offset = 1, offset + 8 * ref.arg
        if isinstance(offset, Size):
            key = place, Size(0, offset.terms)
            if key not in self.still:
                self.still[key] = self.calculated(self.before, "ADD", place, self.number(key[1]))
            place, offset = self.still[key], offset.const
        if not -_OFFSET <= offset < _OFFSET:
            place, offset = self.calculated(self.before, "ADD", place, self.constant(offset)), 0
        if ref.strides:
            for var, stride in ref.strides:
                step = self.calculated(self.code, "MUL", self.vars[var], self.number(stride))
                place = self.calculated(self.code, "ADD", place, step)
            self.moved[ref] = place, offset
        return place, offset

    # -- steps -------------------------------------------------------------------------------------------------------

    def begin(self, arena_bytes: Dim, kernel_bytes: Dim) -> None:
        """Check the symbols and what is made of them, and say where the scratch lies."""
        first = FRAME + self.n_args - len(self.program.symbols)
        for k, (s, code) in enumerate(zip(self.program.symbols, refusals(self.program))):
            most = _WORD - 1 if s.max == inf else int(s.max)
            self.before += (OPS["BOUND"], first + k, s.min, most, code)
        for x in self.program.sizes():
            if not _fits(x):
                self.number(x)
        self.before += (OPS["ADD"], 2, 0, self.number(arena_bytes), OPS["ADD"], 3, 2, self.number(kernel_bytes))

    def steps(self, steps: Sequence[Step]) -> None:
        """Add steps."""
        for s in steps:
            if isinstance(s, Launch):
                kernel = self.program.kernels[s.kernel]
                if len(s.bufs) != len(kernel.buffers) or len(s.params) != len(kernel.params):
                    raise ValueError(f"launch of {s.kernel}: {len(s.bufs)} buffers and {len(s.params)} parameters for "
                                     f"{len(kernel.buffers)} and {len(kernel.params)}")  # fmt: skip
                self.launch(self.numbers[s.kernel], s.bufs, s.params)
            elif isinstance(s, Copy):
                self.launch(len(self.numbers), (s.dst, s.src), (s.nbytes,))
            elif isinstance(s, Repeat):
                self.repeat(s)
            elif isinstance(s, Branch):
                self.branch(s)
            elif isinstance(s, While):
                self.loop(s)
            else:
                raise TypeError(f"not a step of a program: {s!r}")

    def launch(self, kernel: int, bufs: Sequence[Ref], params: tuple[Dim, ...]) -> None:
        addresses = [self.address(r) for r in bufs]
        if params not in self.tuples:
            self.tuples[params] = self.given_parameters(params)
        calculated, at = self.tuples[params]
        start = len(self.code)
        self.kernels.append((start + 1, kernel))
        if not calculated:
            self.given.append(start + 2)
        self.code += (OPS["LAUNCH"] | len(addresses) << 8, 0, 2 * at + 1 if calculated else at, *addresses)
        self.buffers = max(self.buffers, len(addresses))

    def given_parameters(self, params: tuple[Dim, ...]) -> tuple[bool, int]:
        """Numbers lie in the table; where there are sizes among them, all lie in the frame."""
        sizes = {k: self.number(p) for k, p in enumerate(params) if isinstance(p, Size)}
        if not sizes:
            self.parameters += params  # type: ignore[arg-type]
            return False, len(self.parameters) - len(params)
        places = [self.place(0 if isinstance(p, Size) else p) for p in params]
        for k, at in sizes.items():
            self.before += (OPS["MOVE"], places[k], at)
        return True, places[0]

    def repeat(self, s: Repeat) -> None:
        var, count = self.place(), self.number(s.count)
        self.vars[s.var] = var
        self.code += (OPS["REPEAT"], var, count, 0)
        start, outer, self.moved = len(self.code), self.moved, {}
        self.steps(s.steps)
        self.moved = outer
        self.code += (OPS["NEXT"], var, count, len(self.code) - start)
        self.code[start - 1] = len(self.code) - start

    def branch(self, s: Branch) -> None:
        over = self.skip(s.flag)
        self.sometimes(s.steps)
        if s.otherwise:
            self.code += (OPS["GO"], 0)
            end = len(self.code)
            self.lands(over)
            self.sometimes(s.otherwise)
            over = end
        self.lands(over)

    def loop(self, s: While) -> None:
        start, outer = len(self.code), self.moved
        self.moved = dict(outer)
        self.steps(s.test)
        over = self.skip(s.flag)
        self.steps(s.steps)
        self.moved = outer
        self.code += (OPS["BACK"], len(self.code) - start)
        self.lands(over)

    def skip(self, flag: Ref) -> int:
        """Go on elsewhere where the byte there is 0; where that is, `lands` says of what this gives."""
        self.code += (OPS["SKIP"], self.address(flag), 0)
        return len(self.code)

    def lands(self, jump: int) -> None:
        self.code[jump - 1] = len(self.code) - jump

    def sometimes(self, steps: Sequence[Step]) -> None:
        """Steps that others do not follow on: addresses calculated among them are not known behind them."""
        outer = self.moved
        self.moved = dict(outer)
        self.steps(steps)
        self.moved = outer

    # -- the whole ---------------------------------------------------------------------------------------------------

    def words(self) -> tuple[list[int], list[tuple[int, int]]]:
        """The table, and which of its words is the distance of which kernel."""
        frame = FRAME + self.n_args + len(self.image)
        if frame > _PLACES:
            raise ValueError(f"{self.program.name}: its steps work with {frame} numbers, more than the {_PLACES} that a call may have")
        if self.telling:
            self.before += (OPS["ASKED"], len(self.code) + 1)
        steps_at = HEAD + len(self.before)
        tail = [word for place in self.telling for word in (OPS["TELL"], place)] + ([OPS["END"]] if self.telling else [])
        image_at = steps_at + len(self.code) + 1 + len(tail)
        parameters_at = image_at + len(self.image)
        for at in self.given:
            self.code[at] = 2 * (self.code[at] + parameters_at)
        head = [self.n_args, frame, len(self.image), image_at, self.buffers, self.too_large, len(self.program.symbols), 0]
        words = [*head, *self.before, *self.code, OPS["END"], *tail, *self.image, *self.parameters]
        return words, [(steps_at + at, k) for at, k in self.kernels]


def _fits(x: Dim) -> bool:
    """Whether a size, and all that is calculated on the way to it, fits into 64 bits whatever the symbols are."""
    return abs(x) < _WORD if isinstance(x, int) else _magnitude(x) < _WORD


def _magnitude(x: Dim) -> float:
    if isinstance(x, int):
        return abs(x)
    total: float = abs(x.const)
    for product, c in x.terms:
        size: float = abs(c)
        for atom in product:
            parts = () if isinstance(atom, Symbol) else atom.parts
            if any(_magnitude(part) >= _WORD for part in parts):
                return inf
            size *= max(map(abs, bounds(Size(0, (((atom,), 1),)))))
        total += size
    return total
