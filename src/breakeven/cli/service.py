"""Commands about the service: serve, predict, usage, feedback."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from breakeven.cli.options import answer, as_json, console, open_project, project_options, say, spoken
from breakeven.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_folder = click.option(
    "-C", "--project", "folder", default=".", metavar="DIR", help="The project's folder.  [default: .]"
)
_customer = click.option("--customer", metavar="NAME", help="Only this customer.")


def _ledger(folder: str) -> str:
    from breakeven.ledger.book import ledger_place

    return ledger_place(Path(folder).expanduser().resolve())


def _table(rows: Sequence[dict[str, Any]], columns: dict[str, str], empty: str) -> None:
    """Rows as a table; `columns` maps keys to titles. Says `empty` where there is none."""
    if not rows:
        say(empty)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for key, title in columns.items():
        number = isinstance(rows[0].get(key), (int, float)) or key == "price"
        table.add_column(spoken(title), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if row.get(key) is None else str(row[key])) for key in columns))
    console().print(table)


@click.command()
@click.option(
    "--trust",
    type=click.Path(path_type=Path),
    metavar="KEY.pub",
    help="Public key that must have signed the release.  [default: the project's own]",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; another than loopback is your decision.",
)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--threads",
    default=None,
    type=click.IntRange(1, 256),
    help="Threads of the model.  [default: as measured to be fastest here; elsewhere all cores]",
)
@click.option(
    "--log",
    "log_kind",
    default="text",
    show_default=True,
    type=click.Choice(["text", "json"]),
    help="Log on stderr for people, or for machines with a line a request; never a payload or a key.",
)
@project_options
def serve(
    trust: Path | None,
    host: str,
    port: int,
    threads: int | None,
    log_kind: Literal["text", "json"],
    folder: str,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Serve the current release, and follow what `breakeven releases` and `run deploy` decide while it runs.

    A release without a valid signature and parity receipt is refused (exit 4).
    """
    import os

    from breakeven import billing
    from breakeven.cli.watching import costs_of
    from breakeven.serving.logs import configure
    from breakeven.serving.run import serve as run_server

    project = open_project(folder, overrides)

    def ready(url: str, service: Any) -> None:
        service.watch.costs(costs_of(project.root))
        facts = {"url": url, "pid": os.getpid(), "model": service.current.name, "docs": f"{url}/docs"}
        if as_json:
            answer(facts)
        else:
            say(f"serving {service.current.name} at {url} (process {os.getpid()}); stop with Ctrl-C", err=True)
            click.echo(
                f"  curl -s {url}/v1/predict -H 'Authorization: Bearer KEY' -H 'Content-Type: application/json' "
                f"-d '{_example(service)}'",
                err=True,
            )

    lines = configure(log_kind)
    ended_by = run_server(
        project.root / "releases",
        ledger=_ledger(folder),
        trust=trust or project.root / "keys" / "release.pub",
        plan=billing.meter_plan(project.settings.business, project.task.meters),
        host=host,
        port=port,
        threads=threads or 0,
        keep=project.settings.watching.inputs.wanted() if project.settings.watching.inputs else None,
        ready=ready,
    )
    lines.close()
    if ended_by is not None:
        raise click.exceptions.Exit(128 + ended_by)


def _example(service: Any) -> str:
    import json

    shown = _brief(service.current.package.info.get("example"))
    return json.dumps({"inputs": [shown]}, ensure_ascii=False).replace("'", "'\\''")


def _brief(value: Any, most: int = 80) -> Any:
    """An input short enough to paste: long texts end at a space before `most` characters."""
    if isinstance(value, dict):
        return {key: _brief(part, most) for key, part in value.items()}
    if isinstance(value, list):
        return [_brief(part, most) for part in value]
    if not isinstance(value, str) or len(value) <= most:
        return value
    return value[:most].rsplit(" ", 1)[0]


