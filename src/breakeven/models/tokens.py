"""Texts as token ids: a prefix, a longest length, and special tokens in somebody's text taken as plain text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from breakeven.errors import DataError, IntegrityError, Place, need_package

FILE = "tokenizer.json"


class Tokeniser:
    """A `tokenizer.json` of the tokenizers library; no text becomes an empty list, for every model frames its input."""

    def __init__(self, folder: Path, *, max_length: int, prefix: str = "") -> None:
        try:
            from tokenizers import Tokenizer
        except ModuleNotFoundError as error:
            raise need_package("tokenizers", "text", purpose="to read texts") from error
        path = folder / FILE
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise IntegrityError("artifact-broken", at=Place(file=str(path)), reason=str(error)) from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length)
        self._tokenizer.encode_special_tokens = True
        self.prefix = prefix
        self._counted: dict[str, list[int]] = {}

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, framing tokens included."""
        if self._counted:
            known = [self._counted.pop(text, None) for text in texts]
            if None not in known:
                return [ids for ids in known if ids is not None]
        return [found.ids for found in self._tokenizer.encode_batch_fast([self.prefix + text for text in texts])]

    def count(self, texts: list[str]) -> list[int]:
        """Tokens of each text. The ids are kept until they are asked for, or others are counted: who builds a batch by
        its tokens is about to have it answered.
        """
        self._counted = {}
        ids = self.encode(texts)
        self._counted = dict(zip(texts, ids, strict=True))
        return [len(one) for one in ids]

    def fits(self, rows: int) -> None:
        """Raises DataError when the tokenizer knows more tokens than the embedding table has rows."""
        size = int(self._tokenizer.get_vocab_size(with_added_tokens=True))
        if size > rows:
            raise DataError("tokenizer-vocabulary", tokens=size, rows=rows)
