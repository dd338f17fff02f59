"""Graphs as pictures: each fused kernel a box, values as lines between them. SVG, or a page of HTML around it; nothing else is needed."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingot.ir.graph import Graph, Value
    from ingot.ir.lower.group import Fused

__all__ = ["html", "svg"]

_LINE, _PAD, _GAP_X, _GAP_Y, _CHAR = 15, 8, 28, 46, 6.7  # pixels: of a line of text, within a box, between boxes, of a character
_MOST = 14  # lines of a box; what is more is counted
_COLOURS = {
    "nest": "#e8f1fb", "tiles": "#fdebd3", "loop": "#e9f7e4", "while": "#e9f7e4", "branch": "#f3e8fb", "input": "#f4f4f4",
    "output": "#f4f4f4",
}  # fmt: skip


class _Box:
    """A kernel, an input or an output: lines of text, the whole of it for the tooltip, and which boxes come before."""

    def __init__(self, kind: str, lines: list[str], whole: str, before: list[tuple[_Box, str]]):
        self.kind, self.lines, self.whole, self.before = kind, lines, whole, before
        self.level: int = 1 + max((b.level for b, _ in before), default=-1)
        self.width = 2 * _PAD + max(len(line) for line in lines) * _CHAR
        self.height = 2 * _PAD + _LINE * len(lines)
        self.x = self.y = 0.0


def _fused(graph: Graph) -> Fused:
    """The graph in kernels, as for this machine's CPU."""
    from ingot.backends import backend
    from ingot.ir.lower import STAGES, run

    cpu = backend("cpu")
    level = next(iter(cpu.levels.values()))
    until = [s.name for s in STAGES].index("fuse") + 1
    return run(graph, cpu.target(level), STAGES[:until])  # type: ignore[no-any-return]


def _boxes(fused: Fused) -> list[_Box]:
    from ingot.ir.text import node_printer

    graph = fused.graph
    names, printed = node_printer(graph)
    made: dict[Value, _Box] = {}
    boxes: list[_Box] = []

    def add(kind: str, lines: list[str], whole: str, read: list[Value]) -> _Box:
        before: dict[int, tuple[_Box, list[str]]] = {}
        for v in dict.fromkeys(map(fused.root, read)):
            before.setdefault(id(made[v]), (made[v], []))[1].append(str(v.type))
        cut = lines if len(lines) <= _MOST else [*lines[: _MOST - 1], f"… {len(lines) - _MOST + 1} more"]
        boxes.append(_Box(kind, [line[:60] for line in cut], whole, [(b, ", ".join(types)) for b, types in before.values()]))
        return boxes[-1]

    for v, name in zip(graph.inputs, graph.input_names):
        made[v] = add("input", [f"{name}: {v.type}"], f"input {name}", [])
    for g in fused.groups:
        inside = g.inside()
        members = [n for n in graph.nodes if n in inside or n in g.nodes]
        read = [v for n in members for v in n.inputs if v in fused.in_memory and v not in g.maps]
        title = g.title(names).partition(" -> ")[0] + " → " + ", ".join(str(v.type) for v in g.outputs)
        lines = [title, *(("  " if n in g.nodes else "· ") + n.op.name for n in members)]
        for body in g.bodies:
            lines.append(f"  @{body.graph.name} in {len(body.groups)} kernels:")
            lines += [f"    {b.kind}: {' '.join(n.op.name for n in b.nodes)}" for b in body.groups]
        box = add(g.kind, lines, "\n".join(printed(n) for n in members), read)
        made.update((v, box) for v in g.outputs)
    for k, v in enumerate(graph.outputs):
        add("output", [f"result {k}: {v.type}"], f"result {k}", [v])
    return boxes


def _placed(boxes: list[_Box]) -> tuple[float, float]:
    """Give boxes their places, a row for each level, and tell how large the picture is. Inputs stand just above their first reader."""
    for b in boxes:
        readers = [o.level for o in boxes if any(x is b for x, _ in o.before)]
        if b.kind == "input" and readers:
            b.level = min(readers) - 1
    rows: dict[int, list[_Box]] = {}
    for b in boxes:
        rows.setdefault(b.level, []).append(b)
    y, width = float(_PAD), 0.0
    for level in sorted(rows):
        row = rows[level]
        row.sort(key=lambda b: sum(p.x + p.width / 2 for p, _ in b.before) / max(len(b.before), 1))
        x = float(_PAD)
        for b in row:
            b.x, b.y = x, y
            x += b.width + _GAP_X
        width = max(width, x)
        y += max(b.height for b in row) + _GAP_Y
    for row in rows.values():  # in the middle
        shift = (width - (row[-1].x + row[-1].width + _GAP_X)) / 2
        for b in row:
            b.x += shift
    return width, y


def svg(graph: Graph) -> str:
    """The picture of a graph."""
    boxes = _boxes(_fused(graph))
    width, height = _placed(boxes)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" '
        'font-family="monospace" font-size="11">',
        '<defs><marker id="to" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="6" markerHeight="6" orient="auto">'
        '<path d="M0 0L6 3L0 6z" fill="#777"/></marker></defs>',
    ]
    for b in boxes:
        for p, text in b.before:
            x, y, to_x, to_y = p.x + p.width / 2, p.y + p.height, b.x + b.width / 2, b.y
            out.append(
                f'<path d="M{x:.0f} {y:.0f}C{x:.0f} {y + 24:.0f} {to_x:.0f} {to_y - 24:.0f} {to_x:.0f} {to_y:.0f}" fill="none" '
                f'stroke="#777" marker-end="url(#to)"><title>{escape(text)}</title></path>'
            )
    for b in boxes:
        round_ = 12 if b.kind in ("input", "output") else 3
        out.append(f'<g><title>{escape(b.whole)}</title><rect x="{b.x:.0f}" y="{b.y:.0f}" width="{b.width:.0f}" height="{b.height:.0f}" '
                   f'rx="{round_}" fill="{_COLOURS.get(b.kind, "#fbe8ea")}" stroke="#555"/>')  # fmt: skip
        for k, line in enumerate(b.lines):
            bold = ' font-weight="bold"' if k == 0 and round_ == 3 else ""
            text = f'<text x="{b.x + _PAD:.0f}" y="{b.y + _PAD + 11 + k * _LINE:.0f}"{bold} xml:space="preserve">{escape(line)}</text>'
            out.append(text)
        out.append("</g>")
    return "\n".join([*out, "</svg>", ""])


def html(graph: Graph, title: str) -> str:
    """A page with the picture, and the graph's text below it."""
    from ingot.ir.text import print_graph

    text = escape(print_graph(graph, locations=True))
    return (
        f'<!doctype html>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n<h1>{escape(title)}</h1>\n'
        f"{svg(graph)}<details><summary>text</summary><pre>{text}</pre></details>\n"
    )
