"""Reading the loop IR's text form, which text.py writes: the same kernel comes back."""

from __future__ import annotations

import re
import struct

from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.loop.expression import Atom, Coef, Div, Dyn, Index, Mod, Param, Var
from ingot.ir.loop.ir import (
    KINDS,
    Acc,
    Alloc,
    Barrier,
    Buffer,
    Check,
    Commit,
    Const,
    CopyAsync,
    For,
    GetAcc,
    If,
    IndexValue,
    Kernel,
    Let,
    Load,
    LoadMatrix,
    Mma,
    Operand,
    Reduce,
    SetAcc,
    Shuffle,
    Stmt,
    Store,
    Table,
    Transpose,
    Wait,
    WarpgroupMma,
    WarpgroupWait,
)
from ingot.ir.loop.text import print_index

__all__ = ["ParseError", "parse_kernel"]

_MAX_DEPTH = 100  # of loops, conditions and index expressions within each other


class ParseError(ValueError):
    """Text that is no loop IR; the message names the line."""

_TOKEN = re.compile(r"\s*(-?0x[0-9a-f.]+p[+-]?\d+|-?(?:inf|nan)(?=:)|-?\d+(?!\w)|[%$@]?[\w.%]+(?<!\.)|\.\.|[\[\](){}:;,=*+])")


class _Line:
    """The tokens of one line."""

    def __init__(self, text: str, number: int):
        self.number = number
        self.tokens: list[str] = []
        text = text.replace("..", " .. ")
        at = 0
        while text[at:].strip():
            m = _TOKEN.match(text, at)
            if m is None:
                raise self.error(f"can't read {text[at:].strip()!r}")
            self.tokens.append(m.group(1))
            at = m.end()
        self.at = 0
        self.depth = 0  # of div and mod that are being read

    def error(self, what: str) -> ParseError:
        return ParseError(f"loop IR, line {self.number}: {what}")

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str | None = None) -> str:
        t = self.peek()
        if not t or (expected is not None and t != expected):
            raise self.error(f"expected {expected or 'more'!r}, found {t or 'the end of the line'!r}")
        self.at += 1
        return t

    def skip(self, t: str) -> bool:
        if self.peek() == t:
            self.at += 1
            return True
        return False

    def integer(self) -> int:
        t = self.take()
        try:
            return int(t)
        except ValueError:
            raise self.error(f"expected an integer, found {t!r}") from None

    def coef(self) -> int | Param:
        return Param(self.take()[1:]) if self.peek()[:1] == "$" else self.integer()

    def dtype(self) -> DType:
        t = self.take()
        try:
            return dtypes.by_name(t)
        except KeyError:
            raise self.error(f"{t!r} is no dtype") from None

    def operand(self) -> Operand:
        t = self.take()
        if not self.skip(":"):
            return t
        d = self.dtype()
        try:
            if t[:5] == "nan0x" and d.kind == "f":
                return Const(struct.unpack("<d", int(t[3:], 16).to_bytes(8, "little"))[0], d)
            value: bool | int | float = t == "true" if d.kind == "b" else float.fromhex(t) if d.kind == "f" else int(t)
        except (ValueError, OverflowError):
            raise self.error(f"{t!r} is no literal of {d}") from None
        return Const(value, d)

    def operands(self, end: str) -> tuple[Operand, ...]:
        out: list[Operand] = []
        while self.peek() not in (end, ""):
            out.append(self.operand())
            if not self.skip(","):
                break
        return tuple(out)

    def index(self) -> Index:
        const: Coef = 0
        terms: list[tuple[Atom, Coef]] = []
        while True:
            t = self.take()
            if t == "const":
                self.take("(")
                const = Param(self.take())
                self.take(")")
            elif re.fullmatch(r"-?\d+", t):
                if self.skip("*"):
                    terms.append((self.atom(self.take()), int(t)))
                else:
                    const = int(t)
            elif t[0] == "$" and self.skip("*"):
                terms.append((self.atom(self.take()), Param(t[1:])))
            else:
                terms.append((self.atom(t), 1))
            if not self.skip("+"):
                return Index(const, tuple(terms))

    def atom(self, t: str) -> Atom:
        if t in ("div", "mod") and self.skip("("):
            self.depth += 1
            if self.depth > _MAX_DEPTH:
                raise self.error("div and mod are nested too deep")
            num = self.index()
            self.depth -= 1
            self.take(",")
            den = self.coef()
            self.take(")")
            return Div(num, den) if t == "div" else Mod(num, den)
        if t == "dyn" and self.skip("("):
            name = self.take()
            self.take(")")
            return Dyn(name)
        return Param(t[1:]) if t[0] == "$" else Var(t)

    def indices(self) -> tuple[Index, ...]:
        if not self.skip("["):
            return ()
        out = [self.index()]
        while self.skip(","):
            out.append(self.index())
        self.take("]")
        return tuple(out)

    def place(self) -> tuple[str, Index]:
        buf = self.take()
        at = self.indices()
        if len(at) != 1:
            raise self.error(f"{buf} takes one index")
        return buf, at[0]

    def mask(self) -> Operand | None:
        return self.operand() if self.skip("if") else None

    def end(self) -> None:
        if self.at < len(self.tokens):
            raise self.error(f"unexpected {self.peek()!r}")


