"""What libraries that were written for torch ask for when they are imported, and while they run."""

import copy
import importlib
import inspect
import pickle
import typing

import pytest

import ingot


def test_dtypes_that_no_tensor_has():
    f8 = ingot.float8_e4m3fn
    assert isinstance(f8, ingot.dtype) and f8.itemsize == 1 and f8.is_floating_point and not ingot.qint8.is_floating_point
    assert ingot.finfo(f8).max == 448 and ingot.finfo(ingot.float8_e5m2).max == 57344
    assert pickle.loads(pickle.dumps(f8)) is f8 and copy.deepcopy(f8) is f8 and ingot.chalf is ingot.complex32
    for make in (lambda: ingot.zeros(2, dtype=f8), lambda: ingot.ones(2).to(ingot.qint8), lambda: ingot.ones(2).view(f8)):
        with pytest.raises(TypeError, match="there are no tensors of dtype"):
            make()


def test_own_operators():
    @ingot.library.custom_op("tests_port::scaled", mutates_args=())
    def scaled(x: ingot.Tensor, factor: float = 2.0) -> ingot.Tensor:
        return x.detach() * factor

    def setup(ctx, inputs, output):
        ctx.factor = inputs[1]

    @scaled.register_fake
    def _(x, factor=2.0):
        return ingot.empty_like(x)

    x = ingot.ones(2, requires_grad=True)
    assert not scaled(x).requires_grad
    scaled.register_autograd(lambda ctx, g: (g * ctx.factor, None), setup_context=setup)
    y = ingot.ops.tests_port.scaled(x)
    y.sum().backward()
    assert y.tolist() == [2, 2] and x.grad.tolist() == [2, 2]
    assert ingot.ops.tests_port.scaled.default(x, factor=3.0).tolist() == [3, 3]
    lib = ingot.library.Library("tests_port", "FRAGMENT")
    lib.define("twice(Tensor x) -> Tensor")
    with pytest.raises(NotImplementedError, match="no function computes it"):
        ingot.ops.tests_port.twice(x)
    lib.impl("twice", lambda x: 1 / 0, "CUDA")
    lib.impl("twice", lambda x: x * 2, "CPU")
    assert ingot.ops.tests_port.twice(x).tolist() == [2, 2]
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = ingot.ops.tests_port.missing
    with pytest.raises(ValueError, match="namespace::name"):
        ingot.library.custom_op("scaled", lambda x: x, mutates_args=())
    with pytest.raises(RuntimeError, match="does not exist"):
        ingot.library.register_autograd("tests_port::none", lambda ctx, g: g)
    assert ingot.ops.aten.linalg_vector_norm.default(ingot.ones(4)).item() == 2
    with pytest.raises(OSError, match="does not load it"):
        ingot.ops.load_library("x.so")


def test_operations_on_lists():
    a, b = ingot.ones(2), ingot.full((3,), 4.0)
    assert [t.tolist() for t in ingot._foreach_mul([a, b], [2, 3])] == [[2, 2], [12, 12, 12]]
    assert [t.tolist() for t in ingot._foreach_add([a, b], [a, b], alpha=2)] == [[3, 3], [12, 12, 12]]
    ingot._foreach_sqrt_([b])
    ingot._foreach_addcdiv_([a, b], [a, b], [b[:2], b], [1.0, 2.0])
    assert a.tolist() == [1.5, 1.5] and b.tolist() == [4, 4, 4]
    ingot._foreach_lerp_([a], [ingot.zeros(2)], 0.5)
    ingot._foreach_copy_([b], [ingot.zeros(3)])
    assert a.tolist() == [0.75, 0.75] and b.tolist() == [0, 0, 0]
    assert ingot._foreach_norm([ingot.full((4,), 2.0)])[0].item() == 4
    with pytest.raises(RuntimeError, match="at least one tensor"):
        ingot._foreach_neg([])
    with pytest.raises(RuntimeError, match="same number of tensors"):
        ingot._foreach_add([a], [b, b])


