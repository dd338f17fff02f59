"""Datasets, samplers, collation and the DataLoader in this process."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

import ingot
from ingot.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    get_worker_info,
    random_split,
)


class Squares(Dataset):
    def __init__(self, n: int):
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int):
        return i, float(i * i)


class Count(IterableDataset):
    def __init__(self, n: int):
        self.n = n

    def __iter__(self):
        return iter(range(self.n))


def test_datasets() -> None:
    x, y = ingot.arange(10), ingot.arange(10) * 2
    t = TensorDataset(x, y)
    assert len(t) == 10 and t[3][1].item() == 6
    with pytest.raises(AssertionError, match="Size mismatch"):
        TensorDataset(x, ingot.zeros(3))
    c = Squares(3) + Squares(2)
    assert isinstance(c, ConcatDataset) and len(c) == 5 and c[3] == (0, 0.0) and c[-1] == (1, 1.0)
    with pytest.raises(IndexError):
        c[5]
    assert list(Count(2) + Count(1)) == [0, 1, 0] and isinstance(Count(1) + Count(1), ChainDataset)
    assert Subset(Squares(5), [4, 2])[0] == (4, 16.0)
    assert StackDataset(Squares(2), Squares(2))[1] == ((1, 1.0), (1, 1.0)) and StackDataset(a=Squares(2))[1] == {"a": (1, 1.0)}
    with pytest.raises(ValueError):
        ConcatDataset([])


def test_random_split() -> None:
    g = lambda: ingot.Generator().manual_seed(3)  # noqa: E731
    a, b = random_split(Squares(10), [7, 3], generator=g())
    assert len(a) == 7 and sorted([*a.indices, *b.indices]) == list(range(10))
    assert random_split(Squares(10), [7, 3], generator=g())[0].indices == a.indices
    assert [len(s) for s in random_split(Squares(10), [0.35, 0.65])] == [4, 6]
    with pytest.raises(ValueError, match="Sum of input lengths"):
        random_split(Squares(10), [7, 4])


def test_samplers() -> None:
    assert list(SequentialSampler(range(3))) == [0, 1, 2]
    s = RandomSampler(range(20), generator=ingot.Generator().manual_seed(0))
    first = list(s)
    assert sorted(first) == list(range(20)) and first != list(range(20)) and list(s) != first
    assert len(list(RandomSampler(range(3), num_samples=8))) == 8
    assert set(RandomSampler(range(3), replacement=True, num_samples=50)) == {0, 1, 2}
    assert sorted(SubsetRandomSampler([5, 7, 9])) == [5, 7, 9]
    w = list(WeightedRandomSampler([0.0, 1.0, 3.0], 2000, generator=ingot.Generator().manual_seed(1)))
    assert 0 not in w and 0.7 < np.mean(np.array(w) == 2) < 0.8
    assert list(BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]] and list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    assert len(BatchSampler(range(5), 2, False)) == 3 and len(BatchSampler(range(5), 2, True)) == 2
    for bad in (lambda: BatchSampler(range(3), 0, False), lambda: RandomSampler(range(3), num_samples=0),
                lambda: WeightedRandomSampler([1.0], -1), lambda: WeightedRandomSampler([[1.0]], 1)):  # fmt: skip
        with pytest.raises(ValueError):
            bad()


def test_collate() -> None:
    Point = namedtuple("Point", "x y")
    out = default_collate([{"a": 1, "b": (2.0, "s"), "p": Point(1, 2)}, {"a": 3, "b": (4.0, "t"), "p": Point(3, 4)}])
    assert out["a"].tolist() == [1, 3] and out["a"].dtype is ingot.int64
    assert out["b"][0].dtype is ingot.float64 and out["b"][1] == ["s", "t"] and out["p"].y.tolist() == [2, 4]
    assert default_collate([np.zeros(2, np.int8), np.ones(2, np.int8)]).dtype is ingot.int8
    assert default_collate([ingot.zeros(2), ingot.ones(2)]).shape == (2, 2)
    assert default_collate([np.float32(1), np.float32(2)]).dtype is ingot.float32 and default_collate([True, False]).dtype is ingot.bool
    with pytest.raises(TypeError, match="default_collate"):
        default_collate([object()])
    with pytest.raises(RuntimeError, match="equal size"):
        default_collate([(1, 2), (1,)])


def test_loader_here() -> None:
    batches = list(DataLoader(Squares(7), batch_size=3))
    assert [b[0].tolist() for b in batches] == [[0, 1, 2], [3, 4, 5], [6]] and batches[0][1].dtype is ingot.float64
    assert len(DataLoader(Squares(7), batch_size=3)) == 3 and len(DataLoader(Squares(7), batch_size=3, drop_last=True)) == 2
    assert [b.tolist() for b in DataLoader(Count(5), batch_size=2)] == [[0, 1], [2, 3], [4]]
    assert [b.tolist() for b in DataLoader(Count(5), batch_size=2, drop_last=True)] == [[0, 1], [2, 3]]
    assert list(DataLoader(Squares(2), batch_size=None)) == [[0, 0.0], [1, 1.0]]
    assert list(DataLoader(Squares(4), batch_size=2, collate_fn=lambda b: len(b))) == [2, 2]
    assert [b[0].tolist() for b in DataLoader(Squares(4), batch_sampler=[[3, 0], [1]])] == [[3, 0], [1]]
    assert get_worker_info() is None


def test_tensor_datasets_batch_by_gather() -> None:
    t = TensorDataset(ingot.arange(10), ingot.arange(20).reshape(10, 2))
    sub = Subset(t, [9, 8, 7, 6])
    x, y = next(iter(DataLoader(sub, batch_size=3)))
    assert x.tolist() == [9, 8, 7] and y.tolist() == [[18, 19], [16, 17], [14, 15]]

    class Own(TensorDataset):
        def __getitem__(self, i):
            return self.tensors[0][i] + 100

    assert next(iter(DataLoader(Own(ingot.arange(4)), batch_size=2))).tolist() == [100, 101]


def test_order_is_pinned_by_the_seed() -> None:
    def order(**kw):
        return [i for b in DataLoader(Squares(20), batch_size=3, shuffle=True, **kw) for i in b[0].tolist()]

    ingot.manual_seed(5)
    a, b = order(), order()
    ingot.manual_seed(5)
    assert order() == a and order() == b and a != b and sorted(a) == list(range(20))
    g = lambda: ingot.Generator().manual_seed(9)  # noqa: E731
    assert order(generator=g()) == order(generator=g())
    ingot.manual_seed(5)
    assert order(num_workers=2) == a  # workers change nothing about the order


@pytest.mark.parametrize(
    "kwargs",
    [{"num_workers": -1}, {"timeout": -1}, {"prefetch_factor": 2}, {"persistent_workers": True}, {"batch_size": 0},
     {"shuffle": True, "sampler": [0]}, {"batch_sampler": [[0]], "shuffle": True}, {"batch_size": None, "drop_last": True},
     {"num_workers": 1, "prefetch_factor": 0}],
)  # fmt: skip
def test_bad_options(kwargs: dict) -> None:
    with pytest.raises(ValueError):
        DataLoader(Squares(3), **kwargs)


def test_streams_take_no_order() -> None:
    with pytest.raises(ValueError, match="IterableDataset"):
        DataLoader(Count(3), shuffle=True)
