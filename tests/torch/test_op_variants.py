"""Forms of operators that torch's samples hold and that a table of functions leaves out: numbers as tensors, transforms, rare dtypes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ingot
from tests.support.interpreter import interpreter  # noqa: F401  (these are semantics: nothing needs to be compiled)
from tests.torch.against import close

PRODUCTS = {"addmm": ((2, 3), (2, 2), (2, 3)), "addmv": ((2,), (2, 3), (3,)), "addr": ((2, 3), (2,), (3,)),
            "baddbmm": ((2, 2, 3), (2, 2, 2), (2, 2, 3)), "addbmm": ((2, 3), (2, 2, 2), (2, 2, 3))}  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
def test_factors_of_products_are_arguments_of_compiled_functions(name: str) -> None:
    rs = np.random.RandomState(0)
    arrays = [rs.randn(*shape).astype("f4") for shape in PRODUCTS[name]]
    arrays[0].flat[0] = np.nan  # with beta 0 it is not read
    fn = getattr(ingot, name)
    compiled = ingot.compile(lambda a, b, c, beta, alpha: fn(a, b, c, beta=beta, alpha=alpha))
    for beta, alpha in ((0.5, 2.5), (0.0, 0.3), (1.0, 1.0)):
        theirs = getattr(torch, name)(*map(torch.tensor, arrays), beta=beta, alpha=alpha)
        close(compiled(*map(ingot.tensor, arrays), beta, alpha), theirs, rtol=1e-5, atol=1e-6)
    with pytest.raises(RuntimeError):
        ingot.compile(lambda a, v: ingot.addmm(a, a, a, beta=v))(ingot.ones(2, 2, dtype=ingot.int64), 0.5)


def test_the_factor_of_index_add_is_an_argument_of_a_compiled_function() -> None:
    compiled = ingot.compile(lambda x, i, s, alpha: ingot.index_add(x, 0, i, s, alpha=alpha))
    for alpha in (0.5, 1.0, 3.0):
        theirs = torch.index_add(torch.zeros(3), 0, torch.tensor([1, 1]), torch.ones(2), alpha=alpha)
        close(compiled(ingot.zeros(3), ingot.tensor([1, 1]), ingot.ones(2), alpha), theirs)


@pytest.mark.parametrize("name", ["linspace", "logspace"])
def test_ends_that_are_tensors(name: str) -> None:
    ends = np.array([[0.0, 2.0], [1.5, -3.0]], "f4")
    theirs = torch.func.vmap(lambda e: getattr(torch, name)(e[0], e[1], 5))(torch.tensor(ends))
    close(ingot.vmap(lambda e: getattr(ingot, name)(e[0], e[1], 5))(ingot.tensor(ends)), theirs, rtol=1e-6)
    close(ingot.compile(lambda a, b: getattr(ingot, name)(a, b, 5))(*map(ingot.tensor, ends[1])), theirs[1], rtol=1e-6)
    with pytest.raises(RuntimeError, match=f"{name} only supports 0-dimensional start and end tensors, but got end with 1 dim"):
        getattr(ingot, name)(0, ingot.ones(1), 3)


@pytest.mark.parametrize("shape", [(), (7,), (3, 4), (2, 0, 3)])
def test_nonzero_of_a_fixed_size_reads_no_values(shape: tuple[int, ...]) -> None:
    x = np.random.RandomState(0).randint(0, 2, (4, *shape))
    for size in (0, 3, 20):
        for k in range(4):
            theirs = torch.nonzero_static(torch.tensor(x[k]), size=size, fill_value=-7)
            close(ingot.nonzero_static(ingot.tensor(x[k]), size=size, fill_value=-7), theirs)
        each = torch.stack([torch.nonzero_static(torch.tensor(v), size=size) for v in x])
        close(ingot.vmap(lambda v, n=size: ingot.nonzero_static(v, size=n))(ingot.tensor(x)), each)


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16"])
def test_running_sums_of_masked_integers_keep_their_dtype(name: str, dtype: str) -> None:
    mask = [True, False, True]
    theirs = getattr(torch.masked, name)(torch.tensor([3, 4, 5], dtype=getattr(torch, dtype)), 0, mask=torch.tensor(mask))
    mine = getattr(ingot.masked, name)(ingot.tensor([3, 4, 5], dtype=getattr(ingot, dtype)), 0, mask=ingot.tensor(mask))
    close(mine, theirs)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["dropout2d", "dropout3d", "feature_alpha_dropout"])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_dropout_of_channels_that_drops_nothing_or_all_takes_any_rank(name: str, shape: tuple[int, ...]) -> None:
    mine, theirs = getattr(ingot.nn.functional, name), getattr(torch.nn.functional, name)
    for p, training in ((0.5, False), (0.0, True), (1.0, True)):
        close(mine(ingot.ones(shape), p, training), theirs(torch.ones(shape), p, training))


def test_equal_compares_in_the_common_dtype() -> None:
    t = {"f": [1.0, 2.0], "i": [1, 2], "b": [True, False], "c": [1 + 0j, 2], "n": [float("nan"), 1.0], "h": [1.5, 2.0], "s": [1]}
    for p in t.values():
        for q in t.values():
            assert ingot.equal(ingot.tensor(p), ingot.tensor(q)) is torch.equal(torch.tensor(p), torch.tensor(q)), (p, q)


@pytest.mark.parametrize("name", ["inner", "kron"])
def test_products_with_one_of_no_dims(name: str) -> None:
    dtypes = ("bool", "uint8", "int32", "int64", "float32", "complex64")
    for a in dtypes:
        for b in dtypes:
            for x, y in (([1, 2], 3), (3, [1, 2]), (3, 2)):
                theirs = getattr(torch, name)(torch.tensor(x, dtype=getattr(torch, a)), torch.tensor(y, dtype=getattr(torch, b)))
                mine = getattr(ingot, name)(ingot.tensor(x, dtype=getattr(ingot, a)), ingot.tensor(y, dtype=getattr(ingot, b)))
                close(mine, theirs, what=f"{name} {a} {b} {x} {y}")


def test_powers_of_bools() -> None:
    for exponent in (True, False, 0, 1, 2, 3):
        theirs = torch.pow(torch.tensor([True, False]), exponent)
        close(ingot.pow(ingot.tensor([True, False]), exponent), theirs, what=str(exponent))
        close(ingot.tensor([True, False]) ** exponent, theirs, what=str(exponent))


@pytest.mark.parametrize("name", ["var", "std"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "complex64", "complex128"])
def test_masked_variances_have_the_dtype_of_what_varies(name: str, dtype: str) -> None:
    mask = [True, False, True, True]
    for kwargs in ({}, {"correction": 0.5}, {"correction": 0, "keepdim": True}):
        theirs = getattr(torch.masked, name)(torch.tensor([1, 2, 4, 5], dtype=getattr(torch, dtype)), 0, mask=torch.tensor(mask), **kwargs)
        mine = getattr(ingot.masked, name)(ingot.tensor([1, 2, 4, 5], dtype=getattr(ingot, dtype)), 0, mask=ingot.tensor(mask), **kwargs)
        close(mine, theirs, rtol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize("shape", [(3, 2), (2, 3)])
def test_residuals_of_least_squares_are_real(dtype: str, shape: tuple[int, int]) -> None:
    rs = np.random.RandomState(0)
    arrays = [rs.randn(*shape).astype(dtype), rs.randn(shape[0], 2).astype(dtype)]
    for driver in ("gels", "gelsd"):
        theirs = torch.linalg.lstsq(*map(torch.tensor, arrays), driver=driver)
        mine = ingot.linalg.lstsq(*map(ingot.tensor, arrays), driver=driver)
        close(mine.residuals, theirs.residuals, rtol=1e-3)
        close(mine.solution, theirs.solution, rtol=1e-3, atol=1e-4)


def test_tolerances_and_distances_are_arguments_of_compiled_functions() -> None:
    a, b = [1.0, 2.0, float("nan")], [1.1, 2.0, float("nan")]
    near = ingot.compile(lambda x, y, r, s: ingot.isclose(x, y, r, s, equal_nan=True))
    for r, s in ((0.2, 0.0), (0.0, 0.0), (0.0, 0.05), (0.0, 0.2)):
        close(near(ingot.tensor(a), ingot.tensor(b), r, s), torch.isclose(torch.tensor(a), torch.tensor(b), r, s, equal_nan=True))
    slopes = ingot.compile(lambda x, s: ingot.gradient(x, spacing=s)[0])
    for s in (2.0, 0.5):
        close(slopes(ingot.tensor([1.0, 4.0, 9.0]), s), torch.gradient(torch.tensor([1.0, 4.0, 9.0]), spacing=s)[0])