@click.command()
@click.argument("inputs", nargs=-1)
@click.option("--file", "source", type=click.File("rb"), help="JSON Lines or plain lines; - for stdin.")
@click.option("--trust", type=click.Path(path_type=Path), metavar="KEY.pub", help="As for serve.")
@project_options
def predict(
    inputs: tuple[str, ...], source: Any, trust: Path | None, folder: str, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Answer INPUTS (texts or JSON) with the current release, as the server would; nothing is metered."""
    from breakeven.data.inputs import of_argument, read_inputs
    from breakeven.packaging.decisions import open_current

    project = open_project(folder, overrides)
    payloads = [of_argument(text) for text in inputs] + (read_inputs(source, source.name) if source else [])
    if not payloads:
        raise UsageError("no-inputs")
    release, decision = open_current(project.root / "releases", trust or project.root / "keys" / "release.pub")
    with release.open() as package:
        items = [package.parse(payload) for payload in payloads]
        raw = package.raw(items)
        outputs = package.render(raw, package.answer(raw, decision.rule))
    if as_json:
        answer({"model": release.id, "outputs": outputs})
        return
    import json

    for output in outputs:
        click.echo(json.dumps(output, ensure_ascii=False))


def _rows(read: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Rows of a ledger; a ledger that nobody has made yet has none."""
    from breakeven.errors import BreakevenError

    try:
        return read()
    except BreakevenError as error:
        if error.code == "ledger-missing":
            return []
        raise


def _time(text: str | None, option: str) -> int | None:
    """A time that an option gives, in microseconds; UsageError for what is none."""
    from breakeven.errors import InputError, Place
    from breakeven.ledger.clock import moment

    try:
        return moment(text, option)
    except InputError as error:
        raise UsageError(error.code, at=Place(field=option), **error.fields) from None


@click.command()
@_customer
@click.option("--from", "start", metavar="TIME", help="ISO 8601; the first moment counted.")
@click.option("--to", "end", metavar="TIME", help="ISO 8601; the first moment no longer counted.")
@_folder
@as_json
def usage(customer: str | None, start: str | None, end: str | None, folder: str, as_json: bool) -> None:
    """What was used, by customer, release and meter, and its exact price."""
    from breakeven.ledger import commands

    first, last = _time(start, "--from"), _time(end, "--to")
    if first is not None and last is not None and first > last:
        raise UsageError("times-reversed", first="--from", last="--to")
    rows = _rows(lambda: commands.usage(_ledger(folder), customer, start, end))
    if as_json:
        answer(rows)
        return
    _table(
        rows,
        {
            "name": "customer",
            "model": "release",
            "meter": "meter",
            "quantity": "quantity",
            "events": "requests",
            "price": "price",
            "currency": "currency",
        },
        "nothing was used yet",
    )


@click.command()
@_customer
@_folder
@as_json
def feedback(customer: str | None, folder: str, as_json: bool) -> None:
    """List the feedback that customers sent, oldest first."""
    from breakeven.ledger import commands

    rows = _rows(lambda: commands.feedback_list(_ledger(folder), customer))
    if as_json:
        answer(rows)
        return
    names = _names(folder) if rows else {}
    shown = [
        {**row, "time": short_time(row["time"]), "customer": names.get(row["customer"], row["customer"]),
         "said": _opinion(row)}
        for row in rows
    ]  # fmt: skip
    columns = {"time": "time", "customer": "customer", "id": "answer", "index": "index", "said": "feedback"}
    kept = {
        key: head for key, head in columns.items() if key != "index" or any(row["index"] is not None for row in rows)
    }
    _table(shown, kept, "no feedback yet")


def _opinion(row: dict[str, Any]) -> str:
    """What a customer said of an answer: `wrong; label: billing; comment: ...`, in the reader's language."""
    correct = {True: "right", False: "wrong"}.get(row.get("correct", ""), "")
    named = [f"{part}: {_harmless(row[part])}" for part in ("label", "rating", "comment") if row.get(part) is not None]
    return "; ".join(spoken(part) for part in [correct, *named] if part)


def _harmless(said: Any) -> str:
    """Words of a stranger on one line: what could steer a terminal is a space, what is long is cut."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(said))
    return text if len(text) <= 200 else text[:199] + "…"


def _names(folder: str) -> dict[str, str]:
    """Id of a customer -> name, as far as customers still have one."""
    from breakeven.ledger import commands

    return {row["id"]: row["name"] for row in commands.customers_list(_ledger(folder)) if row["name"]}


def short_time(text: str | None) -> str | None:
    """A moment for people: `2026-11-23 01:52:17 UTC` of ISO 8601 in UTC; anything else as it is."""
    if text is None or not text.endswith(("Z", "+00:00")):
        return text
    return text[:19].replace("T", " ") + " UTC"
