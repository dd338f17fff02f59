"""Tensor's methods come from modules that are imported when one of them is looked up; and what a short program imports at all."""

import subprocess
import sys
import textwrap

import pytest


def run(code):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "code",
    [
        "assert x.exp().shape == (2, 3)",
        "assert T.exp(x).shape == (2, 3) and T.exp is T.exp and T.exp is ingot.exp",
        "assert (x + 1).sum().item() == 12 and (1 - x).sum().item() == 0 and (x @ x.T)[0, 0] == 3",
        "x += 1; x[0] = 5; x[1, 1:] *= 2; assert x.tolist() == [[5, 5, 5], [2, 4, 4]]",
        "assert -x is not x and abs(x)[0, 0] == 1 and (x == x).all() and 1.0 in x and hash(x) == hash(x) and (x != 2).all()",
        "assert repr(x).startswith('tensor(') and f'{x.sum():.1f}' == '6.0'",
        "z = ingot.zeros(2, dtype=ingot.complex64); z.real = ingot.ones(2); z.imag = 2.0; assert z.tolist() == [1 + 2j] * 2",
        "x.name = 'weights'; x.add = 3; assert vars(x) == {'name': 'weights', 'add': 3} and x.add == 3 and T.name is None",
        "assert hasattr(T, 'softmax') and not hasattr(x, 'softmix') and x.is_nested is False and T.T.__doc__ and x.mT.shape == (3, 2)",
        "class S(T): pass\nassert type(x.as_subclass(S) * 2) is S and type(S.relu(x.as_subclass(S))) is S",
        "assert type(ingot.nn.Parameter(x) * 2) is T and ingot.nn.Parameter(x).where(x > 0, 0).sum() == 6",
        "class S(T):\n  def add(s, o): return super().add(o) * 2\ny = x.as_subclass(S).add(1); assert type(y) is S and (y == 4).all()",
        "class S(T):\n  def __repr__(s): return 'S:' + super().__repr__()\nassert str(x.as_subclass(S)).startswith('S:S([')",
        "assert str(ingot.nn.Parameter(x)) == repr(ingot.nn.Parameter(x)) == 'Parameter containing:\\n' + repr(x.requires_grad_())",
        "T.relu = T.__repr__ = lambda s: 'mine'; assert x.relu() == str(x) == 'mine' and x.exp().shape == (2, 3)",
        "assert x.uniform_(2, 3) is x and x.min() >= 2 and x.fill_(7) is x and x.zero_().sum() == 0",
        "x.requires_grad_(); (x * x).sum().backward(); assert x.grad.tolist() == [[2.0] * 3] * 2",
        "import inspect, pydoc; assert 'softmax(' in pydoc.render_doc(T) and len(inspect.getmembers(T)) > 600 and inspect.signature(T.sum)",
        "import copy, pickle; y = copy.deepcopy(x); assert y is not x and (pickle.loads(pickle.dumps(y)) == x).all()",
    ],
)
def test_methods_in_a_new_process(code):
    run("import ingot\nfrom ingot import Tensor as T\nx = ingot.ones(2, 3)\n" + code)


def test_no_method_is_two_things_and_none_is_missing():
    """What stands for a method is in no class's way, and what the module gives takes its place."""
    out = run("""
        import ingot
        from ingot import _names
        from ingot._tensor.table import Later
        from ingot._tensor.methods import TensorMethods
        from ingot.functions.methods import complete
        later = {n for n, v in vars(TensorMethods).items() if isinstance(v, Later)}
        print(sorted(n for n in later if any(n in vars(c) for c in ingot.Tensor.__mro__[:-1] if c is not TensorMethods)))
        complete()
        print(
            sorted(later - vars(ingot.Tensor).keys()), not later & vars(TensorMethods).keys(),
            later == {n for names in _names.METHODS.values() for n in names.split()},
        )
    """)
    assert out == "[]\n[] True True\n"


IMPORTED = "print(len([m for m in sys.modules if m.startswith('ingot')]), *(m for m in sys.modules if m.startswith(dear)))"


@pytest.mark.parametrize(
    ("code", "most", "dear"),
    [
        ("", 5, "ingot.runtime ingot.ir numpy"),
        ("ingot.ones(2, 3)", 90, "ingot.functions.binary ingot.functions.shape ingot.autograd ingot.runtime.compiler ingot.nn dataclasses"),
        ("ingot.ones(2, 3) + 1", 95, "ingot.functions.shape ingot.functions.unary ingot.functions.index ingot.autograd ingot.printing"),
        (
            "ingot.compile(ingot.nn.Sequential(ingot.nn.Linear(3, 4), ingot.nn.ReLU()))(ingot.ones(2, 3)).numpy(force=True)", 300,
            "ingot.functions.index ingot.functions.factor ingot.functions.sort ingot.autograd.engine ingot.ir.lower.sort dataclasses "
            "ingot.ir.lower.attention_rows ingot.ir.lower.depthwise.choose ingot.ir.lower.tiles.winograd ingot.ir.elementary",
        ),
    ],
    ids=["nothing", "ones", "a sum", "a network"],
)  # fmt: skip
def test_what_is_imported(code, most, dear):
    count, *found = run(f"import sys\nimport ingot\ndear = {tuple(dear.split())!r}\n{code}\n{IMPORTED}").split()
    assert int(count) <= most and not found, (count, found)
