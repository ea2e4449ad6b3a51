"""The model card: front matter that Hugging Face reads, and text that data cannot break."""

from __future__ import annotations

from typing import Any

import pytest

from breakeven.packaging.card import model_card, number, text


def quantity(value: float, **more: Any) -> dict[str, Any]:
    return {"value": value, "low": value - 0.02, "high": value + 0.02, "interval": 0.95, "n": 900, "unit": "share",
            "origin": "measured", **more}  # fmt: skip


RECORD: dict[str, Any] = {
    "id": "triage-0123456789ab", "product": "triage", "task": "text-classification", "candidate": "linear",
    "model": "linear", "created": "2026-01-01T00:00:00+00:00", "hardware": "amd-epyc-2c-123456", "key": "ab" * 32,
    "choice": {"sentence": "ship 'linear': the encoder costs more than it is worth"},
    "measurements": {"latency_ms_p95": quantity(4.2, unit="ms"), "marginal_per_1000": quantity(0.01, unit="USD")},
}  # fmt: skip
JUDGED: dict[str, Any] = {
    "metrics": {"macro_f1": quantity(0.812), "accuracy": quantity(0.83)},
    "per_slice": {"channel": {"film": {"macro_f1": quantity(0.8, n=300), "n": 300}}},
    "gates": [{"gate": "macro_f1", "limit": 0.7, "kind": "min", "judged": "bound", "passes": "yes"}],
    "at_volume_per_1000": quantity(0.4, unit="USD"),
}
SOURCES = [{"name": "reviews", "sha256": "cd" * 32, "licence": "MIT", "rights": "not established", "provenance": None}]
TRAINING = {"seconds": 12.34, "steps": 100, "stopped": "budget", "still_improving": True, "parameters": 1_000_000,
            "base": {"weights": "all-MiniLM-L6-v2", "revision": "0.1.0", "licence": "Apache-2.0"}}  # fmt: skip


def card(**changes: Any) -> str:
    given = {"record": RECORD, "judged": JUDGED, "sources": SOURCES, "training": TRAINING, **changes}
    return model_card(given["record"], judged=given["judged"], sources=given["sources"], training=given["training"],
                      processed=given.get("processed"), currency="USD")  # fmt: skip


def test_hugging_face_reads_the_front_matter() -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    data = huggingface_hub.ModelCard(card()).data
    assert (data.pipeline_tag, data.license_name, data.base_model) == (
        "text-classification", "Apache-2.0", "all-MiniLM-L6-v2",
    )  # fmt: skip
    found = {result.metric_type: result for result in data.eval_results}
    assert found["macro_f1"].metric_value == 0.812
    assert found["macro_f1"].metric_args == {"low": 0.792, "high": 0.8320000000000001, "interval": 0.95, "n": 900}
    assert found["macro_f1"].dataset_split == "test"


def test_the_text_tells_interval_slice_cost_gate_and_origin() -> None:
    lines = card().splitlines()
    assert "| macro\\_f1 | 0.812 | 0.792 to 0.832 | 900 |" in lines
    assert "| film | macro\\_f1 | 0.8 | 0.78 to 0.82 | 300 |" in lines
    assert "| cost per 1,000 answers, at the declared volume (USD) | 0.4 | 0.38 to 0.42 | 900 | measured |" in lines
    assert "| latency, 95th percentile, ms | 4.2 | 4.18 to 4.22 | 900 | measured |" in lines
    assert "| macro\\_f1 | min 0.7 | bound | yes |" in lines
    assert "| still improving when stopped | yes |" in lines
    assert any(line.startswith("Why this one: ship 'linear'") for line in lines)


def test_rights_that_nobody_stated_are_said_to_be_not_established() -> None:
    assert "**not established**" in card()
    stated = [{**SOURCES[0], "rights": "our own customers, by contract"}]
    assert "**not established**" not in card(sources=stated)
    assert "| reviews | cdcdcdcdcdcdcdcd | MIT | our own customers, by contract | not established |" in card(
        sources=stated
    )


