"""The loop IR's text form, which prints and parses back to the same kernel.

    kernel @scale(x: f32 r noalias, y: f32 w noalias; n0) {
      parallel p in 0..$n0 {
        vector v in 0..64 width 32 exact {
          %1 = load x[64*p + v]
          %2 = mul(%1, 0x1.8p+0:f32) : f32
          store y[64*p + v] = %2
        }
      }
    }

In an index a plain name is a loop variable, `$n` a parameter, `dyn(%3)` a computed scalar; `div(i, 8)` and `mod(i, $n)`
are floor and remainder. Floats are hexadecimal, so nothing is lost. In a program, and in kernels that have no parameters yet, sizes
stand for numbers; `(2*T+1)*i` in an index is one such. Those are for people: what is read back has parameters.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from math import nan

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
    Transpose,
    Wait,
    WarpgroupMma,
    WarpgroupWait,
    nan_bits,
)
from ingot.ir.loop.program import Branch, Copy, Launch, Program, Ref, Repeat, Step
from ingot.ir.size import Size
from ingot.ir.struct import replace

__all__ = ["body_text", "print_kernel", "print_program", "print_index", "parse_kernel", "renamed", "ParseError"]

_MAX_DEPTH = 100  # of loops, conditions and index expressions within each other


class ParseError(ValueError):
    """Text that is no loop IR; the message names the line."""


# -- printing --------------------------------------------------------------------------------------------------------


def print_kernel(k: Kernel, named: bool = True) -> str:
    """The text of a kernel. `named`: with its own name and its schedule, which decide nothing."""
    buffers = ", ".join(f"{b.name}: {b.dtype.name} {b.access}{' noalias' if b.noalias else ''}" for b in k.buffers)
    params = f"; {', '.join(k.params)}" if k.params else ""
    lines = [f"kernel @{k.name if named else 'kernel'}({buffers}{params}) {{"]
    if k.schedule and named:
        lines.append(f"  # {k.schedule}")
    return "\n".join([*lines, *filter(None, [body_text(k)]), "}", ""])


def body_text(k: Kernel) -> str:
    """The lines within a kernel, printed once: nobody changes a kernel that is made."""
    found = k.__dict__.get("_printed")
    if found is None:
        found = k.__dict__["_printed"] = "\n".join(_body(k.body, "  "))
    return found


def renamed(k: Kernel, name: str) -> Kernel:
    """The same kernel under another name."""
    made = replace(k, name=name)
    made.__dict__["_printed"] = body_text(k)
    return made


def print_index(i: Index) -> str:
    """The text of an index expression."""
    parts = [_term(a, c) for a, c in i.terms]
    if isinstance(i.const, Param):
        parts.append(f"const({i.const.name})")
    elif i.const != 0 or not parts:
        parts.append(_coef(i.const))
    return " + ".join(parts)


def _term(a: Atom, c: Coef) -> str:
    if isinstance(a, Var):
        text = a.name
    elif isinstance(a, Param):
        text = f"${a.name}"
    elif isinstance(a, Dyn):
        text = f"dyn({a.name})"
    else:
        text = f"{'div' if isinstance(a, Div) else 'mod'}({print_index(a.num)}, {_coef(a.den)})"
    if c == 1:
        return text
    return f"{_coef(c)}*{text}"


def _coef(c: Coef) -> str:
    return f"({c})" if isinstance(c, Size) else str(c)


def _operand(x: Operand) -> str:
    if isinstance(x, str):
        return x
    if isinstance(x.value, bool):
        return f"{'true' if x.value else 'false'}:{x.dtype.name}"
    if x.value != x.value and nan_bits(x.value) != nan_bits(nan):
        return f"nan{nan_bits(x.value):#x}:{x.dtype.name}"
    return f"{float(x.value).hex() if x.dtype.kind == 'f' else x.value}:{x.dtype.name}"


def _where(mask: Operand | None) -> str:
    return "" if mask is None else f" if {_operand(mask)}"


def _slot(acc: str, at: tuple[Index, ...]) -> str:
    return f"{acc}[{', '.join(map(print_index, at))}]" if at else acc


def _body(body: list[Stmt], pad: str) -> Iterator[str]:
    for s in body:
        if isinstance(s, For):
            width = f" width {s.width}" if s.kind == "vector" else ""
            yield f"{pad}{s.kind} {s.var} in 0..{print_index(s.extent)}{width}{' exact' if s.exact else ''} {{"
            yield from _body(s.body, pad + "  ")
            yield pad + "}"
        elif isinstance(s, If):
            yield f"{pad}if {_operand(s.cond)} {{"
            yield from _body(s.body, pad + "  ")
            yield pad + "}"
        else:
            yield pad + _statement(s)


def _statement(s: Stmt) -> str:
    if isinstance(s, Load):
        word = f" as {s.word.name}" if s.word is not None else ""
        return f"{s.dst} = load {s.buf}[{print_index(s.index)}]{word}{_where(s.mask)}"
    if isinstance(s, Store):
        return f"store {s.buf}[{print_index(s.index)}] = {_operand(s.src)}{_where(s.mask)}{' streaming' if s.streaming else ''}"
    if isinstance(s, Transpose):
        to, at = (f"{b}[{print_index(i)}] step {_coef(c)}" for b, i, c in ((s.dst, s.to, s.to_step), (s.src, s.at, s.at_step)))
        return f"transpose {to} = {at} size {s.size}{' streaming' if s.streaming else ''}"
    if isinstance(s, Let):
        return f"{s.dst} = {s.op}({', '.join(map(_operand, s.args))}) : {s.dtype.name}"
    if isinstance(s, IndexValue):
        return f"{s.dst} = index {print_index(s.index)}"
    if isinstance(s, Acc):
        shape = f"[{', '.join(map(str, s.shape))}]" if s.shape else ""
        return f"acc {s.name}: {s.dtype.name}{shape} = {_operand(s.init)}"
    if isinstance(s, Reduce):
        slots = ", ".join(_slot(a, s.at) for a in s.accs)
        return f"reduce {s.kind} {slots} with {', '.join(map(_operand, s.values))}"
    if isinstance(s, SetAcc):
        return f"set {_slot(s.acc, s.at)} = {_operand(s.value)}"
    if isinstance(s, GetAcc):
        return f"{s.dst} = get {_slot(s.acc, s.at)}"
    if isinstance(s, Alloc):
        return f"alloc {s.name}: {s.dtype.name}[{_coef(s.size)}] {s.scope}"
    if isinstance(s, Check):
        return f"check {_operand(s.cond)} code {s.code}"
    if isinstance(s, Mma):
        return f"mma {s.dtype.name} {', '.join(s.accs)} with {', '.join(map(_operand, s.left))} by {', '.join(map(_operand, s.right))}"
    if isinstance(s, LoadMatrix):
        return f"matrix {', '.join(s.dsts)} = {s.buf} at {_operand(s.at)}{' turned' if s.turned else ''}"
    if isinstance(s, Shuffle):
        return f"{s.dst} = shuffle {_operand(s.src)} lanes {s.lanes}"
    if isinstance(s, CopyAsync):
        return f"copy {s.dst}[{print_index(s.to)}] = {s.src}[{print_index(s.at)}] bytes {s.nbytes}{_where(s.mask)}"
    if isinstance(s, Wait):
        return f"wait {s.groups}"
    if isinstance(s, WarpgroupMma):
        sides = ((s.left, s.left_at, s.turned[0]), (s.right, s.right_at, s.turned[1]))
        left, right = (f"{buf} at {_operand(at)}{' turned' if turned else ''}" for buf, at, turned in sides)
        return f"warpgroup {s.dtype.name} {', '.join(s.accs)} with {left} by {right} steps {s.steps}"
    if isinstance(s, WarpgroupWait):
        return f"settle {s.groups}{' for ' if s.accs else ''}{', '.join(s.accs)}"
    assert isinstance(s, (Barrier, Commit))
    return "barrier" if isinstance(s, Barrier) else "commit"


def print_program(p: Program) -> str:
    """Kernels, steps, which inputs an output may take the memory of, and what the codes of checks say, for people."""
    lines = [print_kernel(k) for k in p.kernels.values()]
    where = f" where {', '.join(s.bounds_text for s in p.symbols)}" if p.symbols else ""
    lines.append(f"program @{p.name}{where}  # arena {p.arena_bytes} bytes")
    lines += _steps(p.steps, "  ")
    lines += [f"  output {o} may be {' or '.join(f'arg{i}' for i in inputs)}" for o, inputs in sorted(p.aliases.items())]
    lines += [f"  code {code}: {message}" for code, (message, _) in sorted(p.checks.items())]
    return "\n".join([*lines, ""])


def _steps(steps: tuple[Step, ...], pad: str) -> Iterator[str]:
    for s in steps:
        if isinstance(s, Launch):
            params = f"; {', '.join(map(str, s.params))}" if s.params else ""
            yield f"{pad}launch @{s.kernel}({', '.join(map(_ref, s.bufs))}{params})"
        elif isinstance(s, Copy):
            yield f"{pad}copy {_ref(s.dst)} = {_ref(s.src)}, {s.nbytes} bytes"
        elif isinstance(s, Repeat):
            yield f"{pad}repeat {s.var} in 0..{s.count} {{"
            yield from _steps(s.steps, pad + "  ")
            yield pad + "}"
        elif isinstance(s, Branch):
            yield f"{pad}if {_ref(s.flag)} {{"
            yield from _steps(s.steps, pad + "  ")
            if s.otherwise:
                yield pad + "} else {"
                yield from _steps(s.otherwise, pad + "  ")
            yield pad + "}"
        else:
            yield pad + "while {"
            yield from _steps(s.test, pad + "  ")
            yield f"{pad}}} {_ref(s.flag)} {{"
            yield from _steps(s.steps, pad + "  ")
            yield pad + "}"


def _ref(r: Ref) -> str:
    base = "arena" if r.arg is None else f"{'value' if r.value else 'arg'}{r.arg}"
    moves = "".join(f" + {_coef(stride)}*{var}" for var, stride in r.strides)
    return f"{base}{f' + {r.offset}' if r.offset != 0 else ''}{moves}"


# -- parsing ---------------------------------------------------------------------------------------------------------

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
