"""AdamW that keeps fp32 masters of a model that computes in bf16, so that small updates are not rounded away."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


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
            name: p if p.dtype == torch.float32 else nn.Parameter(start[name].to(p.device, torch.float32, copy=True))
            for name, p in named.items()
        }
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, master in self._masters.items():
            kind = (weight_decay if master.ndim > 1 else 0.0, (faster or {}).get(name, 1.0))
            groups.setdefault(kind, []).append(master)
        self._adam = torch.optim.AdamW(
            [{"params": part, "weight_decay": decay, "multiple": many} for (decay, many), part in groups.items()],
            lr=0.0,
            fused=True,
        )

    def step(self, rate: float, *, clip: float) -> float:
        """One update at this learning rate with gradients clipped to a norm; returns the norm before clipping."""
        for name, working in self._working.items():
            master = self._masters[name]
            if master is not working:
                master.grad = None if working.grad is None else working.grad.float()
                working.grad = None
        norm = float(nn.utils.clip_grad_norm_(list(self._masters.values()), clip))
        for group in self._adam.param_groups:
            group["lr"] = rate * group["multiple"]
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        self._publish()
        return norm

    def _publish(self) -> None:
        with torch.no_grad():
            for name, working in self._working.items():
                if self._masters[name] is not working:
                    working.copy_(self._masters[name])

    def weights(self) -> dict[str, Tensor]:
        """The fp32 masters by name; not copies."""
        return {name: master.detach() for name, master in self._masters.items()}

    def restore_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Sets masters and working parameters."""
        with torch.no_grad():
            for name, master in self._masters.items():
                master.copy_(weights[name])
        self._publish()

    def moments(self) -> dict[str, Tensor]:
        """Adam's state as flat named tensors, for a checkpoint."""
        found: dict[str, Tensor] = {}
        for name, master in self._masters.items():
            for key, value in self._adam.state.get(master, {}).items():
                found[f"{key}/{name}"] = value if isinstance(value, Tensor) else torch.tensor(float(value))
        return found

    def restore_moments(self, moments: Mapping[str, Tensor]) -> None:
        """The inverse of `moments`; an empty mapping forgets everything."""
        self._adam.state.clear()
        for key, value in moments.items():
            kind, _, name = key.partition("/")
            target = self._masters[name]
            self._adam.state[target][kind] = value.clone() if kind == "step" else value.to(target.device).clone()
