"""The HTML report: self-contained, escaped, and every number with its origin."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from breakeven.report import html
from breakeven.report.compose import compose
from tests.report import example

VOID = {"meta", "br", "hr", "img", "input", "link"}
EVIL = "</script></style><img src=x onerror=alert(1)><svg onload=alert(1)> \"'&{{1234*4321}}"


class Page(HTMLParser):
    """Tags, attributes and the text of a page; checks that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(html.render(example.snapshot()))


def test_the_page_says_the_sentence_and_shows_the_table(page):
    text = " ".join(" ".join(page.words).split())
    assert "Ship 'linear': 'encoder' is 4.5 points better" in text
    for words in ("at volume/1000", "best: 93%", "[0.767, 0.801]", "$9.82", "model_signing verify key"):
        assert words in text


def test_nothing_is_loaded_and_nothing_runs(page):
    tags = {name for name, _ in page.tags}
    assert not tags & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "audio",
        "video",
        "image",
        "use",
    }
    for _, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on") or name in ("style", "src", "srcset", "action")]
        assert all((attrs.get(name) or "#").startswith("#") for name in ("href", "xlink:href"))


def test_the_policy_allows_this_style_sheet_and_nothing_else():
    text = html.render(example.snapshot())
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert style is not None
    assert policy is not None
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    said = policy.group(1).replace("&#39;", "'").replace("&#43;", "+")
    assert said == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in style.group(1)
    assert "@import" not in style.group(1)


def evil():
    """The example with markup in every place where data, a name or a message reaches the page."""
    verdict = example.verdict()
    good = verdict["candidates"]["linear"]
    good["pictures"]["classes"] = [EVIL, "b", "c"]
    good["per_slice"] = {EVIL: {EVIL: {"n": 3, EVIL: 0.5}}}
    good["rule"] = {EVIL: EVIL}
    good["why_not"] = EVIL
    good["gates"][0]["gate"] = EVIL
    good["metric"]["method"] = good["metric"]["source"] = good["metric"]["hardware"] = good["metric"]["unit"] = EVIL
    verdict["candidates"] = {EVIL: good, **verdict["candidates"]}
    verdict["sentence"] = {"code": EVIL, "text": EVIL}
    finding = {
        "code": EVIL,
        "level": "problem",
        "stage": "collect",
        "subject": EVIL,
        "fields": {"a": EVIL},
        "text": EVIL,
    }
    collect = {
        **example.COLLECT,
        "sources": [{"name": EVIL, "location": EVIL, EVIL: EVIL}],
        "columns": [{"name": EVIL, "kind": "category", "dtype": EVIL, "missing": 0, "distinct": 1, "examples": [EVIL]}],
    }
    process = {**example.PROCESS, "dropped": {EVIL: 50}, "classes": {"train": {EVIL: 4}}}
    training = example.training()
    training["linear"]["history"] = [{"step": 1, EVIL: 1.0}, {"step": 2, EVIL: 2.0}]
    deploy = {
        "decision": {"release": EVIL, "candidate": EVIL, "created": EVIL},
        "release": {"id": EVIL},
        "parity": {EVIL: EVIL},
    }
    states = [{"step": EVIL, "state": "stale", "why": EVIL}]
    return example.snapshot(
        name=EVIL,
        task=EVIL,
        verdict=verdict,
        findings=[finding],
        collect=collect,
        process=process,
        train=training,
        deploy=deploy,
        states=states,
        config_text=EVIL,
        versions={EVIL: EVIL},
        lineage={EVIL: {"fingerprint": EVIL, "needs": {}}},
    )


def test_markup_in_the_data_is_shown_and_not_obeyed():
    page = Page(html.render(evil()))
    tags = {name for name, _ in page.tags}
    assert not tags & {"script", "img"}
    assert all("onload" not in attrs and "onerror" not in attrs for _, attrs in page.tags)
    assert len(page.all("style")) == 1
    assert EVIL in "".join(page.words)
    assert "5332114" not in "".join(page.words)  # templates render data, they are not made of it


def test_every_number_leads_to_its_line_in_the_appendix(page):
    report = compose(example.snapshot())
    ids = Counter(attrs["id"] for _, attrs in page.tags if attrs.get("id"))
    assert max(ids.values()) == 1
    links = [attrs["href"] for attrs in page.all("a") if attrs.get("class") == "q"]
    assert len(links) == len(report.entries) > 150
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert all((attrs.get("title") or "").count(" · ") >= 1 for attrs in page.all("a") if attrs.get("class") == "q")


def test_the_hover_says_when_where_and_how(page):
    titles = [attrs.get("title") or "" for attrs in page.all("a")]
    found = next(title for title in titles if title.startswith("0.784 [0.767, 0.801]") and "bootstrap" in title)
    for part in (
        "measured",
        "when: 2026-01-02 03:04:05 UTC",
        "n: 900",
        "interval: 95%",
        "from: artifacts/evaluate/verdict",
    ):
        assert part in found


def test_pictures_speak_to_those_who_do_not_see_them(page):
    drawings = page.all("svg")
    assert len(drawings) >= 8
    for attrs in drawings:
        assert attrs["role"] == "img"
        assert len(str(attrs["aria-labelledby"]).split()) == 2


def test_a_project_that_was_never_run_says_what_to_do():
    text = " ".join(Page(html.render(example.empty())).words)
    for stage in ("collect", "process", "train", "evaluate", "deploy", "business"):
        assert f"breakeven run {stage}" in " ".join(text.split())
    assert "NaN" not in text
    assert "None" not in text


def test_stale_steps_are_said_before_the_table():
    states = [{"step": "evaluate/verdict", "state": "stale", "why": "evaluate.payoff.wrong: -0.1 -> -0.2"}]
    text = html.render(example.snapshot(states=states))
    assert text.index("evaluate.payoff.wrong: -0.1 -&gt; -0.2") < text.index('<table class="main">')


def test_none_pays_is_an_answer():
    verdict = {**example.verdict(), "chosen": None, "sentence": {"code": "x", "text": "none pays; nearest is 'linear'"}}
    text = html.render(example.snapshot(verdict=verdict))
    page = Page(text)
    assert {"class": "none"} in page.all("h1")
    assert text.index("What would have to change") < text.index('id="collect"')
    assert text.count("<caption>What would have to change") == 1 == text.count("does not pass its gates: macro_f1")
    assert text.count("<nav>") == 1
    assert "None pays; nearest is 'linear'" in "".join(page.words)


def test_chinese_labels():
    page = Page(html.render(replace(example.snapshot(), language="zh")))
    assert page.all("html") == [{"lang": "zh"}]
    text = "".join(page.words)
    for words in ("采集", "分摊成本/千次", "全部数字", "实测"):
        assert words in text


def test_raw_texts_and_ids_stay_out_of_a_report_that_is_passed_on(page):
    text = "".join(page.words)
    assert "secret words of a person" not in text
    assert "film, tweet" in text