def parse_kernel(text: str) -> Kernel:
    """The kernel that a text describes. ParseError names the line that is wrong."""
    schedule = ""
    lines: list[_Line] = []
    for number, raw in enumerate(text.splitlines(), 1):
        bare = raw.strip()
        if bare.startswith("#"):
            schedule = schedule or bare[1:].strip()
        elif bare:
            lines.append(_Line(bare, number))
    if not lines:
        raise ParseError("loop IR: no kernel")
    head = lines[0]
    head.take("kernel")
    name = head.take()
    if name[0] != "@":
        raise head.error(f"expected the kernel's name, @…, found {name!r}")
    head.take("(")
    buffers: list[Buffer] = []
    while head.peek() not in (";", ")"):
        buf = head.take()
        head.take(":")
        dtype, access = head.dtype(), head.take()
        buffers.append(Buffer(buf, dtype, access, head.skip("noalias")))
        head.skip(",")
    params: list[str] = []
    if head.skip(";"):
        while head.peek() != ")":
            params.append(head.take())
            head.skip(",")
    head.take(")")
    head.take("{")
    head.end()
    body, at = _parse_body(lines, 1, 0)
    if at != len(lines):
        raise lines[at].error("text after the kernel's end")
    return Kernel(name[1:], tuple(buffers), tuple(params), body, schedule)


def _parse_body(lines: list[_Line], at: int, depth: int) -> tuple[list[Stmt], int]:
    out: list[Stmt] = []
    if depth > _MAX_DEPTH:
        raise lines[at - 1].error("loops are nested too deep")
    while at < len(lines):
        line = lines[at]
        at += 1
        t = line.peek()
        if t == "}":
            line.take()
            line.end()
            return out, at
        if t in KINDS:
            kind, var = line.take(), line.take()
            line.take("in")
            line.take("0")
            line.take("..")
            extent = line.index()
            width = line.integer() if line.skip("width") else 1
            exact = line.skip("exact")
            line.take("{")
            line.end()
            body, at = _parse_body(lines, at, depth + 1)
            out.append(For(var, extent, kind, body, width, exact))
        elif t == "if":
            line.take()
            cond = line.operand()
            line.take("{")
            line.end()
            body, at = _parse_body(lines, at, depth + 1)
            out.append(If(cond, body))
        else:
            out.append(_parse_statement(line))
            line.end()
    raise lines[-1].error("a '}' is missing")


