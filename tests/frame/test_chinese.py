"""The Chinese catalogue: every English message has its Chinese one, and every door speaks it when asked to."""

from __future__ import annotations

import ast
import json
import re
import string
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from tests.inprocess import breakeven

from breakeven.economics.forms import FORMS
from breakeven.errors import (
    PARTS,
    ConfigError,
    Finding,
    Place,
    catalogue,
    message,
    phrased,
    reader_language,
    render,
    sayings,
    translated,
)
from breakeven.project import Project

CHINESE = re.compile("[\u4e00-\u9fff]")
# Texts that hold no words to translate: a place to fill, a command, a key with its value, signs.
UNSPOKEN = re.compile(
    r"[\W\d]*|(breakeven|pip|export|chmod|--\w+)( .*)?|[\w.]+: .*|section\.key=value|dialect\+.*|F1|SHA-256"
)
SAME_IN_BOTH = {"report-method-wilson"}

Pages = Mapping[str, Mapping[str, Mapping[str, str]]]


def pages(language: str) -> dict[str, dict[str, dict[str, str]]]:
    folder = files("breakeven") / "catalogue" / language
    return {
        page.name: tomllib.loads(page.read_text(encoding="utf-8"))
        for page in folder.iterdir()
        if page.name.endswith(".toml")
    }


def places(text: str) -> list[tuple[str, str | None, str | None]]:
    """Every `{place:format!conversion}` of a text, sorted: the order may differ between languages."""
    return sorted(
        (name, form or "", turned or "") for _, name, form, turned in string.Formatter().parse(text) if name is not None
    )


def differences(english: Pages, chinese: Pages) -> list[str]:
    """What the Chinese pages lack, have too much, or fill differently, a line each."""
    found = []
    for page in sorted(english.keys() | chinese.keys()):
        ours, theirs = english.get(page, {}), chinese.get(page, {})
        found += [f"{page}: {code} has no Chinese" for code in ours if code not in theirs]
        found += [f"{page}: {code} is unknown in English" for code in theirs if code not in ours]
        for code in [code for code in ours if code in theirs]:
            if ours[code].keys() != theirs[code].keys():
                found.append(f"{page}: {code} has parts {sorted(theirs[code])}, in English {sorted(ours[code])}")
                continue
            found += [
                f"{page}: {code}.{part} fills {places(theirs[code][part])}, in English {places(text)}"
                for part, text in ours[code].items()
                if places(text) != places(theirs[code][part])
            ]
    return found


def test_every_english_message_has_its_chinese_one() -> None:
    lacking = differences(pages("en"), pages("zh"))
    assert not lacking, "\n".join(lacking)


def test_what_is_missing_is_listed() -> None:
    english = {"a.toml": {"x": {"text": "{n:.2f} rows", "hint": "h"}, "y": {"text": "t"}}}
    assert differences(english, {"a.toml": {"x": {"text": "{n:.2f} 行"}, "z": {"text": "多"}}}) == [
        "a.toml: y has no Chinese",
        "a.toml: z is unknown in English",
        "a.toml: x has parts ['text'], in English ['hint', 'text']",
    ]
    changed = {"a.toml": {"x": {"text": "{n} 行", "hint": "提示"}, "y": {"text": "文"}}}
    assert len(differences(english, changed)) == 1


def test_chinese_messages_are_chinese() -> None:
    left = [
        f"{page}: {code}.{part}: {text}"
        for page, entries in pages("zh").items()
        for code, entry in entries.items()
        for part, text in entry.items()
        if code not in SAME_IN_BOTH
        and not CHINESE.search(text)
        and not UNSPOKEN.fullmatch(re.sub(r"\{\w+[^}]*\}", "", text).strip())
    ]
    assert not left, "\n".join(left)


def checks() -> list[str]:
    """What the checks of settings say, a number in place of what they fill in."""
    source = Path(__file__).parents[2] / "src" / "breakeven"
    said = []
    for path in source.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "model_validator" not in text and path.name not in ("forms.py", "drivers.py", "sections.py"):
            continue
        for node in ast.walk(ast.parse(text)):
            call = node.exc if isinstance(node, ast.Raise) else None
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "ValueError":
                said.append(_text(call.args[0]))
    return said


