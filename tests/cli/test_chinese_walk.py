"""A founder who reads Chinese only walks the product: nothing that is shown holds an English sentence."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from tests.cli.english_left import english, share
from tests.inprocess import breakeven

CONFIG = """version: 1
product: {name: shuping, task: text-classification, language: zh}
collect: {source: rows.csv, fields: {inputs: [text], target: label}, limit: 500, rights: not established}
train: {candidates: [{name: majority, model: majority}, {name: naive, model: naive-bayes}]}
evaluate:
  payoff: {correct: 0.2, wrong: -0.3}
  machines: [{name: small, price_per_hour: 0.3, memory_gb: 4, measured: here}]
  gates: {macro_f1: {min: 0.5, judge: point}}
  load: {seconds: 2}
business:
  currency: CNY
  scenarios: 500
  price: {per_answer: 0.02}
  customers: {start: 3, answers_each: 20000, new_per_month: {low: 1, mode: 2, high: 5}}
billing:
  seller: {name: 东方智能科技有限公司, street: 中关村大街 1 号, postcode: "100080", city: 北京,
    country: CN, tax_id: 91110108MA00000000}
  language: zh
"""
SHOWN = ["collect", "process", "train", "evaluate", "deploy", "business", "naive"]
COMMANDS = [
    ["recipes"], ["check"], ["status"], ["run", "--dry-run"], *(["show", name] for name in SHOWN),
    ["compare", "majority", "naive"], ["predict", "书很好"], ["releases"], ["simulate"], ["refresh", "--dry-run"],
    ["customers", "add", "东方书店", "--quota", "answers=1000", "--spend-cap", "50", "--rate", "5", "--consent", "yes"],
    ["customers", "list"], ["keys", "create", "--customer", "东方书店"], ["keys", "list"], ["usage"], ["feedback"],
    ["inputs"], ["drift"], ["margin"], ["invoice", "东方书店", "--month", "MONTH"], ["invoice", "list"],
    ["alerts", "--once"], ["alerts", "--status"], ["ledger", "audit"], ["ledger", "verify"], ["doctor"], ["run"],
]  # fmt: skip
MISTAKES = {
    1: [["invoice", "finalize", "东方书店", "--month", "2020-01"]],
    2: [
        ["show", "x"], ["run", "--set", "a.b=1"], ["run", "--set", "seed=x"], ["init", "."],
        ["init", "y", "--recipe", "x"],
        ["predict"], ["serve", "--port", "x"], ["serve", "--trust", "other.pub"], ["releases", "rollback"],
        ["captable", "show"], ["usage", "--from", "x"], ["alerts", "--test", "x"], ["check", "-C", "nowhere"],
    ],
    3: [
        ["predict", ""], ["keys", "revoke", "x"], ["customers", "terms", "x"], ["ledger", "show", "x"],
        ["invoice", "show", "x"], ["actuals"],
    ],
    4: [["ledger", "restore", "rows.csv"]],
    5: [["load", "http://127.0.0.1:9", "--key", "k", "--rate", "1"], ["top", "--once", "http://127.0.0.1:9"]],
}  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    good, bad = ["书很好", "物流很快", "非常满意", "值得购买"], ["质量太差", "要求退货", "非常失望", "不推荐买"]
    rows = [
        f"{word}，第{n}次来,{label}"
        for n in range(60)
        for label, words in (("好评", good), ("差评", bad))
        for word in words
    ]
    (folder / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (folder / "breakeven.yaml").write_text(CONFIG, encoding="utf-8")
    (folder / "other.pub").write_text("x")
    done = call(folder, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "run.out").write_text(done.stdout + done.stderr, encoding="utf-8")
    return folder


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return breakeven(*arguments, cwd=folder, BREAKEVEN_LANG="zh", COLUMNS="120")


def words_of(page: str) -> str:
    """What a reader sees of a page; code as code."""
    page = re.sub(r"<(style|script|pre)[^>]*>.*?</\1>", "", page, flags=re.DOTALL)
    page = re.sub(r"<code.*?</code>", "`x`", page, flags=re.DOTALL)
    return unescape(re.sub(r"<[^>]+>", "\n", page))


@pytest.mark.slow
def test_no_command_says_an_english_sentence(shop: Path) -> None:
    import datetime

    month = f"{datetime.datetime.now(datetime.UTC):%Y-%m}"
    said = {"run": (shop / "run.out").read_text(encoding="utf-8")}
    for command in COMMANDS:
        done = call(shop, *(month if word == "MONTH" else word for word in command))
        assert done.returncode in (0, 1), (command, done.stdout, done.stderr)
        said[" ".join(command)] = done.stdout + done.stderr
    left = [f"breakeven {name}: {line}" for name, text in said.items() for line in english(text)]
    assert not left, "\n".join(left)
    assert share("\n".join(said.values())) < 0.05


@pytest.mark.slow
def test_no_mistake_is_answered_in_english_and_every_exit_code_stays(shop: Path) -> None:
    left = []
    for code, commands in MISTAKES.items():
        for command in commands:
            done = call(shop, *command)
            assert done.returncode == code, (command, done.returncode, done.stderr)
            left += [f"breakeven {' '.join(command)}: {line}" for line in english(done.stdout + done.stderr)]
    assert not left, "\n".join(left)


@pytest.mark.slow
def test_the_report_holds_no_english_sentence(shop: Path) -> None:
    call(shop, "report")
    pages = [
        words_of((shop / "report.html").read_text(encoding="utf-8")),
        (shop / "report.md").read_text(encoding="utf-8"),
    ]
    assert "分摊成本/千次" in pages[0]
    left = [line for page in pages for line in english(re.sub(r"```.*?```", "", page, flags=re.DOTALL))]
    assert not left, "\n".join(left)


@pytest.fixture
def server(shop: Path) -> Iterator[tuple[str, Path]]:
    environment = {**os.environ, "BREAKEVEN_LANG": "zh"}
    log = shop / "serve.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "breakeven.cli", "serve", "--port", "0", "--json"],
            cwd=shop, env=environment, stdout=subprocess.PIPE, stderr=stream, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        text = process.stdout.readline()
        while "}" not in text:
            text += process.stdout.readline()
        try:
            yield json.loads(text)["url"], log
        finally:
            process.terminate()
            process.wait(60)


@pytest.mark.slow
def test_the_servers_log_and_its_errors_hold_no_english_sentence(server: tuple[str, Path]) -> None:
    url, log = server
    said = []
    for route, body in (("/v1/predict", b"{}"), ("/v1/predict?key=x", b"{}"), ("/nowhere", None), ("/v1/usage", b"{")):
        with pytest.raises(urllib.error.HTTPError, match=r"4\d\d") as refused:
            urllib.request.urlopen(urllib.request.Request(url + route, body), timeout=30)
        error = json.loads(refused.value.read())["error"]
        said.append(error["message"])
    said += log.read_text(encoding="utf-8").splitlines()
    assert any("提供服务" in line for line in said)
    assert not english("\n".join(said))


def test_an_english_sentence_is_found_and_what_may_be_english_is_not() -> None:
    assert english("警告：nobody read the lines of it\n完成") == [
        "'nobody read the lines of it' in: 警告：nobody read the lines of it"
    ]
    fine = "下一步：cd demo && breakeven run --dry-run\n错误：a.csv:3:1: 未知的键“lerning_rate”"
    fine += "\nmajority  linear  0.3 [1, 2]\n`any code at all`"
    assert english(fine) == [] and share(fine) < 0.1
    assert share("all of this is said in english and 一点中文") > 0.5
    assert english(breakeven("doctor", BREAKEVEN_LANG="en").stdout)
