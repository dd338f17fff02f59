"""`python -m benchmarks gpu`: Ingot on a GPU beside torch and its compiler, each in turn, results written as they come.

A row per workload: the median time of a call, of calls that are put into the stream one after the other and waited for once; and the
ratio of the best peer to Ingot, above 1 where Ingot is ahead. Where the GPU is emulated sizes are tiny: only that it runs is shown.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks import models

__all__ = ["WORKLOADS", "main"]


class Workload(NamedTuple):
    """`make(m, n)`: with a module of torch's names and a scale, a function, and the bytes that must move and operations of one call."""

    name: str
    make: Callable[[Any, float], tuple[Callable[[], Any], float, float]]
    training: bool = False
    precision: str = "highest"  # of products of float32


def _n(size: int, scale: float, least: int = 8) -> int:
    return max(least, int(size * scale) // 8 * 8)


def _chain(m: Any, s: float) -> Any:
    x, y = (m.randn(_n(1 << 26, s * s), device="cuda") for _ in "xy")
    gelu = m.nn.functional.gelu
    return (lambda: m.sigmoid(gelu(x) * y + x)), 3 * 4 * x.numel(), 0


def _rows(op: Callable[[Any, Any], Any], moved: float = 2) -> Any:
    def make(m: Any, s: float) -> Any:
        x = m.randn(_n(16384, s), _n(4096, s), device="cuda")
        return (lambda: op(m, x)), moved * 4 * x.numel(), 0

    return make


def _norm(m: Any, x: Any) -> Any:
    return m.nn.functional.layer_norm(m.softmax(x, -1), (x.shape[-1],))


def _entropy(m: Any, s: float) -> Any:
    x, y = m.randn(_n(8192, s), _n(32000, s), device="cuda"), m.zeros(_n(8192, s), dtype=m.int64, device="cuda")
    return (lambda: m.nn.functional.cross_entropy(x, y)), 4 * x.numel(), 0


def _product(size: int, dtype: str) -> Any:
    def make(m: Any, s: float) -> Any:
        n = _n(size, s)
        a, b = (m.randn(n, n, device="cuda").to(getattr(m, dtype)) for _ in "ab")
        return (lambda: a @ b), 0, 2 * n**3

    return make


def _attention(width: int, dtype: str = "bfloat16", training: bool = False) -> Any:
    def make(m: Any, s: float) -> Any:
        n = _n(2048, s, 16)
        q, k, v = (m.randn(_n(8, s, 1), _n(16, s, 2), n, width, device="cuda").to(getattr(m, dtype)) for _ in "qkv")
        attend = m.nn.functional.scaled_dot_product_attention
        operations = 4 * q.numel() * n / 2  # half of the matrix is masked
        if not training:
            return (lambda: attend(q, k, v, is_causal=True)), 0, operations
        g = m.randn(*v.shape, device="cuda").to(v.dtype)
        for x in (q, k, v):
            x.requires_grad_()

        def step() -> Any:
            for x in (q, k, v):
                x.grad = None
            attend(q, k, v, is_causal=True).backward(g)

        return step, 0, 3.5 * operations

    return make


def _mlp(m: Any) -> Any:
    nn = m.nn
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


def _lenet(m: Any) -> Any:
    nn = m.nn
    first = nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    return nn.Sequential(*first, nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))


def _infer(build: Callable[[Any], Any], *shape: int) -> Any:
    def make(m: Any, s: float) -> Any:
        model, x = build(m).eval().cuda(), m.randn(*shape, device="cuda")

        def call() -> Any:
            with m.no_grad():
                return model(x)

        return call, 0, 0

    return make


def _gpt(m: Any) -> Any:
    return models.gpt(m)


