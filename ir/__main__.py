"""Take a text file through stages of the lowering: `python -m ingot.ir model.ir --to fuse`, or `-p inline,cse --print-after-all`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ingot.ir.ops  # noqa: F401  fills the table of ops
from ingot.ir.graph import Graph
from ingot.ir.loop.uses import LoopVerifyError
from ingot.ir.lower import PASSES, STAGES, Stage, graph_stage
from ingot.ir.lower.group import FusionError
from ingot.ir.lower.schedule import ScheduleError
from ingot.ir.parse import ParseError
from ingot.ir.size import ShapeError
from ingot.ir.text import parse, print_graph
from ingot.ir.verify import VerifyError, verify


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0; 1 where a stage broke its result, 2 for bad usage, or text that is no graph or one that a stage does not take."""
    from ingot.backends import NAMES, backend

    levels = [level for name in NAMES for level in backend(name).levels]
    parser = argparse.ArgumentParser(prog="python -m ingot.ir", description="Parse IR text, lower it stage by stage, print the result.")
    parser.add_argument("file", help="a file of IR text, or - for standard input")
    parser.add_argument("-p", "--passes", default="", metavar="a,b,c", help=f"passes over the graph, of {', '.join(PASSES)}")
    parser.add_argument("--to", metavar="STAGE", help=f"all stages up to this one, of {', '.join(dict.fromkeys(s.name for s in STAGES))}")
    parser.add_argument("--target", default="x86-64-v3", metavar="LEVEL", help=f"schedule for this one of {', '.join(levels)}")
    parser.add_argument("--print-after-all", action="store_true", help="print what every stage gives, not only the last")
    parser.add_argument("--identity", action="store_true", help="print graphs as their identity: no names that people gave")
    parser.add_argument("--time", action="store_true", help="say on standard error how long each stage took")
    args = parser.parse_args(argv)
    if args.target not in levels:
        parser.error(f"there is no level {args.target!r}; levels are {', '.join(levels)}")
    stages = _stages(parser, args)
    to = backend(args.target)
    target = to.target(to.levels[args.target])
    try:
        text = sys.stdin.read() if args.file == "-" else Path(args.file).read_text(encoding="utf-8")
        value: Any = verify(parse(text.partition("\n// expect\n")[0]))  # a text test's expectation is not input
    except (OSError, UnicodeDecodeError, ParseError, VerifyError) as e:
        print(f"{args.file}: {e}", file=sys.stderr)
        return 2
    for i, stage in enumerate(stages):
        start = time.perf_counter()
        try:
            value = stage.run(value, target)
            if args.time:
                print(f"{stage.name}: {(time.perf_counter() - start) * 1e3:.2f} ms", file=sys.stderr)
            stage.verify(value)
        except ShapeError as e:
            print(f"{args.file}: {stage.name}: {e}", file=sys.stderr)
            return 2
        except (VerifyError, FusionError, ScheduleError, LoopVerifyError) as e:
            print(f"after {stage.name}: {e}", file=sys.stderr)
            return 1
        if args.print_after_all:
            print(f"// after {stage.name}")
        if args.print_after_all and i + 1 < len(stages):
            print(_text(stage, value, args.identity))
    print(_text(stages[-1], value, args.identity) if stages else print_graph(value, not args.identity, True), end="")
    return 0


def _stages(parser: argparse.ArgumentParser, args: argparse.Namespace) -> list[Stage]:
    """The stages that are asked for: some passes, all up to one, or all to show each of them."""
    names = [n.strip() for n in args.passes.split(",") if n.strip()]
    if names and args.to:
        parser.error("--passes and --to exclude each other")
    for n in names:
        if n not in PASSES:
            parser.error(f"there is no pass {n!r}; passes are {', '.join(PASSES)}")
    if names:
        return [graph_stage(PASSES[n]) for n in names]
    to = args.to or (STAGES[-1].name if args.print_after_all else None)
    last = max((i for i, s in enumerate(STAGES) if s.name == to), default=-1)
    if to and last < 0:
        parser.error(f"there is no stage {to!r}; stages are {', '.join(dict.fromkeys(s.name for s in STAGES))}")
    return list(STAGES[: last + 1])


def _text(stage: Stage, value: Any, identity: bool) -> str:
    return print_graph(value, not identity, True) if isinstance(value, Graph) else stage.text(value)


if __name__ == "__main__":
    sys.exit(main())
