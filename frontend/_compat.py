"""The page docs/compat.md: which of torch's names are here, by section and tier of use. `python -m ingot._generate` writes it.

The names are in docs/torch-names.txt. A name is *here*, or *answers* (it can be imported and says in one sentence why it does nothing:
_refused.py), or is *missing*, for the reason that REASONS gives.
"""

from __future__ import annotations

import importlib
import os
import re
import warnings
from types import ModuleType
from typing import Any

MISSING = object()
# section of the list -> where its names are looked up; a section that is not here is looked up as it is called
HOMES = {
    "torch: types and constants": "ingot", "torch: modes and other classes": "ingot", "torch: functions": "ingot",
    "torch.Tensor: methods and attributes": "ingot.Tensor", "torch.Tensor: operators and protocols": "ingot.Tensor",
    "torch.nn: modules": "ingot.nn", "torch.nn.Module: methods": "ingot.nn.Module",
    "torch.optim.Optimizer: methods": "ingot.optim.Optimizer", "torch.compiler and export": "ingot", "torch.random and RNG": "ingot",
    "torch.sparse, nested, masked": "ingot", "torch.multiprocessing, hub": "ingot",
}  # fmt: skip
# (pattern of "home.name", why what matches is missing); the first that matches counts
REASONS: tuple[tuple[str, str], ...] = (
    (r"_(ipu|xla|mtia|maia|xpu|mps)", "no such device"),
    (r"quant|qscheme|quantize|choose_qparams", "quantized tensors: not part of Ingot"),
    (r"Tensor\.to_padded_tensor", "nested tensors are a class of their own, which has it"),
    (r"chalf", "there is no complex32"),
    (r"Tensor\.index$", "a name of torch's operators: Tensor[...] is the function"),
    (r"Tensor\.(symeig|eig|solve|lstsq)$", "removed from torch itself, where the name raises"),
    (r"ingot\.batch_norm_|hash_tensor|slice_inverse", "parts of torch's own implementation"),
    (r"", "not yet"),
)
PAGE = """# Which of torch's names are here

{total} public names of torch {version}, in tiers by how much real code uses them: 1 the staples, 2 what is met now and then, 3 the rest.
*Here* is what works. What *answers* can be imported, so that a library which looks for it starts, and says in one sentence why it does
nothing. [differences.md](differences.md) says where a name that is here behaves otherwise. Programs that import torch run with
`import ingot as torch`, after `sys.modules["torch"] = ingot`, or as they are by `python -m ingot.port train.py`. This page is generated:
`python -m ingot._generate`.

| section | tier 1 | tier 2 | tier 3 |
|---|---|---|---|
{table}

Each cell: here / all, and how many of the others answer.
"""
NAMES = "torch-names.txt"


def names(docs: str) -> dict[str, dict[int, list[str]]]:
    """Section -> tier -> names, from torch-names.txt in the folder `docs`."""
    found: dict[str, dict[int, list[str]]] = {}
    section: dict[int, list[str]] = {}
    tier: list[str] = []
    with open(os.path.join(docs, NAMES), encoding="utf-8") as f:
        for line in f:
            if line.startswith("## "):
                section = found.setdefault(line[3:].strip(), {})
            elif line.startswith("   "):
                tier.extend(line.split())
            elif line[:1].isdigit():
                number, _, rest = line.partition(":")
                tier = section.setdefault(int(number), rest.split())
    return found


def find(path: str) -> Any:
    """What is at a dotted path, modules imported on the way; MISSING where nothing is."""
    parts = path.split(".")
    value: Any = importlib.import_module(parts[0])
    for i, part in enumerate(parts[1:], 2):
        try:
            value = getattr(value, part)
        except AttributeError:
            if not isinstance(value, ModuleType):
                return MISSING
            try:
                value = importlib.import_module(".".join(parts[:i]))
            except ModuleNotFoundError:
                return MISSING
    return value


def answer(value: Any) -> str | None:
    """The sentence of a name that only answers."""
    found = getattr(value, "refused", None)
    return found if isinstance(found, str) else None


def reason(path: str) -> str:
    """Why the name at a path is missing."""
    return next(why for pattern, why in REASONS if re.search(pattern, path))


def page(docs: str) -> str:
    """The text of compat.md, whose names are in the folder `docs`."""
    rows: list[str] = []
    body: list[str] = []
    total = 0
    sums = {tier: [0, 0, 0] for tier in (1, 2, 3)}
    for section, tiers in names(docs).items():
        home = HOMES.get(section, section.replace("torch", "ingot", 1))
        cells, text = [], [f"## {section}", ""]
        for tier in (1, 2, 3):
            here: list[str] = []
            others: dict[str, list[str]] = {}
            for name in tiers.get(tier, ()):
                path = f"{home}.{name}"
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    value = find(path)
                why = f"missing, {reason(path)}" if value is MISSING else answer(value)
                if why is None:
                    here.append(name)
                else:
                    others.setdefault(why if value is MISSING else f"answers, {why}", []).append(name)
            count = len(tiers.get(tier, ()))
            answers = sum(len(v) for k, v in others.items() if k.startswith("answers"))
            for i, n in enumerate((len(here), count, answers)):
                sums[tier][i] += n
            cells.append(_cell(len(here), count, answers))
            total += count
            if here:
                text.append(f"Tier {tier}, here: {_listed(here)}")
                text.append("")
            for why, what in others.items():
                text += [f"Tier {tier}, {why}: {_listed(what)}", ""]
        rows.append(f"| {section} | " + " | ".join(cells) + " |")
        body += text
    rows.append("| **all** | " + " | ".join(_cell(*sums[tier]) for tier in (1, 2, 3)) + " |")
    return PAGE.format(total=total, version="2.13", table="\n".join(rows)) + "\n" + "\n".join(body).rstrip() + "\n"


def _listed(items: list[str]) -> str:
    return " ".join(f"`{n}`" for n in items)


def _cell(here: int, count: int, answers: int) -> str:
    return "" if not count else f"{here}/{count}" + (f" (+{answers})" if answers else "")
