"""Derivatives of graphs by finite differences, and running what ir/transforms builds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ingot.ir.graph import Graph
from ingot.ir.interpret import run
from ingot.ir.transforms.jvp import jvp
from ingot.ir.transforms.vjp import vjp


def floating(arrays: Sequence[np.ndarray]) -> tuple[bool, ...]:
    """Which arrays derivatives flow through."""
    return tuple(a.dtype.name in ("float16", "bfloat16", "float32", "float64", "complex64", "complex128") for a in arrays)


def run_vjp(graph: Graph, arrays: Sequence[np.ndarray], cts: Sequence[np.ndarray | None]) -> dict[int, np.ndarray]:
    """Gradients by input, for every float input that gets one. `cts`: one per output, None where there is none."""
    back = vjp(graph, floating(arrays), tuple(c is not None for c in cts))
    outs = run(graph, arrays)
    given = [arrays[i] for i in back.reads_inputs] + [outs[i] for i in back.reads_outputs] + [c for c in cts if c is not None]
    return dict(zip(back.grads, run(back.graph, given)))


def run_jvp(graph: Graph, arrays: Sequence[np.ndarray], tangents: Sequence[np.ndarray | None]) -> dict[int, np.ndarray]:
    """Tangents by output, for the outputs that depend on an input with a tangent."""
    push = jvp(graph, tuple(t is not None for t in tangents))
    results = run(push.graph, [*arrays, *(t for t in tangents if t is not None)])
    return dict(zip(push.tangents, results[len(graph.outputs) :]))


def draw_like(rng: np.random.Generator, arrays: Sequence[np.ndarray]) -> list[np.ndarray | None]:
    """Random directions for the float arrays, None for the others."""
    return [_direction(rng, a) if f else None for a, f in zip(arrays, floating(arrays))]


def _direction(rng: np.random.Generator, a: np.ndarray) -> np.ndarray:
    out = rng.uniform(0.5, 1.5, a.shape).astype(a.dtype) * rng.choice([-1, 1])
    return out + 1j * rng.uniform(0.5, 1.5, a.shape).astype(a.real.dtype) if a.dtype.kind == "c" else out


def inner(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The products that the inner product of two arrays sums; complex numbers count as the vectors of their parts."""
    return (np.conj(a) * b).real


def directional(graph: Graph, arrays: Sequence[np.ndarray], tangents: Sequence[np.ndarray | None], h: float = 1e-5) -> list[np.ndarray]:
    """The derivative of the outputs along `tangents`, by central differences of fourth order in float64."""

    def at(step: float) -> list[np.ndarray]:
        return run(graph, [a if t is None else a + step * t for a, t in zip(arrays, tangents)])

    near, far = list(zip(at(h), at(-h))), list(zip(at(2 * h), at(-2 * h)))
    out = []
    for (p1, m1), (p2, m2) in zip(near, far):
        f = p1.dtype.kind in "fc"
        out.append((8 * (p1 - m1) - (p2 - m2)) / (12 * h) if f else np.zeros(p1.shape))
    return out


def check_derivatives(graph: Graph, arrays: Sequence[np.ndarray], rng: np.random.Generator, rtol: float = 1e-6) -> None:
    """VJP and JVP of `graph` against finite differences at `arrays` (float64), along one random direction of all float inputs."""
    outs = run(graph, arrays)
    tangents, cts = draw_like(rng, arrays), draw_like(rng, outs)
    expected = directional(graph, arrays, tangents)
    pushed = run_jvp(graph, arrays, tangents)
    for i, c in enumerate(cts):
        if c is not None:
            got = pushed.get(i, np.zeros(outs[i].shape))
            np.testing.assert_allclose(got, expected[i], rtol=rtol, atol=rtol * 10, err_msg=f"jvp of {graph.name}")
    grads = run_vjp(graph, arrays, cts)
    for i, g in grads.items():
        assert g.shape == arrays[i].shape and g.dtype == arrays[i].dtype
    # one input at a time, so that errors cannot cancel
    for k, t in enumerate(tangents):
        if t is None:
            continue
        alone = [t if i == k else None for i in range(len(arrays))]
        along = directional(graph, arrays, alone)
        want = sum(float(inner(e, c).sum()) for e, c in zip(along, cts) if c is not None)
        have = float(inner(grads[k], t).sum()) if k in grads else 0.0
        size = sum(float(np.abs(e * c).sum()) for e, c in zip(along, cts) if c is not None)
        np.testing.assert_allclose(have, want, rtol=rtol, atol=rtol * (1 + size), err_msg=f"vjp of {graph.name} by input {k}")
