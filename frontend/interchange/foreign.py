"""What a file is that `ingot.save` has not written, by its first bytes or by what its archive holds, in words for an error."""

from __future__ import annotations

import io

__all__ = ["TORCH", "kind_of"]

TORCH = "a file of torch.save"
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "a file of torch.save from before 1.6, all pickle: save it again with a newer torch"),
    (b"\x93NUMPY", "a NumPy array (npy): read it with numpy.load, and ingot.from_numpy"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (as Keras writes): read it with h5py"),
    (b"GGUF", "a GGUF model: read it with the gguf package"),
    (b"INGOT", "an artifact of ingot.export: give its path, not a file that is open"),
    (b"\x1f\x8b", "compressed with gzip: unpack it first"),
    (b"\x80", "a pickle, and unpickling can execute anything: convert it to safetensors where it was made"),
)  # fmt: skip


def kind_of(data: bytes) -> str | None:
    """TORCH for what `torch_file.read` reads; words for another file that is known; None for safetensors, and what is not known."""
    if data[8:9] == b"{" and not any(data[4:8]):
        return None  # the length of a safetensors header, which may begin with the bytes of any other kind, and the header
    if data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _archive(data)
    return next((words for start, words in _BEGINNINGS if data.startswith(start)), None)


def _archive(data: bytes) -> str:
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as z:
            names = z.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, EOFError) as e:
        return f"a zip archive (as torch.save writes) that is damaged: {e}"
    inner = {name.partition("/")[2] for name in names}
    if any(n.startswith("code/") for n in inner) or "constants.pkl" in inner:
        return "a TorchScript archive (torch.jit.save), which holds a program: save its state_dict() where it was made"
    if any("exported_program" in n or n in ("archive_format", "models/model.json") for n in (*names, *inner)):
        return "an exported program (torch.export.save, .pt2): save the model's state_dict() where it was made"
    if "data.pkl" in inner:
        return TORCH
    if names and all(n.endswith(".npy") for n in names):
        return "a NumPy archive (npz): read it with numpy.load"
    if "config.json" in names and "model.weights.h5" in names:
        return "a Keras model (.keras)"
    return "a zip archive, and none of torch.save"
