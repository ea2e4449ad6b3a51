"""How a text encoder answers: torch in fp32 or bf16 without padding, or ONNX Runtime. Imported only inside functions.

In each of them a text is computed with texts of its own length or alone, so that its company changes nothing.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from breakeven.errors import EnvironmentFault
from breakeven.models.bert import Bert
from breakeven.models.cores import Cores
from breakeven.models.encoder import COMPILED_BF16, COMPILED_FP32, TORCH_BF16, TORCH_INT8
from breakeven.models.encoder_files import About, read_head
from breakeven.models.text_learner import ANSWER_TOKENS, vectors_of
from breakeven.models.tokens import Tokeniser
from breakeven.task import Predictor

ONNX_TOKENS = 512


def prepare(encoder: nn.Module, runtime: str) -> None:
    """Brings an encoder, read in fp32, into the form in which a runtime answers."""
    if runtime in (TORCH_INT8, COMPILED_FP32, COMPILED_BF16) and not isinstance(encoder, Bert):
        raise EnvironmentFault("runtime-other-family", runtime=runtime)
    if runtime in (TORCH_BF16, COMPILED_BF16):
        encoder.cast(torch.bfloat16)
    if runtime == TORCH_INT8:
        encoder.quantise()
    elif runtime in (COMPILED_FP32, COMPILED_BF16):
        need_compiler(runtime)
        encoder.compile_layers()
    elif hasattr(encoder, "settle"):
        encoder.settle()


def need_compiler(runtime: str) -> None:
    """EnvironmentFault where torch's compiler would find no C++ compiler when it first runs."""
    tried = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++"]
    if not any(shutil.which(name) for name in tried):
        raise EnvironmentFault("runtime-no-compiler", runtime=runtime, tried=tried)


class TorchPredictor(Predictor):
    """Probabilities from an encoder and a head in torch. `beside`: whether batches may run beside each other."""

    tokens_per_batch: int

    def __init__(
        self, task: Any, about: About, folder: Path, encoder: nn.Module, *, threads: int, beside: bool = True
    ) -> None:
        torch.set_num_threads(threads)
        self._text_of, self._encoder = task.text_of, encoder.eval()
        self._tokens = Tokeniser(folder, max_length=about.max_length, prefix=about.prefix)
        self._head = read_head(folder, about)
        self._device = torch.device("cpu")
        self.tokens_per_batch = ANSWER_TOKENS
        self._cores = Cores(threads) if threads > 1 and beside else None

    def predict(self, inputs: list[Any]) -> list[Any]:
        """Probabilities over the classes, one list an input."""
        if not inputs:
            return []
        ids = self._tokens.encode([self._text_of(item) or "" for item in inputs])
        with torch.inference_mode():
            vectors = vectors_of(self._encoder, ids, self._device, tokens=self.tokens_per_batch, cores=self._cores)
            logits = self._head(vectors)
            found: list[list[float]] = torch.softmax(logits.double(), 1).tolist()
        return found

    def sizes(self, inputs: list[Any]) -> list[int]:
        """Tokens an input."""
        return self._tokens.count([self._text_of(item) or "" for item in inputs])


class OnnxPredictor(Predictor):
    """Probabilities from ONNX Runtime; texts of equal length share a call, up to a number of tokens."""

    tokens_per_batch: int

    def __init__(self, task: Any, about: About, folder: Path, *, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._text_of = task.text_of
        self._tokens = Tokeniser(folder, max_length=about.max_length, prefix=about.prefix)
        self.tokens_per_batch = ONNX_TOKENS

    def predict(self, inputs: list[Any]) -> list[Any]:
        """Probabilities over the classes, one list an input."""
        import numpy as np

        ids = self._tokens.encode([self._text_of(item) or "" for item in inputs])
        answers: list[Any] = [None] * len(ids)
        for places in equal_lengths([len(one) for one in ids], self.tokens_per_batch):
            batch = np.array([ids[place] for place in places], np.int64)
            (logits,) = self._session.run(None, {"ids": batch})
            powers = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
            for place, row in zip(places, powers / powers.sum(1, keepdims=True), strict=True):
                answers[place] = row.tolist()
        return answers

    def sizes(self, inputs: list[Any]) -> list[int]:
        """Tokens an input."""
        return self._tokens.count([self._text_of(item) or "" for item in inputs])


def equal_lengths(lengths: list[int], budget: int) -> list[list[int]]:
    """Places of texts of one length each, in batches of at most `budget` tokens (or one text)."""
    found: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda one: lengths[one]):
        length = lengths[place]
        if found and lengths[found[-1][0]] == length and (len(found[-1]) + 1) * length <= budget:
            found[-1].append(place)
        else:
            found.append([place])
    return found
