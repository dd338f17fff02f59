"""Run passes on a text file: `python -m ingot.ir model.ir -p inline,cse --print-after-all`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import ingot.ir.ops  # noqa: F401  fills the table of ops
from ingot.ir.graph import Graph
from ingot.ir.parse import ParseError
from ingot.ir.passes import PASSES, SIMPLIFY
from ingot.ir.text import parse, print_graph
from ingot.ir.verify import VerifyError, verify


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0; 1 where a pass broke the graph, 2 for bad usage or text that is no graph."""
    parser = argparse.ArgumentParser(prog="python -m ingot.ir", description="Parse IR text, run passes on it, print the result.")
    parser.add_argument("file", help="a file of IR text, or - for standard input")
    default = ",".join(p.__name__ for p in SIMPLIFY)
    parser.add_argument("-p", "--passes", default="", metavar="a,b,c", help=f"of {', '.join(PASSES)}; 'simplify-all' is {default}")
    parser.add_argument("--print-after-all", action="store_true", help="print the graph after every pass, not only the last")
    parser.add_argument("--identity", action="store_true", help="print the identity text: no names that people gave")
    parser.add_argument("--time", action="store_true", help="say on standard error how long each pass took")
    args = parser.parse_args(argv)
    names = args.passes.replace("simplify-all", default)
    names = [n.strip() for n in names.split(",") if n.strip()]
    for n in names:
        if n not in PASSES:
            parser.error(f"there is no pass {n!r}; passes are {', '.join(PASSES)}")
    try:
        text = sys.stdin.read() if args.file == "-" else Path(args.file).read_text(encoding="utf-8")
        graph = verify(parse(text.partition("\n// expect\n")[0]))  # a text test's expectation is not input
    except (OSError, UnicodeDecodeError, ParseError, VerifyError) as e:
        print(f"{args.file}: {e}", file=sys.stderr)
        return 2
    for i, name in enumerate(names):
        start = time.perf_counter()
        graph = PASSES[name](graph)
        if args.time:
            print(f"{name}: {(time.perf_counter() - start) * 1e3:.2f} ms, {len(graph.nodes)} nodes", file=sys.stderr)
        try:
            verify(graph)
        except VerifyError as e:
            print(f"after {name}: {e}", file=sys.stderr)
            return 1
        if args.print_after_all and i + 1 < len(names):
            print(f"// after {name}\n{_text(graph, args.identity)}")
    if args.print_after_all and names:
        print(f"// after {names[-1]}")
    print(_text(graph, args.identity), end="")
    return 0


def _text(graph: Graph, identity: bool) -> str:
    return print_graph(graph, locations=not identity, payloads=True)


if __name__ == "__main__":
    sys.exit(main())
