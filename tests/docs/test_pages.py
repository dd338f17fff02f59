"""README.md and docs/*.md hold: their Python runs, page by page in order; their command lines parse, and their paths exist."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from ingot.runtime.cli import parser
from tests.support.processes import ROOT

PAGES = {p.name: p.read_text(encoding="utf-8") for p in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
ROOMS = ("frontend", "ir", "backends", "runtime", "tests", "docs", "examples", "benchmarks")
APPLIED = {"add-an-op.md"}  # its Python is written into files, not run: tests/ops does that


def _python(page: str) -> str:
    """All Python of a page, each line where it stands in the page."""
    text = PAGES[page]
    out = [""] * text.count("\n")
    for block in FENCE.finditer(text):
        if block[1] == "python":
            first = text.count("\n", 0, block.start(2))
            out[first : first + block[2].count("\n")] = block[2].splitlines()
    return "\n".join(out)


def _blocks(text: str) -> str:
    """What is set as code in blocks: fenced, or indented after an empty line; not Python."""
    fenced = [m[2] for m in FENCE.finditer(text) if m[1] != "python"]
    rest = FENCE.sub("", text)
    indented = [m[0] for m in re.finditer(r"(?<=\n\n)(?:    .*\n|\n(?=    ))+", rest)]
    return "\n".join(line.removeprefix("    ") for block in (*fenced, *indented) for line in block.splitlines())


def _commands(code: str) -> list[list[str]]:
    """The words after `ingot` of each command line in shell code; a redirection ends one."""
    found = []
    for line in code.replace("\\\n", " ").splitlines():
        if not re.search(r"\bingot [a-z]", line):
            continue
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, "&&"]:
            if word[0] in "&|;<>":
                if "ingot" in words[:-1] and "pip" not in words:
                    found.append(words[words.index("ingot") + 1 :])
                words = []
            else:
                words.append(word)
    return found


@pytest.mark.parametrize("page", [p for p in PAGES if p not in APPLIED and "```python" in PAGES[p]])
def test_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(_python(page), page, "exec"), {"__name__": "__main__"})
    if page == "README.md":
        loss, digit = capsys.readouterr().out.split()
        assert float(loss) < 2.0 and 0 <= int(digit) < 10  # it starts at log(10)


def test_the_program_of_the_readme_is_short() -> None:
    assert len(_python("README.md").strip().splitlines()) <= 25


COMMANDS = [(page, words) for page, text in PAGES.items() for words in _commands(_blocks(text))]


@pytest.mark.parametrize("page, words", COMMANDS, ids=lambda x: x if isinstance(x, str) else " ".join(x))
def test_command_lines_parse(page: str, words: list[str]) -> None:
    assert parser().parse_args(words).run is not None


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_are_there(page: str) -> None:
    """`ingot cache verify --deep` in a sentence: the verb and the options exist, whatever else is left out."""
    for span in re.findall(r"`ingot ([^`\n]+)`", FENCE.sub("", PAGES[page])):
        words = span.split()
        at: argparse.ArgumentParser | None = parser()
        while at is not None and words:
            groups = [a for a in at._actions if isinstance(a, argparse._SubParsersAction)]
            if not groups or not re.fullmatch("[a-z]+", words[0]):
                break
            assert words[0] in groups[0].choices, f"{page}: `ingot {span}`"
            at = groups[0].choices[words.pop(0)]
        known = {s for a in at._actions for s in a.option_strings}
        assert {w for w in words if w.startswith("--")} <= known, f"{page}: `ingot {span}`"


def test_something_is_seen() -> None:
    assert len(COMMANDS) > 30 and "export" in _python("artifact.md") and "compile" in _python("README.md")


@pytest.mark.parametrize("page", PAGES)
def test_paths_exist(page: str) -> None:
    text = FENCE.sub("", PAGES[page])
    paths = re.findall(rf"`((?:{'|'.join(ROOMS)})/[\w./*-]*)`", text) + re.findall(r"\]\(([\w./-]+)\)", text)
    here = ROOT if page == "README.md" else ROOT / "docs"
    assert not [p for p in paths if not any(ROOT.glob(p)) and not (here / p).exists()]


def test_files_on_the_map_exist() -> None:
    """It names a file by the end of its path, such as `nest/emit.py`, once it was said where that is."""
    files = [f"/{p.relative_to(ROOT).as_posix()}" for room in ROOMS for p in (ROOT / room).rglob("*.py")]
    named = re.findall(r"`([\w/]+\.py)`", PAGES["house.md"])
    assert named and not [n for n in named if not any(f.endswith(f"/{n}") for f in files)]