def _text(node: ast.expr) -> str:
    """The words of a string or an f-string, with 7 in its places."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    if isinstance(node, ast.FormattedValue):
        return FORMS if ast.unparse(node.value) == "FORMS" else "7"
    return str(ast.literal_eval(node))


# Another check's words behind where they hold; a mistake of who calls from Python.
ELSEWHERE = ("7 in 7", "7: 7", "no driver is called '7'; known: 7")


def test_every_check_of_a_setting_is_said_in_chinese() -> None:
    said = [text for text in checks() if text not in ELSEWHERE]
    assert len(said) > 40
    left = [text for text in said if not CHINESE.search(translated(text, "setting-", "zh"))]
    assert not left, "\n".join(left)
    assert translated("p10 <= p90, not 7 and 6", "setting-", "zh") == "p10 不大于 p90，而非 7 and 6"
    assert translated("nobody says this", "setting-", "zh") == "nobody says this"


def test_a_chinese_message_keeps_places_codes_and_order() -> None:
    error = ConfigError("unknown-model", at=Place("breakeven.yaml", 3, 7), model="liner", task="t", allowed=["linear"])
    error.fields["nearest"] = "linear"
    shown = error.as_json("zh")
    assert shown["message"] == "breakeven.yaml:3:7: 任务“t”没有模型“liner”；应为以下之一：linear；是否指“linear”？"
    assert (shown["code"], shown["hint"]) == ("unknown-model", "是否指“linear”？")
    assert Place("a.csv", row=5, field="text").said("zh") == "a.csv、第 5 行、字段 text"


def test_a_message_within_a_message_follows_the_language_of_the_whole() -> None:
    refused = [
        message("withheld-because", candidate="a", reason=message("unit-gates", candidate="a", gates=["x", "y"]))
    ]
    finding = Finding("deploy-withheld", fields={"reasons": [*refused, message("nothing-chosen")]})
    kept = Finding.from_json(json.loads(json.dumps(finding.as_json())))
    assert "a: 'a' does not pass its gates: x, y; the verdict chose nothing" in render(
        kept.code, kept.fields, language="en"
    )
    assert "a：“a”未过门槛：x、y；判定没有选出任何候选" in render(kept.code, kept.fields, language="zh")


@pytest.mark.parametrize("name", ["zh", "zh_CN.UTF-8", "zh-Hans", "ZH"])
def test_a_locale_names_its_language(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAKEVEN_LANG", name)
    assert reader_language() == reader_language("en") == "zh"
    assert catalogue()["error-line"]["text"] == "错误：{said}"


def test_a_language_without_pages_is_answered_in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAKEVEN_LANG", "../en")
    assert catalogue()["error-line"]["text"] == "error: {said}"
    monkeypatch.delenv("BREAKEVEN_LANG")
    assert (reader_language("zh"), reader_language()) == ("zh", "en")


def project(folder: Path, language: str | None) -> Project:
    declared = f", language: {language}" if language else ""
    (folder / "rows.csv").write_text(
        "text,label\n" + "".join(f"good film {n},yes\nbad one {n},no\n" for n in range(30))
    )
    (folder / "breakeven.yaml").write_text(
        f"version: 1\nproduct: {{name: a, task: text-classification{declared}}}\n"
        "collect: {source: rows.csv, fields: {inputs: [text], target: label}}\n"
        "process: {deduplicate: none}\n"
        "train: {candidates: [{name: majority, model: majority}]}\n"
    )
    return Project(folder)


def test_a_project_declares_its_language_or_leaves_it_to_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREAKEVEN_LANG", "en")
    snapshot = project(tmp_path, "zh").snapshot()
    assert snapshot.language == "zh" and {state["why"] for state in snapshot.states} == {"从未运行"}
    assert project(tmp_path, None).snapshot().language == "en"
    monkeypatch.setenv("BREAKEVEN_LANG", "zh")
    assert project(tmp_path, None).snapshot().language == "zh"
    assert project(tmp_path, "en").snapshot().language == "en"


def test_findings_of_a_step_are_rendered_in_the_language_of_the_report(tmp_path: Path) -> None:
    from breakeven.report import markdown

    there = project(tmp_path, "zh")
    there.run(["process"])
    finding = next(item for item in there.snapshot().findings if item["code"] == "test-rows-few")
    assert "ten points either way" in finding["text"]  # stored in the language of the run
    page = markdown.render(there.snapshot())
    assert "判断到上下约 10 个百分点" in page and "ten points either way" not in page
    assert "## 采集" in page and "− " not in page.split("## 处理")[0]


def test_the_command_line_speaks_chinese_and_its_codes_do_not_change(tmp_path: Path) -> None:
    (tmp_path / "breakeven.yaml").write_text("version: 1\nprodukt: {}\nseed: x\n")
    told = breakeven("check", cwd=tmp_path, BREAKEVEN_LANG="zh")
    assert told.returncode == 2
    assert "breakeven.yaml:2:1: 未知的键“produkt”；是否指“product”？" in told.stderr
    assert "breakeven.yaml:3:7: seed：写的是 'x'；应为整数" in told.stderr
    error: dict[str, Any] = json.loads(breakeven("check", "--json", cwd=tmp_path, BREAKEVEN_LANG="zh").stdout)["error"]
    found = {problem["code"]: problem for problem in (error, *error["more"])}
    assert set(found) == {"unknown-key", "bad-value"}
    assert "未知的键" in found["unknown-key"]["message"] and "是否指" in found["unknown-key"]["hint"]


def test_a_project_in_chinese_is_answered_in_chinese(tmp_path: Path) -> None:
    project(tmp_path, "zh")
    environment = {"BREAKEVEN_LANG": ""}
    assert "从未运行" in breakeven("status", cwd=tmp_path, **environment).stdout
    wrong = breakeven("run", "trian", cwd=tmp_path, **environment)
    assert wrong.returncode == 2 and "错误：没有名为“trian”的阶段、步骤或候选" in wrong.stderr


def test_http_errors_speak_the_language_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    from breakeven.errors import Place
    from breakeven.serving.wire import HttpError, error_response

    monkeypatch.setenv("BREAKEVEN_LANG", "zh")
    wrong = HttpError(422, "inputs-count", at=Place(field="inputs"), found=9, limit=8)
    error = json.loads(error_response(wrong, "r").body)["error"]
    assert (error["code"], error["message"]) == ("inputs-count", "字段 inputs: 请求有 9 个输入；应为 1 到 8 个")


SOURCE = Path(__file__).parents[2] / "src" / "breakeven"
LOGGED = {"info", "warning", "error", "exception"}
NOT_WORDS = {"%s", "request", "charged"}  # an error in its own words; names of the lines that `--log json` adds


def calls(*folders: str) -> list[ast.Call]:
    paths = [path for folder in folders for path in (SOURCE / folder).rglob("*.py")]
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in paths)
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]


def logged() -> set[str]:
    """The form of every line of the servers' log."""
    found = [call for call in calls("serving", "ledger", "watching") if isinstance(call.func, ast.Attribute)]
    return {
        str(call.args[0].value)
        for call in found
        if call.func.attr in LOGGED and call.args and isinstance(call.args[0], ast.Constant)  # type: ignore[attr-defined]
    }