def test_assertions():
    ingot._assert(True, "no")
    with pytest.raises(AssertionError, match="no"):
        ingot._assert(False, "no")
    for check, error in ((ingot._check, RuntimeError), (ingot._check_index, IndexError), (ingot._check_type, TypeError)):
        check(True)
        with pytest.raises(error, match="why"):
            check(False, lambda: "why")
    with pytest.raises(TypeError, match="cond must be a bool"):
        ingot._check(ingot.ones(1) == 1)
    with pytest.raises(RuntimeError):
        ingot._check_tensor_all(ingot.tensor([True, False]))


def test_paths():
    from ingot._custom_ops import get_ctx  # noqa: F401
    from ingot._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex  # noqa: F401
    from ingot.onnx import symbolic_opset11  # noqa: F401
    from ingot.onnx.symbolic_helper import parse_args  # noqa: F401

    assert ingot._C.DispatchKeySet(ingot._C.DispatchKey.AutocastCPU) == frozenset({"AutocastCPU"})


def test_annotations_of_classes_can_be_evaluated():
    seen = set()
    for module in (ingot, *(importlib.import_module(f"ingot.{m}") for m in ("nn", "optim", "utils.data", "distributions", "autograd"))):
        for name in module.__all__ if module is not ingot else dir(ingot):
            found = getattr(module, name)
            if inspect.isclass(found) and found.__module__.startswith("ingot"):
                typing.get_type_hints(found)  # NameError where a name is known to type checkers only
                seen.add(found)
    assert len(seen) > 200 and {ingot.Tensor, ingot.nn.Module, ingot.optim.Adam} <= seen


def test_what_optimizers_of_others_use():
    from ingot.optim.optimizer import _use_grad_for_differentiable, _view_as_real, required

    class Signs(ingot.optim.Optimizer):
        def __init__(self, params, lr=required):
            super().__init__(params, {"lr": lr, "differentiable": False})

        @_use_grad_for_differentiable
        def step(self):
            assert not ingot.is_grad_enabled()
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(p.grad.sign() * group["lr"])

    w = ingot.nn.Parameter(ingot.tensor([1.0, -2.0]))
    with pytest.raises(ValueError, match="required optimization parameter lr"):
        Signs([w])
    (w * w).sum().backward()
    Signs([w], 0.5).step()
    assert w.tolist() == [0.5, -1.5] and ingot.is_grad_enabled()
    pairs, rest = [ingot.tensor([1 + 2j]), w], [ingot.tensor([3j]), w]
    _view_as_real(pairs, rest)
    assert pairs[0].tolist() == [[1, 2]] and rest[0].tolist() == [[0, 3]] and pairs[1] is w


def test_initialisers_by_their_old_names():
    x = ingot.empty(3)
    with pytest.warns(FutureWarning, match="nn.init.constant_"):
        assert ingot.nn.init.constant(x, 2.0) is x
    assert x.tolist() == [2, 2, 2]


def test_names_of_devices_that_are_not_there():
    assert not ingot.xpu.is_available() and ingot.mps.device_count() == 0 and ingot.accelerator.memory_allocated() == 0
    with pytest.raises(RuntimeError, match="no CUDA device is available"):
        ingot.accelerator.get_memory_info()


def test_numbers_by_the_names_of_sizes():
    f = ingot.compile(lambda x: x * ingot.sym_max(x.shape[0], 3) + ingot.sym_float(x.shape[0]) + isinstance(x.shape[0], ingot.SymInt))
    assert [f(ingot.ones(n)).tolist()[0] for n in (2, 5, 7)] == [3 + 2, 5 + 5 + 1, 7 + 7 + 1]


def test_settings_of_dynamo_come_back():
    config = ingot._dynamo.config
    assert importlib.import_module("ingot._dynamo.config") is config and importlib.import_module("ingot._dynamo.exc").Unsupported
    with config.patch({"suppress_errors": True}, other=3):
        assert config.suppress_errors and config.other == 3
    assert not config.suppress_errors and not hasattr(config, "other")
    assert isinstance(ingot.compile(ingot.nn.Linear(1, 1)), ingot._dynamo.OptimizedModule)


