"""Attention while training: one grid of texts a batch, in few shapes, with its own backward pass.

Kernels are compiled for every shape of matrix that they meet. So the texts of a batch are laid on a grid whose sides
are rounded up; the padding is seen by attention alone and masked there. Imported only inside functions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

MASKED = -30_000.0  # added to a score: its share is then zero, and a row of nothing but masks is still finite
LENGTH_STEP = 8  # tokens by which the rows of a grid grow
TOKENS_STEP = 32  # tokens by which a batch grows


@dataclass(frozen=True)
class Grid:
    """Where the tokens of a batch stand on a grid of texts x length.

    `cell` [tokens of texts]: a token's cell. `token` [cells]: a cell's token, 0 where it is `padding` [texts, length].
    `mask` [texts, 1, 1, length] is added to scores.
    """

    texts: int
    length: int
    cell: Tensor
    token: Tensor
    padding: Tensor
    mask: Tensor

    def to(self, device: torch.device) -> Grid:
        """The same grid on another device."""
        parts = {name: getattr(self, name).to(device) for name in ("cell", "token", "padding", "mask")}
        return replace(self, **parts)


def grid(groups: tuple[tuple[int, int], ...]) -> Grid:
    """The grid of texts that lie end to end, given as (texts, length) in order."""
    lengths = torch.tensor([length for count, length in groups for _ in range(count)])
    texts, length = _more_texts(len(lengths)), up(int(lengths.max()), LENGTH_STEP)
    padding = torch.ones(texts, length, dtype=torch.bool)
    padding[: len(lengths)] = torch.arange(length) >= lengths[:, None]
    cell = padding.view(-1).logical_not().nonzero()[:, 0]
    token = torch.zeros(texts * length, dtype=torch.long)
    token[cell] = torch.arange(len(cell))
    mask = torch.zeros(texts, 1, 1, length).masked_fill_(padding[:, None, None], MASKED)
    return Grid(texts, length, cell, token, padding, mask)


def up(number: int, step: int) -> int:
    """The next multiple."""
    return -(-number // step) * step


def _more_texts(texts: int) -> int:
    step = 1 if texts <= 8 else 2 if texts <= 16 else 4 if texts <= 32 else 8
    return up(texts, step)


class GridAttention(torch.autograd.Function):  # type: ignore[misc]
    """(query, key and value side by side [tokens, 3 x size], grid, heads) -> [tokens, size]; texts see themselves only.

    Between products in the type of the input, scores and shares are fp32: on a CPU faster than bf16, and more exact.
    """

    @staticmethod
    def forward(context: Any, merged: Tensor, where: Grid, heads: int) -> Tensor:
        """Tokens that belong to no text get zeros."""
        query, key, value = _spread(merged, where, heads, 3)
        scores = torch.bmm(query, key.transpose(1, 2)).float().view(where.texts, heads, where.length, where.length)
        scores = torch.add(where.mask, scores, alpha=query.shape[-1] ** -0.5)
        shares = torch.softmax(scores, -1).to(query.dtype).view(-1, where.length, where.length)
        context.save_for_backward(query, key, value, shares)
        context.where, context.heads, context.tokens = where, heads, len(merged)
        return _gather(torch.bmm(shares, value)[None], where, heads, len(merged))

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """The gradient of `merged`."""
        query, key, value, shares = context.saved_tensors
        where, heads = context.where, context.heads
        (gradient,) = _spread(gradient, where, heads, 1, clear=True)
        exact, change = shares.float(), torch.bmm(gradient, value.transpose(1, 2)).float()
        change = change.sub_((exact * change).sum(-1, keepdim=True)).mul_(exact).mul_(query.shape[-1] ** -0.5)
        scores, found = change.to(query.dtype), query.new_empty(3, *query.shape)
        torch.bmm(scores, key, out=found[0])
        torch.bmm(scores.transpose(1, 2), query, out=found[1])
        torch.bmm(shares.transpose(1, 2), gradient, out=found[2])
        return _gather(found, where, heads, context.tokens), None, None


def _spread(packed: Tensor, where: Grid, heads: int, parts: int, *, clear: bool = False) -> Tensor:
    """[parts, texts x heads, length, size of a head] from [tokens, parts x size]; `clear`: padding becomes zero."""
    wide = packed.index_select(0, where.token).view(where.texts, where.length, parts, heads, -1)
    if clear:
        wide.masked_fill_(where.padding[:, :, None, None, None], 0)
    return wide.permute(2, 0, 3, 1, 4).reshape(parts, where.texts * heads, where.length, -1)


def _gather(wide: Tensor, where: Grid, heads: int, tokens: int) -> Tensor:
    """The inverse of `_spread`; tokens that belong to no text get zeros."""
    parts, size = wide.shape[0], wide.shape[-1]
    cells = wide.view(parts, where.texts, heads, where.length, size).permute(1, 3, 0, 2, 4)
    cells = cells.reshape(where.texts * where.length, -1)
    packed = cells.new_zeros(tokens, cells.shape[1])
    torch.index_select(cells, 0, where.cell, out=packed[: len(where.cell)])
    return packed
