"""`ingot completion bash|zsh|tcsh`: the script that completes commands, options, files and keys in a shell.

It is made by shtab (extra `completion`) from the parsers themselves. Keys are asked of `ingot cache ls -q` when they are needed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

from ingot.runtime.cli.output import EXIT, CommandError

__all__ = ["add_to", "run"]

SHELLS = ("bash", "zsh", "tcsh")

# how an argument is completed, by what stands for it in --help
_FILES = frozenset(("FILE", "OUT", "SRC", "PRIVATE.pem", "MANIFEST", "OUT.json", "NAME"))
_FOLDERS = frozenset(("DIR",))
_KEYS = frozenset(("KEY", "KEY|FUNCTION"))
_KEY = {"bash": "_ingot_keys", "zsh": "_ingot_keys", "tcsh": "`ingot cache ls -q`"}
_PREAMBLE = {
    "bash": '_ingot_keys() {\n  compgen -W "$(ingot cache ls -q 2>/dev/null)" -- "$1"\n}\n',
    "zsh": '_ingot_keys() {\n  local -a keys\n  keys=(${(f)"$(ingot cache ls -q 2>/dev/null)"})\n  compadd -a keys\n}\n',
}


def add_to(add: Any, verbs: Any, parser: Callable[[], argparse.ArgumentParser]) -> None:
    """Add the command; `add(verbs, name, help, example, run)` makes a subparser, `parser()` that of the whole command line."""
    example = "ingot completion bash > ~/.local/share/bash-completion/completions/ingot"
    p = add(verbs, "completion", "a script that completes commands in a shell", example, lambda args: run(args, parser()))
    p.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(args: argparse.Namespace, top: argparse.ArgumentParser) -> int:
    """Print the script that completes what `top` parses. CommandError where shtab is missing."""
    try:
        import shtab
    except ImportError as e:
        raise CommandError(f"completion needs the package shtab ({e}); pip install 'ingot[completion]'", "io") from None
    for p in _parsers(top):
        for action in p._actions:
            how = _how(action, shtab)
            if how is not None:
                action.complete = how  # type: ignore[attr-defined]  # where shtab looks for it
    print(shtab.complete(top, args.shell, preamble=_PREAMBLE))  # type: ignore[arg-type]  # by shell
    return EXIT["fine"]


def _how(action: argparse.Action, shtab: Any) -> dict[str, str] | None:
    name = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    for names, how in ((_FILES, shtab.FILE), (_FOLDERS, shtab.DIRECTORY), (_KEYS, _KEY)):
        if name in names:
            return how
    return None


def _parsers(p: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield p
    for action in p._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from _parsers(sub)
