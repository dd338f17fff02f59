"""What imported programs mean beyond JAX's: sizes that vary, loops and branches when compiled, quantized numbers, one partition."""

from __future__ import annotations

import numpy as np
import pytest

import ingot
from ingot.capture.export import traced_model
from ingot.stablehlo import StablehloError, load


@pytest.fixture(autouse=True)
def interpreter(monkeypatch):
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")


def run(body, *args, head=""):
    """The results of the operations of a main function, as arrays."""
    out = load(f"func.func @main({head}) -> {body}")(*args)
    return [v.numpy() for v in out] if isinstance(out, tuple) else out.numpy()


DYNAMIC = """func.func @main(%x: tensor<?x4xf32>) -> tensor<?x2xf32> {
  %n = stablehlo.get_dimension_size %x, dim = 0 : (tensor<?x4xf32>) -> tensor<i32>
  %one = stablehlo.constant dense<1> : tensor<i32>
  %two = stablehlo.constant dense<2> : tensor<i32>
  %fine = stablehlo.compare GE, %n, %two, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
  stablehlo.custom_call @shape_assertion(%fine, %n) {error_message = "at least 2 rows, not {0}", has_side_effect = true} : (tensor<i1>, tensor<i32>) -> ()
  %twice = stablehlo.multiply %n, %two : tensor<i32>
  %m = stablehlo.reshape %twice : (tensor<i32>) -> tensor<1xi32>
  %k = stablehlo.constant dense<2> : tensor<1xi32>
  %shape = stablehlo.concatenate %m, %k, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>
  %0 = stablehlo.dynamic_reshape %x, %shape : (tensor<?x4xf32>, tensor<2xi32>) -> tensor<?x2xf32>
  %c = stablehlo.constant dense<1.0> : tensor<f32>
  %1 = stablehlo.dynamic_broadcast_in_dim %c, %shape, dims = [] : (tensor<f32>, tensor<2xi32>) -> tensor<?x2xf32>
  %2 = stablehlo.dynamic_iota %shape, dim = 0 : (tensor<2xi32>) -> tensor<?x2xf32>
  %3 = stablehlo.add %0, %1 : tensor<?x2xf32>
  %4 = stablehlo.add %3, %2 : tensor<?x2xf32>
  return %4 : tensor<?x2xf32>
}"""  # noqa: E501


def test_sizes_that_vary():
    f = load(DYNAMIC)
    compiled = ingot.compile(f, dynamic=True)
    for n in (2, 3, 7):
        x = np.arange(4.0 * n, dtype=np.float32).reshape(n, 4)
        want = x.reshape(-1, 2) + 1 + np.arange(2 * n)[:, None]
        for fn in (f, compiled):
            np.testing.assert_array_equal(fn(ingot.from_numpy(x)).numpy(), want)
    with pytest.raises(StablehloError, match="at least 2 rows, not 1"):
        f(np.zeros((1, 4), np.float32))


