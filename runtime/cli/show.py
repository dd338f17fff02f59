"""`ingot show`: the graph of an artifact, or of a file of IR text, as a picture in which fused kernels are boxes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from ingot.runtime.cache import files
from ingot.runtime.cli import output
from ingot.runtime.cli.output import EXIT, CommandError

__all__ = ["add_to"]

_KINDS = (".html", ".svg")


def add_to(verb: Callable[..., argparse.ArgumentParser], verbs: Any) -> None:
    """Add the verb to the parser."""
    p = verb(verbs, "show", "draw a graph, its fused kernels as boxes", "ingot show model.ingot -o model.html", _show, json=True)
    p.add_argument("file", metavar="FILE", help="an artifact, or IR text (.ir)")
    p.add_argument("-o", "--output", metavar="FILE", help="a .html page or .svg picture (default: FILE with the ending .html)")


def _show(args: argparse.Namespace) -> int:
    target = args.output or os.path.splitext(args.file)[0] + ".html"
    ending = os.path.splitext(target)[1]
    if ending not in _KINDS:
        raise CommandError(f"{target}: a picture is a file that ends in .html or .svg")
    text = _text(args.file)
    from ingot.ir import ops  # noqa: F401  fills the table of ops
    from ingot.ir.parse import ParseError
    from ingot.ir.text import parse
    from ingot.runtime.drawing import html, svg

    try:
        graph = parse(text)
    except ParseError as e:
        raise CommandError(f"{args.file}: {e}", "finding") from None
    made = svg(graph) if ending == ".svg" else html(graph, os.path.basename(args.file))
    files.replace(target, made.encode())
    if args.json:
        output.document("show", file=args.file, output=target, nodes=len(graph.nodes))
    else:
        print(f"{target}: {len(graph.nodes)} operations")
    return EXIT["fine"]


def _text(path: str) -> str:
    """The IR text of an artifact or a file."""
    if path.endswith(".ir"):
        with open(path, encoding="utf-8") as f:
            return f.read().partition("\n// expect\n")[0]
    from ingot.runtime.artifact.container import Container
    from ingot.runtime.artifact.model import CHECK_AT_LOAD, validate

    with Container(path) as c:
        validate(c, CHECK_AT_LOAD)
        return c.read("graph").decode()
