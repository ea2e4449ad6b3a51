"""Commands that run the line and show what came out: run, show, compare, report."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from breakeven.cli.options import answer, console, open_project, project_options, say, spoken, table, warn
from breakeven.errors import Finding, Place, Refused, UsageError, reader_language

if TYPE_CHECKING:
    from breakeven.project import Project, Snapshot

WORDS = ("step", "why")  # columns of a dry run that are no numbers


def _stages(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """Stages that begin with what was typed, for the shell."""
    from breakeven.pipeline import STAGES

    return [name for name in STAGES if name.startswith(typed)]


@click.command()
@click.argument("targets", nargs=-1, metavar="[STAGE|STEP]...", shell_complete=_stages)
@click.option("--dry-run", is_flag=True, help="Only say what would run: minutes, memory, downloads, money.")
@click.option("--refresh", is_flag=True, help="Read remote sources anew.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@project_options
def run(
    targets: tuple[str, ...],
    dry_run: bool,
    refresh: bool,
    quiet: bool,
    folder: str,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run every stage that is not fresh (or only TARGETS and what they need), and print the answer.

    Exit code 1 when no candidate passes its gates and pays: everything is measured and reported all the same.
    """
    from breakeven.cli.interrupts import second_leaves
    from breakeven.cli.progress import shown

    project = open_project(folder, overrides)
    chosen = _targets(project, targets)
    if dry_run:
        _dry_run(project, chosen, as_json)
        return
    file = Path(project.document.file)
    before = _content(file)
    with second_leaves(), shown(quiet=quiet) as progress:
        ran = project.run(chosen, refresh=refresh, progress=progress)
    snapshot = project.snapshot()
    written = _write_report(project, snapshot, ran)
    if as_json:
        answer(
            {
                "ran": ran,
                "verdict": snapshot.verdict,
                "deploy": snapshot.deploy,
                "findings": snapshot.findings,
                "report": written,
            }
        )
    else:
        _tell(project, snapshot, ran, written)
    if _content(file) != before:
        warn([Finding("file-changed-meanwhile", "warning", None, None, {"file": file.name})])
    _leave(snapshot, chosen)


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None  # moved meanwhile: changed as well


def _targets(project: Project, targets: tuple[str, ...]) -> list[str]:
    """Stages and steps by name; a candidate's name means its training."""
    names = {step.name for step in project.steps()}
    known = names | {name.split("/")[0] for name in names}
    found = []
    for target in targets:
        word = f"train/{target}" if f"train/{target}" in names and target not in known else target
        if word not in known:
            near = difflib.get_close_matches(target, known, 1)
            raise UsageError("target-unknown", target=target, known=sorted(known), nearest=near[0] if near else "train")
        found.append(word)
    return found


def _dry_run(project: Project, targets: list[str], as_json: bool) -> None:
    rows = project.estimate(targets)
    total = {key: sum(row[key] for row in rows) for key in ("minutes", "download_mb", "money")}
    total["memory_gb"] = max((row["memory_gb"] for row in rows), default=0.0)
    if as_json:
        lacking = [finding.as_json() for finding in project.lacking()]
        answer({"steps": rows, "total": total, "origin": "assumed", "findings": lacking})
        return
    from breakeven.report.words import Words

    words = Words(reader_language())
    shown = [
        {
            "step": row["step"],
            "minutes": _minutes(row["minutes"]),
            "memory-gb": f"{row['memory_gb']:.1f}",
            "download-mb": f"{row['download_mb']:.0f}",
            "money-spent": f"{row['money']:.2f}",
            "why": words("state-why", state=words.term(row["state"]), why=row["why"]),
        }
        for row in rows
    ]
    if shown:
        table(shown, {name: words(name) for name in shown[0]}, right=[name for name in shown[0] if name not in WORDS])
    console().print(words("dry-run-total", **total), soft_wrap=True)
    warn(project.lacking())


def _minutes(minutes: float) -> str:
    return "<0.1" if 0 < minutes < 0.05 else f"{minutes:.1f}"


def _write_report(project: Project, snapshot: Snapshot, ran: list[str]) -> list[str]:
    """The report, written anew where something ran; else the one that stands."""
    if snapshot.verdict is None:
        return []
    former = [project.root / name for name in ("report.html", "report.md")]
    if not ran and all(path.is_file() for path in former):
        return [str(path) for path in former]
    from breakeven import report

    return [str(path) for path in report.write(snapshot, project.root)]