def test_polymorphic_exports_of_jax():
    jax = pytest.importorskip("jax", reason="programs are made with JAX, which is not installed")
    jnp = jax.numpy
    functions = {
        "softmax": lambda x: jax.nn.softmax(x @ x.T),
        "halves": lambda x: x[: x.shape[0] // 2],
        "cumsum": lambda x: jnp.cumsum(x, 0),
        "roll": lambda x: jnp.roll(x[::-1], 1, 0),
        "scan": lambda x: jax.lax.scan(lambda c, t: (c + t, c), jnp.zeros(4), x)[1],
        "mean": lambda x: (x - x.mean(0)) / x.std(0),
        "reshape": lambda x: x.reshape(-1, 2) + jnp.arange(x.shape[0] * 2)[:, None],
    }
    for name, fn in functions.items():
        shape = jax.export.symbolic_shape("b, 4")
        f = load(bytes(jax.export.export(jax.jit(fn))(jax.ShapeDtypeStruct(shape, jnp.float32)).mlir_module_serialized))
        compiled = ingot.compile(f, dynamic=True)
        for n in (4, 6):
            x = np.random.default_rng(n).standard_normal((n, 4)).astype(np.float32)
            for g in (f, compiled):
                np.testing.assert_allclose(g(ingot.from_numpy(x)).numpy(), fn(x), rtol=2e-5, atol=2e-5, err_msg=name)


def test_linear_algebra_of_batches_that_vary(monkeypatch):
    """Its calls have the shapes of their results among their operands."""
    jax = pytest.importorskip("jax")
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    shape = jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, 3, 3"), np.float32)
    for fn in (lambda x: jax.numpy.linalg.cholesky(x @ x.mT + 3 * jax.numpy.eye(3)), lambda x: jax.numpy.linalg.eigvalsh(x + x.mT)):
        f = load(bytes(jax.export.export(jax.jit(fn))(shape).mlir_module_serialized))
        for n in (1, 4):
            x = np.random.default_rng(n).standard_normal((n, 3, 3)).astype(np.float32)
            np.testing.assert_allclose(f(x).numpy(), fn(x), rtol=1e-4, atol=1e-4)


def test_codes_of_numbers_without_a_sign():
    text = "func.func @main(%x: tensor<3xf8E8M0FNU>) -> tensor<3xui8> {\n"
    text += " %0 = stablehlo.bitcast_convert %x : (tensor<3xf8E8M0FNU>) -> tensor<3xui8>\n return %0 : tensor<3xui8>\n}"
    assert load(text)(np.float32([2, 0.5, 2.0**-127])).tolist() == [128, 126, 0]


LOOP = """tensor<f32> {
  %r = stablehlo.while(%a = %x) : tensor<f32>
   cond { %c = stablehlo.constant dense<100.0> : tensor<f32>
          %0 = stablehlo.compare LT, %a, %c, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
          stablehlo.return %0 : tensor<i1> }
   do { %1 = stablehlo.add %a, %a : tensor<f32>
        stablehlo.return %1 : tensor<f32> }
  return %r : tensor<f32>
}"""
BRANCH = """tensor<f32> {
  %r = "stablehlo.case"(%i) ({ stablehlo.return %x : tensor<f32> },
    { %0 = stablehlo.negate %x : tensor<f32> stablehlo.return %0 : tensor<f32> },
    { %1 = stablehlo.sine %x : tensor<f32> stablehlo.return %1 : tensor<f32> }) : (tensor<i32>) -> tensor<f32>
  return %r : tensor<f32>
}"""


def test_loops_and_branches():
    f = load(f"func.func @main(%x: tensor<f32>) -> {LOOP}")
    assert f(3.0).item() == 192.0 and f.run(3.0) == 192.0
    g = load(f"func.func @main(%x: tensor<f32>, %i: tensor<i32>) -> {BRANCH}")
    for i, want in ((0, 2.0), (1, -2.0), (2, np.sin(2.0)), (5, np.sin(2.0)), (-1, np.sin(2.0))):
        for fn in (g, g.run):
            np.testing.assert_allclose(float(fn(2.0, np.int32(i))), want, rtol=1e-6)
    assert g.parts is None


def test_quantized_numbers():
    q = "!quant.uniform<i8:f32, 0.5:3>"
    head = "%x: tensor<4xf32>"
    body = f"""tensor<4xf32> {{
      %0 = stablehlo.uniform_quantize %x : (tensor<4xf32>) -> tensor<4x{q}>
      %1 = stablehlo.add %0, %0 : tensor<4x{q}>
      %2 = stablehlo.uniform_dequantize %1 : (tensor<4x{q}>) -> tensor<4xf32>
      return %2 : tensor<4xf32>
    }}"""
    x = np.array([0.6, -1.2, 100, -100], np.float32)
    kept = np.clip(np.round(x / 0.5) + 3, -128, 127)
    twice = np.clip(np.round(2 * (kept - 3) * 0.5 / 0.5) + 3, -128, 127)
    np.testing.assert_array_equal(run(body, x, head=head), (twice - 3) * 0.5)


def test_one_partition():
    body = """(tensor<4xf32>, tensor<ui32>, tensor<4xf32>) {
      %0 = "stablehlo.all_reduce"(%x) <{replica_groups = dense<[[0]]> : tensor<1x1xi64>}> ({
        ^bb0(%a: tensor<f32>, %b: tensor<f32>):
          %s = stablehlo.add %a, %b : tensor<f32>
          stablehlo.return %s : tensor<f32>
      }) : (tensor<4xf32>) -> tensor<4xf32>
      %1 = stablehlo.partition_id : tensor<ui32>
      %2 = "stablehlo.collective_permute"(%x) <{source_target_pairs = dense<[[0, 1]]> : tensor<1x2xi64>}> : (tensor<4xf32>) -> tensor<4xf32>
      return %0, %1, %2 : tensor<4xf32>, tensor<ui32>, tensor<4xf32>
    }"""  # noqa: E501
    x = np.arange(4, dtype=np.float32)
    same, number, none = run(body, x, head="%x: tensor<4xf32>")
    assert same.tolist() == x.tolist() and number == 0 and none.tolist() == [0] * 4
    with pytest.raises(StablehloError, match="groups of 2 partitions"):
        run(body.replace("dense<[[0]]> : tensor<1x1xi64>", "dense<[[0, 1]]> : tensor<1x2xi64>"), x, head="%x: tensor<4xf32>")


def test_shardings_are_left_aside():
    text = """module {
      sdy.mesh @mesh = <["x"=1]> {stablehlo.mesh = {axes = [{name = "x", size = 1 : i64}]}}
      func.func @main(%x: tensor<4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>}) -> tensor<4xf32> {
        %0 = sdy.sharding_constraint %x <@mesh, [{"x"}]> : tensor<4xf32>
        %1 = "sdy.reshard"(%0) <{sharding = #sdy.sharding<@mesh, [{}]>}> : (tensor<4xf32>) -> tensor<4xf32>
        return %1 : tensor<4xf32>
      }}"""
    assert load(text)(np.ones(4, np.float32)).tolist() == [1.0] * 4
    jax = pytest.importorskip("jax", reason="programs are made with JAX, which is not installed")
    mesh = jax.make_mesh((1,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    where = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x", None))
    fn = jax.jit(lambda x: jax.lax.with_sharding_constraint(x * 2, where).sum(0))
    x = np.arange(8.0, dtype=np.float32).reshape(4, 2)
    for source in (fn.lower(x).as_text(), bytes(jax.export.export(fn)(x).mlir_module_serialized)):
        np.testing.assert_array_equal(load(source)(x).numpy(), fn(x))


def test_tuples_tokens_and_composites():
    text = """module {
    func.func @main(%x: tensor<3xf32>) -> (tuple<tensor<3xf32>, tensor<3xf32>>, tensor<3xf32>) {
      %t = stablehlo.create_token : !stablehlo.token
      %u = stablehlo.after_all %t, %t : !stablehlo.token
      %0 = stablehlo.composite "my.op" %x {decomposition = @impl} : (tensor<3xf32>) -> tensor<3xf32>
      %1 = stablehlo.tuple %x, %0 : tuple<tensor<3xf32>, tensor<3xf32>>
      %2 = stablehlo.get_tuple_element %1[1] : (tuple<tensor<3xf32>, tensor<3xf32>>) -> tensor<3xf32>
      %3 = stablehlo.optimization_barrier %2 : tensor<3xf32>
      return %1, %3 : tuple<tensor<3xf32>, tensor<3xf32>>, tensor<3xf32>
    }
    func.func private @impl(%x: tensor<3xf32>) -> tensor<3xf32> {
      %0 = stablehlo.negate %x : tensor<3xf32>
      return %0 : tensor<3xf32>
    }}"""
    pair, last = load(text)(np.ones(3, np.float32))
    assert pair[1].tolist() == last.tolist() == [-1.0] * 3


def test_comparators_of_any_kind():
    """By distance from 2: a network, which asks the comparator."""
    body = """(tensor<7xi32>, tensor<7xi32>) {
      %0:2 = "stablehlo.sort"(%x, %y) <{dimension = 0 : i64, is_stable = true}> ({
        ^bb0(%a: tensor<i32>, %b: tensor<i32>, %c: tensor<i32>, %d: tensor<i32>):
          %two = stablehlo.constant dense<2> : tensor<i32>
          %e = stablehlo.subtract %a, %b : tensor<i32>
          %f = stablehlo.add %a, %b : tensor<i32>
          %g = stablehlo.multiply %two, %two : tensor<i32>
          %h = stablehlo.subtract %f, %g : tensor<i32>
          %i = stablehlo.multiply %e, %h : tensor<i32>
          %z = stablehlo.constant dense<0> : tensor<i32>
          %r = stablehlo.compare LT, %i, %z, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
          stablehlo.return %r : tensor<i1>
      }) : (tensor<7xi32>, tensor<7xi32>) -> (tensor<7xi32>, tensor<7xi32>)
      return %0#0, %0#1 : tensor<7xi32>, tensor<7xi32>
    }"""
    x = np.array([9, 3, 2, 1, -4, 3, 0], np.int32)
    order = np.argsort(np.abs(x - 2), kind="stable")
    first, second = run(body, x, np.arange(7, dtype=np.int32), head="%x: tensor<7xi32>, %y: tensor<7xi32>")
    np.testing.assert_array_equal(first, x[order])
    np.testing.assert_array_equal(second, order)


GATHER = """tensor<2x3xf32> {
  %0 = "stablehlo.gather"(%x, %i) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0],
    start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, 3>}> : (tensor<4x3xf32>, tensor<2x1xi32>) -> tensor<2x3xf32>
  return %0 : tensor<2x3xf32>
}"""
WINDOW = """tensor<4xf32> {
  %c = stablehlo.constant dense<0.0> : tensor<f32>
  %0 = "stablehlo.reduce_window"(%x, %c) <{window_dimensions = array<i64: 1>}> ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %1 = stablehlo.subtract %a, %b : tensor<f32>
      stablehlo.return %1 : tensor<f32>
  }) : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}"""


def test_dims_that_cannot_be():
    x, i = np.arange(12.0, dtype=np.float32).reshape(4, 3), np.array([[9], [-1]], np.int32)
    head = "%x: tensor<4x3xf32>, %i: tensor<2x1xi32>"
    np.testing.assert_array_equal(run(GATHER, x, i, head=head), x[[3, 0]])  # moved inside
    for old, new, match in (
        ("offset_dims = [1]", "offset_dims = [2]", "no dims of the result"),
        ("offset_dims = [1]", "offset_dims = [0, 1]", "2 offset_dims, where 1"),
        ("collapsed_slice_dims = [0]", "collapsed_slice_dims = [0, 0]", "no dims of the operand"),
        ("start_index_map = [0]", "start_index_map = [0, 1]", "index vectors"),
        ("array<i64: 1, 3>", "array<i64: 1, 4>", "slices of"),
        ("index_vector_dim = 1", "index_vector_dim = 7", "index vectors"),
    ):
        with pytest.raises(StablehloError, match=match):
            run(GATHER.replace(old, new), x, i, head=head)
    assert run(WINDOW, x[:, 0], head="%x: tensor<4xf32>").shape == (4,)
    for text in ("i64: 0", "i64: 1, 1"):
        with pytest.raises(StablehloError, match=r"reduce_window \(line 3.*windows of"):
            run(WINDOW.replace("i64: 1", text), x[:, 0], head="%x: tensor<4xf32>")


OPS = {
    "batch_norm_inference": '"stablehlo.batch_norm_inference"(%x, %s, %s, %s, %s) <{epsilon = 0.5 : f32, feature_index = 1 : i64}>',
    "torch_index_select": '"stablehlo.torch_index_select"(%x, %i) <{dim = 1 : i64, batch_dims = 0 : i64}>',
    "einsum": 'stablehlo.einsum %x, %y, config = "ab,cb->ac"',
    "chlo": "chlo.broadcast_add %x, %s",
}


def test_other_operations():
    x, s = np.arange(6.0, dtype=np.float32).reshape(2, 3), np.array([1.0, 2.0, 0.5], np.float32)
    types = {"x": "tensor<2x3xf32>", "y": "tensor<2x3xf32>", "s": "tensor<3xf32>", "i": "tensor<2xi32>"}
    values = {"x": x, "y": x + 1, "s": s, "i": np.array([2, 0], np.int32)}
    want = {
        "batch_norm_inference": (x - s) / np.sqrt(s + 0.5) * s + s,
        "torch_index_select": x[:, [2, 0]],
        "einsum": x @ (x + 1).T,
        "chlo": x + s,
    }
    for name, text in OPS.items():
        names = [v for v in values if f"%{v}" in text]
        given = [v for v in text.replace(")", ",").replace("(", ",").replace(" ", ",").split(",") if v.startswith("%")]
        out = f"tensor<{'x'.join(map(str, want[name].shape))}xf32>"
        head = ", ".join(f"%{n}: {types[n]}" for n in names)
        line = f"%r = {text} : ({', '.join(types[v[1:]] for v in given)}) -> {out}"
        got = run(f"{out} {{\n {line}\n return %r : {out}\n}}", *[values[n] for n in names], head=head)
        np.testing.assert_allclose(got, want[name], rtol=1e-5, err_msg=name)


def test_rows_of_loops_are_stacked():
    """What a scan of JAX gives is not carried: the loop is a scan with results of its own."""
    jax = pytest.importorskip("jax", reason="programs are made with JAX, which is not installed")
    jnp, lax = jax.numpy, jax.lax
    x = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)

    def nested(c, t):
        return lax.fori_loop(0, 3, lambda i, u: u + t * i, c), (c, lax.scan(lambda a, b: (a + b, a * b), 0.0, t)[1])

    functions = {
        "forward": (lambda x: lax.scan(lambda c, t: (c + t, (c, t * 2)), jnp.zeros(3), x), 1),
        "back": (lambda x: lax.scan(lambda c, t: (c + t, c), jnp.zeros(3), x, reverse=True), 1),
        "nested": (lambda x: lax.scan(nested, x[0], x), 1),
        "part": (lambda x: lax.fori_loop(1, 4, lambda i, c: lax.dynamic_update_index_in_dim(c, x[i] * 2, i, 0), x), 1),
        "columns": (lambda x: lax.fori_loop(0, 3, lambda i, c: lax.dynamic_update_slice(c, x[:, :1] * i, (0, i)), x), 1),
        "read": (lambda x: lax.fori_loop(1, 6, lambda i, c: c.at[i].set(c[i - 1] + x[i]), x), 0),
        "twice": (lambda x: lax.fori_loop(0, 6, lambda i, c: c.at[i // 2].add(x[i]), x), 0),
        "gradient": (jax.grad(lambda x: lax.scan(lambda c, t: (jnp.tanh(c + t), c), x[0], x)[1].sum()), 1),
    }
    for name, (fn, rows) in functions.items():
        f = load(jax.jit(fn).lower(x).as_text())
        for got, want in zip(_leaves(f(x)), jax.tree.leaves(jax.jit(fn)(x))):
            np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5, err_msg=name)
        graph = traced_model(f, (x,), {}).graph
        scans = [n for n in graph.nodes if n.op.name == "scan"]
        assert any(len(n.outputs) > n.attrs[2] for n in scans) == bool(rows), name


def _leaves(out):
    return [v.numpy() for v in out] if isinstance(out, tuple) else [out.numpy()]


SCAN = {
    "pretty": """chlo.scan(%x) inits (%c) dimension=1 attributes {is_associative = true, is_reverse = REVERSE} {
    ^bb0(%input: tensor<2xf32>, %carry: tensor<2xf32>):
      %1 = stablehlo.add %input, %carry : tensor<2xf32>
      %2 = stablehlo.multiply %1, %input : tensor<2xf32>
      stablehlo.return %2, %1 : tensor<2xf32>, tensor<2xf32>
    } : (tensor<2x3xf32>, tensor<2xf32>) -> (tensor<2x3xf32>, tensor<2xf32>)""",
    "generic": """"chlo.scan"(%x, %c) <{dimension = 1 : i64, is_reverse = REVERSE, operandSegmentSizes = array<i32: 1, 1>,
      resultSegmentSizes = array<i32: 1, 1>}> ({
    ^bb0(%input: tensor<2xf32>, %carry: tensor<2xf32>):
      %1 = "stablehlo.add"(%input, %carry) : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
      %2 = "stablehlo.multiply"(%1, %input) : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
      "stablehlo.return"(%2, %1) : (tensor<2xf32>, tensor<2xf32>) -> ()
    }) : (tensor<2x3xf32>, tensor<2xf32>) -> (tensor<2x3xf32>, tensor<2xf32>)""",
}


@pytest.mark.parametrize("form", SCAN)
@pytest.mark.parametrize("reverse", [False, True])
def test_scan(form, reverse):
    """Slices and a carry in, slices and the last carry out."""
    x, c = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1, 2], np.float32)
    text = f"%0:2 = {SCAN[form].replace('REVERSE', str(reverse).lower())}\n return %0#0, %0#1 : tensor<2x3xf32>, tensor<2xf32> }}"
    rows, last = run("(tensor<2x3xf32>, tensor<2xf32>) { " + text, x, c, head="%x: tensor<2x3xf32>, %c: tensor<2xf32>")
    order = x[:, ::-1] if reverse else x
    sums = np.cumsum(order, 1) + c[:, None]
    want = sums * order
    np.testing.assert_allclose(rows, want[:, ::-1] if reverse else want)
    np.testing.assert_allclose(last, sums[:, -1])


def test_scan_of_other_values():
    text = SCAN["pretty"].replace("REVERSE", "false").replace("(%x) inits (%c)", "(%x, %x) inits (%c)")
    with pytest.raises(StablehloError, match="chlo.scan.*its region takes 2 values, and it has 3 operands"):
        run(
            "(tensor<2x3xf32>, tensor<2xf32>) { %0:2 = " + text.replace(": (tensor<2x3xf32>, ", ": (tensor<2x3xf32>, tensor<2x3xf32>, ")
            + "\n return %0#0, %0#1 : tensor<2x3xf32>, tensor<2xf32> }",
            np.zeros((2, 3), np.float32), np.zeros(2, np.float32), head="%x: tensor<2x3xf32>, %c: tensor<2xf32>",
        )  # fmt: skip
