"""Random functions of arguments and captured tensors, with views, in-place writes and gradients: compiled against eager."""

import numpy as np
import pytest

import ingot


def program(seed):
    """A function (args, captured) -> results that does the same random steps each time."""

    def run(args, captured):
        rng = np.random.default_rng(seed)
        pool = [*args, *captured]

        def pick():
            return pool[int(rng.integers(len(pool)))]

        for _ in range(10):
            a = pick()
            same = [t for t in pool if t.shape == a.shape]
            b = same[int(rng.integers(len(same)))]
            kind = rng.choice(["add", "mul", "tanh", "sum", "slice", "t", "flat", "iadd", "set", "copy", "detach", "where"])
            if kind == "add":
                pool.append(a + b * 0.5)
            elif kind == "mul":
                pool.append(a * b)
            elif kind == "tanh":
                pool.append(ingot.tanh(a))
            elif kind == "sum":
                pool.append(a.sum(-1, keepdim=True) + a)
            elif kind == "slice":
                pool.append(a[1:] if a.shape[0] > 1 else a[:1])
            elif kind == "t":
                pool.append(a.transpose(0, -1))
            elif kind == "flat":
                pool.append(a.reshape(-1))
            elif kind == "detach":
                pool.append(a.detach())
            elif kind == "where":
                pool.append(ingot.where(a > 0, a, b))
            else:
                if a.requires_grad and (a.is_leaf or a._base is not None and a._base.is_leaf):
                    continue
                if any(a is t for t in args if t.requires_grad) or (b.requires_grad and any(a is t or a._base is t for t in captured)):
                    continue  # captured state does not grow a history from call to call
                if kind == "iadd":
                    a.add_(b.detach() * 0.25)
                elif kind == "set":
                    a[0] = b[0].detach() * 0.5
                else:
                    a.copy_(ingot.tanh(b.detach()))
        return pool[len(args) + len(captured) :][-4:] + [args[0]]

    return run


@pytest.mark.parametrize("seed", range(40))
def test_random_functions(seed):
    rng = np.random.default_rng(1000 + seed)
    shape = tuple(int(n) for n in rng.integers(1, 4, rng.integers(1, 3)))
    run = program(seed)

    def world():
        r = np.random.default_rng(seed)
        state = ingot.tensor(r.standard_normal(shape))
        weight = ingot.tensor(r.standard_normal(shape), requires_grad=True)
        return [state, weight, state.view(-1)]

    eager, mine = world(), world()
    compiled = ingot.compile(lambda *args: run(args, mine))
    for call in range(3):
        r = np.random.default_rng(call)
        values = [r.standard_normal(shape) for _ in range(2)]
        grad = bool(r.integers(2))
        given = [[ingot.tensor(values[0]), ingot.tensor(values[1], requires_grad=grad)] for _ in range(2)]
        try:
            want = run(tuple(given[0]), eager)
        except RuntimeError as e:
            with pytest.raises(RuntimeError, match=str(e)[:20]):
                compiled(*given[1])
            return
        got = compiled(*given[1])
        for a, b in zip([*got, *given[1], *mine], [*want, *given[0], *eager]):
            assert a.shape == b.shape and a.requires_grad == b.requires_grad and a.is_leaf == b.is_leaf
            assert np.allclose(a.detach().numpy().copy(), b.detach().numpy().copy(), atol=1e-9)
        losses = [sum((t * (i + 1)).sum() for i, t in enumerate(ts) if t.requires_grad) for ts in (got, want)]
        if isinstance(losses[1], ingot.Tensor):
            try:
                losses[1].backward()
            except RuntimeError as e:  # something saved was written in place
                assert "inplace" in str(e)
                return
            losses[0].backward()
            for a, b in zip([*given[1], *mine], [*given[0], *eager]):
                if a.grad is None or b.grad is None:  # a compiled call gives zeros where a result was not used
                    assert b.grad is None and (a.grad is None or not a.grad.numpy().any())
                else:
                    assert np.allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-9)
                a.grad = b.grad = None
    assert compiled.stats["traces"] <= 2
