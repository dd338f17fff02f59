"""The list of stages: every one gives a value that verifies and prints, and the command line reaches each."""

from __future__ import annotations

import pytest

from ingot.ir.__main__ import main
from ingot.ir.graph import Value
from ingot.ir.lower import STAGES, lower, run
from ingot.ir.lower.group import FusionError, verify_fused
from ingot.ir.struct import replace
from tests.support.calling import WIDE
from tests.support.graphs import graph_of
from tests.support.programs import CASES, lstm

TEXT = """
func @main(%x: f32[20,70], %y: f32[70,20]) -> f32[20,70] {
  %0 = transpose %y {perm=[1, 0]} : f32[20,70]
  %1 = exp %0 : f32[20,70]
  %2 = add %1, %x : f32[20,70]
  return %2
}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "graph.ir"
    path.write_text(TEXT)
    return str(path)


@pytest.mark.parametrize("name", [*CASES, "lstm"])
def test_every_stage_verifies_and_prints(name):
    graph = lstm(False) if name == "lstm" else graph_of(*CASES[name])
    seen = []

    def watch(stage, value):
        stage.verify(value)
        assert stage.text(value).endswith("\n")
        seen.append(stage.name)

    lower(graph, WIDE, watch)
    assert seen == [s.name for s in STAGES]


def test_watching_sees_what_is_compiled():
    graph = graph_of(*CASES["a long sum"])
    last = []
    program = lower(graph, WIDE, lambda stage, value: last.append(value))
    assert last[-1] is program


def fused():
    before = STAGES[: [s.name for s in STAGES].index("fuse") + 1]
    return run(graph_of(*CASES["product, transposed, bias, relu"]), WIDE, before)


def test_fusion_is_verified():
    f = verify_fused(fused())
    more = f.in_memory | {Value(f.graph.in_types[0])}
    for broken in (replace(f, groups=f.groups + f.groups), replace(f, groups=()), replace(f, in_memory=more)):
        with pytest.raises(FusionError):
            verify_fused(broken)


def test_the_command_goes_to_any_stage(file, capsys):
    for stage in STAGES:
        assert main([file, "--to", stage.name]) == 0
        out = capsys.readouterr().out
        assert {"schedule": "Nest(axes=", "emit": "kernel @k0_", "memory": "launch @k0_"}.get(stage.name, "%2 = add %1, %x") in out
    assert main([file, "--to", "fuse"]) == 0
    assert "%0 = transpose %y {perm=[1, 0]} : f32[20,70]" in (out := capsys.readouterr().out) and "// where it is read" in out


def test_the_command_shows_every_stage(file, capsys):
    assert main([file, "--print-after-all", "--target", "x86-64-v2"]) == 0
    out = capsys.readouterr().out
    heads = [line.removeprefix("// after ") for line in out.splitlines() if line.startswith("// after ")]
    assert heads == [s.name for s in STAGES]
    assert "launch @k0_" in out


def test_the_command_schedules_for_any_target(file, capsys):
    seen = set()
    for target in ("x86-64-v2", "x86-64-v4", "sm_90a"):
        assert main([file, "--target", target, "--to", "schedule"]) == 0
        seen.add(capsys.readouterr().out)
    assert len(seen) == 3


def test_the_command_runs_passes(file, capsys):
    assert main([file, "-p", "cse,dce", "--print-after-all"]) == 0
    assert capsys.readouterr().out.count("// after ") == 2
    assert main([file]) == 0 and "func @main" in capsys.readouterr().out


def test_the_command_lowers_symbolic_graphs(tmp_path, capsys):
    path = tmp_path / "symbolic.ir"
    path.write_text("func @main(%x: f32[B,3]) -> f32[B,3] {\n  %0 = exp %x : f32[B,3]\n  return %0\n}\n")
    assert main([str(path), "--to", "absorb_transposes"]) == 0
    assert "%0 = exp %x : f32[B,3]" in capsys.readouterr().out
    assert main([str(path), "--to", "memory"]) == 0
    assert "program @main where B  # arena 0 bytes" in capsys.readouterr().out


@pytest.mark.parametrize("options, message", [
    (["-p", "nothing"], "no pass 'nothing'"), (["--to", "nowhere"], "no stage 'nowhere'"), (["--target", "z80"], "no level 'z80'"),
    (["-p", "cse", "--to", "fuse"], "exclude each other"),
])  # fmt: skip
def test_bad_usage(file, options, message, capsys):
    with pytest.raises(SystemExit):
        main([file, *options])
    assert message in capsys.readouterr().err
