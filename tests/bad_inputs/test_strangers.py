"""Two strangers' tables end to end, with a hand-written file and no `init`: a verdict each, or what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bad_inputs.strangers import breakeven, chinese_tickets, english_tickets

pytestmark = pytest.mark.slow

CONFIG = """version: 1
product: {name: NAME, task: text-classification}
collect: {source: SOURCE, fields: FIELDS}
train:
  candidates:
    - {name: majority, model: majority}
    - {name: linear, model: linear}
evaluate:
  metric: macro_f1
  payoff: {correct: 0.02, wrong: -0.10}
  machines: [{name: small, price_per_hour: 0.05, memory_gb: 4}]
  gates: {macro_f1: {min: 0.70}}
business:
  price: {per_answer: 0.004}
  customers: {start: 3, answers_each: 20000}
"""
# Short load steps and few scenarios: what is tested is the line, not the figures.
SMALL = ("--set", "evaluate.load.seconds=3", "--set", "business.scenarios=200", "--set", "train.budget.minutes=0.3")
STEPS = {"collect", "process", "train/linear", "evaluate/speed", "evaluate/verdict", "deploy", "business"}


def _line(folder: Path) -> tuple[int, dict[str, Any]]:
    """Runs everything; what every end of the line has: an answer in words, a reason where it is no, both reports."""
    done = breakeven(folder, "run", "-q", "--json", *SMALL, timeout=240)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert set(answer["ran"]) >= STEPS
    verdict = answer["verdict"]
    assert verdict["sentence"]["text"]
    assert (done.returncode == 0) == bool(verdict["chosen"])
    for name, judged in verdict["candidates"].items():
        assert name == verdict["chosen"] or judged["why_not"], name
    assert (folder / "report.html").is_file() and (folder / "report.md").is_file()
    again = breakeven(folder, "run", "-q", "--json", *SMALL)
    assert json.loads(again.stdout)["ran"] == []
    return done.returncode, answer


def test_chinese_tickets_in_gb18030_with_twelve_columns_and_five_queues(tmp_path: Path) -> None:
    fields = "{inputs: [标题, 内容], target: 队列}"
    text = CONFIG.replace("NAME", "gongdan").replace("SOURCE", "工单.csv").replace("FIELDS", fields)
    (tmp_path / "breakeven.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "工单.csv").write_bytes(chinese_tickets(1500))
    _, answer = _line(tmp_path)
    card = json.loads((tmp_path / "artifacts" / "collect" / "card.json").read_text(encoding="utf-8"))
    assert card["sources"][0]["encoding"] == "gb18030" and len(card["columns"]) == 12
    kinds = {column["name"]: column["dtype"] for column in card["columns"]}
    assert kinds["工单号"] == kinds["订单号"] == "String", "leading zeros are kept"
    judged = answer["verdict"]["candidates"]
    assert judged["linear"]["metric"]["value"] > judged["majority"]["metric"]["value"] + 0.3
    assert set(judged["linear"]["per_class"]) == {"物流", "退款", "账号", "质量", "发票"}


def test_two_hundred_english_rows_get_an_answer_that_says_how_little_they_are(tmp_path: Path) -> None:
    fields = "{inputs: [subject, body], target: queue}"
    text = CONFIG.replace("NAME", "ticket-triage").replace("SOURCE", "tickets.csv").replace("FIELDS", fields)
    (tmp_path / "breakeven.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "tickets.csv").write_text(english_tickets(200), encoding="utf-8")
    _, answer = _line(tmp_path)
    few = next(finding for finding in answer["findings"] if finding["code"] == "test-rows-few")
    assert all(name in few["text"] for name in ("billing", "delivery", "technical"))
    assert "rows in all at this split" in few["text"]
    metric = answer["verdict"]["candidates"]["linear"]["metric"]
    assert metric["high"] - metric["low"] > 0.05, "34 test rows leave a wide interval"
