"""Schedules that were measured: how they are searched, written and read, by a clock that is none."""

from __future__ import annotations

import runpy

import pytest

from benchmarks import tune
from ingot.backends import backend
from ingot.ir.lower import STAGES, run
from ingot.ir.lower.few_rows import FewRows
from ingot.ir.lower.schedule import parse_schedule, print_schedule
from ingot.ir.lower.tiles import tuned
from ingot.ir.lower.tiles.schedule import Pack, Tiles
from tests.support.calling import check
from tests.support.graphs import graph_of
from tests.support.programs import dot

AT = [s.name for s in STAGES].index("schedule") + 1
LEVEL = backend("cpu").levels["x86-64-v3"]


def product(m=24, n=32, k=48):
    return graph_of([(m, k), (k, n)], dot)


def chosen(graph):
    """The case of a product, and its schedule."""
    found = run(graph, backend("cpu").target(LEVEL), STAGES[:AT])
    (group,), (s,) = found.fused.groups, found.schedules
    return tuned.case_of(group), s


def test_an_entry_of_the_table_is_taken_where_it_fits(monkeypatch):
    case, usual = chosen(product())
    assert case == "dot f32[24,48], f32[48,32] {batch=((), ()), contract=((1,), (0,))}"
    other = "Tiles(pack=Pack(columns=8), tile=(3,), block=1, group=2, parallel=False, step=48)"
    assert print_schedule(usual) != other
    monkeypatch.setattr(tuned, "TUNED", {"x86-64-v3": {case: other}, "x86-64-v2": {case: other}, "x86-64-v4": {case: other}})
    assert print_schedule(chosen(product())[1]) == other
    check(product())
    assert chosen(product(m=25))[1] != parse_schedule(other)
    for misfit in (other.replace("(3,)", "(3, 3)"), other.replace("(3,)", "(300,)"), "Tiles(", "Lines(8, 1)", "Squares(8, 1)"):
        monkeypatch.setattr(tuned, "TUNED", {"x86-64-v3": {case: misfit}})
        assert chosen(product())[1] == usual


def test_neighbours_differ_in_one_decision():
    s = Tiles(pack=Pack(16, 2, True), tile=(3, 4), block=2, group=1, parallel=True, step=48)
    every = list(tune.neighbours(s))
    assert s not in every and len({*every}) == len(every)
    assert {t.tile for t in every} == {(3, 4), (6, 4), (1, 4), (4, 4), (2, 4), (3, 8), (3, 2), (3, 5), (3, 3)}
    assert {t.pack.columns for t in every} == {16, 32, 8, 17, 15} and {t.pack.direct for t in every} == {True, False}
    assert all(t.parallel and t.group > 0 for t in every)
    assert {f.step for f in tune.neighbours(FewRows(8, 4, 256, 512, 512))} == {4, 8, 2, 5, 3}


def test_the_fastest_is_found_written_and_taken(monkeypatch, tmp_path, capsys):
    def clock(call):
        """The more rows in a tile, the faster; nothing else counts."""
        return 1 / rows[call]

    rows, real = {}, tune._Search.built

    def built(self, s):
        call = real(self, s)
        if call is not None:
            rows[call] = s.tile[0] if isinstance(s, Tiles) else 1
        return call

    monkeypatch.setattr(tune._Search, "built", built)
    monkeypatch.setattr(tune.compiler, "host_level", lambda: LEVEL if backend("cpu").runs(LEVEL, host) else host)
    host = backend("cpu").host_level()
    found = tune.tune([product(m=20)], 1e9, clock)
    ((case, f),) = found.items()
    assert case == chosen(product(m=20))[0] and f.best.tile[0] >= 19 > f.usual.tile[0] and f.after < f.before
    assert f"{f.best}" in capsys.readouterr().out
    (tmp_path / "tuned.py").write_text(tune.text_of(found, "x86-64-v3"), encoding="utf-8")
    table = runpy.run_path(str(tmp_path / "tuned.py"))["TUNED"]
    assert table["x86-64-v3"][case] == print_schedule(f.best)
    monkeypatch.setattr(tuned, "TUNED", table)
    assert chosen(product(m=20))[1] == f.best


def test_what_gives_other_numbers_or_runs_out_of_time_is_left_out(monkeypatch, capsys):
    real, seen = tune._Search.built, []

    def built(self, s):
        if seen:
            self.want = [w + 1 for w in self.want]
        seen.append(s)
        return real(self, s)

    monkeypatch.setattr(tune._Search, "built", built)
    assert tune.tune([product()], 1e9, lambda call: 1.0) == {}
    assert "gives other numbers" in capsys.readouterr().out
    assert tune.tune([product()], -1) == {} and "no time is left" in capsys.readouterr().out


@pytest.mark.parametrize("level", sorted(tuned.TUNED))
def test_entries_are_schedules(level):
    assert level in backend("cpu").levels
    for case, text in tuned.TUNED[level].items():
        assert print_schedule(parse_schedule(text)) == text, case
