"""Low-rank adaptation: two thin matrices beside a frozen linear layer, added into it before packaging.

Imported only inside functions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from breakeven.errors import ConfigError


class LoraLinear(nn.Module):  # type: ignore[misc]
    """A frozen linear layer plus `up @ down`, scaled; `up` starts at zero, so training starts from the base model."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.empty(rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)
        self.scale, self.dropout = alpha / rank, nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """The base layer's answer and the low-rank correction."""
        change: Tensor = self.dropout(hidden) @ self.down.T @ self.up.T
        answer: Tensor = self.base(hidden) + change * self.scale
        return answer


def adapt(model: nn.Module, targets: Sequence[str], *, rank: int, alpha: float, dropout: float) -> None:
    """Freezes a model and puts adapters at every linear layer whose last name is a target."""
    model.requires_grad_(False)
    chosen = [
        (parent, name)
        for parent in model.modules()
        for name, part in parent.named_children()
        if isinstance(part, nn.Linear) and name in targets
    ]
    if not chosen:
        known = sorted({name.split(".")[-1] for name, part in model.named_modules() if isinstance(part, nn.Linear)})
        raise ConfigError("lora-no-target", targets=list(targets), known=known)
    for parent, name in chosen:
        setattr(parent, name, LoraLinear(getattr(parent, name), rank, alpha, dropout))


def merge(model: nn.Module) -> None:
    """Adds every adapter into its layer and removes it; the model then has its original shape."""
    for parent in list(model.modules()):
        for name, part in list(parent.named_children()):
            if isinstance(part, LoraLinear):
                with torch.no_grad():
                    part.base.weight += (part.scale * part.up @ part.down).to(part.base.weight.dtype)
                setattr(parent, name, part.base)
