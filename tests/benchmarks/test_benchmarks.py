"""The benchmarks' own machinery: it takes turns, compares results, reports failures and writes its tables."""

import json
import os
import subprocess
import sys

import numpy as np

from tests.support.processes import ROOT


def _contender(name, result):
    from benchmarks.contenders import Contender, Skip

    class Fake(Contender):
        def load(self, threads):
            return "1.0"

        def prepare(self, w, arrays):
            if result is None:
                raise Skip("nothing to show")
            if isinstance(result, Exception):
                raise result
            return lambda: result

    fake = Fake()
    fake.name = name
    return fake, fake.load(1)


def test_measure_and_report(tmp_path):
    from benchmarks import report
    from benchmarks.harness import measure
    from benchmarks.workloads import Workload

    w = Workload("fake", "nothing much", lambda T: None, lambda rng: [np.zeros(2)], flops=1e6)
    contenders = [
        _contender("ingot", np.array([1.0, 2.5])), _contender("peer", np.array([1.0, 2.0])), _contender("same", np.array([1.0, 2.0])),
        _contender("broken", ValueError("no such op\nmore")), _contender("other", None),
    ]  # fmt: skip
    results = {r.contender: r for r in measure(w, contenders, rounds=3, seconds=1)}
    assert [len(results[n].samples) for n in ("ingot", "peer", "same", "broken", "other")] == [3, 3, 3, 0, 0]
    assert (results["ingot"].difference, results["peer"].difference, results["same"].difference) == (0.25, 0.0, 0.0)
    everything = list(results.values())
    heads, rows = report.workload_rows(w, everything, {"gflops": 100.0, "copy": 10.0, "copy_nt": 20.0})
    assert {row[0] for row in rows} == {"ingot", "peer", "same"} and all(len(row) == len(heads) for row in rows)
    assert next(row for row in rows if row[0] == "ingot")[-1].endswith("WRONG")
    assert report.failures(everything) == ["broken: ValueError: no such op"]
    report.write(str(tmp_path), {"cpu": "x"}, w, everything, heads, rows)
    document = json.loads((tmp_path / "fake.json").read_text())
    assert document["schema_version"] == 1 and len(document["results"]) == 5
    assert "| **ingot** |" in (tmp_path / "fake.md").read_text()


def test_rows_of_one_table(tmp_path):
    from benchmarks import report
    from benchmarks.harness import Result
    from benchmarks.workloads import Workload

    def row(name, **times):
        w = Workload(name, name, lambda T: None, lambda rng: [], table="all")
        return w, [Result(who, samples=[t]) for who, t in times.items()] + [Result("broken", error="ValueError: no")]

    measured = [row("a", ingot=1e-3, peer=2e-3, other=4e-3), row("b", ingot=8e-3, other=1e-3)]
    heads, rows = report.together(measured)
    assert heads == ("", "ingot", "peer", "other", "ingot / best")
    assert rows == [
        ("a", "1.00 ms", "2.00 ms", "4.00 ms", "0.50"), ("b", "8.00 ms", "", "1.00 ms", "8.00"), ("geometric mean", "", "", "", "2.00"),
    ]  # fmt: skip
    report.write_table(str(tmp_path), {"cpu": "x"}, "all", measured, heads, rows)
    assert [w["name"] for w in json.loads((tmp_path / "all.json").read_text())["workloads"]] == ["a", "b"]
    assert "| geometric mean |" in (tmp_path / "all.md").read_text()


def test_seconds():
    from benchmarks.report import seconds

    assert [seconds(s) for s in (2.5, 0.0123, 4.56e-6, 123e-6, 1e-7)] == ["2.50 s", "12.3 ms", "4.56 µs", "123 µs", "0.10 µs"]


def test_command_line(tmp_path):
    environment = {**os.environ, "INGOT_CACHE_DIR": str(tmp_path / "cache")}

    def run(*arguments):
        return subprocess.run([sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)

    listing = run("--list")
    assert listing.returncode == 0 and "mlp_train" in listing.stdout and "torch.compile" in listing.stdout
    assert all(name in listing.stdout for name in ("cache_hit", "cache_ops", "cache_warm", "load_1gb", "cache_* load_1gb"))
    assert run("no_such_workload").returncode == 2
    out = run("tiny_call", "--peers", "ingot eager", "--rounds", "3", "--out", str(tmp_path / "out"))
    assert out.returncode == 0, out.stderr
    document = json.loads((tmp_path / "out" / "tiny_call.json").read_text())
    assert document["results"][0]["contender"] == "ingot eager" and document["results"][0]["median"] > 0
