"""BERT without padding, for training and serving alike: all tokens of a batch lie end to end.

Linear layers see one long matrix. An answer's attention runs once a group of texts of equal length, so nothing is
masked and no answer depends on its company; a training step's runs on a grid. Parameters carry the names of the
transformers library, so its files are read and written as they are. Covers BERT, RoBERTa and XLM-RoBERTa with absolute
positions. Imported only inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from breakeven.artifacts import read_json
from breakeven.errors import IntegrityError, Place
from breakeven.models import int8, prepacked
from breakeven.models.attention import TOKENS_STEP, Grid, GridAttention, grid, up
from breakeven.models.dropout import FastDropout

FAMILIES = {"bert": 0, "roberta": 1, "xlm-roberta": 1, "camembert": 1}


def covers(config: Mapping[str, Any]) -> bool:
    """Whether a Hugging Face config describes a model that this module computes exactly."""
    return (
        config.get("model_type") in FAMILIES
        and config.get("position_embedding_type", "absolute") == "absolute"
        and config.get("hidden_act", "gelu") == "gelu"
        and not config.get("is_decoder", False)
    )


@dataclass(frozen=True)
class Packed:
    """Texts end to end, the shortest first: `ids` and `positions` [tokens], `groups` of (texts, length) in order.

    `order[i]` is the place in the caller's list of the i-th text here. `grid`: for a training step; then tokens that
    belong to no text may follow the last one.
    """

    ids: Tensor
    positions: Tensor
    groups: tuple[tuple[int, int], ...]
    order: Tensor
    grid: Grid | None = None

    def to(self, device: torch.device) -> Packed:
        """The same texts on another device."""
        where = None if self.grid is None else self.grid.to(device)
        return Packed(self.ids.to(device), self.positions.to(device), self.groups, self.order.to(device), where)


def pack(sequences: list[list[int]]) -> Packed:
    """Token ids of several texts, none empty, as one batch."""
    order = sorted(range(len(sequences)), key=lambda place: len(sequences[place]))
    groups: list[tuple[int, int]] = []
    for place in order:
        length = len(sequences[place])
        if groups and groups[-1][1] == length:
            groups[-1] = (groups[-1][0] + 1, length)
        else:
            groups.append((1, length))
    ids = torch.tensor([token for place in order for token in sequences[place]], dtype=torch.long)
    positions = torch.cat([torch.arange(length).repeat(count) for count, length in groups])
    return Packed(ids, positions, tuple(groups), torch.tensor(order))


def pack_to_answer(sequences: list[list[int]]) -> Packed:
    """As `pack`, rounded up by tokens of no text to one of few sizes.

    oneDNN compiles a kernel for every size that is new, 3 to 4 ms a batch, and keeps only so many.
    """
    batch = pack(sequences)
    tokens = len(batch.ids)
    more = up(tokens, 8 if tokens <= 64 else 16 if tokens <= 256 else 32) - tokens
    ids, positions = functional.pad(batch.ids, (0, more)), functional.pad(batch.positions, (0, more))
    return Packed(ids, positions, batch.groups, batch.order)


def pack_to_learn(sequences: list[list[int]]) -> Packed:
    """As `pack`, with a grid, and rounded up by tokens of no text to one of few sizes."""
    batch = pack(sequences)
    more = up(len(batch.ids), TOKENS_STEP) - len(batch.ids)
    ids, positions = functional.pad(batch.ids, (0, more)), functional.pad(batch.positions, (0, more))
    return Packed(ids, positions, batch.groups, batch.order, grid(batch.groups))


class Embeddings(nn.Module):  # type: ignore[misc]
    """Word, position and type embeddings, normalised."""

    def __init__(self, config: Mapping[str, Any], rate: float) -> None:
        super().__init__()
        size = config["hidden_size"]
        self.offset = FAMILIES[config["model_type"]] * (config.get("pad_token_id", 1) + 1)
        self.word_embeddings = nn.Embedding(config["vocab_size"], size)
        self.position_embeddings = nn.Embedding(config["max_position_embeddings"], size)
        self.token_type_embeddings = nn.Embedding(config.get("type_vocab_size", 1), size)
        self.LayerNorm = nn.LayerNorm(size, eps=config["layer_norm_eps"])
        self.dropout = FastDropout(rate)

    def forward(self, batch: Packed) -> Tensor:
        """[tokens, size] in fp32."""
        hidden = self.word_embeddings(batch.ids) + self.position_embeddings(batch.positions + self.offset)
        hidden = hidden + self.token_type_embeddings.weight[0]
        normed: Tensor = self.dropout(self.LayerNorm(hidden))
        return normed


class SelfAttention(nn.Module):  # type: ignore[misc]
    """Query, key and value of one layer: three linear layers, or one after `merge`."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = nn.Linear(size, size), nn.Linear(size, size), nn.Linear(size, size)

    def forward(self, hidden: Tensor, batch: Packed) -> Tensor:
        """[tokens, size]; texts see themselves only."""
        if hasattr(self, "merged"):
            merged = self.merged(hidden)
        else:
            merged = torch.cat([self.query(hidden), self.key(hidden), self.value(hidden)], 1)
        if batch.grid is not None:
            answer: Tensor = GridAttention.apply(merged, batch.grid, self.heads)
            return answer
        return attend(merged, heads=self.heads, groups=batch.groups)

    def merge(self) -> None:
        """One product instead of three; layers that bear an adapter stay as they are."""
        linear = [self.query, self.key, self.value]
        if not all(type(part) is nn.Linear for part in linear):
            return
        self.merged = _linear(
            torch.cat([part.weight.detach() for part in linear]), torch.cat([part.bias.detach() for part in linear])
        )
        del self.query, self.key, self.value

    def split(self) -> None:
        """Undoes `merge`."""
        if not hasattr(self, "merged"):
            return
        weights, biases = self.merged.weight.detach().chunk(3), self.merged.bias.detach().chunk(3)
        self.query, self.key, self.value = (
            _linear(weight.clone(), bias.clone()) for weight, bias in zip(weights, biases, strict=True)
        )
        del self.merged


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    made.weight, made.bias = nn.Parameter(weight), nn.Parameter(bias)
    return made


