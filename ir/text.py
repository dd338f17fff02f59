"""The text form of graphs: what people read, what files hold, and (without locations) a graph's identity.

    func @main(%a0: f32[B,784], %a1: f32[784,10], %a2: scalar f32[]) -> f32[B,10] {
      %0 = dot %a0, %a1 {batch=[[], []], contract=[[1], [0]]} : f32[B,10]
      %1 = mul %0, %a2 : f32[B,10]
      return %1
    }

Values are numbered in order and functions by first use, so that the text says nothing about how the graph came to
be. The first function is the graph; those that attributes refer to follow, equal ones once. `ir/parse.py` reads it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ingot.ir.dtypes import DType
from ingot.ir.graph import Const, Graph, Node, Value
from ingot.ir.size import Size, symbols
from ingot.ir.types import TensorType

__all__ = ["print_graph", "node_printer", "parse", "INLINE_ELEMENTS"]

INLINE_ELEMENTS = 16  # a constant of at most so many elements is written out
_NAME = re.compile(r"[^A-Za-z0-9_.]")


def print_graph(graph: Graph, locations: bool = False, payloads: bool = False) -> str:
    """The text of `graph`.

    Plain, it is the graph's identity: no names that people gave, no locations, large constants by SHA-256.
    `locations=True` is for people: function and input names, and where each node was recorded.
    `payloads=True` writes large constants out (base64), so that the text parses back to the whole graph.
    """
    return _Printer(locations, payloads).run(graph)


def node_printer(graph: Graph) -> tuple[dict[Value, str], Callable[[Node], str]]:
    """The names that `print_graph` gives a graph's values for people, and a function that prints one of its nodes by them."""
    names = {v: "%" + name for v, name in zip(graph.inputs, input_names(graph))}
    names.update((v, f"%{i}") for i, v in enumerate(v for n in graph.nodes for v in n.outputs))
    printer = _Printer(True, False)
    return names, lambda node: printer.line(node, names)


def parse(text: str) -> Graph:
    """The graph that `text` describes: its first function. ParseError (a ValueError) names line and reason."""
    from ingot.ir.parse import parse as read

    return read(text)


class _Printers(dict):
    """Printers by type; NumPy's integers print as Python's, and all kinds of graphs alike. TypeError for what has no text form."""

    def __missing__(self, kind: type) -> Callable[[Any], str]:
        if issubclass(kind, Graph):
            return self[Graph]
        if issubclass(kind, np.integer):
            return str
        raise TypeError(f"an attribute of type {kind.__name__} has no text form")


