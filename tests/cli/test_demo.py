"""`ingot demo`, shortened: it trains, exports, serves without a compiler and shows the cache."""

import os
import subprocess
import sys

import pytest


def test_demo(tmp_path):
    pytest.importorskip("sklearn")
    command = [sys.executable, "-m", "ingot.runtime.cli", "demo", "--epochs", "2", "--output", "d.ingot"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ, timeout=300)
    assert done.returncode in (0, 1) and not done.stderr.startswith("ingot:"), done.stderr  # 1: two epochs are too few for 98 %
    assert "served by a fresh process without llvmlite" in done.stdout, done.stdout + done.stderr
    assert "worker pool" in done.stdout and os.path.exists(tmp_path / "d.ingot")


def test_demo_usage(capsys):
    from ingot.runtime.cli import main

    assert main(["demo", "--epochs", "0"]) == 2
    assert "at least 1" in capsys.readouterr().err
