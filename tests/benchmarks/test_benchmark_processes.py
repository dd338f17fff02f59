"""The benchmarks that run in processes: rows of cases, a cache folder of many entries, and each row of the group `cache`, made small."""

import os
from pathlib import Path

import pytest

from tests.support.processes import ROOT


def _measure(row, tmp_path, *who):
    from benchmarks.processes import measure_row

    return {r.contender: r for r in measure_row(row, lambda name: name in who, 1, 1, str(tmp_path))}


def test_cases_take_turns_and_failures_are_reported(tmp_path):
    from benchmarks import report
    from benchmarks.processes import Case, Column, Row, measure_row

    turns = []

    def case(label, seconds, who=""):
        def prepare(place):
            if seconds is None:
                raise RuntimeError("cannot be made")

            def sample(i):
                turns.append((label, i))
                if seconds < 0:
                    raise RuntimeError("its cache missed")
                return {"call": seconds + i, "again": [seconds, 3 * seconds], "peak": 2_000_000 * (i + 1)}

            return sample

        return Case(label, prepare, who)

    columns = (
        Column("median", "call"), Column("worst", "again", "worst"), Column("/ ingot", "call", "ratio"),
        Column("memory", "peak", unit="bytes"), Column("no such", "nothing"),
    )  # fmt: skip
    cases = (case("ingot", 1.0), case("peer", 2.0), case("unmade", None), case("late", -1.0), case("no", 1.0, "absent"))
    row = Row("x", "x", columns, cases)
    results = measure_row(row, lambda name: name != "absent", 9, 1, str(tmp_path))
    assert turns == [("ingot", 0), ("peer", 0), ("late", 0), ("ingot", 1), ("peer", 1), ("ingot", 2), ("peer", 2)]
    assert report.failures(results) == ["unmade: cannot be made", "late: its cache missed"]
    heads, rows = report.process_rows(row, results)
    assert heads == ("", "median", "worst", "/ ingot", "memory", "no such")
    assert rows == [("ingot", "2.00 s", "3.00 s", "1.00", "4.0 MB", ""), ("peer", "3.00 s", "6.00 s", "1.50", "4.0 MB", "")]
    assert results[1].as_dict()["median"]["call"] == 3.0 and len(results[1].as_dict()["samples"]["again"]) == 6


def test_a_process_that_fails_says_why(tmp_path):
    from benchmarks.processes import run_process

    assert run_process(["-c", "print('{\"n\": 1}')"], dict(os.environ))["n"] == 1
    with pytest.raises(RuntimeError, match="^ValueError: no such thing$"):
        run_process(["-c", "raise ValueError('no such thing')"], dict(os.environ))
    with pytest.raises(RuntimeError, match="exit status 3"):
        run_process(["-c", "raise SystemExit(3)"], dict(os.environ))


def test_measured_processes_keep_byte_code(tmp_path, monkeypatch):
    from benchmarks.processes import Place

    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    environment = Place(str(tmp_path), str(tmp_path), 3).environment("sub")
    assert "PYTHONDONTWRITEBYTECODE" not in environment
    assert environment["INGOT_CACHE_DIR"] == str(tmp_path / "sub" / "ingot") and environment["INGOT_NUM_THREADS"] == "3"


def test_cache_rows(tmp_path):
    from benchmarks.cache import cache_rows
    from benchmarks.processes import Place
    from benchmarks.store import the_store

    hit, ops = cache_rows((10,))
    results = _measure(hit, tmp_path, "ingot")
    assert len(results) == 3 and not [r.error for r in results.values() if r.error]
    for r in results.values():
        assert len(r.values("first")) == 1 and len(r.values("again")) == 50
    results = _measure(ops, tmp_path, "ingot")
    assert len(results) == 6 and not [r.error for r in results.values() if r.error]
    assert all(t > 0 for r in results.values() for t in r.values("work"))

    store = the_store(10, Place("", str(tmp_path / "shared"), 1))  # that of both rows, as it was made
    assert len(list(store.layer.list())) == 10
    some = [e.key for e in store.layer.list()][:4]
    for key in (*some, store.key):
        store.layer.remove(key)
    store.restore()
    entries = {e.key: Path(e.path) for e in store.layer.list()}
    assert len(entries) == 10 and store.key in entries and not set(some) - entries.keys()
    from ingot.runtime.cache import entry

    for key, path in entries.items():
        entry.parse(path.read_bytes(), key)


def test_load_row(tmp_path):
    from benchmarks.load import load_row

    results = _measure(load_row("load_small", 1), tmp_path, "ingot", "numpy", "safetensors")
    assert len(results) == 3 and not [r.error for r in results.values() if r.error]
    assert all(len(r.values(k)) == 1 for r in results.values() for k in ("load", "call", "again", "private", "resident"))


def test_warm_row(tmp_path):
    from benchmarks.starts import STARTS

    row = next(r for r in STARTS if r.name == "cache_warm")
    (result,) = _measure(row, tmp_path, "ingot").values()
    assert not result.error and 0 < result.values("call")[0] < result.values("seconds")[0]


def test_rows_beside_another_commit():
    from benchmarks.before import rows

    with pytest.raises(ValueError, match="^git knows no commit 'no-such'$"):
        rows("no-such")
    if (ROOT / ".git").exists():
        assert [len(row.cases) for row in rows("HEAD")] == [2] * 6


@pytest.mark.parametrize("commit", ["", "HEAD"])
def test_both_sides_are_laid_out_alike(tmp_path, commit):
    from benchmarks.before import lay_out

    if commit and not (ROOT / ".git").exists():
        pytest.skip("needs the history of the tree")
    package = Path(lay_out(commit, str(tmp_path / "side")), "ingot")
    sources = {p.relative_to(package) for p in package.rglob("*.py")}
    assert {Path("__init__.py"), Path("ir", "op.py"), Path("backends", "cpu", "__init__.py"), Path("runtime", "compiler.py")} < sources
    assert len(list(package.rglob("*.pyc"))) == len(sources)
