"""Checkpoints that survive a kill at any moment: safetensors and JSON, hashed, written aside and renamed once.

The newest one that verifies is used; order is by step, never by the clock. Nothing corrupt is ever deleted here.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import canonical, file_hash, fingerprint, read_json, write_json
from breakeven.errors import EnvironmentFault, IntegrityError, Place

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
PREFIX = "step-"
TENSORS, FACTS = "state.safetensors", "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: its step, its tensors and its facts."""

    step: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run in one folder; keeps the newest two."""

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        self.folder, self.keep = folder, keep

    def save(self, step: int, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Writes a whole checkpoint or none, then removes older ones."""
        from safetensors.torch import save_file

        aside = self.folder / f".{PREFIX}{step:09d}.{os.getpid()}"
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            save_file({name: value.contiguous() for name, value in tensors.items()}, aside / TENSORS)
            _sync(aside / TENSORS)
            body = {"format": FORMAT, "step": step, "tensors": file_hash(aside / TENSORS), "facts": facts}
            write_json(aside / FACTS, {**body, "digest": fingerprint(body)})
            place = self.folder / f"{PREFIX}{step:09d}"
            shutil.rmtree(place, ignore_errors=True)
            os.rename(aside, place)
            _sync(self.folder)
        except OSError as error:
            raise EnvironmentFault(
                "file-unwritable", at=Place(file=str(self.folder)), reason=error.strerror or str(error)
            ) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        for old in self.steps()[: -self.keep]:
            shutil.rmtree(self.folder / f"{PREFIX}{old:09d}", ignore_errors=True)

    def steps(self) -> list[int]:
        """Steps with a finished checkpoint folder, ascending; what a killed save left aside is not among them."""
        found = []
        for path in self.folder.glob(f"{PREFIX}*"):
            with contextlib.suppress(ValueError):
                found.append(int(path.name.removeprefix(PREFIX)))
        return sorted(found)

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that verifies, None where there are none; IntegrityError where all are corrupt."""
        reasons = []
        for step in reversed(self.steps()):
            try:
                return self._read(step)
            except (IntegrityError, EnvironmentFault) as error:
                reasons.append(str(error))
        if reasons:
            raise IntegrityError(
                "checkpoints-corrupt", at=Place(file=str(self.folder)), count=len(reasons), reason=reasons[0]
            )
        return None

    def _read(self, step: int) -> Checkpoint:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        place = self.folder / f"{PREFIX}{step:09d}"
        data = read_json(place / FACTS)
        digest = data.pop("digest", None) if isinstance(data, dict) else None
        if digest != fingerprint(data) or data["format"] > FORMAT or data["step"] != step:
            raise IntegrityError("artifact-changed-file", at=Place(file=str(place / FACTS)))
        if file_hash(place / TENSORS) != data["tensors"]:
            raise IntegrityError("artifact-changed-file", at=Place(file=str(place / TENSORS)))
        try:
            return Checkpoint(step, load_file(place / TENSORS), json.loads(canonical(data["facts"])))
        except SafetensorError as error:
            raise IntegrityError("artifact-broken", at=Place(file=str(place / TENSORS)), reason=str(error)) from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
