"""Products of float32 on GPUs in the precision that is set: exact, or from operands rounded to TF32."""

import numpy as np
import pytest

import ingot
import ingot.nn.functional as F
from ingot.ir.ops.elementwise import round_tf32

pytestmark = pytest.mark.usefixtures("cuda")


@pytest.fixture(autouse=True)
def as_before():
    yield
    ingot.set_float32_matmul_precision("highest")


def array(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


A, B = array(40, 70), array(70, 33, seed=1)
EXACT = A.astype(np.float64) @ B
ROUNDED = round_tf32.ref(A).astype(np.float64) @ round_tf32.ref(B)


def product():
    return ingot.tensor(A).cuda() @ ingot.tensor(B).cuda()


def is_near(x, want):
    return bool(np.abs(x.cpu().numpy() - want).max() < 2e-5)


def test_eager_products_follow_the_setting():
    assert is_near(product(), EXACT)
    before = product()  # asked for while it was exact
    ingot.set_float32_matmul_precision("high")
    assert is_near(before, EXACT) and is_near(product(), ROUNDED) and not is_near(product(), EXACT)
    assert ingot.backends.cuda.matmul.allow_tf32 is True
    ingot.backends.cuda.matmul.allow_tf32 = False
    assert ingot.get_float32_matmul_precision() == "highest" and is_near(product(), EXACT)
    ingot.backends.cuda.matmul.allow_tf32 = True
    assert ingot.get_float32_matmul_precision() == "high" and is_near(product(), ROUNDED)
    assert is_near(ingot.tensor(A) @ ingot.tensor(B), EXACT)  # the CPU's are float32


def test_compiled_functions_follow_the_setting():
    f = ingot.compile(lambda a, b: a @ b)
    a, b = ingot.tensor(A).cuda(), ingot.tensor(B).cuda()
    for _ in range(3):
        assert is_near(f(a, b), EXACT)
    ingot.set_float32_matmul_precision("medium")
    for _ in range(3):
        assert is_near(f(a, b), ROUNDED)
    ingot.set_float32_matmul_precision("highest")
    assert is_near(f(a, b), EXACT)


def test_gradients_and_convolutions_follow_too():
    ingot.set_float32_matmul_precision("high")
    a, b = (ingot.tensor(x).cuda().requires_grad_() for x in (A, B))
    g = array(40, 33, seed=2)
    (a @ b).backward(ingot.tensor(g).cuda())
    assert is_near(a.grad, round_tf32.ref(g).astype(np.float64) @ round_tf32.ref(B).T)
    x, w = array(1, 5, 9, 9), array(6, 5, 3, 3, seed=1)
    want = F.conv2d(ingot.tensor(round_tf32.ref(x)), ingot.tensor(round_tf32.ref(w))).numpy()
    assert is_near(F.conv2d(ingot.tensor(x).cuda(), ingot.tensor(w).cuda()), want)


def test_no_other_words():
    with pytest.raises(ValueError, match="'highest', 'high' or 'medium', not 'low'"):
        ingot.set_float32_matmul_precision("low")
