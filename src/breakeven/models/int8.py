"""Linear layers of a model that only answers, in 8 bits on a CPU: weights with a scale an output, inputs with a scale
and a zero point a row.

A row's scale comes from that row alone, so no answer depends on its company: with one scale over the batch, as dynamic
quantization has it elsewhere, it would. Weights are rounded when the model is loaded. Imported only inside functions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from breakeven.errors import EnvironmentFault

KERNELS = ("qlinear_prepack", "qlinear_pointwise")
LEVELS, MOST = 254.0, 127.0  # one level less than there are: rounding up then never leaves the byte
LEAST = 1e-12  # of a scale: a row of zeros stays zeros
INSTRUCTIONS = {"AVX-512 VNNI": "_is_vnni_supported", "AMX": "_is_amx_tile_supported"}  # torch.cpu's own questions


def able() -> bool:
    """Whether this build of torch has the kernels and this CPU the instructions that make them worth trying."""
    known = torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.onednn, name) for name in KERNELS)
    return known and any(getattr(torch.cpu, asked, bool)() for asked in INSTRUCTIONS.values())


class Int8Linear(nn.Module):  # type: ignore[misc]
    """A linear layer for inference, fp32 in and out; products in 8 bits are summed exactly in 32."""

    dtype = torch.float32

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        self.scale = weight.abs().amax(1).clamp_(min=LEAST) / MOST
        rounded = torch.round(weight / self.scale[:, None]).to(torch.int8)
        self.weight = torch.ops.onednn.qlinear_prepack(rounded, None)
        self.zero = torch.zeros(len(rounded), dtype=torch.long)
        self.sums = rounded.sum(1, dtype=torch.float32) * self.scale
        self.bias = linear.bias.detach().float()

    def forward(self, hidden: Tensor) -> Tensor:
        """[rows, outputs] from [rows, inputs]."""
        low, high = torch.aminmax(hidden, dim=1, keepdim=True)
        low.clamp_(max=0.0)
        step = ((high.clamp_(min=0.0) - low) / LEVELS).clamp_(min=LEAST)
        zero = torch.round(-low / step)
        levels = torch.addcmul(zero + 0.5, hidden, 1.0 / step).to(torch.uint8)
        products = torch.ops.onednn.qlinear_pointwise(
            levels, 1.0, 0, self.weight, self.scale, self.zero, None, 1.0, 0, torch.float32, "none", [], "none"
        )
        # What the zero points added to every product is taken off again.
        shift = torch.addcmul(self.bias, zero * step, self.sums, value=-1.0)
        answer: Tensor = torch.addcmul(shift, products, step)
        return answer


def quantise(model: nn.Module) -> None:
    """Replaces every linear layer; EnvironmentFault where this machine or build cannot do it well."""
    if not able():
        raise EnvironmentFault("runtime-no-kernels", runtime="int8", needed=list(INSTRUCTIONS))
    for parent in list(model.modules()):
        for name, part in list(parent.named_children()):
            if type(part) is nn.Linear:
                setattr(parent, name, Int8Linear(part))
