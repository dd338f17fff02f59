"""The page docs/cli.md, made from the parsers: `python -m ingot.runtime.cli.reference > docs/cli.md`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from ingot.runtime.cli import parser

__all__ = ["markdown"]

_HEAD = """# The command line

`ingot COMMAND` (or `python -m ingot COMMAND`): the compile cache, artifacts, and what is wrong with this machine. This page is
generated: `python -m ingot.runtime.cli.reference > docs/cli.md`.

- **Keys** may be abbreviated to four digits or more, as long as one entry fits.
- **Layers**: what lists and checks looks at the writable folder and at those of `INGOT_CACHE_PATH`; `--layers own` or `--dir` keeps to
  one. What removes touches the writable folder alone.
- **Sizes** are written as 500, 64MiB or 1.5GB, **ages** as 30s, 10m, 3h, 7d, 2w or 3d12h, **times** as 100, 100ms or 1.5s.
- **Filters** (`--filter`, all must hold): `fn=train*`, `target=x86-64-v3`, and with `<`, `<=`, `>`, `>=`: `age>3d` (since it was
  compiled), `used<12h` (since it was used last), `size>1MiB`, `compile>=100ms`.
- **`--json`**, which every command but `demo` and `completion` has, prints one document on stdout, with `schema_version` and `kind`;
  text for people is then on stderr. Orders are stable.
- **`--dir`**, which `doctor` and every verb of `ingot cache` has, names another cache folder than the environment's.
- **What removes** asks, unless `--yes`; `--dry-run` only tells. What living processes have mapped stays (exit code 3), unless
  `--force`: mapped code stays valid when its file goes.
- **Tables** are cut to the terminal (`COLUMNS`); into files and pipes they go as wide as they are.

| exit code | meaning |
|---|---|
| 0 | fine |
| 1 | a finding: something is damaged, missing, different, or could not be built |
| 2 | usage: an argument or a switch means nothing |
| 3 | busy: living processes use what should go |
| 4 | refused by trust: somebody else can write there, or a signature is missing |
| 5 | input or output failed (a closed or full stdout, too) |
| 130 | interrupted |

`ingot completion bash|zsh|tcsh` prints a script that completes commands, options, files and keys (extra `completion`).
"""

_EVERYWHERE = ("help", "json", "dir")  # told once


def markdown() -> str:
    """The text of docs/cli.md."""
    out = [_HEAD]
    for p, what in _commands(parser()):
        out += [f"## `{p.prog}`", "", _sentence(what), "", f"    $ {_example(p)}", ""]
        rows = [(_names(a), " ".join(_help(a, p).split())) for a in p._actions if a.dest not in _EVERYWHERE]
        if rows:
            out += ["| argument | |", "|---|---|", *(f"| {_cell(name)} | {_cell(text)} |" for name, text in rows), ""]
    return "\n".join(out).rstrip() + "\n"


def _commands(p: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """The parsers of commands that do something, in order, with what their group's list says of them."""
    for action in p._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, sub in action.choices.items():
                if any(isinstance(a, argparse._SubParsersAction) for a in sub._actions):
                    yield from _commands(sub)
                else:
                    yield sub, helps[name]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _example(p: argparse.ArgumentParser) -> str:
    return (p.epilog or "").removeprefix("example: ")


def _names(a: argparse.Action) -> str:
    value = a.metavar or (f"{{{','.join(map(str, a.choices))}}}" if a.choices else a.dest.upper())
    assert isinstance(value, str)
    if not a.option_strings:
        return f"`{value}`" + ({"*": " …", "+": " …"}.get(str(a.nargs), ""))
    return ", ".join(f"`{name}`" if a.nargs == 0 else f"`{name} {value}`" for name in a.option_strings)


def _help(a: argparse.Action, p: argparse.ArgumentParser) -> str:
    return (a.help or "") % {**vars(a), "prog": p.prog}


if __name__ == "__main__":
    print(markdown(), end="")