def test_what_subclasses_of_distributions_use():
    from ingot.distributions import Independent, Normal

    class Box(Independent):
        def __init__(self, loc, scale):
            super().__init__(Normal(loc, scale), 1)

        def expand(self, batch_shape, _instance=None):
            return super().expand(batch_shape, self._get_checked_instance(Box, _instance))

    class Other(Box):
        def __init__(self):
            super().__init__(ingot.zeros(3), ingot.ones(3))

    made = Box(ingot.zeros(3), ingot.ones(3)).expand((2,))
    assert type(made) is Box and made.batch_shape == (2,) and made.log_prob(ingot.zeros(2, 3)).shape == (2,)
    with pytest.raises(NotImplementedError, match="custom .expand"):
        Other().expand((2,))


def test_a_module_dict_takes_another():
    layers = ingot.nn.ModuleDict({"a": ingot.nn.Identity()})
    layers.update(ingot.nn.ModuleDict({"b": ingot.nn.Tanh(), "a": ingot.nn.ReLU()}))
    assert list(layers) == ["a", "b"] and isinstance(layers["a"], ingot.nn.ReLU)


def test_results_that_come_later():
    f, g = ingot.futures.Future(), ingot.futures.Future()
    both, told = ingot.futures.collect_all([f, g]), []
    f.add_done_callback(lambda done: told.append(done.value()))
    failing = f.then(lambda done: 1 / 0)
    with pytest.raises(RuntimeError, match="before there was a result"):
        f.value()
    f.set_result(3)
    assert told == [3] and f.wait() == 3 and not both.done() and isinstance(f, ingot.jit.Future)
    g.set_exception(ValueError("no"))
    assert both.wait() == [f, g] and ingot.futures.collect_all([]).wait() == []
    with pytest.raises(ZeroDivisionError):
        failing.wait()
    with pytest.raises(ValueError, match="no"):
        ingot.futures.wait_all([f, g])
    with pytest.raises(RuntimeError, match="only be marked completed once"):
        f.set_result(4)


