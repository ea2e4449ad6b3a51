"""The folder of a trained or packaged text encoder: Hugging Face files, a head, and `encoder.json` that explains them.

Imported only inside functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from breakeven.artifacts import read_json, write_atomic, write_json
from breakeven.errors import EnvironmentFault, IntegrityError, Place

FORMAT = 1
ABOUT, HEAD, MODEL = "encoder.json", "head.safetensors", "model.safetensors"


@dataclass(frozen=True)
class About:
    """What stands in encoder.json: how a text becomes a vector and a vector becomes probabilities."""

    classes: list[str]
    max_length: int
    prefix: str
    pooling: str = "mean"
    format: int = FORMAT

    @classmethod
    def read(cls, folder: Path) -> About:
        """The record of a folder; one of a newer program is refused."""
        data = read_json(folder / ABOUT)
        if data.get("format", 0) > FORMAT:
            raise IntegrityError("format-newer", at=Place(file=str(folder / ABOUT)), found=data["format"], known=FORMAT)
        return cls(**{name: data[name] for name in cls.__dataclass_fields__})


def write(folder: Path, about: About, encoder: nn.Module, head: Mapping[str, Tensor], *, base: Path) -> None:
    """A trained folder in fp32; `base` gives config and tokenizer."""
    for name in ("config.json", "tokenizer.json"):
        write_atomic(folder / name, (base / name).read_bytes())
    write_json(folder / ABOUT, asdict(about))
    write_tensors(folder / MODEL, encoder.state_dict())
    write_tensors(folder / HEAD, dict(head))


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """A safetensors file; values that are not finite are refused."""
    broken = [name for name, value in tensors.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if broken:
        raise IntegrityError("weights-not-finite", at=Place(file=str(path)), names=broken[:3])
    try:
        save_file({name: value.contiguous() for name, value in tensors.items()}, path, metadata={"format": "pt"})
    except OSError as error:
        raise EnvironmentFault("file-unwritable", at=Place(file=str(path)), reason=str(error)) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of ours."""
    try:
        found: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise IntegrityError("artifact-broken", at=Place(file=str(path)), reason=str(error)) from error
    return found


def read_head(folder: Path, about: About) -> nn.Linear:
    """The linear head; its sizes must fit the classes."""
    tensors = read_tensors(folder / HEAD)
    weight, bias = tensors.get("weight"), tensors.get("bias")
    if weight is None or bias is None or weight.shape[0] != len(about.classes) or bias.shape != weight.shape[:1]:
        raise IntegrityError("model-file-wrong", at=Place(file=str(folder / HEAD)), found="a head of other sizes")
    head = nn.Linear(weight.shape[1], weight.shape[0])
    head.load_state_dict({"weight": weight, "bias": bias})
    return head


def config_of(folder: Path) -> dict[str, Any]:
    """config.json as a mapping."""
    found: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return found
