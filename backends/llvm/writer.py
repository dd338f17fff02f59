"""Writing LLVM IR text: scopes with hoisting, names, blocks. What `function.py` writes loops and statements with.

A scope is a loop's or branch's body. What is pure and depends on nothing of a scope is written before it: `at(depth,
expr)` puts an instruction where the scope `depth` is still open and every deeper one has not begun. An expression
names its operands, so its text is also its key: written once per scope.
"""

from __future__ import annotations

from ingot.backends.llvm.helpers import HELPERS
from ingot.backends.llvm.level import Level
from ingot.backends.llvm.values import TYPES, Value, type_of

__all__ = ["Module", "Writer"]


class Module:
    """The text of a module: declarations, helpers and functions, each once."""

    def __init__(self, level: Level):
        self.level = level
        self.declared: dict[str, str] = {}
        self.helpers: dict[str, str] = {}
        self.functions: list[str] = []
        self.tables: dict[str, str] = {}  # names of globals by what they hold

    def declare(self, result: str, name: str, types: tuple[str, ...]) -> None:
        """Declare a function, once."""
        if name not in self.declared:
            self.declared[name] = f"declare {result} @{name}({', '.join(types)})"

    def table(self, data: bytes, kind: str) -> str:
        """Bytes that are part of the code, once: the global that holds them."""
        text = "".join(f"\\{b:02x}" for b in data)
        made = f'constant [{len(data)} x i8] c"{text}", align 64\n'
        name = self.tables.setdefault(made, f"@ingot.table.{len(self.tables)}")
        self.helpers.setdefault(name, f"{name} = {kind} {made}")
        return name

    def helper(self, name: str) -> str:
        """A scalar function of `helpers.py`, added to the module when first used."""
        if name not in self.helpers:
            needs, text = HELPERS[name]
            self.helpers[name] = text
            for result, other, types in needs:
                self.declare(result, other, types)
        return f"@ingot.{name}"


class _Scope:
    __slots__ = ("pre", "lines", "cache")

    def __init__(self) -> None:
        self.pre: list[str] = []
        self.lines: list[str] = []
        self.cache: dict[str, str] = {}


class Writer:
    """One LLVM function being written."""

    def __init__(self, module: Module):
        self.module = module
        self.level = module.level
        self.scopes = [_Scope()]
        self.lines = self.scopes[0].lines
        self.count = 0
        self.block = "entry"
        self.allocas: list[str] = []
        self.vector_depth = 0  # the scope that the vector loop stands in

    # -- instructions --------------------------------------------------------------------------------------------

    def fresh(self) -> str:
        """A name that nothing has yet."""
        self.count += 1
        return f"%x{self.count}"

    def new(self, expr: str) -> str:
        """An instruction at the present place."""
        self.count += 1
        name = f"%x{self.count}"
        self.lines.append(f"  {name} = {expr}")
        return name

    def at(self, depth: int, expr: str) -> str:
        """A pure instruction whose operands are all defined at `depth` or above: written there, once."""
        if depth >= len(self.scopes):
            depth = len(self.scopes) - 1
        scope = self.scopes[depth]
        found = scope.cache.get(expr)
        if found is None:
            self.count += 1
            found = f"%x{self.count}"
            deeper = depth + 1
            (self.scopes[deeper].pre if deeper < len(self.scopes) else self.lines).append(f"  {found} = {expr}")
            scope.cache[expr] = found
        return found

    def here(self, expr: str) -> str:
        """A pure instruction at the present place, once per scope."""
        return self.at(len(self.scopes) - 1, expr)

    @property
    def depth(self) -> int:
        """The depth of the present scope."""
        return len(self.scopes) - 1

    def line(self, text: str) -> None:
        """A line at the present place."""
        self.lines.append("  " + text)

    def call(self, result: str, name: str, *args: tuple[str, str]) -> str:
        """Call an intrinsic (declared as needed)."""
        self.module.declare(result, name, tuple(t for t, _ in args))
        text = f"call {result} @{name}({', '.join(f'{t} {x}' for t, x in args)})"
        if result == "void":
            self.line(text)
            return ""
        return self.new(text)

    def helper(self, name: str) -> str:
        """The name of a helper function, which is added to the module."""
        return self.module.helper(name)

    def wide(self, v: Value, lanes: int) -> str:
        """The operand's text with this many lanes; a single value is repeated (once, where it is defined)."""
        if v.lanes == lanes:
            return v.text
        t = TYPES[v.dtype]
        if v.text[0] != "%":
            return f"splat ({t} {v.text})"
        return self.repeat(t, v.text, v.depth, lanes)

    def repeat(self, t: str, text: str, depth: int, lanes: int) -> str:
        """A single value in every lane, made before the vector loop but no earlier: a register that long is dear."""
        if text[0] != "%":
            return f"splat ({t} {text})"
        depth = max(depth, self.vector_depth)
        one = self.at(depth, f"insertelement <{lanes} x {t}> poison, {t} {text}, i32 0")
        return self.at(depth, f"shufflevector <{lanes} x {t}> {one}, <{lanes} x {t}> poison, <{lanes} x i32> zeroinitializer")

    # -- blocks and scopes ---------------------------------------------------------------------------------------

    def label(self) -> str:
        """The name of a new block."""
        self.count += 1
        return f"b{self.count}"

    def start_block(self, label: str) -> None:
        """Begin a block."""
        self.lines.append(f"{label}:")
        self.block = label

    def push(self) -> None:
        """Open a scope."""
        scope = _Scope()
        self.scopes.append(scope)
        self.lines = scope.lines

    def pop(self) -> list[str]:
        """Close a scope: what was hoisted goes before it; its own lines are returned."""
        scope = self.scopes.pop()
        self.lines = self.scopes[-1].lines
        self.lines += scope.pre
        return scope.lines

    def branch_where(self, cond: str) -> tuple[str, str, str]:
        """Begin code that runs where `cond` (an i1) holds; end it with `join`. Only for code without accumulators."""
        then = self.label()
        self.push()
        self.block = then
        return cond, then, self.label()

    def join(self, branch: tuple[str, str, str]) -> None:
        """End what `branch_where` began."""
        cond, then, after = branch
        lines = self.pop()
        self.line(f"br i1 {cond}, label %{then}, label %{after}")
        self.lines.append(f"{then}:")
        self.lines += lines
        self.line(f"br label %{after}")
        self.start_block(after)

    def extract(self, v: Value, lane: str) -> str:
        """One lane of a wide value."""
        return self.new(f"extractelement {type_of(v.dtype, v.lanes)} {v.text}, i32 {lane}")
