"""Details of torch's functionals and modules that tables of values do not reach."""

from __future__ import annotations

import warnings

import pytest

import ingot

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"])
@pytest.mark.parametrize("shape", [(40,), (6, 7), (6, 7, 8), (6, 7, 8, 5), (6, 7, 4, 5, 3)])
def test_dropout_drops_along_the_same_dims(name: str, shape: tuple[int, ...]) -> None:
    def varying(m) -> tuple[bool, ...] | str:
        try:
            y = getattr(m.nn.functional, name)(m.ones(*shape), 0.5, training=True).numpy()
        except RuntimeError:
            return "RuntimeError"
        return tuple(bool((y != y.take([0], i)).any()) for i in range(y.ndim))

    assert varying(ingot) == varying(torch)


def test_dropout2d_warns_where_torch_does() -> None:
    for m in (ingot, torch):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for shape in ((2, 3), (2, 3, 4), (2, 3, 4, 5)):
                m.nn.functional.dropout2d(m.ones(*shape), 0.5)
        assert len(seen) == 2


@pytest.mark.parametrize("training", [False, True])
def test_rrelu_refuses_an_empty_range(training: bool) -> None:
    for m in (ingot, torch):
        with pytest.raises(RuntimeError):
            m.nn.functional.rrelu(m.ones(2), 0.5, 0.25, training=training)