def _parse_statement(line: _Line) -> Stmt:
    first = line.take()
    if first == "store":
        buf, index = line.place()
        line.take("=")
        src = line.operand()
        mask = line.mask()
        return Store(buf, index, src, mask, line.skip("streaming"))
    if first == "transpose":
        dst, to = line.place()
        line.take("step")
        to_step = line.coef()
        line.take("=")
        src, index = line.place()
        line.take("step")
        step = line.coef()
        line.take("size")
        return Transpose(dst, to, to_step, src, index, step, line.integer(), line.skip("streaming"))
    if first == "acc":
        name = line.take()
        line.take(":")
        dtype = line.dtype()
        shape: list[int] = []
        for i in line.indices():
            if i.terms or not isinstance(i.const, int) or i.const < 1:
                raise line.error(f"accumulator {name} has extent {print_index(i)}, expected an integer from 1")
            shape.append(i.const)
        line.take("=")
        return Acc(name, dtype, line.operand(), tuple(shape))
    if first == "reduce":
        kind = line.take()
        accs: list[str] = []
        at: tuple[Index, ...] = ()
        while not accs or line.skip(","):
            accs.append(line.take())
            at = line.indices()
        line.take("with")
        return Reduce(tuple(accs), kind, line.operands(""), at)
    if first == "set":
        acc = line.take()
        at = line.indices()
        line.take("=")
        return SetAcc(acc, line.operand(), at)
    if first == "alloc":
        name = line.take()
        line.take(":")
        dtype = line.dtype()
        line.take("[")
        size = line.coef()
        line.take("]")
        return Alloc(name, dtype, size, line.take())
    if first == "table":
        name = line.take()
        line.take(":")
        dtype, data = line.dtype(), line.take()
        try:
            return Table(name, dtype, bytes.fromhex(data))
        except ValueError:
            raise line.error(f"table {name} holds no hexadecimal bytes") from None
    if first == "check":
        cond = line.operand()
        line.take("code")
        return Check(cond, line.coef())
    if first in ("barrier", "commit"):
        return Barrier() if first == "barrier" else Commit()
    if first == "wait":
        return Wait(line.integer())
    if first == "copy":
        dst, to = line.place()
        line.take("=")
        src, index = line.place()
        line.take("bytes")
        return CopyAsync(dst, to, src, index, line.integer(), line.mask())
    if first == "matrix":
        names = [line.take()]
        while line.skip(","):
            names.append(line.take())
        if len(names) != 4:
            raise line.error(f"four registers hold matrices, not {len(names)}")
        line.take("=")
        buf = line.take()
        line.take("at")
        return LoadMatrix((names[0], names[1], names[2], names[3]), buf, line.operand(), line.skip("turned"))
    if first == "settle":
        groups = line.integer()
        settled: list[str] = []
        while line.skip("," if settled else "for"):
            settled.append(line.take())
        return WarpgroupWait(groups, tuple(settled))
    if first == "warpgroup":
        dtype = line.dtype()
        summed: list[str] = []
        while not summed or line.skip(","):
            summed.append(line.take())
        sides = []
        for between in ("with", "by"):
            line.take(between)
            buf = line.take()
            line.take("at")
            sides.append((buf, line.operand(), line.skip("turned")))
        line.take("steps")
        (left_buf, left_at, left_turned), (right_buf, right_at, right_turned) = sides
        turned = left_turned, right_turned
        return WarpgroupMma(dtype, tuple(summed), left_buf, left_at, right_buf, right_at, line.integer(), turned)
    if first == "mma":
        dtype = line.dtype()
        sums: list[str] = []
        while not sums or line.skip(","):
            sums.append(line.take())
        line.take("with")
        left = line.operands("by")
        line.take("by")
        return Mma(dtype, tuple(sums), left, line.operands(""))
    line.take("=")
    what = line.take()
    if what == "load":
        buf, index = line.place()
        word = line.dtype() if line.skip("as") else None
        return Load(first, buf, index, line.mask(), word)
    if what == "index":
        return IndexValue(first, line.index())
    if what == "shuffle":
        src = line.operand()
        line.take("lanes")
        return Shuffle(first, src, line.integer())
    if what == "get":
        acc = line.take()
        return GetAcc(first, acc, line.indices())
    line.take("(")
    args = line.operands(")")
    line.take(")")
    line.take(":")
    return Let(first, what, args, line.dtype())
