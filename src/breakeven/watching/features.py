"""What drift compares: numbers and kinds of inputs and outputs, and where texts lie among each other, without texts."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

DIMENSIONS = 256
_SCRIPTS = {
    "latin": re.compile("[A-Za-z\u00c0-\u024f]"),
    "han": re.compile("[\u3400-\u9fff]"),
    "kana": re.compile("[\u3040-\u30ff]"),
    "hangul": re.compile("[\uac00-\ud7af]"),
    "cyrillic": re.compile("[\u0400-\u04ff]"),
    "arabic": re.compile("[\u0600-\u06ff]"),
    "digits": re.compile("[0-9]"),
}
_PRIMES = np.array([1_000_003, 998_244_353, 2_147_483_647], dtype=np.uint64)


@dataclass(frozen=True)
class Features:
    """Columns of some rows. `numbers` and `kinds`: one value a row; `places`: (rows, DIMENSIONS), unit length.

    A column is empty where the rows have nothing of it.
    """

    rows: int
    numbers: dict[str, Array] = field(default_factory=dict)
    kinds: dict[str, Array] = field(default_factory=dict)
    places: Array = field(default_factory=lambda: np.zeros((0, DIMENSIONS), np.float32))

    def as_bytes(self) -> bytes:
        """The columns as an uncompressed npz."""
        held = io.BytesIO()
        parts = {f"n:{name}": values for name, values in self.numbers.items()}
        parts |= {f"k:{name}": values for name, values in self.kinds.items()}
        np.savez(held, allow_pickle=False, rows=np.array(self.rows), places=self.places, **parts)
        return held.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Features:
        """The inverse of `as_bytes`; ValueError, KeyError or OSError where it is none."""
        with np.load(io.BytesIO(data), allow_pickle=False) as read:
            parts = {name: read[name] for name in read.files}
        return cls(
            int(parts["rows"]),
            {name[2:]: values for name, values in parts.items() if name.startswith("n:")},
            {name[2:]: values for name, values in parts.items() if name.startswith("k:")},
            parts["places"],
        )


def describe(inputs: Sequence[Any], outputs: Sequence[Any]) -> Features:
    """The columns of cases: of texts their length, script and place; of outputs the label and its probability."""
    texts = [item for item in inputs if isinstance(item, str)]
    numbers, kinds = {}, {}
    if texts:
        numbers["length"] = np.array([len(text) for text in texts], float)
        kinds["script"] = np.array([script(text) for text in texts])
    given = [output for output in outputs if isinstance(output, Mapping) and "label" in output]
    if given:
        kinds["label"] = np.array([str(output["label"])[:200] for output in given])
        scores = [output["probability"] for output in given if isinstance(output.get("probability"), (int, float))]
        if scores:
            numbers["probability"] = np.array(scores, float)
    return Features(len(outputs), numbers, kinds, places(texts))


def script(text: str) -> str:
    """The script that most characters of a text are of: latin, han, cyrillic ..., else other."""
    found = {name: len(pattern.findall(text)) for name, pattern in _SCRIPTS.items()}
    best = max(found, key=lambda name: found[name])
    return best if found[best] else "other"


def places(texts: Sequence[str]) -> Array:
    """A row a text: its triples of characters, hashed with signs into DIMENSIONS numbers of length one together."""
    rows = np.zeros((len(texts), DIMENSIONS), np.float32)
    for row, text in zip(rows, texts, strict=True):
        codes = np.frombuffer(f" {text.lower()} ".encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
        if len(codes) < 3:
            continue
        mixed = codes[:-2] * _PRIMES[0] + codes[1:-1] * _PRIMES[1] + codes[2:] * _PRIMES[2]
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(32)
        signs = 1.0 - 2.0 * (mixed & np.uint64(1)).astype(float)
        row += np.bincount(((mixed >> np.uint64(1)) % DIMENSIONS).astype(np.int64), signs, DIMENSIONS)
        row /= max(float(np.linalg.norm(row)), 1e-9)
    return rows
