"""The encoder as a BentoML service with adaptive batching; `bentoml serve encoder_bento:Encoder`.

ENCODER_FOLDER: weights as transformers reads them; ENCODER_THREADS: of torch.
"""

import os

import bentoml
from encoder_peers import BATCH, ROUTE, Plain


@bentoml.service(workers=1, traffic={"timeout": 120}, logging={"access": {"enabled": False}})
class Encoder:
    """One worker; requests are lists of one text, which BentoML joins."""

    def __init__(self) -> None:
        self.model = Plain(os.environ["ENCODER_FOLDER"], int(os.environ["ENCODER_THREADS"]))

    @bentoml.api(route=ROUTE, batchable=True, max_batch_size=BATCH, max_latency_ms=60_000)
    def predict(self, inputs: list[str]) -> list[list[float]]:
        """Probabilities of each text."""
        return self.model(inputs)
