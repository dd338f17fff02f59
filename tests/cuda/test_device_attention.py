"""Attention on a GPU, forward and backward, eager and compiled, beside the CPU's."""

import numpy as np
import pytest

import ingot
import ingot.nn.functional as F

pytestmark = pytest.mark.usefixtures("cuda")


def array(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def attended(device, dtype, options, compiled):
    given = [ingot.tensor(array(1, 2, n, 32, seed=k)).to(device).to(dtype).requires_grad_() for k, n in enumerate((40, 24, 24))]
    g = ingot.tensor(array(1, 2, 40, 32, seed=9)).to(device).to(dtype)
    here = {k: v.to(device) if isinstance(v, ingot.Tensor) else v for k, v in options.items()}

    def step(q, k, v, g):
        out = F.scaled_dot_product_attention(q, k, v, **here)
        out.backward(g)
        return out

    ingot.manual_seed(5)
    out = (ingot.compile(step) if compiled else step)(*given, g)
    return [x.detach().float().cpu().numpy() for x in (out, *(t.grad for t in given))]


@pytest.mark.parametrize("dtype, kind, compiled", [("float32", "dropout", False), ("bfloat16", "causal", True), ("float16", "bool", False)])
def test_results_and_gradients_are_the_cpus(dtype, kind, compiled):
    mask = ingot.tensor(array(40, 24, seed=8) > -0.5)
    options = {"causal": {"is_causal": True}, "bool": {"attn_mask": mask}, "dropout": {"dropout_p": 0.25}}[kind]
    wanted = attended("cpu", ingot.float32, options, False)
    got = attended("cuda", getattr(ingot, dtype), options, compiled)
    tolerance = {"float32": 2e-5, "float16": 2e-2, "bfloat16": 8e-2}[dtype]
    for name, g, w in zip(("result", "q", "k", "v"), got, wanted):
        np.testing.assert_allclose(g, w, rtol=tolerance, atol=tolerance, err_msg=name)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(got, attended("cuda", getattr(ingot, dtype), options, compiled)))
