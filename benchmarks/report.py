"""Tables for people and JSON for programs."""

from __future__ import annotations

import json
import os
import statistics
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.harness import Result
from benchmarks.processes import ProcessResult, Row
from benchmarks.workloads import Workload

Rows = list[tuple[str, ...]]


def seconds(value: float) -> str:
    """A time as people write it: three digits."""
    if value < 0:  # a difference
        return f"-{seconds(-value)}"
    unit, scale = next((u, s) for u, s in (("s", 1.0), ("ms", 1e-3), ("µs", 0.0)) if value >= s)
    value /= scale or 1e-6
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"


def _ratio(value: float, base: float | None) -> str:
    return f"{value / base:.2f}" if base else ""


def workload_rows(w: Workload, results: list[Result], limits: dict[str, float]) -> tuple[tuple[str, ...], Rows]:
    """(heads, rows): medians, best, ratio to Ingot (above 1: slower than Ingot), the share of the machine's limit reached."""
    ingot = next((r.median for r in results if r.contender == "ingot" and r.samples), None)
    floors = []
    if w.flops and limits.get("gflops"):
        floors.append(w.flops / limits["gflops"] / 1e9)
    if w.nbytes and limits.get("copy_nt") and w.nbytes > 64 << 20:  # smaller ones stay in caches
        floors.append(w.nbytes / max(limits["copy_nt"], limits["copy"]) / 1e9)
    floor = max(floors, default=0.0)
    heads = ("", "median", "best", "/ ingot", "of limit", "first call", "difference")
    rows: Rows = []
    for r in sorted(results, key=lambda r: r.median if r.samples else float("inf")):
        if not r.samples:
            continue
        share = f"{100 * floor / r.median:.0f} %" if floor else ""
        wrong = r.difference is not None and not r.difference <= w.tolerance
        difference = "" if r.difference is None else f"{r.difference:.0e}" + (" WRONG" if wrong else "")
        rows.append((r.contender, seconds(r.median), seconds(r.best), _ratio(r.median, ingot), share, seconds(r.first), difference))
    return heads, rows


def together(measured: list[tuple[Workload, list[Result]]]) -> tuple[tuple[str, ...], Rows]:
    """(heads, rows): a row per workload, the medians of all, and Ingot's over that of the best peer."""
    names = list(dict.fromkeys(r.contender for _, results in measured for r in results if r.samples))
    peers = [n for n in names if not n.startswith("ingot")]
    rows: Rows = []
    ratios = []
    for w, results in measured:
        times = {r.contender: r.median for r in results if r.samples}
        best = min((times[n] for n in peers if n in times), default=None)
        ratio = ""
        if best and "ingot" in times:
            ratios.append(times["ingot"] / best)
            ratio = f"{ratios[-1]:.2f}"
        rows.append((w.title, *(seconds(times[n]) if n in times else "" for n in names), ratio))
    if ratios:
        rows.append(("geometric mean", *[""] * len(names), f"{statistics.geometric_mean(ratios):.2f}"))
    return ("", *names, "ingot / best"), rows


_PICKS = {"median": statistics.median, "ratio": statistics.median, "best": min, "worst": max}


def process_rows(row: Row, results: list[ProcessResult]) -> tuple[tuple[str, ...], Rows]:
    """(heads, rows) of a row of processes, in the order of its cases; a ratio is to Ingot's median (above 1: more than Ingot)."""
    rows: Rows = []
    for r in results:
        cells = []
        for c in row.columns:
            values = r.values(c.key)
            base = [v for other in results if other.contender == "ingot" for v in other.values(c.key)]
            if not values or (c.pick == "ratio" and not base):
                cells.append("")
                continue
            value = _PICKS[c.pick](values)
            unit = _UNITS[c.unit]
            cells.append(_ratio(value, statistics.median(base)) if c.pick == "ratio" else unit(value))
        if r.lines:
            rows.append((r.contender, *cells))
    return ("", *(c.head for c in row.columns)), rows


def _memory(value: float) -> str:
    return f"{value / 1e6:.1f} MB" if abs(value) < 1e7 else f"{value / 1e6:.0f} MB"


_UNITS = {"time": seconds, "bytes": _memory, "number": lambda value: f"{value:.3g}"}


def failures(results: list[Any]) -> list[str]:
    """What is to be said of those that should have taken part and could not."""
    return [f"{r.contender}: {r.error}" for r in results if r.error and not r.error.startswith("-")]


def show(console: Console, title: str, heads: tuple[str, ...], rows: Rows, notes: list[str] | None = None) -> None:
    """Print a table, and notes below it."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i == 0 else "right", no_wrap=i > 0)
    for row in rows:
        table.add_row(*row, style="bold" if row[0] == "ingot" else None)
    console.print(table)
    for note in notes or ():
        console.print(note, markup=False, highlight=False)


def _markdown(title: str, heads: tuple[str, ...], rows: Rows) -> str:
    lines = [f"## {title}", "", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(f"**{cell}**" if row[0] == "ingot" and cell else cell for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _put(folder: str, name: str, document: dict[str, Any], text: str) -> None:
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as f:
        json.dump({"schema_version": 1, **document}, f, indent=1)
        f.write("\n")
    about = ", ".join(f"{k} {v:.0f}" if isinstance(v, float) else f"{k} {v}" for k, v in document["machine"].items())
    with open(os.path.join(folder, name + ".md"), "w", encoding="utf-8") as f:
        f.write("\n".join([text, about, ""]))


def write(folder: str, machine: dict[str, Any], item: Workload | Row, results: list[Any], heads: tuple[str, ...], rows: Rows) -> None:
    """Write `<name>.json` (everything) and `<name>.md` (the table) into a folder."""
    document = {"name": item.name, "title": item.title, "machine": machine, "results": [r.as_dict() for r in results]}
    _put(folder, item.name, document, "\n".join([_markdown(item.title, heads, rows), *failures(results)]))


def write_table(
    folder: str, machine: dict[str, Any], name: str, measured: list[tuple[Workload, list[Result]]], heads: tuple[str, ...], rows: Rows
) -> None:
    """The same of several workloads that are rows of one table."""
    each = [{"name": w.name, "title": w.title, "results": [r.as_dict() for r in results]} for w, results in measured]
    _put(folder, name, {"name": name, "machine": machine, "workloads": each}, _markdown(name, heads, rows))
