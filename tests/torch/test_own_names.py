"""Names of `ingot` that torch does not have: those that are meant, and no helper of ours."""

import torch

import ingot

OWN = {
    "ArtifactError", "CaptureError", "CompiledFunction", "CompiledModule", "Dim", "FrozenError", "LeakedTensorError", "LinAlgError",
    "SerializationError", "array_api", "associative_scan", "cache", "debug", "dims", "empty_cache", "frozen", "functions",
    "get_printoptions", "map", "mark_dynamic", "mark_static", "memory_stats", "scan", "stablehlo",
}  # fmt: skip


def test_names_that_torch_has_not():
    here = {n for n in dir(ingot) if not n.startswith("_")}
    assert {n for n in here if not hasattr(torch, n)} == OWN
