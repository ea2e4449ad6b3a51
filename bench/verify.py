"""How fast a signed release is verified: megabytes a second, beside plain SHA-256 and the stock library.

    python bench/verify.py [megabytes]

One release of the given size (default 100) in a temporary folder. `open_release` checks signature, manifest, record and
parity receipt; the first run is left out, since it also imports the signing library (stated apart).
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from breakeven.artifacts import write_json
from breakeven.packaging import release, signing
from breakeven.packaging.hardware import hardware
from breakeven.packaging.package import identity

ROUNDS = 7


def make(folder: Path, megabytes: int, key: Path) -> None:
    """A release whose weights are random bytes; enough for whoever checks it without loading it."""
    place = folder / release.MODEL / "reference"
    place.mkdir(parents=True)
    (place / "weights.safetensors").write_bytes(os.urandom(megabytes * 1_000_000))
    info: dict[str, Any] = {
        "format": 1, "task": "t", "task_version": 1, "candidate": "c", "model": "m", "model_version": 1, "settings": {},
        "facts": {}, "meters": [], "runtimes": {"reference": "reference", "chosen": "reference"}, "tolerance": 0.01,
        "calibration": {}, "limits": {}, "hardware": {}, "versions": {},
    }  # fmt: skip
    write_json(folder / release.MODEL / "package.json", info)
    package = identity(folder / release.MODEL)
    named = release.release_id("bench", package)
    record = {"id": named, "product": "bench", "task": "t", "package": package}
    parity = {"release": named, "package": package, "rows": 1, "agree": 1}
    release.complete(folder, record=record, parity=parity, card="# bench\n", key=key)


def median(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def stock(folder: Path, public: Path) -> None:
    from model_signing import verifying

    verifying.Config().use_elliptic_key_verifier(public_key=public).verify(folder, folder / signing.SIGNATURE)


def sha256(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                hashlib.file_digest(stream, "sha256")


def main(megabytes: int = 100) -> None:
    with tempfile.TemporaryDirectory() as area:
        folder, key = Path(area) / "release", Path(area) / "release.key"
        folder.mkdir()
        public = signing.make_key(key)
        started = time.perf_counter()
        make(folder, megabytes, key)
        made = time.perf_counter() - started
        started = time.perf_counter()
        release.open_release(folder, public)
        first = time.perf_counter() - started
        seconds = {
            "sha256_alone": median(lambda: sha256(folder)),
            "stock_verify": median(lambda: stock(folder, public)),
            "open_release": median(lambda: release.open_release(folder, public)),
        }
    print(json.dumps({
        "megabytes": megabytes, "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "open_release_mb_per_second": round(megabytes / seconds["open_release"]),
        "over_stock": round(seconds["open_release"] / seconds["stock_verify"], 3),
        "first_open_seconds": round(first, 3), "make_and_sign_seconds": round(made, 3), "rounds": ROUNDS,
        "hardware": hardware()["key"], "python": platform.python_version(),
    }))  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
