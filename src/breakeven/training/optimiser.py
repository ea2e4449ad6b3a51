"""AdamW that keeps fp32 masters of a model that computes in bf16, so that small updates are not rounded away.

On a CPU every large parameter is updated alone, from its gradient to its working copy, while it lies in the cache.
Imported only inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

BETAS, EPS = (0.9, 0.999), 1e-8
SMALL = 65_536  # values; smaller parameters share a call


class MasterAdamW:
    """AdamW over named parameters of any float type; norms and biases are not decayed."""

    def __init__(
        self,
        named: Mapping[str, nn.Parameter],
        start: Mapping[str, Tensor],
        *,
        weight_decay: float,
        faster: Mapping[str, float] | None = None,
    ) -> None:
        """`start`: the fp32 values to begin with; working parameters in fp32 are their own masters.

        `faster`: parameters that learn at a multiple of the rate, such as a head that begins at zero.
        """
        self._working = dict(named)
        self._masters = {
            name: p.detach() if p.dtype == torch.float32 else start[name].to(p.device, torch.float32, copy=True)
            for name, p in named.items()
        }
        self._kinds = {
            name: (weight_decay if p.ndim > 1 else 0.0, (faster or {}).get(name, 1.0)) for name, p in named.items()
        }
        self._state: dict[str, dict[str, Tensor]] = {}
        large = [p.numel() for p in named.values() if p.dtype != torch.float32 and p.device.type == "cpu"]
        self._room = torch.empty(max(large, default=0))

    def step(self, rate: float, *, clip: float) -> float:
        """One update at this learning rate with gradients clipped to a norm; returns the norm before clipping."""
        gradients = {name: p.grad for name, p in self._working.items() if p.grad is not None}
        norm = torch.linalg.vector_norm(
            torch.stack(torch._foreach_norm(list(gradients.values()), 2, dtype=torch.float32))
        )
        for names in self._pieces(gradients):
            self._update(names, gradients, rate, (norm / clip).clamp(min=1.0))
        for p in self._working.values():
            p.grad = None
        return float(norm)

    def _pieces(self, gradients: Mapping[str, Tensor]) -> list[list[str]]:
        """Names that are updated together: of one decay and rate, large ones alone on a CPU."""
        found: dict[object, list[str]] = {}
        for name, value in gradients.items():
            alone = value.device.type == "cpu" and value.numel() >= SMALL
            found.setdefault(name if alone else self._kinds[name], []).append(name)
        return list(found.values())

    def _update(self, names: list[str], gradients: Mapping[str, Tensor], rate: float, scale: Tensor) -> None:
        decay, many = self._kinds[names[0]]
        states = [self._of(name) for name in names]
        masters = [self._masters[name] for name in names]
        adamw(
            masters,
            [self._float(gradients[name], alone=len(names) == 1) for name in names],
            [one["exp_avg"] for one in states],
            [one["exp_avg_sq"] for one in states],
            [],
            [one["step"] for one in states],
            fused=True,
            grad_scale=scale,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=rate * many,
            weight_decay=decay,
            eps=EPS,
            maximize=False,
        )
        self._publish(names)

    def _float(self, gradient: Tensor, *, alone: bool) -> Tensor:
        if gradient.dtype == torch.float32 or not alone or not len(self._room):
            return gradient.float()
        return self._room[: gradient.numel()].view_as(gradient).copy_(gradient)

    def _of(self, name: str) -> dict[str, Tensor]:
        if name not in self._state:
            master = self._masters[name]
            self._state[name] = {
                "exp_avg": torch.zeros_like(master),
                "exp_avg_sq": torch.zeros_like(master),
                "step": torch.zeros((), device=master.device),
            }
        return self._state[name]

    def _publish(self, names: list[str]) -> None:
        with torch.no_grad():
            for name in names:
                if self._working[name].dtype != torch.float32:
                    self._working[name].copy_(self._masters[name])

    def weights(self) -> dict[str, Tensor]:
        """The fp32 masters by name; not copies."""
        return dict(self._masters)

    def restore_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Sets masters and working parameters."""
        for name, master in self._masters.items():
            master.copy_(weights[name])
        self._publish(list(self._masters))

    def moments(self) -> dict[str, Tensor]:
        """Adam's state as flat named tensors, for a checkpoint."""
        return {f"{key}/{name}": value for name, state in self._state.items() for key, value in state.items()}

    def restore_moments(self, moments: Mapping[str, Tensor]) -> None:
        """The inverse of `moments`; an empty mapping forgets everything."""
        self._state.clear()
        for key, value in moments.items():
            kind, _, name = key.partition("/")
            self._state.setdefault(name, {})[kind] = value.to(self._masters[name].device, copy=True)
