"""Random streams: reproducible, counted, and distributed as they say."""

import subprocess
import sys

import numpy as np
import pytest

import ingot
from ingot.random import Generator, default_generator


def test_the_seed_decides_the_numbers():
    ingot.manual_seed(5)
    a = ingot.rand(10).tolist()
    b = ingot.rand(10).tolist()
    ingot.manual_seed(5)
    assert ingot.rand(10).tolist() == a and ingot.rand(10).tolist() == b and a != b
    g = Generator().manual_seed(5)
    assert ingot.rand(10, generator=g).tolist() == a
    assert ingot.initial_seed() == 5


def test_the_stream_depends_on_record_order_only():
    ingot.manual_seed(1)
    a, b = ingot.rand(5), ingot.rand(5)
    second = b.tolist()
    first = a.tolist()
    ingot.manual_seed(1)
    ingot.rand(5)  # dropped, but its numbers are taken
    assert ingot.rand(5).tolist() == second and first != second


def test_states_can_be_kept():
    ingot.rand(3)
    state = ingot.get_rng_state()
    a = ingot.randn(7).tolist()
    ingot.set_rng_state(state)
    assert ingot.randn(7).tolist() == a
    with ingot.random.fork_rng():
        ingot.rand(100)
    assert default_generator.get_state().tolist() == default_generator.get_state().tolist()
    with pytest.raises(RuntimeError):
        default_generator.set_state(np.zeros(3, np.uint8))
    with pytest.raises(RuntimeError):
        ingot.manual_seed(1 << 70)
    assert ingot.manual_seed(-1).initial_seed() == (1 << 64) - 1


@pytest.mark.parametrize("dtype", [ingot.float32, ingot.float64, ingot.float16, ingot.bfloat16])
def test_uniform(dtype):
    v = ingot.rand(20000, dtype=dtype).double().numpy()
    assert 0 <= v.min() and v.max() < 1
    assert abs(v.mean() - 0.5) < 0.01 and abs(v.var() - 1 / 12) < 0.01
    u = ingot.empty(1000, dtype=dtype).uniform_(-2, 3).double().numpy()
    assert -2 <= u.min() < -1.8 and 2.8 < u.max() <= 3


@pytest.mark.parametrize("dtype", [ingot.float32, ingot.float64])
def test_normal(dtype):
    v = ingot.randn(200, 200, dtype=dtype).numpy()
    assert abs(v.mean()) < 0.02 and abs(v.std() - 1) < 0.02 and abs((v**4).mean() - 3) < 0.15
    assert np.isfinite(v).all() and np.unique(v).size > 39000
    w = ingot.normal(ingot.tensor([0.0, 100.0]), ingot.tensor([1.0, 0.0]))
    assert w[1].item() == 100.0


def test_integers():
    v = ingot.randint(-3, 4, (5000,)).numpy()
    assert set(v) == set(range(-3, 4)) and v.dtype == np.int64
    assert abs(np.bincount(v + 3) / 5000 - 1 / 7).max() < 0.02
    big = ingot.randint(0, 1 << 40, (1000,)).numpy()
    assert big.max() > 1 << 39 and big.min() >= 0
    assert ingot.randint(5, (2, 3)).shape == (2, 3)
    for wrong in (lambda: ingot.randint(3, 3, (1,)), lambda: ingot.randint(0, 1000, (1,), dtype=ingot.int8)):
        with pytest.raises(RuntimeError):
            wrong()


def test_permutations():
    for n in (0, 1, 100):
        assert sorted(ingot.randperm(n).tolist()) == list(range(n))
    firsts = np.bincount([ingot.randperm(4)[0].item() for _ in range(200)], minlength=4)
    assert firsts.min() > 25


def test_bernoulli_and_multinomial():
    v = ingot.bernoulli(ingot.full((10000,), 0.3)).numpy()
    assert set(v) == {0, 1} and abs(v.mean() - 0.3) < 0.02
    w = ingot.tensor([[1.0, 0.0, 3.0], [0.0, 1.0, 0.0]])
    drawn = ingot.multinomial(w, 4000, replacement=True).numpy()
    assert abs((drawn[0] == 2).mean() - 0.75) < 0.03 and not (drawn[0] == 1).any() and (drawn[1] == 1).all()
    both = ingot.multinomial(w[0], 2).tolist()
    assert sorted(both) == [0, 2]
    for wrong in (
        lambda: ingot.bernoulli(ingot.tensor([1.5])),
        lambda: ingot.multinomial(ingot.tensor([-1.0, 2.0]), 1),
        lambda: ingot.multinomial(ingot.tensor([0.0, 0.0]), 1, True),
        lambda: ingot.multinomial(ingot.tensor([1.0, 1.0]), 3),
        lambda: ingot.rand(-1),
        lambda: ingot.rand(2, dtype=ingot.int32),
    ):
        with pytest.raises(RuntimeError):
            wrong()


def test_other_distributions():
    t = ingot.empty(20000, dtype=ingot.float64)
    assert abs(t.exponential_(2.0).mean().item() - 0.5) < 0.02
    assert abs(t.geometric_(0.25).mean().item() - 4) < 0.15
    assert abs(t.log_normal_(0.0, 0.5).log().mean().item()) < 0.02
    assert abs(t.cauchy_(3.0, 1.0).median().item() - 3) < 0.1
    assert set(ingot.empty(100, dtype=ingot.int64).random_(3).tolist()) == {0, 1, 2}


def test_in_place_fills_a_view():
    x = ingot.zeros(3, 4)
    x[1].normal_()
    assert x[0].tolist() == [0] * 4 and x[2].tolist() == [0] * 4 and (x[1] != 0).all().item()


def test_requires_grad_and_out():
    assert ingot.rand(2, requires_grad=True).is_leaf
    out = ingot.zeros(3)
    assert ingot.rand(3, out=out) is out and (out != 0).all().item()
    x = ingot.randn(2, 3)
    assert ingot.rand_like(x).shape == (2, 3) and ingot.randn_like(x, dtype=ingot.float64).dtype is ingot.float64
    assert ingot.randint_like(x, 5).dtype is ingot.float32


def test_methods_are_there_before_the_module_is_imported():
    code = (
        "import ingot\nx = ingot.ones(3)\nnames = set(dir(ingot.Tensor))\n"
        "assert x.uniform_(2, 3) is x and x.min() >= 2\n"
        "import ingot.random, ingot.nn, ingot.sparse, ingot.special, ingot.linalg, ingot.fft, ingot.distributions\n"
        "assert set(dir(ingot.Tensor)) == names"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
