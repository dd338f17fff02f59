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

from collections.abc import Iterator
from math import nan

from ingot.ir.loop.expression import Atom, Coef, Div, Dyn, Index, Param, Var
from ingot.ir.loop.ir import (
    Acc,
    Alloc,
    Barrier,
    Check,
    Commit,
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
    nan_bits,
)
from ingot.ir.loop.program import Branch, Copy, Launch, Program, Ref, Repeat, Step
from ingot.ir.size import Size
from ingot.ir.struct import replace

__all__ = ["body_text", "print_kernel", "print_program", "print_index", "renamed"]

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
    if isinstance(s, Table):
        return f"table {s.name}: {s.dtype.name} {s.data.hex()}"
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