def attend(merged: Tensor, *, heads: int, groups: tuple[tuple[int, int], ...]) -> Tensor:
    """Attention of (query, key, value) side by side within each text: one call a group of texts of equal length."""
    size, start, found = merged.shape[1] // 3, 0, []
    for count, length in groups:
        end = start + count * length
        part = merged[start:end].view(count, length, 3, heads, size // heads)
        query, key, value = part.permute(2, 0, 3, 1, 4)
        answer = functional.scaled_dot_product_attention(query, key, value)
        found.append(answer.transpose(1, 2).reshape(count * length, size))
        start = end
    if start < len(merged):  # tokens that belong to no text
        found.append(merged.new_zeros(len(merged) - start, size))
    return found[0] if len(found) == 1 else torch.cat(found)


class Output(nn.Module):  # type: ignore[misc]
    """A linear layer, dropout, the residual and a layer norm."""

    def __init__(self, wide: int, size: int, eps: float, rate: float) -> None:
        super().__init__()
        self.dense = nn.Linear(wide, size)
        self.LayerNorm = nn.LayerNorm(size, eps=eps)
        self.dropout = FastDropout(rate)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        """[tokens, size] in the residual's type."""
        normed: Tensor = self.LayerNorm(self.dropout(self.dense(hidden)).to(residual.dtype) + residual)
        return normed


class Layer(nn.Module):  # type: ignore[misc]
    """Attention and feed-forward, each with its residual."""

    def __init__(self, config: Mapping[str, Any], rate: float) -> None:
        super().__init__()
        size, wide, eps = config["hidden_size"], config["intermediate_size"], config["layer_norm_eps"]
        self.attention = nn.Module()
        self.attention.self = SelfAttention(size, config["num_attention_heads"])
        self.attention.output = Output(size, size, eps, rate)
        self.intermediate = nn.Module()
        self.intermediate.dense = nn.Linear(size, wide)
        self.output = Output(wide, size, eps, rate)

    def forward(self, hidden: Tensor, batch: Packed) -> Tensor:
        """[tokens, size] in fp32; products are computed in the type of the linear layers."""
        kind = type_of(self.attention.output.dense)
        return self.each(self.attention.self(hidden.to(kind), batch), hidden)

    def each(self, attended: Tensor, hidden: Tensor) -> Tensor:
        """What happens to every token by itself, after attention: [tokens, size] in fp32."""
        hidden = self.attention.output(attended, hidden)
        wide = self.intermediate.dense(hidden.to(type_of(self.attention.output.dense)))
        if not isinstance(self.intermediate.dense, prepacked.Prepacked):
            wide = functional.gelu(wide)
        answer: Tensor = self.output(wide, hidden)
        return answer


def type_of(linear: nn.Module) -> torch.dtype:
    """The float type of a linear layer, adapted or not."""
    packed = isinstance(linear, (prepacked.Prepacked, int8.Int8Linear))
    found: torch.dtype = linear.dtype if packed else _plain(linear).weight.dtype
    return found


def _plain(linear: nn.Module) -> nn.Linear:
    found: nn.Linear = getattr(linear, "base", linear)
    return found


class Bert(nn.Module):  # type: ignore[misc]
    """The encoder; `forward` gives one mean-pooled vector a text."""

    def __init__(self, config: Mapping[str, Any], *, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = dict(config)
        self.pack = pack  # how an answer's texts are put together
        self.embeddings = Embeddings(config, dropout)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(Layer(config, dropout) for _ in range(config["num_hidden_layers"]))

    def forward(self, batch: Packed) -> Tensor:
        """[texts, size] means over each text's tokens, in the caller's order, fp32."""
        hidden = self.embeddings(batch)
        for layer in self.encoder.layer:
            hidden = layer(hidden, batch)
        return pooled(hidden, batch)

    def cast(self, kind: torch.dtype) -> None:
        """Linear layers in this type; tables, norms and residual stay in fp32: it halves bf16's error for free."""
        for part in self.modules():
            if not isinstance(part, (nn.Embedding, nn.LayerNorm)):
                for parameter in part.parameters(recurse=False):
                    parameter.data = parameter.data.to(kind)

    def merge(self) -> None:
        """Query, key and value of each layer in one product."""
        for layer in self.encoder.layer:
            layer.attention.self.merge()

    def split(self) -> None:
        """Undoes `merge`."""
        for layer in self.encoder.layer:
            layer.attention.self.split()

    def quantise(self) -> None:
        """Linear layers in 8 bits, for answering only; all else stays in fp32."""
        self.merge()
        int8.quantise(self.encoder)
        self.pack = pack_to_answer

    def compile_layers(self) -> None:
        """What happens to every token by itself, compiled for any number of tokens when the first batch comes."""
        self.merge()
        self.pack = pack_to_answer
        for layer in self.encoder.layer:
            layer.each = torch.compile(layer.each, dynamic=True)

    def settle(self) -> None:
        """Prepares the encoder, in the type and on the device that it has, for answering only."""
        self.merge()
        done = prepacked.prepack(self.encoder, activated="intermediate.dense")
        self.pack = pack_to_answer if done else pack


def read(folder: Path, *, dropout: float = 0.0) -> Bert:
    """The encoder in a Hugging Face folder, fp32; sizes that do not fit the config are an IntegrityError."""
    config = read_json(folder / "config.json")
    model = Bert(config, dropout=dropout)
    try:
        model.load_state_dict(state(load_file(folder / "model.safetensors")))
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()
        raise IntegrityError("weights-broken", at=Place(file=str(folder)), reason=" ".join(reason[:2])) from error
    return model


def state(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A transformers state dict as this module names it: without the family's prefix, pooler and buffers, fp32."""
    found = {}
    for name, value in tensors.items():
        plain = name.split(".", 1)[1] if name.split(".")[0] in ("bert", "roberta") else name
        plain = plain.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        if plain.split(".")[0] in ("embeddings", "encoder") and not plain.endswith("position_ids"):
            found[plain] = value.float()
    return found


def pooled(hidden: Tensor, batch: Packed) -> Tensor:
    """Means over the tokens of each text, [texts, size] in the caller's order, fp32."""
    start, means = 0, []
    for count, length in batch.groups:
        end = start + count * length
        means.append(hidden[start:end].view(count, length, -1).float().mean(1))
        start = end
    return torch.cat(means)[torch.argsort(batch.order)]
