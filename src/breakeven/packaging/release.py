"""A release: a package with its record, model card, parity receipt, manifest and signature, in one folder.

`open_release` checks all of them before anything is loaded. A release is a folder and never an archive; what it answers
with is in `model/`, and which answer the probabilities mean is in the signed decision beside it (`decisions.py`).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import hash_tree, read_json, write_atomic, write_json
from breakeven.errors import Busy, EnvironmentFault, IntegrityError, Place
from breakeven.packaging.opened import PACKAGE, Package, open_package, read_info
from breakeven.packaging.package import identity
from breakeven.packaging.recheck import CHECK
from breakeven.packaging.signing import SIGNATURE, inspect_tree, sign, verify

if TYPE_CHECKING:
    from breakeven.task import Task

FORMAT = 1
MODEL = "model"
RELEASE = "release.json"
CARD = "MODEL_CARD.md"
PARITY = "parity.json"
MANIFEST = "manifest.json"
PARTS = {MODEL, RELEASE, CARD, PARITY, MANIFEST, SIGNATURE}
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}-[0-9a-f]{12}")


def release_id(product: str, package: str) -> str:
    """`<product>-<12 hex>` of a package's identity: the same package of a product is the same release."""
    return f"{product}-{package[:12]}"


def copy_package(package: Path, folder: Path) -> str:
    """Copies what a package answers with to `folder/model` (never links); returns its identity."""
    inspect_tree(package)
    info = read_info(package)
    place = folder / MODEL
    try:
        place.mkdir(parents=True)
        for name in {info["runtimes"]["reference"], info["runtimes"]["chosen"]}:
            shutil.copytree(package / name, place / name, copy_function=shutil.copyfile)
        for name in (PACKAGE, CHECK):
            if (package / name).is_file():
                shutil.copyfile(package / name, place / name)
    except (OSError, shutil.Error) as error:
        reason = getattr(error, "strerror", None) or "copying failed"
        raise EnvironmentFault("file-unwritable", at=Place(file=str(place)), reason=reason) from error
    return identity(place)


def complete(folder: Path, *, record: Mapping[str, Any], parity: Mapping[str, Any], card: str, key: Path) -> None:
    """Writes record, receipt, card, manifest and signature beside `folder/model`. `folder` is scratch."""
    write_json(folder / RELEASE, {"format": FORMAT, **record})
    write_json(folder / PARITY, {"format": FORMAT, **parity})
    write_atomic(folder / CARD, card)
    files = hash_tree(folder, leave_out=(MANIFEST, SIGNATURE))
    write_json(folder / MANIFEST, {"format": FORMAT, "files": files})
    sign(folder, key)


def publish(scratch: Path, place: Path) -> None:
    """Renames a finished folder to its final place. What is already there is never replaced: the later one is Busy."""
    try:
        os.chmod(scratch, 0o755)  # noqa: S103  a temporary folder is made 0700, a release may be read
        place.parent.mkdir(parents=True, exist_ok=True)
        os.rename(scratch, place)
    except OSError as error:
        if place.exists():
            raise Busy("release-taken", at=Place(file=str(place)), name=place.name) from error
        reason = error.strerror or str(error)
        raise EnvironmentFault("file-unwritable", at=Place(file=str(place)), reason=reason) from error


@dataclass(frozen=True)
class Release:
    """A verified release; nothing of it is loaded yet."""

    folder: Path
    id: str
    info: dict[str, Any]
    parity: dict[str, Any]
    package: str

    @property
    def model(self) -> Path:
        """The package folder."""
        return self.folder / MODEL

    def open(self, *, runtime: str | None = None, threads: int = 1, task: Task | None = None) -> Package:
        """Loads the package."""
        return open_package(self.model, runtime=runtime, threads=threads, task=task)


def open_release(folder: Path, trust: Path) -> Release:
    """Checks signature, manifest, record and parity receipt of a release against the public key `trust`.

    Every failure is an IntegrityError (exit 4), or a UsageError for a key that is no key; nothing has been loaded then.
    """
    digests = verify(folder, trust)
    present = {name.split("/")[0] for name in digests} | {SIGNATURE}
    for name in sorted(present ^ PARTS):
        code = "artifact-missing-file" if name in PARTS else "artifact-extra-file"
        raise IntegrityError(code, at=Place(file=str(folder / name)))
    _check_manifest(folder, digests)
    info = read_part(folder / RELEASE, ("id", "package", "product", "task"))
    parity = read_part(folder / PARITY, ("release", "package"))
    inside = {name.removeprefix(f"{MODEL}/"): value for name, value in digests.items() if name.startswith(f"{MODEL}/")}
    package = identity(folder / MODEL, digests=inside)
    if info["package"] != package:
        raise IntegrityError("release-other-package", at=Place(file=str(folder / RELEASE)))
    _check_parity(folder / PARITY, parity, info)
    return Release(folder, str(info["id"]), info, parity, package)


def read_part(path: Path, texts: tuple[str, ...]) -> dict[str, Any]:
    """A JSON part of a release with its format checked; `texts` names the fields that must be text."""
    data = read_json(path)
    found = data.get("format") if isinstance(data, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise IntegrityError("format-newer", at=Place(file=str(path)), found=found, known=FORMAT)
    if found != FORMAT:
        raise IntegrityError("release-shape", at=Place(file=str(path)), part="format")
    for name in texts:
        if not isinstance(data.get(name), str):
            raise IntegrityError("release-shape", at=Place(file=str(path)), part=name)
    return dict(data)


def _check_manifest(folder: Path, digests: Mapping[str, str]) -> None:
    """The manifest must say of every file what the signature says of it: they are read by different people."""
    path = folder / MANIFEST
    files = read_part(path, ()).get("files")
    if not isinstance(files, dict) or not all(isinstance(entry, dict) for entry in files.values()):
        raise IntegrityError("release-shape", at=Place(file=str(path)), part="files")
    signed = {name: value for name, value in digests.items() if name != MANIFEST}
    for name in sorted(set(files) ^ set(signed)):
        code = "artifact-missing-file" if name in files else "artifact-extra-file"
        raise IntegrityError(code, at=Place(file=str(folder / name)))
    for name, digest in signed.items():
        if files[name].get("sha256") != digest:
            raise IntegrityError("artifact-changed-file", at=Place(file=str(folder / name)))


def _check_parity(path: Path, parity: Mapping[str, Any], info: Mapping[str, Any]) -> None:
    rows, agree = parity.get("rows"), parity.get("agree")
    same = parity["package"] == info["package"] and parity["release"] == info["id"]
    if not same or not isinstance(rows, int) or rows < 1 or agree != rows:
        raise IntegrityError("parity-missing", at=Place(file=str(path)), rows=rows, agree=agree)
