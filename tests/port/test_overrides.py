"""__torch_function__: subclasses of Tensor, other classes, and blocks. In a process of its own, whose functions ask from then on."""

import subprocess
import sys
import textwrap

SCRIPT = """
import ingot
from ingot import Tensor, nn, overrides

x = ingot.ones(2)
plain = ingot.sin  # before: stays as it is
try:
    ingot.matmul(type("Other", (), {"__torch_function__": None})(), x)
    assert False
except TypeError as e:
    assert "overrides.install" in str(e), e

class Refusing:
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        raise NotImplementedError(func)

overrides.install()
assert not ingot.is_tensor(Refusing()) and not ingot.is_storage(Refusing()) and "Refusing" in ingot.typename(Refusing())
try:
    ingot.sin(Refusing())
    assert False
except NotImplementedError:
    pass

class Sub(Tensor):
    pass

class Logged(Tensor):
    seen = []
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.seen.append(func)
        return super().__torch_function__(func, types, args, kwargs)

s = ingot.tensor([1.0, 2.0]).as_subclass(Sub)
made = [s + 1, 1 + s, x + s, ingot.sin(s), s.sum(), s.max(dim=0).values, ingot.cat([s, x]), nn.functional.relu(s), s[0], s.clone().add_(1),
        s.reshape(2, 1), s.detach(), s.split(1)[0], nn.Linear(2, 1)(s), ingot.linalg.norm(s)]
assert all(type(t) is Sub for t in made), [type(t) for t in made]
assert type(plain(x)) is Tensor and type(x + 1) is Tensor and s.tolist() == [1, 2] and type(s.shape) is ingot.Size
assert type(nn.Parameter(x) + 1) is Tensor and type(type("P", (nn.Parameter,), {})(x) * 2) is Tensor

leaf = ingot.ones(2, requires_grad=True)
y = (ingot.exp(leaf.as_subclass(Logged)) * 2).sum()
assert type(y) is Logged and Logged.seen == [ingot.exp, Tensor.__mul__, Tensor.sum], Logged.seen
y.backward()
assert abs(leaf.grad[0].item() - 2 * 2.718281828) < 1e-5
with ingot._C.DisableTorchFunctionSubclass():
    assert type(s + 1) is Tensor
compiled = ingot.compile(lambda t: (t.as_subclass(Sub) * 2).as_subclass(Tensor) + 1)
assert compiled(x).tolist() == [3, 3]

class Named(Tensor):
    @staticmethod
    def __new__(cls, x, name, *args, **kwargs):
        return super().__new__(cls, x, *args, **kwargs)
    def __init__(self, x, name):
        self.name = name

class Doubled(Tensor):
    def __new__(cls, data, *, by=2):
        return Tensor._make_subclass(cls, data * by)

class Flagged(nn.Parameter):
    def __new__(cls, data, flag=None):
        made = super().__new__(cls, data, False)
        made.flag = flag
        return made

class Counted(Tensor):
    def __init__(self, *args):
        self.count = len(args)

n = Named([1, 2], "n")
assert n.name == "n" and type(n) is Named and n.tolist() == [1, 2] and n.dtype is ingot.float32 and type(n + 1) is Named
assert Doubled(x).tolist() == [2, 2] and Doubled(x, by=3).tolist() == [3, 3] and Sub(2, 3).shape == (2, 3) and Sub(x)._base is not x
assert Flagged(x, flag=5).flag == 5 and not Flagged(x).requires_grad and Counted([1.0]).count == 1 and Counted([1.0]).tolist() == [1]
assert Tensor.__new__(Tensor, [1]).tolist() == [1] and Tensor(data=[1], device="cpu").tolist() == [1]
try:
    Sub([1], other=1)
    assert False
except TypeError as e:
    assert "unexpected keyword argument 'other'" in str(e), e

class Duck:
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return ("duck", len(args)) if func is ingot.matmul else NotImplemented

assert ingot.matmul(x, Duck()) == ("duck", 2)
try:
    ingot.cat([x, Duck()])
    assert False
except TypeError as e:
    assert "no implementation found" in str(e)
assert overrides.has_torch_function((x, Duck())) and not overrides.has_torch_function((x, nn.Parameter(x), 1))
assert overrides.is_tensor_like(Duck()) and not overrides.is_tensor_like(3)

class Mode(overrides.TorchFunctionMode):
    def __init__(self):
        self.names = []
    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.names.append(func.__name__)
        return ingot.ones(*args, **(kwargs or {})) if func is ingot.zeros else func(*args, **(kwargs or {}))

with Mode() as outer, Mode() as mode:
    z = ingot.zeros(2)
    w = ingot.softmax(z.add(1) - z, dim=0)
assert z.tolist() == [1, 1] and mode.names == ["zeros", "add", "__sub__", "softmax"], mode.names
assert outer.names == ["ones", "add", "__sub__", "softmax"], outer.names
assert ingot.zeros(1).tolist() == [0] and len(mode.names) == 4
checked = overrides.wrap_torch_function(lambda a: (a,))(lambda a: "as it is")
assert checked(1) == "as it is" and Tensor._make_subclass(Sub, x).tolist() == [1, 1]
print("done")

graph = ingot.fx.Graph()
p = ingot.fx.Proxy(graph.placeholder("x"))
q = ingot.fx.Proxy(graph.placeholder("y"), ingot.fx.proxy.GraphAppendingTracer(graph))
graph.output((ingot.relu(p).reshape(-1, q.shape[0]) + ingot.cat([q, 2 * q])[:2].sum()).node)
assert ingot.fx.GraphModule({}, graph)(ingot.ones(4), ingot.ones(2)).tolist() == [[3, 3], [3, 3]]

with overrides.BaseTorchFunctionMode():  # a sparse tensor is taken as a Tensor
    assert ingot.mm(ingot.eye(2).to_sparse(), ingot.ones(2, 2)).layout is ingot.strided
"""


def test_classes_and_blocks_say_what_functions_do():
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(SCRIPT)], capture_output=True, text=True, timeout=120)
    assert run.stdout == "done\n", run.stderr[-2000:]
