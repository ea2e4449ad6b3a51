"""The trained encoder and its head as one ONNX graph: ids [texts, tokens] of equal length in, logits out, fp32."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from breakeven.errors import EnvironmentFault, need_package
from breakeven.models.bert import Packed
from breakeven.models.encoder import open_encoder
from breakeven.models.encoder_files import About, read_head


class Graph(nn.Module):  # type: ignore[misc]
    """What is exported: one group of texts of equal length."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, ids: Tensor) -> Tensor:
        """Logits [texts, classes]."""
        count, length = ids.shape
        positions = torch.arange(length).repeat(count)
        batch = Packed(ids.reshape(-1), positions, ((count, length),), torch.arange(count))
        logits: Tensor = self.head(self.encoder(batch))
        return logits


def export(trained: Path, path: Path) -> None:
    """Writes the graph with its weights inside one file."""
    try:
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise need_package("onnxscript", "text", purpose="to export to ONNX") from error
    encoder, _ = open_encoder(trained)
    if hasattr(encoder, "merge"):
        encoder.merge()
    graph = Graph(encoder, read_head(trained, About.read(trained))).eval()
    ids = torch.randint(5, 50, (3, 11))
    names = ({0: torch.export.Dim("texts", min=1), 1: torch.export.Dim("tokens", min=2)},)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside the exporter, of no use to who trains a model
            program = torch.onnx.export(
                graph,
                (ids,),
                input_names=["ids"],
                output_names=["logits"],
                dynamo=True,
                dynamic_shapes=names,
                verbose=False,
            )
        program.save(str(path), external_data=False)
    except (RuntimeError, torch.onnx.OnnxExporterError) as error:
        raise EnvironmentFault("onnx-export", reason=str(error).splitlines()[0]) from error
