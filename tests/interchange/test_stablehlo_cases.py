"""Programs of JAX run here, and give what they give there, on the interpreter; some of them compiled. `--long` runs all."""

from __future__ import annotations

import pytest

pytest.importorskip("jax", reason="programs are made with JAX, which is not installed")

from tests.interchange import programs as corpus  # noqa: E402
from tests.interchange import stablehlo_cases as cases  # noqa: E402
from tests.interchange.programs.linalg import forms  # noqa: E402

SAMPLE = 24  # one program of so many where the run is a short one


@pytest.mark.parametrize("kind", corpus.KINDS)
def test_programs(kind, long, monkeypatch):
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    programs = corpus.programs(kind)
    start = 0 if long else len(kind) % SAMPLE
    found = [f for p in programs[start :: 1 if long else SAMPLE] for f in cases.failures(p)]
    assert not found, "\n".join(found)


FORMS = ("hessenberg_c64", "tridiagonal_upper_f32", "qr_pivoting_f32", "eig_left_f32", "schur_f32", "schur_turn", "schur_c64")


@pytest.mark.parametrize("program", [p for p in forms() if p.name in FORMS], ids=lambda p: p.name)
def test_forms_of_matrices(program, monkeypatch):
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    assert not cases.failures(program)
