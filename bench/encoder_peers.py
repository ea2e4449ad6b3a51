"""The encoder as people write it around transformers; `python encoder_peers.py FOLDER PORT THREADS`: behind FastAPI.

FOLDER: the weights as transformers reads them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROUTE = "/v1/predict"
BATCH = 64


class Plain:
    """Mean of the last layer and a linear head, with padding: the usual lines around transformers."""

    def __init__(self, folder: str, threads: int) -> None:
        import torch
        from safetensors.torch import load_file
        from transformers import AutoModel, PreTrainedTokenizerFast

        torch.set_num_threads(threads)
        path = Path(folder)
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(path / "tokenizer.json"), pad_token="[PAD]")
        self.model = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
        self.head = load_file(path / "head.safetensors")

    def __call__(self, texts: list[str]) -> list[list[float]]:
        """Probabilities of each text."""
        import torch

        batch = self.tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
        batch.pop("token_type_ids", None)
        with torch.inference_mode():
            hidden = self.model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            means = (hidden * mask).sum(1) / mask.sum(1)
            found: list[list[float]] = (means @ self.head["weight"].T + self.head["bias"]).softmax(1).tolist()
        return found


class Packaged:
    """Our package, called by somebody else's server."""

    def __init__(self, folder: str, threads: int) -> None:
        from breakeven.packaging.opened import open_package

        self.package = open_package(Path(folder), threads=threads)

    def __call__(self, texts: list[str]) -> list[Any]:
        """The package's own answers."""
        raw = self.package.raw([self.package.parse(text) for text in texts])
        return list(self.package.render(raw, self.package.answer(raw, None)))


def fastapi(folder: str, port: int, threads: int) -> None:
    """A handler that is no coroutine, so that FastAPI runs it in its threads."""
    import uvicorn
    from fastapi import FastAPI

    model, app = Plain(folder, threads), FastAPI()

    @app.post(ROUTE)
    def predict(body: dict[str, list[str]]) -> dict[str, Any]:
        return {"outputs": model(body["inputs"])}

    uvicorn.run(app, port=port, access_log=False, log_level="warning")


def main() -> None:
    folder, port, threads = sys.argv[1:]
    fastapi(folder, int(port), int(threads))


if __name__ == "__main__":
    main()
