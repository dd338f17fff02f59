"""nn.attention.flex_attention beside torch's."""

import numpy as np
import pytest

import ingot
from ingot.nn.attention import flex_attention as ours

torch = pytest.importorskip("torch")
from torch.nn.attention import flex_attention as theirs  # noqa: E402

RNG = np.random.default_rng(0)
Q, K, V = (RNG.standard_normal(s).astype(np.float32) for s in ((2, 4, 5, 8), (2, 2, 6, 8), (2, 2, 6, 3)))
MODS = {
    "none": None,
    "relative": lambda s, b, h, q, k: s + 0.1 * (q - k),
    "by head": lambda s, b, h, q, k: s * (h + 1) - b,
}
MASKS = {"none": None, "causal": lambda b, h, q, k: q >= k, "some rows": lambda b, h, q, k: (q > 1) & (k < 4)}


@pytest.mark.parametrize("mod", MODS)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.filterwarnings("ignore")
def test_values(mod, mask):
    found = []
    for T, module in ((ingot, ours), (torch, theirs)):
        q, k, v = (T.tensor(a) for a in (Q, K, V))
        blocks = None if MASKS[mask] is None else module.create_block_mask(MASKS[mask], 2, 4, 5, 6, device="cpu")
        y, lse = module.flex_attention(q, k, v, MODS[mod], blocks, enable_gqa=True, return_lse=True)
        found.append([x.detach().numpy() for x in (y, lse)])
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_masks():
    causal = MASKS["causal"]
    both = ours.and_masks(causal, lambda b, h, q, k: k < 2)
    assert ours.create_mask(both, None, None, 3, 3)[0, 0].tolist() == [[True, False, False], [True, True, False], [True, True, False]]
    either = ours.or_masks(causal, lambda b, h, q, k: k == 2)
    assert ours.create_mask(either, None, None, 3, 3)[0, 0].tolist() == [[True, False, True], [True, True, True], [True, True, True]]
    blocks = ours.create_block_mask(causal, 1, 1, 300, 200, BLOCK_SIZE=128)
    assert blocks.to_dense()[0, 0].tolist() == [[1, 0], [1, 1], [1, 1]] and blocks.shape == (1, 1, 300, 200)
    x = ingot.ones(1, 3, 4, 2)
    with pytest.raises(ValueError, match="enable_gqa"):
        ours.flex_attention(x, x[:, :1], x[:, :1])
    with pytest.raises(ValueError, match="the mask is for"):
        ours.flex_attention(x, x, x, block_mask=ours.create_block_mask(causal, 1, 1, 2, 2))


def test_gradients_go_through():
    q = ingot.tensor(Q[:, :2], requires_grad=True)
    mask = ours.create_block_mask(MASKS["some rows"], 2, 2, 5, 6)
    ours.flex_attention(q, ingot.tensor(K), ingot.tensor(V), MODS["by head"], mask).sum().backward()
    assert q.grad[:, :, :2].abs().sum().item() == 0 and (q.grad[:, :, 2:].abs() > 0).all()


def test_what_is_asked_beside_the_result():
    q, k, v = (ingot.tensor(a) for a in (Q, K, V))
    y, lse = ours.flex_attention(q, k, v, MODS["by head"], enable_gqa=True, return_lse=True)
    again, aux = ours.flex_attention(q, k, v, MODS["by head"], enable_gqa=True, return_aux=ours.AuxRequest(lse=True, max_scores=True))
    assert (again == y).all() and (aux.lse == lse).all() and ((aux.max_scores <= lse) & (lse < aux.max_scores + np.log(6) + 1e-5)).all()
    assert ours.flex_attention(q, k, v, enable_gqa=True, return_aux=ours.AuxRequest())[1] == (None, None)
    with pytest.raises(ValueError, match="ask for the same"):
        ours.flex_attention(q, k, v, enable_gqa=True, return_lse=True, return_aux=ours.AuxRequest(lse=True))
