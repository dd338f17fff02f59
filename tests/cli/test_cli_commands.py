"""Every command: its help, its example, its JSON document; and the page that is made of them all."""

import argparse
import json
import os
import re
import shlex

import pytest

import ingot
from ingot.runtime.cli import parser, reference
from tests.support.cli import run
from tests.support.processes import ROOT


def commands(p=None, words=()):
    """(words, parser) of every command that does something."""
    p = p or parser()
    groups = [a for a in p._actions if isinstance(a, argparse._SubParsersAction)]
    if not groups:
        yield words, p
    for group in groups:
        for name, sub in group.choices.items():
            yield from commands(sub, (*words, name))


COMMANDS = {" ".join(words): p for words, p in commands()}
WITH_JSON = [name for name, p in COMMANDS.items() if any("--json" in a.option_strings for a in p._actions)]

# how each is called to succeed: {key} an entry's, {dir} a private folder, {artifact} a whole one; the kind of its document
CALLS = {
    "cache dir": ("", "cache.dir"), "cache info": ("", "cache.info"), "cache config": ("", "cache.config"),
    "cache ls": ("--sort cost", "cache.ls"), "cache show": ("{key} --ir", "cache.show"), "cache explain": ("{key}", "cache.explain"),
    "cache stats": ("", "cache.stats"), "cache verify": ("--deep", "cache.verify"), "cache prune": ("--max-entries 99", "cache.prune"),
    "cache rm": ("{key} --dry-run", "cache.rm"), "cache clear": ("--dry-run", "cache.clear"),
    "cache export": ("{dir}/out.tar --force", "cache.export"), "cache import": ("{dir}/in.tar", "cache.import"),
    "cache warm": ("builtins:abs(f32[3])", "cache.warm"), "cache check": ("{dir}/needs.json", "cache.check"),
    "cache sign": ("--key {dir}/k.pem", "cache.sign"), "cache digests": ("", "cache.digests"),
    "import": ("{dir}/net.onnx -o {dir}/net.ingot", "import"), "compile": ("{dir}/net.onnx", "compile"),
    "export": ("builtins:abs(f32[3]) --onnx {dir}/abs.onnx", "export"),
    "show": ("{artifact} -o {dir}/net.html", "show"), "inspect": ("{artifact}", "artifact"),
    "verify": ("{artifact}", "artifact.verify"), "doctor": ("", "doctor"),
}  # fmt: skip
CHANGING = {"cache import", "cache warm", "cache sign", "compile"}  # whose second run says something else


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example_that_parses(capsys, name):
    code, out, err = run(capsys, *name.split(), "--help")
    assert code == 0 and not err and "example:" in out
    example = re.sub(r"\s*>.*", "", COMMANDS[name].epilog.removeprefix("example: "))
    words = shlex.split(example)
    assert words[:1] + words[1 : 1 + len(name.split())] == ["ingot", *name.split()]
    assert parser().parse_args(words[1:]).run is not None
    for action in COMMANDS[name]._actions:
        assert action.help, f"{name}: {action.dest} is not explained"


def test_the_table_of_calls_is_complete():
    assert set(CALLS) == set(WITH_JSON)


@pytest.fixture
def prepared(capsys, tmp_path, cache, keys, monkeypatch):
    """What the calls need."""
    os.chmod(tmp_path, 0o700)
    artifact = os.path.join(ROOT, "tests", "artifact", "data", "schema1.ingot")
    values = {"key": keys["serve"], "dir": str(tmp_path), "artifact": artifact}
    assert run(capsys, "cache", "export", f"{tmp_path}/in.tar")[0] == 0
    ingot.onnx.export(ingot.relu, (ingot.zeros(3),), tmp_path / "net.onnx")
    return values


@pytest.mark.parametrize("name", WITH_JSON)
def test_json_is_one_document_in_a_stable_order(capsys, prepared, name):
    if name == "cache sign":
        pytest.importorskip("cryptography")
        assert run(capsys, "cache", "sign", "--new-key", f"{prepared['dir']}/k")[0] == 0
    if name == "cache check":
        assert run(capsys, "cache", "warm", "builtins:abs(f32[3])", "--manifest", f"{prepared['dir']}/needs.json")[0] == 0
    arguments, kind = CALLS[name]
    argv = [*name.split(), *arguments.format(**prepared).split(), "--json"]
    code, out, err = run(capsys, *argv)
    assert code == 0, (out, err)
    doc = json.loads(out)
    assert doc["schema_version"] == 1 and doc["kind"] == kind
    assert [*doc] == sorted(doc) and out.endswith("}\n")
    if name not in CHANGING:
        assert run(capsys, *argv)[1] == out


@pytest.mark.parametrize("name", WITH_JSON)
def test_people_and_programs_agree_on_the_exit_code(capsys, prepared, name, monkeypatch):
    """A folder that others can write is refused, and a file that is not there is an error, in either form."""
    os.chmod(os.path.join(prepared["dir"], "home"), 0o777)
    arguments = CALLS[name][0].format(**{**prepared, "artifact": "/nonexistent/x.ingot"}).split()
    codes = {run(capsys, *name.split(), *arguments, *form)[0] for form in ((), ("--json",))}
    assert len(codes) == 1
    expected = {"cache dir": 0, "cache config": 0, "inspect": 5, "verify": 5, "doctor": 1}
    if name in expected or COMMANDS[name].prog.startswith("ingot cache") and name not in ("cache warm", "cache check", "cache sign"):
        assert codes == {expected.get(name, 4)}, name


def test_the_page_is_made_from_the_parsers():
    with open(os.path.join(ROOT, "docs", "cli.md"), encoding="utf-8") as f:
        assert f.read() == reference.markdown(), "run: python -m ingot.runtime.cli.reference > docs/cli.md"
    for name in COMMANDS:
        assert f"## `ingot {name}`" in reference.markdown()
