"""Any other encoder of the transformers library, with padding and masks. Imported only inside functions."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from breakeven.errors import IntegrityError, Place, need_package
from breakeven.models.bert import Packed


class Generic(nn.Module):  # type: ignore[misc]
    """An AutoModel that takes packed texts and gives mean-pooled vectors, [texts, size] in the caller's order."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        try:
            from transformers import AutoModel
            from transformers.utils import logging
        except ModuleNotFoundError as error:
            raise need_package("transformers", "text", purpose="to run this family of encoders") from error
        logging.disable_progress_bar()  # progress is the pipeline's to show
        try:
            self.model = AutoModel.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise IntegrityError("weights-broken", at=Place(file=str(folder)), reason=str(error)) from error
        self.model.float()
        self.size = int(self.model.config.hidden_size)

    def forward(self, batch: Packed) -> Tensor:
        """One call a group of equal length: nothing is masked."""
        start, found = 0, []
        for count, length in batch.groups:
            ids = batch.ids[start : start + count * length].view(count, length)
            hidden = self.model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            found.append(hidden.float().mean(1))
            start += count * length
        return torch.cat(found)[torch.argsort(batch.order)]

    def cast(self, kind: torch.dtype) -> None:
        """Everything in this type: which parts bear another is not known here."""
        self.model.to(kind)

    def state_dict(self, *args: object, **kwargs: object) -> dict[str, Tensor]:
        """The names of the transformers library, without this wrapper's."""
        found: dict[str, Tensor] = self.model.state_dict()
        return found

    def load_state_dict(self, state: dict[str, Tensor], *args: object, **kwargs: object) -> object:
        """The inverse of `state_dict`."""
        return self.model.load_state_dict(state)