def _tell(project: Project, snapshot: Snapshot, ran: list[str], written: list[str]) -> None:
    from breakeven.report import terminal
    from breakeven.report.words import Words

    out = console()
    if not ran:
        out.print(Words(reader_language())("nothing-run"))
    if snapshot.verdict is not None:
        terminal.print_verdict(out, snapshot)
    for path in written:
        out.print(f"{spoken('report'):<9}{path}", soft_wrap=True, markup=False)
    release = ((snapshot.deploy or {}).get("decision") or {}).get("release")
    if release:
        where = "" if str(project.root) == _here() else f" -C {_short(str(project.root))}"
        out.print(
            f"{spoken('serve'):<9}breakeven keys create --customer me{where} && breakeven serve --trust "
            f"{_short(str(project.root / 'keys' / 'release.pub'))}{where}",
            soft_wrap=True,
            markup=False,
        )


def _here() -> str:
    from pathlib import Path

    return str(Path.cwd())


def _short(path: str) -> str:
    import os

    relative = os.path.relpath(path)
    return relative if len(relative) < len(path) else path


def _leave(snapshot: Snapshot, targets: list[str]) -> None:
    late = {"evaluate", "deploy", "business"}
    asked = not targets or any(target.split("/")[0] in late for target in targets)
    if asked and snapshot.verdict is not None and not snapshot.verdict.get("chosen"):
        raise click.exceptions.Exit(Refused.exit_code)


@click.command()
@click.argument("what", default="evaluate", metavar="[STAGE|CANDIDATE]", shell_complete=_stages)
@project_options
def show(what: str, folder: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show a stage (collect, process, train, evaluate, deploy, business) or a candidate."""
    project = open_project(folder, overrides)
    snapshot = project.snapshot()
    from breakeven.pipeline import STAGES
    from breakeven.report import terminal

    candidates = [candidate.name for candidate in project.settings.train.candidates]
    known = [*STAGES, *candidates]
    if what not in known:
        near = difflib.get_close_matches(what, known, 1)
        raise UsageError("target-unknown", target=what, known=known, nearest=near[0] if near else "evaluate")
    if as_json:
        answer(_part(snapshot, what))
        return
    terminal.show(console(), snapshot, what)


def _part(snapshot: Snapshot, what: str) -> Any:
    if what == "evaluate":
        return {"measurements": snapshot.measurements, "verdict": snapshot.verdict, "speed": snapshot.speed}
    if what in ("collect", "process", "train", "deploy", "business"):
        return getattr(snapshot, what)
    verdict = (snapshot.verdict or {}).get("candidates", {}).get(what)
    return {
        "train": snapshot.train.get(what),
        "package": snapshot.packages.get(what),
        "measurements": snapshot.measurements.get(what),
        "verdict": verdict,
        "business": ((snapshot.business or {}).get("candidates") or {}).get(what),
    }


@click.command()
@click.argument("one")
@click.argument("other")
@project_options
def compare(one: str, other: str, folder: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Candidates ONE and OTHER side by side: quality, speed, cost, value, and the difference in money."""
    from breakeven.report import terminal

    project = open_project(folder, overrides)
    snapshot = project.snapshot()
    measured = (snapshot.verdict or {}).get("candidates", {})
    if not measured:
        raise UsageError("nothing-measured", at=Place(file=str(project.root)))
    for name in (one, other):
        if name not in measured:
            near = difflib.get_close_matches(name, measured, 1)
            raise UsageError("target-unknown", target=name, known=sorted(measured), nearest=near[0] if near else "?")
    if as_json:
        answer({one: _part(snapshot, one), other: _part(snapshot, other)})
        return
    terminal.compare(console(), snapshot, one, other)


@click.command()
@project_options
def report(folder: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Write report.html (one file, no network) and report.md from what is measured."""
    from breakeven import report as pages

    project = open_project(folder, overrides)
    written = [str(path) for path in pages.write(project.snapshot(), project.root)]
    if as_json:
        answer({"written": written})
        return
    for path in written:
        say(f"wrote {path}")
