"""Programs of JAX as text and as bytecode, run, and compared with what JAX gives."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ingot.interchange.stablehlo.model import load
from tests.interchange.programs.program import Program

__all__ = ["difference", "failures"]

CALLS = tuple(f"lapack_{t}{r}_ffi" for t in "sdcz" for r in ("gtsv", "geqp3", "gees"))  # which jax.export does not take for stable


def failures(p: Program) -> list[str]:
    """What is wrong with a program's results, from either form."""
    with jax.enable_x64(p.wide):
        fn = jax.jit(p.fn)
        lowered = fn.lower(*p.args)
        want = [np.asarray(v) for v in jax.tree.leaves(lowered.compile()(*p.args))]
        checks = [jax.export.DisabledSafetyCheck.custom_call(n) for n in CALLS]
        exported = jax.export.export(fn, disabled_checks=checks)(*p.args)
    given = [p.args[i] for i in exported.module_kept_var_idx]
    found = []
    for form, source in (("text", lowered.as_text()), ("bytecode", bytes(exported.mlir_module_serialized))):
        try:
            got = load(source)(*given)
            values = [v.numpy() for v in (got if isinstance(got, tuple) else (got,))]
            wrong = [w for w in map(difference, want, values, [p.tol] * len(want)) if w]
            wrong += [] if len(values) == len(want) else [f"{len(values)} results, not {len(want)}"]
            found += [f"{p.kind} {p.name}, {form}: {w}" for w in wrong]
        except Exception as e:
            found.append(f"{p.kind} {p.name}, {form}: {type(e).__name__}: {e}")
    return found


def difference(want: Any, got: np.ndarray, tol: float) -> str:
    """How a result differs from JAX's; nothing where it is as near as it must be. Integers must be equal."""
    if want.dtype != got.dtype or want.shape != got.shape:
        return f"{got.dtype}{got.shape}, not {want.dtype}{want.shape}"
    if want.dtype.kind in "iub":
        return "" if np.array_equal(want, got) else f"{got.ravel()[:8]}, not {want.ravel()[:8]}"
    kind = np.complex128 if want.dtype.kind == "c" else np.float64
    a, b = want.astype(kind), got.astype(kind)
    finite = np.isfinite(a)
    odd = ~finite & ~np.isnan(a)
    if not np.array_equal(np.isnan(a), np.isnan(b)) or not np.array_equal(a[odd], b[odd]):
        return f"{b.ravel()[:8]}, not {a.ravel()[:8]}"
    if not finite.any():
        return ""
    far, allowed = np.abs(a[finite] - b[finite]).max(), tol * max(1.0, np.abs(a[finite]).max())
    return "" if far <= allowed else f"{far:.3g} off, and {allowed:.3g} are allowed"
