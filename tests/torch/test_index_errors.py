"""Indices out of range, negative ones too where torch takes them for errors: torch's kind of error, in eager and in compiled code."""

import pytest

import ingot

torch = pytest.importorskip("torch")

CALLS = {
    "gather": lambda m, i: m.gather(m.ones(3), 0, i),
    "take_along_dim": lambda m, i: m.take_along_dim(m.ones(3), i.clamp(-3, 2), 0),
    "scatter": lambda m, i: m.zeros(3).scatter(0, i, 1.0),
    "scatter_": lambda m, i: m.zeros(3).scatter_(0, i, m.ones(1)),
    "scatter_add": lambda m, i: m.zeros(3).scatter_add(0, i, m.ones(1)),
    "scatter_reduce": lambda m, i: m.zeros(3).scatter_reduce(0, i, m.ones(1), "amax"),
    "one_hot": lambda m, i: m.nn.functional.one_hot(i, 3),
    "index_select": lambda m, i: m.arange(3.0).index_select(0, i),
    "index_add": lambda m, i: m.zeros(3).index_add(0, i, m.ones(1)),
    "index_copy": lambda m, i: m.zeros(3).index_copy(0, i, m.ones(1)),
    "index_fill": lambda m, i: m.zeros(3).index_fill(0, i, 2.0),
    "index_reduce": lambda m, i: m.ones(3).index_reduce(0, i, m.full((1,), 3.0), "prod"),
    "embedding": lambda m, i: m.nn.functional.embedding(i, m.ones(3, 2)),
    "embedding_bag": lambda m, i: m.nn.functional.embedding_bag(i[None], m.ones(3, 2)),
    "take": lambda m, i: m.arange(3.0).take(i),
    "put": lambda m, i: m.zeros(3).put_(i, m.ones(1)),
    "index": lambda m, i: m.arange(3.0)[i],
    "index_put": lambda m, i: m.zeros(3).index_put((i,), m.ones(1)),
    "nll_loss": lambda m, i: m.nn.functional.nll_loss(m.ones(1, 3), i),
    "cross_entropy": lambda m, i: m.nn.functional.cross_entropy(m.ones(1, 3), i),
    "multi_margin_loss": lambda m, i: m.nn.functional.multi_margin_loss(m.ones(1, 3), i),
    "max_unpool1d": lambda m, i: m.nn.functional.max_unpool1d(m.ones(1, 1, 1), i.reshape(1, 1, 1), 3),
}


def outcome(call, *args):
    try:
        return call(*args).tolist()
    except (RuntimeError, IndexError) as error:
        return IndexError if isinstance(error, IndexError) else RuntimeError


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("name", CALLS)
def test_kinds_of_errors(name):
    compiled = ingot.compile(lambda i: CALLS[name](ingot, i))
    for index in (2, 3, -1, -4):
        want = outcome(CALLS[name], torch, torch.tensor([index]))
        assert outcome(CALLS[name], ingot, ingot.tensor([index])) == want, index
        assert outcome(compiled, ingot.tensor([index])) == want, index


def test_messages_name_the_index_that_was_given():
    wrong = {"gather": -1, "scatter": 3, "index_select": -2, "one_hot": -1, "cross_entropy": -1, "multi_margin_loss": -3}
    for name, index in wrong.items():
        with pytest.raises((RuntimeError, IndexError), match=rf"\b{name}.* {index} .*\b3"):
            CALLS[name](ingot, ingot.tensor([index])).tolist()


def test_weights_and_probabilities_are_checked_in_compiled_functions():
    draw = ingot.compile(lambda w: ingot.multinomial(w, 2))
    again = ingot.compile(lambda w: ingot.multinomial(w, 2, replacement=True))
    coins = ingot.compile(ingot.bernoulli)
    assert sorted(draw(ingot.tensor([0.0, 1.0, 2.0])).tolist()) == [1, 2] and again(ingot.tensor([0.0, 1.0])).tolist() == [1, 1]
    for bad in ([1.0, -1.0, 3.0], [0.0, 0.0, 0.0], [float("inf"), 1.0, 1.0], [float("nan"), 1.0, 1.0]):
        for f in (draw, again):
            for w in (bad, [[1.0, 1.0, 1.0], bad]):
                with pytest.raises(RuntimeError, match="multinomial: the weights of a row"):
                    f(ingot.tensor(w))
    with pytest.raises(RuntimeError, match="not enough of them"):
        draw(ingot.tensor([0.0, 1.0, 0.0]))
    assert coins(ingot.tensor([0.0, 1.0])).tolist() == [0.0, 1.0]
    for bad in (-0.5, 1.5, float("nan")):
        with pytest.raises(RuntimeError, match="bernoulli: Expected p_in"):
            coins(ingot.tensor([0.5, bad]))


def test_conjugate_pairs_of_eigenvalues_stand_side_by_side():
    ingot.manual_seed(0)
    for n in (2, 3, 5, 8):
        values, vectors = ingot.linalg.eig(ingot.randn(4, n, n, dtype=ingot.float64))
        values, vectors = values.numpy(), vectors.numpy()
        for w, v in zip(values, vectors):
            i = 0
            while i < n:
                if w[i].imag:
                    assert w[i].imag > 0 and w[i + 1] == w[i].conj() and (v[:, i + 1] == v[:, i].conj()).all()
                i += 2 if w[i].imag else 1


def test_draws_of_run_time_sizes():
    draws = [ingot.compile(lambda w, r=r: ingot.multinomial(w, 2, replacement=r)) for r in (False, True)]
    for n in (3, 5, 8, 2):
        for f in draws:
            found = []
            for run in (f, f.__wrapped__):
                ingot.manual_seed(n)
                found.append(run(ingot.ones(2, n)).tolist())
            assert found[0] == found[1] and max(map(max, found[0])) < n
