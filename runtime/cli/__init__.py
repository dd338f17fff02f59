"""The command `ingot`: the cache, artifacts, the demo, and what is wrong with this machine.

    $ ingot cache ls --sort cost
    $ ingot doctor

Exit codes: 0 fine, 1 a finding, 2 usage, 3 busy, 4 refused by trust, 5 input or output failed, 130 interrupted.
Text for people goes to stderr with `--json`, whose one document on stdout has a `schema_version`. docs/cli.md shows every verb.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from ingot.runtime.cli.output import EXIT, CommandError, plain

__all__ = ["main", "parser"]

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (that of the process where None); the exit code."""
    if sys.stderr is None:  # closed, and print would take stdout in its place
        sys.stderr = open(os.devnull, "w")
    if sys.stdout is None:
        return _failed("stdout is closed", EXIT["io"])
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # an encoding that lacks a character
    try:
        code = _run(argv)
        sys.stdout.flush()  # what does not get out must not look like success
        return code
    except BrokenPipeError:  # who reads has had enough
        _drop_stdout()
        return EXIT["io"]
    except OSError as e:
        _drop_stdout()
        return _failed(e, EXIT["io"])
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(argv: Sequence[str] | None) -> int:
    from ingot.runtime.artifact.container import ArtifactError
    from ingot.runtime.cache.ownership import TrustError
    from ingot.runtime.switches import SwitchError

    top = parser()
    try:
        args = top.parse_args(argv)
        if args.run is None:
            (args.parser if hasattr(args, "parser") else top).print_help(sys.stderr)
            return EXIT["usage"]
        return args.run(args)
    except SystemExit as e:  # argparse has said it all
        return e.code if isinstance(e.code, int) else EXIT["usage"]
    except CommandError as e:
        return _failed(e, e.code)
    except SwitchError as e:
        return _failed(e, EXIT["usage"])
    except ArtifactError as e:
        return _failed(e, EXIT["finding"])
    except TrustError as e:
        return _failed(e, EXIT["trust"])


def _failed(why: object, code: int) -> int:
    with contextlib.suppress(OSError):
        print(f"ingot: {plain(why, lines=True)}", file=sys.stderr, flush=True)
    return code


def _drop_stdout() -> None:
    """Where stdout takes nothing more, let what is left in its buffer go, so that the interpreter's own flush is quiet."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)


class _Parser(argparse.ArgumentParser):
    def _print_message(self, message: str, file: Any = None) -> None:
        """As argparse does, but an error of writing is not swallowed."""
        print(message, end="", file=file or sys.stderr)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; each verb's function is its default `run`."""
    top = _Parser(prog="ingot", description="Ingot's command line.", epilog="example: ingot doctor", allow_abbrev=False)
    top.add_argument("--version", action="version", version=_version())
    top.set_defaults(run=None)
    verbs = top.add_subparsers(metavar="COMMAND")

    from ingot.runtime.cli import cache_verbs, completion, models, show

    cache_verbs.add_to(verbs)
    models.add_to(_add, verbs)
    p = _add(verbs, "inspect", "what an artifact, an ONNX or a StableHLO file holds", "ingot inspect model.ingot", _inspect, json=True)
    p.add_argument("file", metavar="FILE", help="an artifact, or a file that ends in .onnx, .mlir, .stablehlo or .bc")
    show.add_to(_add, verbs)
    p = _add(verbs, "verify", "check an artifact's every byte", "ingot verify --run model.ingot", _verify, json=True)
    p.add_argument("files", nargs="+", metavar="FILE", help="artifacts")
    p.add_argument("--run", action="store_true", dest="golden", help="also run the golden inputs and compare the results")
    p = _add(verbs, "doctor", "what would go wrong on this machine, and the remedy", "ingot doctor", _doctor, json=True)
    p.add_argument("--dir", help="another cache folder than the environment's")
    p = _add(verbs, "demo", "train on real digits, export, serve without a compiler", "ingot demo", _demo)
    p.add_argument("--output", metavar="FILE", default="digits.ingot", help="where to write the artifact (default: %(default)s)")
    p.add_argument("--epochs", type=int, default=None, help="passes over the training digits")
    completion.add_to(_add, verbs, parser)
    return top


def _add(verbs: Any, name: str, help: str, example: str, run: Any, json: bool = False) -> argparse.ArgumentParser:
    p = verbs.add_parser(name, help=help, description=help, epilog=f"example: {example}", allow_abbrev=False)
    p.set_defaults(run=run)
    if json:
        p.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return p


def _version() -> str:
    import ingot

    return f"ingot {ingot._VERSION}"


def _doctor(args: argparse.Namespace) -> int:
    from ingot.runtime.cli import doctor

    return doctor.run(args.json, args.dir)


def _inspect(args: argparse.Namespace) -> int:
    from ingot.runtime.cli import artifact_verbs, models

    if models.kind_of(args.file):
        return models.inspect(args.file, args.json)
    return artifact_verbs.inspect(args.file, args.json)


def _verify(args: argparse.Namespace) -> int:
    from ingot.runtime.cli import artifact_verbs

    return artifact_verbs.verify(args.files, args.golden, args.json)


def _demo(args: argparse.Namespace) -> int:
    from ingot.runtime.cli import demo

    return demo.run(args.output, args.epochs, main)
