"""The command as a process: exit codes, a stdout that is closed, full or not read to its end, Ctrl-C, and questions on a terminal."""

import ctypes
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys

import pytest

from ingot.runtime.cli import main, output
from tests.support.cli import run

INGOT = [sys.executable, "-m", "ingot"]


def ingot(*argv, **kw):
    kw.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([*INGOT, *argv], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, timeout=120, **kw)


def test_python_m_ingot_is_the_command(cache):
    done = ingot("cache", "dir")
    assert (done.returncode, done.stdout, done.stderr) == (0, cache.own.folder + "\n", "")
    assert ingot().returncode == 2 and ingot("--version").stdout.startswith("ingot ")


def test_the_exit_codes(cache, keys, tmp_path):
    assert ingot("cache", "verify").returncode == 0
    assert ingot("cache", "show", "0" * 8).returncode == 1
    assert ingot("cache", "show", "xyz").returncode == 2
    assert ingot("cache", "prune", "--older-than", "1y").returncode == 2
    os.chmod(tmp_path / "home", 0o777)
    assert ingot("cache", "ls").returncode == 4
    os.chmod(tmp_path / "home", 0o700)
    assert ingot("inspect", str(tmp_path / "none.ingot")).returncode == 5


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("argv", [("cache", "dir"), ("cache", "ls", "--json"), ("cache", "--help"), ("--version",), ("cache", "rm", "zz")])
def test_stdout_is_full(cache, keys, argv, unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with open("/dev/full", "w") as full:
        done = ingot(*argv, stdout=full)
    if argv[-1] == "zz":  # nothing goes to stdout
        assert done.returncode == 2
    else:
        assert done.returncode == 5 and done.stderr == "ingot: [Errno 28] No space left on device\n"


def test_much_output_into_a_full_stdout(cache, make):
    for i in range(60):
        make(cache, f"f{i}", f"func {i}", 1.0)
    with open("/dev/full", "w") as full:
        done = ingot("cache", "ls", "--json", stdout=full)
    assert done.returncode == 5 and done.stderr == "ingot: [Errno 28] No space left on device\n"


def test_stdout_is_closed(cache, keys):
    for closing, code in ((">&-", 5), ("2>&-", 0), (">&- 2>&-", 5)):
        done = subprocess.run(["sh", "-c", f'exec "$0" -m ingot cache ls -q {closing}', sys.executable], capture_output=True, timeout=120)
        assert done.returncode == code
        assert done.stderr == (b"ingot: stdout is closed\n" if closing == ">&-" else b"")
        assert len(done.stdout.split()) == (3 if code == 0 else 0)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_broken_pipe_is_quiet(cache, make, unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    for i in range(60):
        make(cache, f"f{i}", f"func {i}", 1.0)
    for argv in (("cache", "ls", "--json"), ("cache", "dir"), ("cache", "--help")):
        read, write = os.pipe()
        os.close(read)
        done = ingot(*argv, stdout=write)
        os.close(write)
        assert done.stderr == "" and done.returncode == 5, argv


def test_an_encoding_that_lacks_characters(cache, make):
    make(cache, "größe", "func", 1.0)
    done = subprocess.run([*INGOT, "cache", "ls"], capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, timeout=120)
    assert done.returncode == 0 and rb"gr\xf6\xdfe" in done.stdout


def ask(argv, answer):
    """Run the command with a terminal for its questions, and answer the first one: (exit code, stderr)."""
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [*INGOT, *argv], stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore Ctrl-C
    )  # fmt: skip
    os.close(slave)
    try:
        asked = b""
        while b"[y/N]" not in asked:
            ready, _, _ = select.select([child.stderr], [], [], 100)
            piece = os.read(child.stderr.fileno(), 4096) if ready else b""
            assert piece, asked
            asked += piece
        if isinstance(answer, int):
            child.send_signal(answer)
        else:
            os.write(master, answer)
        for _ in range(100):
            try:
                rest = child.communicate(timeout=1)[1]
                break
            except subprocess.TimeoutExpired:
                if isinstance(answer, int):  # the first may have come between the question and the wait for its answer
                    child.send_signal(answer)
        else:
            raise AssertionError(f"it goes on after {answer!r}")
        return child.returncode, (asked + rest).decode()
    finally:
        child.kill()
        child.wait()
        os.close(master)


def test_questions(cache, keys):
    code, err = ask(["cache", "rm", keys["serve"]], b"n\n")
    assert code == 1 and "remove 1 entries" in err and "nothing was removed" in err and len(list(cache.own.list())) == 3
    assert ask(["cache", "clear"], b"\n")[0] == 1
    assert ask(["cache", "clear"], signal.SIGINT)[0] == 130
    assert len(list(cache.own.list())) == 3
    assert ask(["cache", "clear"], b"y\n")[0] == 0
    assert not list(cache.own.list())


def test_ctrl_c_within(monkeypatch, capsys, cache):
    from ingot.runtime.cli import cache_state

    def stopped(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cache_state, "info", stopped)
    assert main(["cache", "info"]) == 130


HOLD = """
import ctypes, sys
held = [ctypes.CDLL(path) for path in sys.argv[1:]]
print("ready", flush=True)
sys.stdin.read()
assert all(h.ingot_entry for h in held)
"""


@pytest.fixture
def holder():
    """Start a process that has entries mapped: `holder(path, ...)`."""
    started = []

    def start(*paths):
        child = subprocess.Popen([sys.executable, "-c", HOLD, *paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(child)
        assert child.stdout.readline() == "ready\n"
        return child

    yield start
    for child in started:
        child.communicate(timeout=60)
        assert child.returncode == 0  # what was mapped stayed valid


def test_what_is_mapped_stays(capsys, cache, keys, holder):
    child = holder(cache.own.path(keys["serve"]))
    code, out, err = run(capsys, "cache", "rm", keys["serve"], "--yes")
    assert code == 3 and "removed 0 entries" in out
    assert f"{keys['serve'][:12]}  stays: process {child.pid} has mapped it; --force" in err
    code, out, _ = run(capsys, "cache", "clear", "--yes", "--json")
    doc = json.loads(out)
    assert code == 3 and [r["key"] for r in doc["removed"]] == sorted([keys["train"], keys["train2"]])
    assert [(r["key"], r["processes"]) for r in doc["busy"]] == [(keys["serve"], [child.pid])]
    assert {e.key for e in cache.own.list()} == {keys["serve"]}
    assert run(capsys, "cache", "prune", "--max-entries", "0", "--yes")[0] == 3
    assert run(capsys, "cache", "prune", "--stale", "--yes")[0] == 3
    assert run(capsys, "cache", "prune", "--older-than", "0s", "--yes")[0] == 3
    assert json.loads(run(capsys, "cache", "info", "--json")[1])["layers"][0]["mapped"] == 1
    assert run(capsys, "cache", "clear", "--dry-run")[0] == 3
    assert run(capsys, "cache", "clear", "--yes", "--force")[0] == 0 and not list(cache.own.list())


def test_pruning_goes_around_what_is_mapped(capsys, cache, keys, holder):
    holder(cache.own.path(keys["serve"]))  # worth least
    assert run(capsys, "cache", "prune", "--max-entries", "2", "--yes")[0] == 0
    assert {e.key for e in cache.own.list()} == {keys["serve"], keys["train2"]}


def test_what_this_process_has_mapped_does_not_matter(capsys, cache, keys):
    held = ctypes.CDLL(cache.own.path(keys["serve"]))
    assert run(capsys, "cache", "rm", keys["serve"], "--yes")[0] == 0
    assert held.ingot_entry


# -- tables ----------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("columns", [30, 60, 90, 300])
def test_tables_fit_the_terminal(cache, keys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main(["cache", "ls"]) == 0
    lines = sys.stdout.getvalue().rstrip().split("\n")
    assert len(lines) == 4 and all(len(line) <= columns for line in lines)
    assert all(line.split()[0] in {k[:12] for k in keys.values()} for line in lines[1:])  # keys can still be used
    assert ("signature" in lines[0]) == (columns >= 90) and ("size" in lines[0]) == (columns >= 60)


def test_tables_into_pipes_are_never_cut(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    output.table(("a", "b"), [("x" * 50, 1), ("y", 22)], ("b",))
    assert capsys.readouterr().out == f"a{' ' * 49}   b\n{'x' * 50}   1\ny{' ' * 49}  22\n"


def test_wide_characters_and_control_characters(capsys):
    output.table(("a", "b"), [("漢字", "x"), ("e\N{COMBINING ACUTE ACCENT}", "y"), ("\x1b[31m\n\ud800", "z")])
    assert capsys.readouterr().out.split("\n") == [
        "a                 b", "漢字              x", "e\N{COMBINING ACUTE ACCENT}                 y", "\\x1b[31m\\n\\ud800  z", "",
    ]  # fmt: skip


def test_a_long_table_is_printed_as_it_comes(capsys):
    output.table(("a", "b"), ((i, "x" * (3 if i < 1000 else 9)) for i in range(1500)))
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == 1502 and lines[1] == "0    xxx" and lines[-2] == "1499  xxxxxxxxx"


def test_documents_with_rows(capsys):
    output.document("k", ("rows", ({"b": i, "a": 0} for i in range(2))), zebra=1, alpha=[])
    text = capsys.readouterr().out
    assert json.loads(text) == {"schema_version": 1, "kind": "k", "rows": [{"a": 0, "b": 0}, {"a": 0, "b": 1}], "zebra": 1, "alpha": []}
    assert [*json.loads(text)] == ["alpha", "kind", "rows", "schema_version", "zebra"]
    output.document("k", ("zz", iter(())))
    assert json.loads(capsys.readouterr().out) == {"schema_version": 1, "kind": "k", "zz": []}


def test_durations_as_people_write_them():
    assert [output.duration(ms) for ms in (0, 999.4, 999.6, 1500, 119_900, 120_000, 3_600_000 * 2.5)] == [
        "0 ms", "999 ms", "1.0 s", "1.5 s", "119.9 s", "2 m 0 s", "2 h 30 m",
    ]  # fmt: skip
