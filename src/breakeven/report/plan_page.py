"""A plan without a model as a page of its own: what `breakeven simulate` found, drawn as the report draws it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from breakeven.artifacts import now, write_atomic
from breakeven.report import compose, html, origins
from breakeven.report.blocks import Block, Report, Section
from breakeven.report.sections import business
from breakeven.report.words import Words

PAGE = "plan.html"
DATA = "plan.json"


def write(plan: Mapping[str, Any], folder: Path, *, name: str, language: str = "en") -> Path:
    """Writes `plan.html` of what plan.json holds into `folder`, whole or not at all; returns its path."""
    write_atomic(folder / PAGE, html.render_report(composed(plan, name=name, language=language)))
    return folder / PAGE


def composed(plan: Mapping[str, Any], *, name: str, language: str = "en") -> Report:
    """The plan as a report: in short, when, the pictures; then figures, owners, doubt and inputs."""
    words = Words(language)
    shown = words("plan-page")
    (only,) = (plan.get("candidates") or {}).values()
    plan = {**plan, "candidates": {shown: only}, "shown": shown, "chosen": None}
    first, *rest = [words.finding(line) for line in plan.get("summary") or []] or [name]
    short = {**plan, "summary": (plan.get("summary") or [])[1:]} if rest else {**plan, "summary": []}
    answer: list[Block] = [
        *business.in_short(short, shown, words),
        *business.months(plan, words),
        *business.first_pictures(plan, shown, words),
    ]
    more: list[Block] = [*business.how(plan, words), *business.details(plan, shown, words)]
    more += compose.findings(only.get("findings") or [], words)
    sections = [Section("answer", "", answer), Section("business", words("stage-business"), more)]
    report = Report(name, words("plan-page"), language, first, "missing", [words("plan-page-sources")], sections)
    return _placed(origins.registered(replace(report, made=now()), {}, words))


def _placed(report: Report) -> Report:
    """The numbers of such a plan stand in plan.json beside the page, not among a project's artifacts."""
    step = f"artifacts/{business.STEP}"
    entries = [replace(entry, artifact=DATA) if entry.artifact == step else entry for entry in report.entries]
    return replace(report, entries=entries)
