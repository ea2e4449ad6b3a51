"""The report's tables of runtimes: what was tried, how far it is from the reference, why it was not taken, threads."""

from __future__ import annotations

from typing import Any

import pytest

from breakeven.report import markdown

from .example import snapshot

REFERENCE, CHOSEN = "torch-fp32", "torch-packed-bf16"


def tried(runtime: str, **figures: Any) -> dict[str, Any]:
    return {"runtime": runtime, "threads": 1, "within": True, "batch_independent": True, "failed": None, **figures}


RUNTIMES = {
    "reference": REFERENCE,
    "chosen": CHOSEN,
    "tried": [
        tried(REFERENCE, ms_single=9.0, ms_batched=6.0, agreement=1.0, answers_alike=1.0, largest_gap=0.0),
        tried(CHOSEN, ms_single=5.0, ms_batched=3.0, agreement=0.998, answers_alike=1.0, largest_gap=0.0076,
              tokens_per_batch=2048, load_seconds=0.4),
        tried("torch-packed-int8", ms_single=5.5, agreement=0.81, answers_alike=0.997, within=False),
        tried("onnx-int8", agreement=1.0, batch_independent=False),
        tried("onnx-fp32", ms_single=8.9, agreement=1.0),
        tried("torch-compiled-fp32", failed="needs a C++ compiler", within=False),
    ],
    "threads": {"chosen": 2, "tried": [{"threads": 1, "ms_single": 5.0, "ms_batched": 3.0},
                                       {"threads": 2, "ms_single": 3.1, "ms_batched": 1.7}]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("language", "reasons"),
    [
        ("en", ["outside the tolerance", "answers depend on the batch", "not clearly faster"]),
        ("zh", ["超出容差", "回答取决于同批的其他输入", "并未明显更快"]),
    ],
)
def test_every_runtime_stands_in_the_report_with_why_it_was_not_taken(language: str, reasons: list[str]) -> None:
    text = markdown.render(snapshot(packages={"encoder": {"runtimes": RUNTIMES}}, language=language))
    lines = [
        line for line in text.splitlines() if "encoder" in line and any(one in line for one in ("torch-", "onnx-"))
    ]
    by_runtime = {one["runtime"]: [line for line in lines if one["runtime"] in line] for one in RUNTIMES["tried"]}
    assert all(by_runtime.values())
    for name, reason in zip(("torch-packed-int8", "onnx-int8", "onnx-fp32"), reasons, strict=True):
        assert reason in by_runtime[name][0]
    assert "needs a C++ compiler" in by_runtime["torch-compiled-fp32"][0]
    assert "0.0076" in by_runtime[CHOSEN][0] and len(by_runtime[CHOSEN]) == 3  # and twice in the table of threads
