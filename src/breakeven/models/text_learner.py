"""A text encoder with a linear head as the training loop sees it. Imported only inside functions.

Only the word vectors of tokens that occur in the rows are trained: the others would get no gradient, and with a
multilingual vocabulary they are nine tenths of the parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from breakeven.models.bert import Bert, pack, pack_to_learn
from breakeven.models.cores import Cores
from breakeven.training.batches import sorted_batches
from breakeven.training.scores import classification

ANSWER_TOKENS = 1024  # tokens a batch when nothing is learnt
JUDGED_ROWS = 500  # validation rows that choose the best step, evenly spread; more would eat the time budget
TABLE = "encoder.embeddings.word_embeddings.weight"


@dataclass(frozen=True)
class Rows:
    """Token ids and class numbers of texts; a class unseen in training is -1."""

    ids: list[list[int]]
    truths: list[int]

    def spread(self, most: int) -> Rows:
        """At most `most` rows, evenly spread over the table."""
        step = max(1, -(-len(self.ids) // most))
        return Rows(self.ids[::step], self.truths[::step])


class TextLearner:
    """Implements the loop's Learner over an encoder that maps packed texts to vectors [texts, size]."""

    def __init__(
        self,
        encoder: nn.Module,
        size: int,
        classes: int,
        *,
        train: Rows,
        validation: Rows,
        device: torch.device,
        key: str,
        head_rate: float = 1.0,
    ) -> None:
        self.encoder, self.device, self.key = encoder, device, key
        self.train_rows, self.validation = train, validation.spread(JUDGED_ROWS)
        self.full_table, self.used = self._narrow()
        self._pack = pack
        if isinstance(encoder, Bert):
            encoder.merge()
            self._pack = pack_to_learn
        self.head = nn.Linear(size, classes)
        # Zero, not fitted beforehand: a fitted head made the first steps undo the encoder (measured: loss 10).
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.lengths = [len(ids) for ids in train.ids]
        # The head begins at zero and has a run's few steps to grow; the encoder is nearly there.
        self.faster = {"head.weight": head_rate, "head.bias": head_rate}
        self._module = nn.ModuleDict({"encoder": encoder, "head": self.head}).to(device)
        self._start = {name: value.detach().float().cpu().clone() for name, value in self._module.named_parameters()}

    def _narrow(self) -> tuple[Tensor | None, Tensor | None]:
        """(the whole word table, ids of the rows kept); both None for an encoder that is not ours."""
        if not isinstance(self.encoder, Bert):
            return None, None
        part = self.encoder.embeddings.word_embeddings
        seen = sorted({token for ids in self.train_rows.ids + self.validation.ids for token in ids})
        used, table = torch.tensor(seen), part.weight.detach()
        place = {token: number for number, token in enumerate(seen)}
        narrow = nn.Embedding(len(seen), table.shape[1])
        narrow.weight = nn.Parameter(table[used].clone(), requires_grad=part.weight.requires_grad)
        self.encoder.embeddings.word_embeddings = narrow
        self.train_rows = Rows([[place[token] for token in ids] for ids in self.train_rows.ids], self.train_rows.truths)
        self.validation = Rows([[place[token] for token in ids] for ids in self.validation.ids], self.validation.truths)
        return table, used

    def named(self) -> dict[str, nn.Parameter]:
        """Everything that takes a gradient."""
        return {name: value for name, value in self._module.named_parameters() if value.requires_grad}

    def start(self) -> dict[str, Tensor]:
        """The fp32 values before training."""
        return self._start

    def cast(self, kind: torch.dtype) -> None:
        """The encoder in this type, from the starting values; the head stays in fp32."""
        self.encoder.cast(torch.float32)
        with torch.no_grad():
            for name, value in self._module.named_parameters():
                value.copy_(self._start[name])
        self.encoder.cast(kind)

    def train(self, on: bool) -> None:
        """Dropout on or off."""
        self._module.train(on)

    def loss(self, rows: list[int]) -> Tensor:
        """Mean cross entropy."""
        batch = self._pack([self.train_rows.ids[row] for row in rows]).to(self.device)
        truths = torch.tensor([self.train_rows.truths[row] for row in rows], device=self.device)
        return functional.cross_entropy(self.head(self.encoder(batch)), truths)

    def validate(self) -> dict[str, float]:
        """Accuracy, macro F1 and log loss over the validation rows."""
        vectors = vectors_of(self.encoder, self.validation.ids, self.device)
        probabilities = torch.softmax(self.head(vectors), 1).cpu().numpy()
        return classification(probabilities, torch.tensor(self.validation.truths).numpy())

    def widen(self, weights: dict[str, Tensor]) -> None:
        """Puts trained weights into the fp32 model and gives it back its whole word table."""
        self.cast(torch.float32)
        with torch.no_grad():
            for name, value in self.named().items():
                value.copy_(weights[name])
        if self.full_table is not None and self.used is not None:
            part = self.encoder.embeddings.word_embeddings
            whole = nn.Embedding(*self.full_table.shape)
            whole.weight = nn.Parameter(self.full_table.clone())
            with torch.no_grad():
                whole.weight[self.used] = part.weight.cpu()
            self.encoder.embeddings.word_embeddings = whole
        if isinstance(self.encoder, Bert):
            self.encoder.split()
        self._module.cpu()


def vectors_of(
    encoder: nn.Module,
    ids: list[list[int]],
    device: torch.device,
    *,
    tokens: int = ANSWER_TOKENS,
    shown: Callable[[int], None] | None = None,
    cores: Cores | None = None,
) -> Tensor:
    """[texts, size] in fp32 and the given order, computed in batches of like length and so many tokens; no gradient.

    `cores`: batches go there, beside each other, where there are tokens enough.
    """
    together = encoder.pack if isinstance(encoder, Bert) else pack
    lengths = [len(one) for one in ids]

    def vectors(rows: list[int]) -> Tensor:
        with torch.inference_mode():
            made: Tensor = encoder(together([ids[row] for row in rows]).to(device))
        if shown:
            shown(len(rows))
        return made

    batches = cores.parts(lengths, tokens) if cores else sorted_batches(lengths, tokens)
    found = cores.map(vectors, batches) if cores else [vectors(rows) for rows in batches]
    order = [row for rows in batches for row in rows]
    with torch.inference_mode():
        return torch.cat(found)[torch.argsort(torch.tensor(order)).to(device)]