def test_every_line_of_the_log_is_said_in_chinese_with_the_same_places() -> None:
    said = sayings("logs", "zh")
    assert len(logged()) > 25 and not logged() - NOT_WORDS - said.keys()
    signs = re.compile(r"%[.\d]*[sdf]")
    assert not [english for english, text in said.items() if signs.findall(english) != signs.findall(text)]


def test_every_reason_that_the_program_gives_is_said_in_chinese() -> None:
    """Words that stand in the code as a field of an error, not as a code of their own."""
    found = [keyword.value for call in calls(".") for keyword in call.keywords if keyword.arg in PARTS]
    plain = [node for node in found if isinstance(node, ast.JoinedStr) or _is_text(node)]
    said = [text for text in map(_text, plain) if " " in text.strip()]
    assert len(said) > 30
    left = [text for text in said if not CHINESE.search(phrased(text, "parts", "zh"))]
    assert not left, "\n".join(left)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_what_the_system_says_within_a_message_is_said_in_chinese(tmp_path: Path) -> None:
    refused = breakeven("ledger", "import", "/dev/null", cwd=tmp_path, BREAKEVEN_LANG="zh")
    assert "不是普通文件" in refused.stderr
    assert phrased("[Errno 111] Connection refused", "parts", "zh") == "连接被拒绝（errno 111）"
    assert phrased("{broken", "parts", "zh") == "{broken" and phrased("Permission denied", "parts", "en") != "没有权限"
    error = ConfigError("config-syntax", problem="Permission denied")
    assert render(error.code, error.fields, language="zh") == "不是有效的 YAML：没有权限"
