"""A softmax layer on fixed vectors, fitted exactly (L-BFGS) at several strengths; validation rows choose.

Imported only inside functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from breakeven.training.scores import classification

STRENGTHS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 1e-4)  # L2 penalty, strong to weak, each started from the former


@dataclass(frozen=True)
class Head:
    """logits = vectors @ weight.T + bias; weight [classes, size] and bias [classes] in fp32."""

    weight: Tensor
    bias: Tensor
    history: list[dict[str, Any]]
    best: dict[str, Any]


def fit(
    vectors: Tensor,
    truths: Tensor,
    held_out: tuple[Tensor, Tensor],
    classes: int,
    *,
    progress: Callable[[int, int, float], None],
) -> Head:
    """Stops weakening the penalty once validation log loss has risen twice; vectors [n, size], truths [n]."""
    centre, spread = vectors.double().mean(0), vectors.double().std(0, correction=0).clamp_min(1e-8)
    inputs, unseen = (vectors.double() - centre) / spread, (held_out[0].double() - centre) / spread
    weight = torch.zeros(classes, inputs.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    history: list[dict[str, Any]] = []
    kept = (weight.detach().clone(), bias.detach().clone())
    for done, strength in enumerate(STRENGTHS):
        _minimise(inputs, truths, weight, bias, strength)
        with torch.no_grad():
            probabilities = torch.softmax(unseen @ weight.T + bias, 1)
        history.append({"strength": strength, **classification(probabilities.numpy(), held_out[1].numpy())})
        losses = [item["log_loss"] for item in history]
        if losses[-1] == min(losses):
            kept = (weight.detach().clone(), bias.detach().clone())
        progress(done + 1, len(STRENGTHS), losses[-1])
        if len(losses) - losses.index(min(losses)) > 2:
            break
    scaled = kept[0] / spread
    best = min(history, key=lambda item: float(item["log_loss"]))
    return Head(scaled.float(), (kept[1] - scaled @ centre).float(), history, best)


def _minimise(inputs: Tensor, truths: Tensor, weight: Tensor, bias: Tensor, strength: float) -> None:
    solver = torch.optim.LBFGS([weight, bias], max_iter=60, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        loss = functional.cross_entropy(inputs @ weight.T + bias, truths) + 0.5 * strength * weight.square().sum()
        loss.backward()
        return loss

    solver.step(closure)
