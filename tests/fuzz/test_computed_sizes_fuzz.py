"""Random functions with sizes that they compute, compiled and eager."""

import linecache

import numpy as np
import pytest

import ingot

MATRIX, VECTOR, INTEGERS = range(3)
STATEMENTS = [  # what is made, and of what: a matrix of 4 columns, a vector, integers
    (MATRIX, "{m}[{m}.sum(1) > 0]"), (VECTOR, "{v}[{v} > 0]"), (VECTOR, "{m}[{m}[:, 1] < 0.5, 2]"), (MATRIX, "{m} * 2 + 1"),
    (MATRIX, "T.cat([{m}, {m}[{m}[:, 3] > 0]])"), (VECTOR, "T.cat([{v}, x[:, 1]])"), (VECTOR, "{v}.cumsum(0)"),
    (VECTOR, "{v}.sort().values"), (VECTOR, "{v} - {v}.mean() if len({v}) > 1 else {v}"), (INTEGERS, "T.unique({i})"),
    (INTEGERS, "({v} > 0).nonzero()[:, 0]"), (INTEGERS, "T.repeat_interleave({i}, {i} % 3)"), (INTEGERS, "T.bincount({i} % 5)"),
    (MATRIX, "{m} @ T.arange(16.0).reshape(4, 4)"), (MATRIX, "{m}.softmax(1)"),
    (INTEGERS, "T.unique_consecutive({i}, return_counts=True)[1]"), (MATRIX, "{v}[:, None] * T.ones(4)"),
    (VECTOR, "T.where({v} > 0.3, {v}, {v} * 2)"), (MATRIX, "{m}[{m}[:, 0].argsort()]"), (MATRIX, "{m}.flip(0)"),
    (MATRIX, "T.zeros({v}.shape[0], 4) + {v}.sum()"), (VECTOR, "assigned({v}, {v} > 0.3)"),
]  # fmt: skip


def assigned(v, mask):
    v = v.clone()
    v[mask] = v[mask] * 2
    return v


def program(rng):
    """The source of f(x, k): x float32 of shape (n, 4), k int64 of shape (n,)."""
    names = ["x"], ["x[:, 0]"], ["k"]
    lines = ["def f(x, k):"]
    for n in range(rng.integers(2, 8)):
        kind, text = STATEMENTS[rng.integers(len(STATEMENTS))]
        m, v, i = (of[rng.integers(len(of))] for of in names)
        lines.append(f"    t{n} = {text.format(m=m, v=v, i=i)}")
        names[kind].append(f"t{n}")
    return "\n".join([*lines, f"    return {names[0][-1]}, {names[1][-1]}, {names[2][-1]}, {names[1][-1]}.shape[0]", ""])


def test_random_programs(long):
    first = int(np.random.SeedSequence().generate_state(1)[0]) if long else 17
    for seed in range(first, first + (300 if long else 4)):
        rng = np.random.default_rng(seed)
        source, scope = program(rng), {"T": ingot, "assigned": assigned}
        name = f"<computed {seed}>"
        linecache.cache[name] = len(source), None, source.splitlines(True), name
        exec(compile(source, name, "exec"), scope)
        f, compiled = scope["f"], ingot.compile(scope["f"])
        for n in (5, 5, 3, 0, 1):
            x = ingot.from_numpy(rng.standard_normal((n, 4)).astype(np.float32))
            k = ingot.from_numpy(rng.integers(0, 6, n))
            try:
                want = f(x, k)
            except Exception as error:  # of sizes that fit nothing
                with pytest.raises(type(error)):
                    compiled(x, k)
                continue
            got = compiled(x, k)
            for w, g in zip(want, got, strict=True):
                told = f"seed {seed}, {n} rows:\n{source}"
                if isinstance(w, int):
                    assert w == g, told
                else:
                    assert w.dtype is g.dtype and w.shape == g.shape, told
                    np.testing.assert_allclose(g.numpy(), w.numpy(), rtol=1e-4, atol=1e-5, err_msg=told)
