"""Where and in which float type a model computes: decided by asking the machine, not by its name."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

WORTH = 1.1  # bf16 must be this much faster than fp32 to be taken on a CPU


def device() -> torch.device:
    """The accelerator where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose(wanted: bool | None, where: torch.device, attempt: Callable[[torch.dtype], None]) -> tuple[torch.dtype, str]:
    """(float type, why). `wanted`: True or False as declared, None to measure `attempt` in both."""
    if wanted is not None:
        return (torch.bfloat16 if wanted else torch.float32), "declared"
    if where.type == "cuda":
        fits = torch.cuda.is_bf16_supported()
        return (torch.bfloat16 if fits else torch.float32), "supported by the GPU" if fits else "no bf16 on this GPU"
    seconds = _times(attempt, (torch.float32, torch.bfloat16))
    faster = seconds[torch.float32] / seconds[torch.bfloat16]
    return (torch.bfloat16 if faster >= WORTH else torch.float32), f"bf16 measured {faster:.2f} times as fast as fp32"


def _times(attempt: Callable[[torch.dtype], None], kinds: tuple[torch.dtype, ...]) -> dict[torch.dtype, float]:
    """The shorter of two interleaved attempts each: a neighbour's load then disturbs both kinds alike."""
    found = dict.fromkeys(kinds, float("inf"))
    for number in range(3):
        for kind in kinds:
            started = time.perf_counter()
            attempt(kind)
            if number:  # the first round loads kernels
                found[kind] = min(found[kind], time.perf_counter() - started)
    return found
