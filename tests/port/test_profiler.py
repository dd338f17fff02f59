"""The profiler: what is timed, ranges, schedules, tables and traces."""

from __future__ import annotations

import gzip
import json

import pytest

import ingot
from ingot.profiler import ProfilerAction, ProfilerActivity, profile, record_function, schedule
from ingot.runtime import timing


def work(n=64):
    x = ingot.randn(n, n)
    return (x @ x).sin().sum().item()


def test_graphs_and_ranges_are_timed(tmp_path):
    work()
    step = ingot.compile(lambda a: (a @ a).tanh())
    a = ingot.ones(32, 32)
    step(a)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as prof:
        with record_function("whole"):
            work()
            for _ in range(3):
                step(a).sum().item()

        @record_function("decorated")
        def inner():
            return work()

        inner()
    rows = {r.key: r for r in prof.key_averages()}
    assert rows["whole"].count == rows["decorated"].count == 1
    graphs = [r for r in rows.values() if r.key not in ("whole", "decorated")]
    assert any("tanh" in r.key for r in graphs) and any(r.count >= 3 for r in graphs)
    whole = next(e for e in prof.events() if e.name == "whole")
    inside = [e.duration for e in prof.events() if e.kind == "graph" and whole.start <= e.start < whole.start + whole.duration]
    assert len(inside) >= 4 and whole.duration * 1.001 >= sum(inside)
    assert 0 <= rows["whole"].self_cpu_time_total <= rows["whole"].cpu_time_total
    table = prof.key_averages().table(sort_by="cpu_time_total", row_limit=2)
    assert "whole" in table and len(table.splitlines()) == 7
    prof.export_chrome_trace(tmp_path / "trace.json")
    prof.export_chrome_trace(str(tmp_path / "trace.json.gz"))
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert {e["cat"] for e in trace["traceEvents"]} == {"graph", "range"}
    assert json.loads(gzip.open(tmp_path / "trace.json.gz").read()) == trace


def test_nothing_is_in_the_way_afterwards():
    work()
    with profile():
        work()
    assert not any(isinstance(e._entry, timing._Timed) for e in timing.LIVE)
    with record_function("outside"):
        pass


def test_steps_follow_the_schedule(tmp_path):
    ready = []
    with profile(schedule=schedule(wait=1, warmup=1, active=2, repeat=2), on_trace_ready=lambda p: ready.append(len(p.events()))) as prof:
        for _ in range(9):
            work()
            prof.step()
    assert len(ready) == 2 and all(ready)
    handler = ingot.profiler.tensorboard_trace_handler(str(tmp_path / "logs"))
    with profile(on_trace_ready=handler):
        work()
    assert len(list((tmp_path / "logs").iterdir())) == 1
    assert schedule(wait=0, warmup=0, active=1)(5) is ProfilerAction.RECORD_AND_SAVE
    for bad in (dict(wait=-1, warmup=0, active=1), dict(wait=0, warmup=0, active=0)):
        with pytest.raises(ValueError):
            schedule(**bad)
    with pytest.raises(RuntimeError, match="finish"):
        profile().key_averages()


def test_the_older_path():
    with ingot.autograd.profiler.profile() as prof:
        work()
    assert prof.self_cpu_time_total > 0 and prof.function_events
    with ingot.autograd.profiler.profile(enabled=False) as off:
        work()
    with pytest.raises(RuntimeError):
        off.events()
