"""Packages and keys that several tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import packaging_toy
import pytest

from breakeven.packaging import release, signing
from breakeven.packaging.package import build, identity


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Builds a toy package with the given model settings; returns its folder."""

    def build_toy(name: str = "package", rows: int = 40, chain: Any = None, **settings: Any) -> Path:
        keywords = {key: settings.pop(key) for key in ("tolerance", "agreement", "allow_not_finite") if key in settings}
        build(
            packaging_toy.toy(**settings), trained=packaging_toy.trained(tmp_path / "trained"), folder=tmp_path / name,
            candidate="small", model_name="toy", facts={"classes": packaging_toy.CLASSES}, chain=chain,
            cases=packaging_toy.cases(rows), task=packaging_toy.ToyTask(), seconds=0.02, **keywords,
        )  # fmt: skip
        return tmp_path / name

    return build_toy


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "release.key"
    signing.make_key(path)
    return path


@pytest.fixture
def make_release(tmp_path: Path, make: Callable[..., Path], key: Path) -> Callable[..., Path]:
    """Builds a signed release folder."""

    def assemble(name: str = "release", **settings: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        package = make(f"package-{name}", **settings)
        digest = release.copy_package(package, folder)
        assert digest == identity(package)
        named = release.release_id("toy", digest)
        record = {"id": named, "product": "toy", "task": "packaging_toy:ToyTask", "package": digest}
        parity = {"release": named, "package": digest, "rows": 8, "agree": 8}
        release.complete(folder, record=record, parity=parity, card="# toy\n", key=key)
        return folder

    return assemble
