"""Strings, which are known values always: what is done to them is done on the host while the model is evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ingot.interchange.onnx.rules import Call, op

__all__: list[str] = []


def _texts(values: Any, shape: Any) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = values
    return out.reshape(shape)


@op("StringConcat", raw=True)
def string_concat(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    both = np.broadcast_arrays(a, b)
    return _texts([x + y for x, y in zip(*(v.reshape(-1) for v in both))], both[0].shape)


@op("StringSplit", raw=True)
def string_split(x: np.ndarray, *, delimiter: str = "", maxsplit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    most = -1 if maxsplit is None else maxsplit
    parts = [s.split(delimiter or None, most) for s in x.reshape(-1)]
    width = max(map(len, parts), default=0)
    flat = [p for row in parts for p in (*row, *[""] * (width - len(row)))]
    return _texts(flat, (*x.shape, width)), np.array([len(p) for p in parts], np.int64).reshape(x.shape)


@op("Tokenizer", domain="com.microsoft", raw=True)
def tokenizer(
    x: np.ndarray, *, mark: int, mincharnum: int, pad_value: str, separators: Any = None, tokenexp: str = ""
) -> np.ndarray:  # fmt: skip
    """Words by what stands between them, or what they look like; those that are too short are left out. One empty separator: characters.

    mark: whether rows begin and end with characters of their own
    """
    known = [s for s in separators or () if s]
    if tokenexp:
        cut = re.compile(tokenexp)
        rows = [[m.group() for m in cut.finditer(s)] for s in x.reshape(-1)]
    elif known:
        between = re.compile("|".join(map(re.escape, known)))
        rows = [between.split(s) for s in x.reshape(-1)]
    else:
        rows = [list(s) for s in x.reshape(-1)]
    rows = [[t for t in row if len(t) >= max(mincharnum, 1)] for row in rows]
    if mark and any(rows):
        rows = [["\x02", *row, "\x03"] for row in rows]
    width = max(map(len, rows), default=0)
    return _texts([t for row in rows for t in (*row, *[pad_value] * (width - len(row)))], (*x.shape, width))


@op("RegexFullMatch", raw=True)
def regex_full_match(x: np.ndarray, *, pattern: str) -> np.ndarray:
    compiled = re.compile(pattern)
    return np.array([compiled.fullmatch(s) is not None for s in x.reshape(-1)], bool).reshape(x.shape)


_CASES: dict[str, Callable[[str], str]] = {"LOWER": str.lower, "UPPER": str.upper, "NONE": str}


@op("StringNormalizer", raw=True)
def string_normalizer(
    x: np.ndarray, *, case_change_action: str = "NONE", is_case_sensitive: int = 0, locale: str = "", stopwords: Any = None
) -> np.ndarray:
    change = _CASES[case_change_action]
    stop = set(stopwords or ()) if is_case_sensitive else {s.lower() for s in stopwords or ()}
    kept = [change(s) for s in x.reshape(-1) if (s if is_case_sensitive else s.lower()) not in stop]
    kept = kept or [""]
    return _texts(kept, (1, len(kept)) if x.ndim == 2 else (len(kept),))


@op("TfIdfVectorizer", raw=True)
def tf_idf_vectorizer(
    c: Call, x: Any, *, max_gram_length: int, max_skip_count: int, min_gram_length: int, mode: str, ngram_counts: list[int],
    ngram_indexes: list[int], pool_int64s: Any = None, pool_strings: Any = None, weights: Any = None,
) -> np.ndarray:  # fmt: skip
    """How often each known n-gram occurs, its words up to `max_skip_count` words apart."""
    pool = pool_strings if pool_strings is not None else pool_int64s
    grams: dict[tuple[Any, ...], int] = {}
    for n, (first, last) in enumerate(zip(ngram_counts, [*ngram_counts[1:], len(pool)]), 1):
        for at in range(first, last, n):
            if min_gram_length <= n <= max_gram_length:
                grams[tuple(pool[at : at + n])] = len(grams)
            else:
                grams[(None, at)] = len(grams)  # keeps its place in the list
    a = x if isinstance(x, np.ndarray) else c.known(x, "the input of TfIdfVectorizer")
    rows = [a.tolist()] if a.ndim == 1 else a.tolist()
    out = np.zeros((len(rows), max(ngram_indexes) + 1), np.float32)
    scale = np.ones(len(ngram_indexes), np.float32) if weights is None else np.asarray(weights, np.float32)
    for row, words in enumerate(rows):
        for n in range(min_gram_length, max_gram_length + 1):
            for step in range(1, (max_skip_count if n > 1 else 0) + 2):
                for at in range(len(words) - (n - 1) * step):
                    found = grams.get(tuple(words[at : at + n * step : step]))
                    if found is not None:
                        out[row, ngram_indexes[found]] += 1
    factor = np.zeros(out.shape[1], np.float32)
    factor[ngram_indexes] = scale
    if mode == "IDF":
        out = (out > 0).astype(np.float32)
    if mode != "TF":
        out = out * factor
    return out[0] if a.ndim == 1 else out
