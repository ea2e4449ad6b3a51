"""What may lie in a package: data in formats that cannot run code, whole, finite and inside the folder.

One table says which endings are taken and how each is checked; everything else is refused. A new format is a new row.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from breakeven.artifacts import read_json
from breakeven.errors import IntegrityError, Place
from breakeven.packaging import weights
from breakeven.packaging.signing import inspect_tree

MAX_JSON_BYTES = 100_000_000
# Formats that run code or hide a program when they are opened, by their first bytes.
MAGIC = {
    b"\x89HDF": "HDF5 (.h5, .keras)",
    b"PK\x03\x04": "a zip archive (.pth, .keras, .npz)",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"\x1f\x8b": "a gzip archive",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
}


def check_contents(folder: Path) -> None:
    """Raises IntegrityError unless every file below `folder` is of a kind that is taken, and well formed."""
    for path in inspect_tree(folder):
        ending = path.suffix.lower()
        if ending not in KINDS:
            raise _refused(path, ending or "no ending")
        head = weights.head(path, 8)
        for magic, found in MAGIC.items():
            # External data is raw numbers, read as nothing else: any first bytes are possible.
            if ending != ".data" and head.startswith(magic):
                raise _refused(path, found)
        KINDS[ending](path)


def check_finite(folder: Path) -> None:
    """Raises IntegrityError where a weight in safetensors or ONNX below `folder` is infinite or not a number."""
    for path in inspect_tree(folder):
        if path.suffix == ".safetensors":
            weights.finite_safetensors(path)
        elif path.suffix == ".onnx":
            weights.finite_onnx(path)


def not_finite(value: Any) -> bool:
    """Whether a raw output, however nested, holds a number that is infinite or not a number."""
    import math

    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(not_finite(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(not_finite(item) for item in value)
    if hasattr(value, "dtype"):
        import numpy as np

        array = np.asarray(value)
        return array.dtype.kind in "fc" and not bool(np.isfinite(array).all())
    return False


def _refused(path: Path, found: str) -> IntegrityError:
    return IntegrityError("package-file-kind", at=Place(file=str(path)), found=found, allowed=sorted(KINDS))


def _check_json(path: Path) -> None:
    """JSON is data, except where a library would import what it names."""
    if path.stat().st_size > MAX_JSON_BYTES:
        raise weights.broken(path, f"larger than {MAX_JSON_BYTES} bytes")
    data = read_json(path)
    if path.name.endswith("config.json") and isinstance(data, dict):
        for name in ("auto_map", "module", "registered_name"):
            if data.get(name):
                raise IntegrityError("package-runs-code", at=Place(file=str(path)), key=name)


def _check_text(path: Path) -> None:
    try:
        with path.open(encoding="utf-8") as stream:
            while stream.read(weights.BLOCK_BYTES):
                pass
    except UnicodeDecodeError as error:
        raise weights.broken(path, "not UTF-8 text") from error


def _opaque(path: Path) -> None:
    """Checked by what refers to it."""


def _check_gguf(path: Path) -> None:
    if weights.head(path, 4) != b"GGUF":
        raise weights.broken(path, "not a GGUF file")


KINDS: dict[str, Callable[[Path], None]] = {
    ".safetensors": weights.check_safetensors,
    ".json": _check_json,
    ".txt": _check_text,
    ".onnx": weights.check_onnx,
    ".data": _opaque,
    ".gguf": _check_gguf,
}
