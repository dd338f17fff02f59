"""Functions of layers and losses in the top namespace take torch's operators' arguments, whose order is not that of nn.functional."""

import numpy as np
import pytest

import ingot

torch = pytest.importorskip("torch")

CALLS = """
m.batch_norm(x, w, b, mean, var, False, 0.1, 1e-5, False)
m.batch_norm(x, w, b, None, None, training=True, momentum=0.1, eps=1e-3, cudnn_enabled=True)
m.instance_norm(x3, w, b, None, None, True, 0.1, 1e-5, False)
m.layer_norm(x, (3,), w, b, 1e-3, False); m.layer_norm(input=x, normalized_shape=(3,), cudnn_enable=False)
m.group_norm(x, 3, w, b, 1e-3, False)
m.embedding(x, i); m.embedding(x, i, 1); m.embedding(weight=x, indices=i, padding_idx=-1)
m.embedding_bag(x, i, m.tensor([0, 2]))[0]; m.embedding_bag(x, i, m.tensor([0, 2]), False, 1)[0]
m.embedding_bag(x, i, m.tensor([0]), mode=2)[0]
m.dropout(x, 0.5, False); m.dropout(input=x, p=0.5, train=False); m.alpha_dropout(x, 0.5, train=False)
m.feature_alpha_dropout(x, 0.5, False)
m.binary_cross_entropy_with_logits(x, t, w, b); m.binary_cross_entropy_with_logits(x, t, reduction=2)
m.kl_div(x, t, 0); m.kl_div(x, t); m.kl_div(x, x, 2, log_target=True)
m.cosine_embedding_loss(x, t, one, 0.1, 0); m.margin_ranking_loss(x, t, x.sign(), 0.2, 2); m.hinge_embedding_loss(x, x.sign(), 0.5, 0)
m.triplet_margin_loss(x, t, x * 2, 1.0, 2.0, 1e-6, True, 0); m.poisson_nll_loss(x, t, True, True, 1e-8, 1)
m.ctc_loss(x.log_softmax(-1)[:, None], m.tensor([[1, 2]]), (4,), (2,), 0, 2, False)
""".replace(";", "\n").strip().splitlines()


@pytest.mark.parametrize("call", [c.strip() for c in CALLS])
def test_it_is_as_in_torch(call):
    rng = np.random.default_rng(0)
    x, t, w, b, mean, var = (rng.random(s).astype(np.float32) + 0.5 for s in ((4, 3), (4, 3), 3, 3, 3, 3))
    found = []
    for m in (torch, ingot):
        names = {k: m.tensor(v) for k, v in {"t": t, "w": w, "b": b, "mean": mean, "var": var}.items()}
        names |= {"m": m, "x": m.tensor(x - 1, requires_grad=True), "x3": m.tensor(x[None].repeat(2, 0).transpose(0, 2, 1) - 1)}
        y = eval(call, names | {"i": m.tensor([1, 0, 3]), "one": m.ones(4)})
        if y.requires_grad:
            y.sum().backward()
        found.append((y.detach().numpy(), names["x"].grad))
    (a, ga), (b, gb) = found
    np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)
    assert (ga is None) == (gb is None)
    if ga is not None:
        np.testing.assert_allclose(gb.numpy(), ga.numpy(), rtol=1e-4, atol=1e-5)


def test_a_reduction_is_one_of_three():
    with pytest.raises(ValueError, match="not a valid value for reduction"):
        ingot.kl_div(ingot.ones(1), ingot.ones(1), 3)
