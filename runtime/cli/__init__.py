"""The command `ingot`: the cache, artifacts, the demo, and what is wrong with this machine.

    $ ingot cache ls --sort cost
    $ ingot doctor

Exit codes: 0 fine, 1 a finding, 2 usage, 3 busy, 4 refused by trust, 5 input or output failed.
Text for people goes to stderr with `--json`, whose one document on stdout has a `schema_version`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ingot.runtime.cli.output import EXIT, CommandError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (that of the process where None); the exit code."""
    from ingot.runtime.artifact.container import ArtifactError
    from ingot.runtime.cache.trust import TrustError
    from ingot.runtime.switches import SwitchError

    parser = _parser()
    args = parser.parse_args(argv)
    if args.run is None:
        (args.parser if hasattr(args, "parser") else parser).print_help(sys.stderr)
        return EXIT["usage"]
    try:
        return args.run(args)
    except CommandError as e:
        print(f"ingot: {e}", file=sys.stderr)
        return e.code
    except SwitchError as e:
        print(f"ingot: {e}", file=sys.stderr)
        return EXIT["usage"]
    except ArtifactError as e:
        print(f"ingot: {e}", file=sys.stderr)
        return EXIT["finding"]
    except TrustError as e:
        print(f"ingot: {e}", file=sys.stderr)
        return EXIT["trust"]
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit is quiet
        return EXIT["io"]
    except OSError as e:
        print(f"ingot: {e}", file=sys.stderr)
        return EXIT["io"]
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="ingot", description="Ingot's command line.", allow_abbrev=False)
    top.add_argument("--version", action="version", version=_version())
    top.set_defaults(run=None)
    verbs = top.add_subparsers(metavar="COMMAND")

    from ingot.runtime.cli import cache_verbs

    cache_verbs.add_to(verbs)
    _add(verbs, "doctor", "what would go wrong on this machine, and the remedy", "ingot doctor", _doctor, json=True)
    p = _add(verbs, "inspect", "what an artifact holds", "ingot inspect model.ingot", _inspect, json=True)
    p.add_argument("file")
    p = _add(verbs, "verify", "check an artifact's every byte", "ingot verify --run model.ingot", _verify, json=True)
    p.add_argument("file")
    p.add_argument("--run", action="store_true", dest="golden", help="also run the golden inputs and compare the results")
    p = _add(verbs, "demo", "train on real digits, export, serve without a compiler", "ingot demo", _demo)
    p.add_argument("--output", default="digits.ingot", help="where to write the artifact (default: %(default)s)")
    p.add_argument("--epochs", type=int, default=None, help="passes over the training digits")
    return top


def _add(verbs, name: str, help: str, example: str, run, json: bool = False) -> argparse.ArgumentParser:
    p = verbs.add_parser(name, help=help, description=help, epilog=f"example: {example}", allow_abbrev=False)
    p.set_defaults(run=run)
    if json:
        p.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return p


def _version() -> str:
    import ingot

    return f"ingot {ingot.__version__}"


def _doctor(args: argparse.Namespace) -> int:
    from ingot.runtime.cli import doctor

    return doctor.run(args.json)


def _inspect(args: argparse.Namespace) -> int:
    from ingot.runtime.cli import artifact_verbs

    return artifact_verbs.inspect(args.file, args.json)


def _verify(args: argparse.Namespace) -> int:
    from ingot.runtime.cli import artifact_verbs

    return artifact_verbs.verify(args.file, args.golden, args.json)


def _demo(args: argparse.Namespace) -> int:
    from ingot.runtime.cli import demo

    return demo.run(args.output, args.epochs)