def test_the_rows_add_up_and_tell_their_repeats() -> None:
    assert "rows read" not in card()
    dropped = {"exact_duplicate": 100, "near_duplicate": 20}
    told = card(processed={"rows_in": 1000, "dropped": dropped, "duplicates": {"exact": 100, "near": 20},
                           "splits": {"train": 616, "validation": 132, "test": 132}})  # fmt: skip
    for line in ("| rows read | 1,000 |", "| near repeats among the others | 20 (2.0%) |", "| test rows | 132 |",
                 "| dropped | 100 exact duplicate, 20 near duplicate |"):  # fmt: skip
        assert line in told


def test_names_from_data_stay_text() -> None:
    evil = "a|b\n# head <img src=x onerror=y> [x](javascript:z)"
    found = card(judged={**JUDGED, "per_slice": {evil: {evil: {"macro_f1": quantity(0.5)}}}})
    assert "<img" not in found.replace("\\<img", "") and "\n# head" not in found
    assert "a\\|b \\# head \\<img" in found


def test_what_was_not_measured_is_not_invented() -> None:
    found = card(judged={}, record={**RECORD, "measurements": {}, "choice": {}}, training={}, sources=[])
    assert "Nothing was measured." in found and "carbon" not in found
    assert "carbon, kg CO2e | 0.5 (assumed)" in card(
        record={**RECORD, "carbon": {"value": 0.5, "unit": "kg CO2e", "origin": "assumed"}}
    )


@pytest.mark.parametrize(
    ("value", "shown"), [(0.123456, "0.1235"), (1234, "1,234"), (None, "-"), (True, "True"), ("a_b", "a\\_b"), (0, "0")]
)
def test_numbers_are_short(value: Any, shown: str) -> None:
    assert number(value) == shown


def test_white_space_is_one_space() -> None:
    assert text(" a\t\n b ") == "a b"


TRIED: list[dict[str, Any]] = [
    {"runtime": "torch-fp32", "ms_single": 9.0, "ms_batched": 6.0, "agreement": 1.0, "answers_alike": 1.0,
     "largest_gap": 0.0, "within": True, "batch_independent": True},
    {"runtime": "torch-packed-bf16", "ms_single": 5.0, "ms_batched": 3.0, "agreement": 0.998, "answers_alike": 1.0,
     "largest_gap": 0.0076, "within": True, "batch_independent": True},
    {"runtime": "torch-packed-int8", "ms_single": 5.5, "ms_batched": 3.2, "agreement": 0.8, "answers_alike": 0.997,
     "largest_gap": 0.05, "within": False, "batch_independent": True},
    {"runtime": "onnx-int8", "agreement": 1.0, "within": True, "batch_independent": False},
    {"runtime": "onnx-fp32", "ms_single": 8.9, "agreement": 1.0, "within": True, "batch_independent": True},
    {"runtime": "torch-compiled-fp32", "failed": "no compiler | here", "within": False, "batch_independent": False},
]  # fmt: skip


def test_what_was_tried_is_told_with_what_came_of_it() -> None:
    runtimes = {"reference": "torch-fp32", "chosen": "torch-packed-bf16"}
    threads = {"chosen": 2, "tried": [{"threads": 1, "ms_batched": 3.0}, {"threads": 2, "ms_batched": 1.6}]}
    found = card(record={**RECORD, "runtimes": runtimes, "runtimes_tried": TRIED, "threads": threads})
    assert "| torch-fp32 | 9 | 6 | 1 | 1 | 0 | reference, kept beside it |" in found
    assert "| torch-packed-bf16 | 5 | 3 | 0.998 | 1 | 0.0076 | answers |" in found
    assert "| torch-packed-int8 | 5.5 | 3.2 | 0.8 | 0.997 | 0.05 | outside the tolerance |" in found
    assert "| onnx-int8 | - | - | 1 | - | - | answers depend on the batch |" in found
    assert "| onnx-fp32 | 8.9 | - | 1 | - | - | not clearly faster |" in found
    assert "| torch-compiled-fp32 | - | - | - | - | - | failed: no compiler \\| here |" in found
    assert "threads of the chosen one: 1: 3, 2: 1.6; taken: 2." in found
    assert "Runtimes tried" not in card(record={**RECORD, "runtimes": runtimes, "runtimes_tried": TRIED[:1]})
