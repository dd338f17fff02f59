"""Tiles that were measured: how the table is filled, written and read, by a clock that is not one."""

from __future__ import annotations

import runpy

import pytest

from benchmarks.gpu_tune import Case, graph_of, tune
from ingot.backends.cuda import product_choices, tuned
from ingot.backends.cuda.product_choices import candidates, case_of, in_short
from ingot.backends.cuda.tuning import table_text
from ingot.ir.lower import STAGES, run
from tests.support.cuda import CUDA

AT = [s.name for s in STAGES].index("schedule") + 1
CASES = (Case("bf16", 64, 64, 64), Case("tf32", 48, 32, 40), Case("f32", 33, 32, 64, True, True))


def chosen(case, level):
    found = run(graph_of(case), CUDA.target(CUDA.levels[level]), STAGES[:AT])
    (group,), (s,) = found.fused.groups, found.schedules
    return group, s


def test_the_fastest_of_all_candidates_is_found_written_and_taken(cuda, tmp_path, monkeypatch):
    measured = []

    def last(call, short):
        measured.append(short)
        return 1 / len(measured)

    found = tune(1e9, str(tmp_path), CASES[2:], last)
    group, usual = chosen(CASES[2], "emulated")
    every = [in_short(s) for s, _ in candidates(group, CUDA.levels["emulated"].machine)]
    assert sorted(measured) == sorted(every) and len(set(every)) == len(every) and measured[0] == in_short(usual)
    assert found == {"emulated": {case_of(group): measured[-1]}} and measured[-1] != in_short(usual)
    assert runpy.run_path(str(tmp_path / "tuned.py"))["TUNED"] == found
    group, _ = chosen(CASES[0], "emulated")
    every = [in_short(s) for s, _ in candidates(group, CUDA.levels["emulated"].machine)]
    assert len(set(every)) == len(every)
    for generation in ("sm_80", "sm_90a"):
        table = {generation: {case_of(group): "Fragments 64x32x32 stages 3"}}
        monkeypatch.setattr(product_choices, "TUNED", table)
        assert in_short(chosen(CASES[0], generation)[1]) == "Fragments 64x32x32 stages 3"
        assert in_short(chosen(CASES[1], generation)[1]) != "Fragments 64x32x32 stages 3"
    monkeypatch.setattr(product_choices, "TUNED", {"sm_90a": {case_of(group): "Fragments 7x7x7 stages 9"}})
    assert in_short(chosen(CASES[0], "sm_90a")[1]) in every  # no candidate: the rule decides


def test_what_fails_or_is_wrong_is_left_out(cuda, monkeypatch, capsys):
    from benchmarks import gpu_tune

    def only(call, short):
        if not short.startswith("Product 32x"):
            raise RuntimeError("no room")
        return 1.0

    real = gpu_tune.loaded

    def loaded(built, arrays, graph, gpu):
        call, result = real(built, arrays, graph, gpu)
        return call, (lambda: result() + 1) if "32x64" in names.pop(0) else result

    group, usual = chosen(CASES[2], "emulated")
    every = [s for s, _ in candidates(group, CUDA.levels["emulated"].machine)]
    names = [in_short(s) for s in [usual, *(s for s in every if s != usual)]]
    monkeypatch.setattr(gpu_tune, "loaded", loaded)
    found = tune(1e9, None, CASES[2:], only)
    said = capsys.readouterr().out
    assert found["emulated"][case_of(group)] == "Product 32x32x32 stages 2" and "failed: RuntimeError: no room" in said
    assert "gives other numbers" in said


@pytest.mark.parametrize("case", CASES, ids=str)
def test_cases_tell_products_apart(case):
    group, _ = chosen(case, "sm_90a")
    name = case_of(group)
    assert name.startswith(case.dtype) and name.endswith("batch 1")
    others = [case_of(chosen(c, "sm_90a")[0]) for c in (case._replace(m=case.m * 4), case._replace(right=not case.right))]
    assert name not in others and len(set(others)) == 2


def test_no_time_measures_nothing_and_the_table_stands(cuda, tmp_path):
    assert tune(-1, str(tmp_path)) == {g: dict(rows) for g, rows in tuned.TUNED.items()}
    assert "TUNED: Mapping" in table_text({"sm_90a": {"a": "b"}}) and 'import Mapping' in table_text({})