class _Printer:
    def __init__(self, human: bool, payloads: bool):
        self.human = human
        self.payloads = payloads
        self.named: dict[int, str] = {}  # id(graph) -> name
        self.by_text: dict[tuple[str, str], str] = {}  # (name wish, text without the name) -> name
        self.functions: list[str] = []
        self.taken: set[str] = set()
        self.types: dict[int, str] = {}  # id(type) -> text
        self.places: dict[tuple[int, int], str] = {}  # (id(code), instruction) -> text
        self.sized: dict[int, list[Size]] = {}  # id(type) -> its dims that have symbols
        self.bounded: dict[str, None] = {}  # the bounds of the symbols of the function that is being printed
        self.attr_printers: dict[type, Callable[[Any], str]] = _Printers({
            int: str,
            bool: lambda v: "true" if v else "false",
            float: lambda v: float_text(v),
            str: json.dumps,
            type(None): lambda v: "none",
            DType: lambda v: v.name,
            Size: self.size_text,
            tuple: self.tuple_text,
            list: self.tuple_text,
            Const: self.const_text,
            Graph: lambda g: "@" + self.function(g),
        })  # fmt: skip

    def run(self, graph: Graph) -> str:
        name = clean_name(graph.name, "main") if self.human else "main"
        self.taken.add(name)
        return "\n".join([f"func @{name}{self.body(graph)}", *self.functions])

    def function(self, graph: Graph) -> str:
        """The name of a graph that an attribute holds; prints it at first sight."""
        name = self.named.get(id(graph))
        if name is None:
            body = self.body(graph)
            routine = "." in graph.name  # which says how it is lowered: ir/lower/matrices/routines.py
            wish = clean_name(graph.name, "f") if self.human or routine else ""
            name = self.by_text.get((wish, body))
            if name is None:
                name = self.free_name(wish)
                self.by_text[wish, body] = name
                self.functions.append(f"func @{name}{body}")
            self.named[id(graph)] = name
        return name

    def free_name(self, wish: str) -> str:
        name = wish or f"f{len(self.functions)}"
        n = 1
        while name in self.taken:
            n += 1
            name = f"{wish}_{n}"
        self.taken.add(name)
        return name

    def body(self, graph: Graph) -> str:
        names: dict[Value, str] = {}
        given = input_names(graph) if self.human else [f"a{i}" for i in range(len(graph.inputs))]
        heads = []
        outer, self.bounded = self.bounded, {}
        type_text = self.type_text
        for i, (v, name) in enumerate(zip(graph.inputs, given)):
            names[v] = "%" + name
            kind = "scalar " if i in graph.scalars else "steady " if i in graph.steady else ""
            heads.append(f"%{name}: {kind}{type_text(v.type)}")
        results = [type_text(v.type) for v in graph.outputs]
        arrow = results[0] if len(results) == 1 else f"({', '.join(results)})"
        lines = [""]
        count = 0
        for node in graph.nodes:
            for v in node.outputs:
                names[v] = f"%{count}"
                count += 1
            line = "  " + self.line(node, names)
            if self.human and node.loc is not None:
                line = f"{line:<60}  // {self.location(node.loc)}"
            lines.append(line)
        lines.append(("  return " + ", ".join([names[v] for v in graph.outputs])).rstrip())
        lines.append("}\n")
        where = f" where {', '.join(sorted(self.bounded))}" if self.bounded else ""
        lines[0] = f"({', '.join(heads)}) -> {arrow}{where} {{"
        self.bounded = outer
        return "\n".join(lines)

    def line(self, node: Node, names: dict[Value, str]) -> str:
        """A node, where its inputs and outputs have these names."""
        outs, printers, type_text = node.outputs, self.attr_printers, self.type_text
        args = " " + ", ".join([names[v] for v in node.inputs]) if node.inputs else ""
        attrs = ""
        if node.attrs:
            attrs = " {" + ", ".join([f"{k}={printers[type(v)](v)}" for k, v in zip(node.op.attr_names, node.attrs)]) + "}"
        if len(outs) == 1:
            left, types = names[outs[0]], type_text(outs[0].type)
        else:
            left, types = ", ".join([names[v] for v in outs]), ", ".join([type_text(v.type) for v in outs])
        return f"{left} = {node.op.name}{args}{attrs} : {types}"

    def type_text(self, t: TensorType) -> str:
        found = self.types.get(id(t))
        if found is None:
            found = self.types[id(t)] = str(t)
            for d in t.shape:
                if isinstance(d, Size):
                    self.sized.setdefault(id(t), []).append(d)
        if id(t) in self.sized:
            for d in self.sized[id(t)]:
                self.size_text(d)
        return found

    def size_text(self, d: Size) -> str:
        """A size; the bounds of its symbols will stand in the function's head."""
        for s in symbols(d):
            if s.bounds_text != s.name:
                self.bounded[s.bounds_text] = None
        return str(d)

    def tuple_text(self, values: tuple) -> str:
        printers = self.attr_printers
        return "[" + ", ".join([printers[type(v)](v) for v in values]) + "]"

    def const_text(self, c: Const) -> str:
        if c.type.numel <= INLINE_ELEMENTS:
            parts = c.type.dtype.to_real()  # a complex number is written as two
            items = [scalar_text(x, parts) for x in c.array().reshape(-1).view(parts.numpy)]
            return items[0] if c.type.rank == 0 and parts is c.type.dtype else "[" + ", ".join(items) + "]"
        if self.payloads:
            import base64

            return "base64:" + base64.b64encode(c.data).decode()
        return "sha256:" + c.digest()

    def location(self, loc: Any) -> str:
        from ingot.ir.location import resolve

        key = id(loc[0]), loc[1]
        found = self.places.get(key)
        if found is None:
            found = self.places[key] = str(resolve(loc))
        return found


def float_text(x: float, nan_bits: int | None = None) -> str:
    """A float, exactly: hex digits, `inf`, or `nan:` and its bits (a float attribute's in 64 bits)."""
    if math.isnan(x):
        if nan_bits is None:
            nan_bits = int(np.float64(x).view(np.uint64))
        return f"nan:{nan_bits:#x}"
    if math.isinf(x):
        return "inf" if x > 0 else "-inf"
    digits, exponent = x.hex().split("p")
    return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits}p{exponent}"


def scalar_text(x: Any, dtype: DType) -> str:
    """One element of a constant."""
    if dtype.kind == "b":
        return "true" if x else "false"
    if dtype.kind != "f":
        return str(int(x))
    value = float(x)
    bits = int(x.view(f"u{dtype.itemsize}")) if math.isnan(value) else None
    return float_text(value, bits)


def input_names(graph: Graph) -> list[str]:
    """The graph's input names made fit for text: legal, and each once."""
    out: list[str] = []
    seen: set[str] = set()
    for i, wish in enumerate(graph.input_names):
        name = clean_name(wish, f"a{i}")
        while name in seen:
            name += f"_{i}"
        seen.add(name)
        out.append(name)
    return out


def clean_name(name: str, default: str) -> str:
    """`name` with everything but letters, digits, `_` and `.` replaced; never a bare number, which values have."""
    name = _NAME.sub("_", name)
    if not name:
        return default
    return "_" + name if name[0].isdigit() else name