def test_modules_of_names_that_answer():
    from ingot._answering import ANSWERING

    for path, names in ANSWERING.items():
        module = importlib.import_module(f"ingot.{path}")
        for name in names:
            value = getattr(module, name)
            assert value.refused and getattr(module, name) is value and isinstance(value, type) == name[0].isupper()
    with pytest.raises(RuntimeError, match="run the script as one process"):
        ingot.distributed.fsdp.FullyShardedDataParallel(ingot.nn.Linear(1, 1))
    with pytest.raises(RuntimeError, match="distributed.checkpoint.save"):
        importlib.import_module("ingot.distributed.checkpoint").save({})
    assert ingot.distributed.group.WORLD is None and not ingot.distributed.rpc.is_available()
    for path in ("ingot.distributed.no_such", "ingot.distributed.fsdp.no_such", "ingot._ops_of"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(path)
    with pytest.raises(AttributeError):
        _ = ingot.distributed.fsdp.no_such


def test_operators_without_a_function_of_their_name():
    x, aten = ingot.arange(6).reshape(2, 3), ingot.ops.aten
    assert aten.slice(x, 1, 1).tolist() == [[1, 2], [4, 5]] and aten.slice.Tensor(x, -1, 0, 3, 2).tolist() == [[0, 2], [3, 5]]
    assert aten.index.Tensor(x, [None, ingot.tensor([2])]).tolist() == [[2], [5]]
    copied, same = aten._to_copy.default(x, dtype=ingot.int64), aten.alias(x)
    same.add_(1)
    assert x[0, 0] == 1 and copied[0, 0] == 0


def test_decorators_of_own_context_managers():
    from ingot.utils._contextlib import _DecoratorContextManager

    class Counting(_DecoratorContextManager):
        depth = 0

        def __enter__(self):
            Counting.depth += 1

        def __exit__(self, *exc):
            Counting.depth -= 1

    @Counting()
    def depth():
        return Counting.depth

    @Counting()
    def depths():
        yield Counting.depth
        yield Counting.depth

    passes = []
    for d in depths():
        passes.append((d, Counting.depth))
    assert depth() == 1 and passes == [(1, 0), (1, 0)] and Counting.depth == 0


def test_storages_have_classes():
    x = ingot.ones(2)
    assert type(x.storage()) is ingot.TypedStorage and type(x.untyped_storage()) is ingot.UntypedStorage
    assert type(x.storage().untyped()) is ingot.storage.UntypedStorage and ingot.is_storage(x.storage())
    with pytest.raises(TypeError, match="what Tensor.storage\\(\\) gives"):
        ingot.UntypedStorage(8)


def test_bases_that_libraries_ask_for():
    from ingot.nn.modules import batchnorm, dropout, padding, pooling

    nn = ingot.nn
    assert isinstance(nn.InstanceNorm1d(2), batchnorm._NormBase) and isinstance(nn.ReflectionPad2d(1), padding._ReflectionPadNd)
    assert isinstance(nn.ConstantPad1d(1, 0.0), padding._ConstantPadNd) and isinstance(nn.AdaptiveMaxPool2d(1), pooling._AdaptiveMaxPoolNd)
    assert not isinstance(nn.AvgPool2d(1), pooling._MaxPoolNd) and isinstance(nn.Dropout2d(), dropout._DropoutNd)
    with importlib.import_module("ingot._subclasses.fake_tensor").unset_fake_temporarily():
        assert not ingot.utils._python_dispatch.is_traceable_wrapper_subclass(ingot.ones(1))
    assert nn.parameter.is_lazy(nn.LazyLinear(2).weight) and not nn.parameter.is_lazy(nn.Linear(1, 1).weight)
    assert isinstance(ingot.ones(2, 2).max(0), ingot.return_types.max) and isinstance(ingot.ones(2).aminmax(), ingot.return_types.aminmax)
    flat = ingot._utils._flatten_dense_tensors([ingot.ones(2), ingot.zeros(1, 2)])
    assert [t.tolist() for t in ingot._utils._unflatten_dense_tensors(flat, [ingot.ones(2), ingot.zeros(1, 2)])] == [[1, 1], [[0, 0]]]


def test_classes_are_found_in_the_modules_where_torch_has_them():
    nn = ingot.nn
    for path, name in {
        "nn.modules.activation": "MultiheadAttention", "nn.modules.adaptive": "AdaptiveLogSoftmaxWithLoss", "nn.modules.loss": "NLLLoss2d",
        "nn.modules.batchnorm": "LazyBatchNorm1d", "nn.modules.instancenorm": "LazyInstanceNorm2d", "nn.modules.conv": "LazyConv2d",
        "nn.modules.linear": "LazyLinear", "nn.modules.normalization": "CrossMapLRN2d", "nn.modules.container": "Container",
    }.items():  # fmt: skip
        module = importlib.import_module(f"ingot.{path}")
        assert getattr(module, name) is getattr(nn, name)
        assert not hasattr(module, "F" * 9) and not hasattr(module, "Bilinear" if path[-6:] != "linear" else "ReLU")
    assert ingot.DeviceObjType is ingot.device and importlib.import_module("ingot.jit._script").ScriptModule is ingot.jit.ScriptModule
    assert importlib.import_module("ingot._functorch.apis").vmap is ingot.func.vmap
    assert not ingot._C._is_tracing() and ingot._C._get_tracing_state() is None


def test_batches_are_pinned():
    from ingot.utils.data._utils.pin_memory import pin_memory

    class Batch:
        def pin_memory(self):
            return "pinned"

    assert pin_memory({"x": ["a"], "b": (Batch(), 1)}, "cuda") == {"x": ["a"], "b": ("pinned", 1)} and pin_memory(Batch()) == "pinned"
    if not ingot.cuda.is_available():
        with pytest.raises(RuntimeError, match="no CUDA device"):
            pin_memory([ingot.ones(2)])


def test_operands_in_a_list_are_spread_where_they_are_shown():
    class M(ingot.nn.Module):
        def forward(self, x, y):
            return ingot.einsum("ij,jk->ik", [x, y])

    made = ingot.fx.symbolic_trace(M())
    (node,) = [n for n in made.graph.nodes if n.op == "call_function"]
    assert len(node.args) == 3 and node.target is ingot.einsum
    assert made(ingot.ones(2, 3), ingot.ones(3, 1)).tolist() == [[3], [3]]


def test_annotations_of_torchscript_s_graphs():
    for name in ("Graph", "Value", "Node", "Block"):
        with pytest.raises(RuntimeError, match="TorchScript's graphs"):
            getattr(ingot._C, name)()


def test_lazy_modules_of_others():
    from ingot.nn.modules.lazy import LazyModuleMixin

    class Plain(ingot.nn.Module):
        def forward(self, x):
            return x * self.scale + self.shift

    class Scaled(LazyModuleMixin, Plain):
        cls_to_become = Plain

        def __init__(self, whole=True):
            super().__init__()
            self.whole = whole
            self.scale = ingot.nn.UninitializedParameter()
            self.register_buffer("shift", ingot.nn.UninitializedBuffer())

        def initialize_parameters(self, x, by=2.0):
            if self.has_uninitialized_params():
                self.scale.materialize(x.shape[-1:])
                ingot.nn.init.constant_(self.scale, by)
                if self.whole:
                    self.shift.materialize(x.shape[-1:])
                    self.shift.fill_(1)

    made = Scaled()
    optimizer = ingot.optim.SGD(made.parameters(), lr=1.0)
    assert isinstance(ingot.nn.LazyLinear(2), LazyModuleMixin) and made.has_uninitialized_params()
    out = made(ingot.ones(2, 3))
    assert type(made) is Plain and out.tolist() == [[3] * 3] * 2
    out.sum().backward()
    optimizer.step()
    assert made.scale.tolist() == [0] * 3
    loaded = Scaled()
    loaded.load_state_dict(made.state_dict())
    assert loaded.scale.tolist() == [0] * 3 and loaded(ingot.ones(1, 3)).tolist() == [[1] * 3]
    with pytest.raises(RuntimeError, match="without a shape"):
        Scaled(whole=False)(ingot.ones(1, 3))
    with pytest.raises(NotImplementedError, match="initialize_parameters"):
        type("Bare", (LazyModuleMixin, Plain), {})()(ingot.ones(1))


def test_handles_of_hooks_that_classes_keep_themselves():
    kept, beside = {}, {}
    handle = ingot.utils.hooks.RemovableHandle(kept, extra_dict=beside)
    kept[handle.id] = beside[handle.id] = print
    handle.remove()
    assert not kept and not beside
    layer = ingot.nn.Linear(2, 2)
    seen = []
    plain = layer.register_forward_pre_hook(lambda m, args: seen.append(len(args)))
    ways = layer.register_forward_hook(lambda m, args, kwargs, y: seen.append(kwargs), with_kwargs=True, always_call=True)
    assert list(layer._forward_pre_hooks) == [plain.id] and callable(layer._forward_pre_hooks[plain.id])
    assert list(layer._forward_hooks_with_kwargs) == list(layer._forward_hooks_always_called) == [ways.id]
    copied = pickle.loads(pickle.dumps(ingot.nn.utils.weight_norm(ingot.nn.Linear(2, 2))))
    assert [h.__class__.__name__ for h in copied._forward_pre_hooks.values()] == ["_Hook"] and copied(ingot.ones(1, 2)).shape == (1, 2)
    layer(ingot.ones(1, 2))
    ways.remove()
    assert seen == [1, {}] and not layer._forward_hooks_with_kwargs and not ingot.nn.Linear(1, 1)._forward_hooks_with_kwargs


def test_what_loads_module_by_module():
    a, b, errors = ingot.nn.Linear(2, 2), ingot.nn.Linear(2, 2), []
    b._load_from_state_dict(a.state_dict(), "", {}, True, [], [], errors)
    assert ingot.equal(a.weight, b.weight) and not errors

    class Old(ingot.nn.Linear):
        def __setstate__(self, state):
            super().__setstate__(state)
            self.seen = True

    assert copy.deepcopy(Old(1, 1)).seen
    a._register_load_state_dict_pre_hook(len)
    again = pickle.loads(pickle.dumps(a))
    with pytest.raises(TypeError, match="len"):
        again.load_state_dict(b.state_dict())


def test_addresses_tell_tensors_apart():
    a = ingot.ones(3)
    at, b = a.data_ptr(), a.clone()
    assert b.data_ptr() != at and a.data_ptr() == at and b.data_ptr() == b.data_ptr() and a[1:].data_ptr() == at + 4
    assert a.detach().data_ptr() == at and a.untyped_storage().data_ptr() == at
    layer = ingot.nn.Linear(2, 2)
    layer(ingot.ones(1, 2)).sum().item()
    assert len({p.data_ptr() for m in (layer, copy.deepcopy(layer)) for p in m.parameters()}) == 4
