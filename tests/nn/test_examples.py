"""The examples run, and learn."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"


def example(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_numpy_style(monkeypatch, tmp_path) -> None:
    assert example("numpy_style", monkeypatch, tmp_path).main() < 1e-6


def test_digits(monkeypatch, tmp_path) -> None:
    pytest.importorskip("sklearn")
    assert example("digits", monkeypatch, tmp_path).main() >= 0.98


@pytest.mark.parametrize("name, steps", [("char_gpt", 30), ("char_lstm", 25)])
def test_language_models_learn(name: str, steps: int, monkeypatch, tmp_path) -> None:
    first, last = example(name, monkeypatch, tmp_path).main(steps)
    assert first > 4.0 and last < first - 1.0