def _lstm(m: Any) -> Any:
    """The last step of a layer of LSTM."""
    nn = m.nn

    class Last(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.recurrent, self.head = models.lstm(m), nn.Linear(128, 128)

        def forward(self, x: Any) -> Any:
            return self.head(self.recurrent(x.transpose(0, 1))[-1])

    return Last()


def _train_words(build: Callable[[Any], Any], batch: int, length: int, vocabulary: int) -> Any:
    def make(m: Any, s: float) -> Any:
        model = build(m).cuda()
        optimizer = m.optim.Adam(model.parameters(), lr=1e-3, **({"fused": True} if m.__name__ == "torch" else {}))
        n = batch if s == 1 else 1
        x, y = (m.randint(0, vocabulary, (n, length), device="cuda") for _ in "xy")

        def step() -> Any:
            optimizer.zero_grad()
            loss = m.nn.functional.cross_entropy(model(x), y.view(-1))
            loss.backward()
            optimizer.step()
            return loss

        return step, 0, 0

    return make


def _train(build: Callable[[Any], Any], *shape: int) -> Any:
    def make(m: Any, s: float) -> Any:
        model = build(m).cuda()
        optimizer = m.optim.Adam(model.parameters(), lr=1e-3, **({"fused": True} if m.__name__ == "torch" else {}))
        x, y = m.randn(*shape, device="cuda"), m.zeros(shape[0], dtype=m.int64, device="cuda")

        def step() -> Any:
            optimizer.zero_grad()
            loss = m.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return step, 0, 0

    return make


WORKLOADS = (
    Workload("chain_64m", _chain),
    Workload("softmax", _rows(lambda m, x: m.softmax(x, -1))),
    Workload("softmax_norm", _rows(_norm)),
    Workload("row_sums", _rows(lambda m, x: x.sum(1), 1)),
    Workload("column_sums", _rows(lambda m, x: x.sum(0), 1)),
    Workload("transpose", _rows(lambda m, x: x.T.contiguous())),
    Workload("cross_entropy", _entropy),
    *(Workload(f"gemm_{dtype}_{n}", _product(n, dtype)) for dtype in ("float32", "bfloat16") for n in (1024, 2048, 4096, 8192)),
    *(Workload(f"gemm_tf32_{n}", _product(n, "float32"), precision="high") for n in (2048, 4096, 8192)),
    Workload("attention", _attention(64)),
    Workload("attention_128", _attention(128)),
    Workload("attention_float32", _attention(64, "float32")),
    Workload("attention_train", _attention(64, training=True), True),
    Workload("infer_mlp_b256", _infer(_mlp, 256, 784)),
    Workload("train_mlp_b64", _train(_mlp, 64, 784), True),
    Workload("train_lenet_b64", _train(_lenet, 64, 1, 28, 28), True),
    Workload("train_lstm_b32", _train(_lstm, 32, 64, 128), True),
    Workload("train_gpt_b8", _train_words(_gpt, 8, 128, 4096), True),
)  # fmt: skip


def _contenders() -> dict[str, tuple[Any, Callable[[Any], Any]]]:
    import ingot

    found: dict[str, tuple[Any, Callable[[Any], Any]]] = {"ingot": (ingot, ingot.compile)}
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return found
    if torch.cuda.is_available():
        found |= {"torch": (torch, lambda f: f), "torch.compile": (torch, torch.compile)}
    return found


def _time(m: Any, call: Callable[[], Any], rounds: int = 9) -> tuple[float, float]:
    """The first call's time, and the median of later ones'."""

    def many(n: int) -> float:
        m.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(n):
            call()
        m.cuda.synchronize()
        return (time.perf_counter() - start) / n

    first = many(1)
    many(2)
    n = max(1, min(1000, int(0.05 / max(many(2), 1e-6))))
    return first, statistics.median(many(n) for _ in range(rounds))


def main(seconds: float, out: str | None, names: list[str] | None = None) -> int:
    """Measure for about so long; `out`: a folder for gpu.jsonl and gpu.md."""
    import ingot
    from ingot.runtime.cuda.driver import the_driver

    scale = 0.01 if the_driver().emulated else 1.0
    contenders, began = _contenders(), time.monotonic()
    rows: dict[str, dict[str, Any]] = {}
    print(f"{ingot.cuda.get_device_name()}; {', '.join(contenders)}")
    slow = [n for n in contenders if n == "torch.compile"]
    passes = [[n for n in contenders if n not in slow], slow]  # what takes long comes last
    for some, w in ((some, w) for some in passes if some for w in WORKLOADS if not names or w.name in names):
        if time.monotonic() - began > seconds:
            print(f"no time is left for {', '.join(some)} with {w.name} and what follows")
            break
        row = rows.setdefault(w.name, {"name": w.name, "device": ingot.cuda.get_device_name()})
        for name in some:
            m, compiled = contenders[name]
            try:
                m.manual_seed(0)
                m.set_float32_matmul_precision(w.precision)
                call, nbytes, flops = w.make(m, scale)
                row[f"{name} first"], row[name] = _time(m, compiled(call), 3 if scale < 1 else 9)
            except Exception as e:  # what fails is a result, whoever's it is
                row[f"{name} error"] = f"{type(e).__name__}: {str(e).strip().splitlines()[0][:200] if str(e).strip() else ''}"
                continue
            if name == "ingot":
                row |= {"TB/s": nbytes / row["ingot"] / 1e12} if nbytes else {}
                row |= {"TFLOP/s": flops / row["ingot"] / 1e12} if flops else {}
        peers = [row[n] for n in contenders if n != "ingot" and n in row]
        row |= {"ahead": min(peers) / row["ingot"]} if peers and "ingot" in row else {}
        print(_line(row), flush=True)
        if out:
            _write(out, list(rows.values()), list(contenders))
    return 0


def _write(out: str, rows: list[dict[str, Any]], contenders: list[str]) -> None:
    """All that is known by now, as gpu.jsonl and gpu.md."""
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "gpu.jsonl"), "w", encoding="utf-8") as f:
        f.writelines(json.dumps(row) + "\n" for row in rows)
    with open(os.path.join(out, "gpu.md"), "w", encoding="utf-8") as f:
        f.write(_markdown(rows, contenders))


def _line(row: dict[str, Any]) -> str:
    parts = [f"{k} {v * 1e3:.3f} ms" for k, v in row.items() if isinstance(v, float) and k not in ("TB/s", "TFLOP/s", "ahead")]
    parts += [f"{k} {row[k]:.2f}" for k in ("TB/s", "TFLOP/s", "ahead") if k in row]
    parts += [f"{k}: {v}" for k, v in row.items() if k.endswith("error")]
    return f"{row['name']}: {', '.join(parts)}"


def _markdown(rows: list[dict[str, Any]], contenders: list[str]) -> str:
    heads = ["", *contenders, "TB/s", "TFLOP/s", "ahead"]
    lines = [f"## {rows[0]['device']}", "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for r in rows:
        cells = [f"{r[c] * 1e3:.3f} ms" if c in r else "failed" if f"{c} error" in r else "" for c in contenders]
        cells += [f"{r[k]:.2f}" if k in r else "" for k in ("TB/s", "TFLOP/s", "ahead")]
        lines.append(f"| {r['name']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
