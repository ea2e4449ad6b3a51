"""The sections collect, process, train and deploy, and the lineage of everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from breakeven.report import numbers, pictures as draw
from breakeven.report.blocks import Block, Cell, Facts, Listing, Picture, Section, Table, Tone
from breakeven.report.origins import counted, measured, quantity
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot

SHOWABLE = ("category",)     # kinds whose example values may stand in a report that is passed on
STATES: dict[str, Tone] = {"fresh": "good", "stale": "unsure", "missing": "quiet"}


def number(value: Any, unit: str = "rows") -> Cell:
    """A counted number's cell; n/a where the artifact does not say."""
    held = counted(value, unit) if isinstance(value, (int, float)) else quantity(value)
    return Cell(quantity=held) if held else Cell(numbers.MISSING, tone="quiet")


def said(value: Any, *, code: bool = False) -> Cell:
    """Words of an artifact; n/a where there are none."""
    if value is None or value == "":
        return Cell(numbers.MISSING, tone="quiet")
    return Cell(str(value), code=code)


def collect(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    """The data card: sources, what the filter dropped, columns."""
    card = snapshot.collect
    if card is None:
        return
    filtered = card.get("filtered") or {}
    pairs = [(words("rows-collected"), number(card.get("rows")))]
    if filtered.get("where"):
        pairs += [(words("filter"), said(filtered["where"], code=True)), (words("filter-dropped"), number(filtered.get("dropped")))]
    if card.get("limit") is not None:
        pairs.append((words("row-limit"), _limit(card["limit"])))
    yield Facts(words("what-was-read"), pairs, step="collect")
    for source in card.get("sources") or []:
        yield Facts(words("source", name=source.get("name", "?")), _source(source, words), step="collect")
    yield _columns(card, words)


def _limit(value: Any) -> Cell:
    held = quantity({"value": value, "unit": "rows", "origin": "declared"})
    return Cell(quantity=held) if held else said(value)


def _source(source: Mapping[str, Any], words: Words) -> list[tuple[str, Cell]]:
    codes = ("location", "sha256", "encoding", "delimiter")
    pairs = []
    for key, value in source.items():
        if key == "name" or value is None or value == "":
            continue
        if key == "bytes":
            pairs.append((words("size"), Cell(numbers.size(value))))
        elif isinstance(value, Mapping):
            pairs += [(f"{words.term(key)}, {words.term(str(name))}", said(item)) for name, item in value.items() if item]
        elif isinstance(value, list):
            pairs.append((words.term(key), said(", ".join(str(item) for item in value))))
        else:
            text = repr(value) if key == "delimiter" else value
            pairs.append((words.term(key), said(text, code=key in codes)))
    return pairs


def _columns(card: Mapping[str, Any], words: Words) -> Table:
    rows = []
    for column in card.get("columns") or []:
        kind = str(column.get("kind", ""))
        bounded = kind in ("number", "time") and column.get("min") is not None
        examples = ", ".join(_clip(value) for value in column.get("examples") or []) if kind in SHOWABLE else ""
        if bounded:
            examples = f"{_clip(column['min'])} … {_clip(column['max'])}"
        rows.append([Cell(str(column.get("name")), code=True), Cell(words.term(kind)), Cell(str(column.get("dtype", "")), code=True),
                     number(column.get("missing")), number(column.get("distinct")), Cell(examples)])
    heads = [words(name) for name in ("column", "kind-of-field", "dtype", "missing-values", "distinct", "range-or-examples")]
    return Table(words("columns"), heads, rows, step="collect", note=words("columns-note"))


def _clip(value: Any) -> str:
    text = numbers.plain(value) if isinstance(value, float) else str(value)
    return text if len(text) <= 28 else text[:27] + "…"


def process(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    """What was dropped and how it adds up, the split, the classes, duplicates, personal data."""
    report = snapshot.process
    if report is None:
        return
    yield _drops(report, words)
    splits = report.get("splits") or {}
    if splits:
        total = sum(value for value in splits.values() if isinstance(value, int))
        rows = [[Cell(words.term(name)), number(value), Cell(numbers.percent(value / total if total else None))]
                for name, value in splits.items()]
        yield Table(words("split"), [words("part"), words("rows-head"), words("share")], rows, step="process")
    yield from _classes(report, words)
    pairs = [*_flat("duplicates", report, words), (words("conflicts"), number(report.get("conflicts"))),
             *_flat("personal_data", report, words, unit="found")]
    columns = report.get("columns") or {}
    for name in ("missing", "constant"):
        held = columns.get(name)
        if held:
            text = ", ".join(f"{key} ({value})" for key, value in held.items()) if isinstance(held, Mapping) else ", ".join(map(str, held))
            pairs.append((words(f"columns-{name}"), said(text, code=True)))
    yield Facts(words("looked-for"), [pair for pair in pairs if pair[1].text != numbers.MISSING], step="process")


def _drops(report: Mapping[str, Any], words: Words) -> Table:
    dropped = report.get("dropped") or {}
    came, left = report.get("rows_in"), report.get("rows_out")
    rows = [[Cell(words("rows-in")), number(came)]]
    rows += [[Cell("− " + words.term(str(reason))), number(value)] for reason, value in dropped.items()]
    adds = isinstance(came, int) and isinstance(left, int) and came == left + sum(dropped.values())
    rows.append([Cell(words("rows-out")), number(left)])
    note = words("adds-up") if adds else words("does-not-add-up")
    return Table(words("drops"), [words("step-of-rows"), words("rows-head")], rows, step="process", note=note)


def _classes(report: Mapping[str, Any], words: Words) -> Iterator[Table]:
    classes = report.get("classes") or {}
    labels = list(dict.fromkeys(label for held in classes.values() for label in held))
    if labels:
        rows = [[Cell(label), *(number(held.get(label, 0)) for held in classes.values())] for label in labels]
        yield Table(words("classes"), [words("class"), *(words.term(name) for name in classes)], rows, step="process")


def _flat(key: str, report: Mapping[str, Any], words: Words, unit: str = "rows") -> list[tuple[str, Cell]]:
    held = report.get(key)
    if not isinstance(held, Mapping):
        return []
    return [(f"{words(key)}: {words.term(str(name))}", number(value, unit)) for name, value in held.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)]


def train(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    """Every candidate's training: model, size, weights, time, why it stopped; curves where it had steps."""
    if not snapshot.train:
        return
    rows = []
    for name, record in snapshot.train.items():
        base = record.get("base") or {}
        stopped = words.term(f"stopped-{record['stopped']}") if record.get("stopped") else ""
        mark = "; ".join(part for part in (stopped, words("still-improving") if record.get("still_improving") else "") if part)
        seconds = measured(record.get("seconds"), "s", hardware=_machine(record.get("hardware")))
        weights = f"{base.get('weights', '')} @ {str(base.get('revision') or '?')[:12]}" if base else ""
        rows.append([Cell(name), Cell(str(record.get("model", "")), code=True), number(record.get("parameters"), "parameters"),
                     Cell(weights, code=True), Cell(str(base.get("licence") or "")), Cell(quantity=seconds) if seconds else said(None),
                     number(record.get("steps"), "steps"), Cell(mark, tone="unsure" if record.get("still_improving") else "")])
    heads = [words(name) for name in ("candidate", "model", "parameters", "weights", "licence", "seconds", "steps", "stopped")]
    yield Table(words("training"), heads, rows, step=f"train/{next(iter(snapshot.train))}", note=words("training-note"))
    yield from _validation(snapshot, words)
    yield from _curves(snapshot, words)


def _machine(hardware: Any) -> str | None:
    if isinstance(hardware, Mapping):
        return ", ".join(f"{key} {value}" for key, value in hardware.items() if value not in (None, "", []))
    return str(hardware) if hardware else None


def _validation(snapshot: Snapshot, words: Words) -> Iterator[Table]:
    found = {name: {key: value for key, value in (record.get("validation") or {}).items() if isinstance(value, (int, float, Mapping))}
             for name, record in snapshot.train.items()}
    names = list(dict.fromkeys(key for item in found.values() for key in item))
    if names:
        rows = []
        for name in names:
            cells = [quantity(item.get(name)) or (measured(item[name], "") if isinstance(item.get(name), (int, float)) else None)
                     for item in found.values()]
            rows.append([Cell(words.term(name)), *(Cell(quantity=held) if held else said(None) for held in cells)])
        yield Table(words("validation"), [words("metric"), *found], rows, note=words("validation-note"))


def _curves(snapshot: Snapshot, words: Words) -> Iterator[Picture]:
    records = [(index, name, [row for row in record.get("history") or [] if isinstance(row, Mapping) and "step" in row])
               for index, (name, record) in enumerate(snapshot.train.items())]
    figures = list(dict.fromkeys(key for _, _, history in records for row in history for key, value in row.items()
                                 if key not in ("step", "epoch", "seconds", "at") and isinstance(value, (int, float))))
    for figure in figures[:4]:
        series = []
        for index, name, history in records:
            points = [(float(row["step"]), float(row[figure])) for row in history if isinstance(row.get(figure), (int, float))]
            if len(points) > 1:
                series.append(draw.Line(name, [x for x, _ in points], [y for _, y in points], index))
        if series:
            term = words.term(figure)
            names = {"title": words("curve-title", figure=term), "description": words("curve-caption", figure=term),
                     "x": words("curve-x"), "y": term}
            yield Picture(f"curve-{figure}", names["title"], draw.lines(f"curve-{figure}", series, names), words("curve-caption", figure=term))


def deploy(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    """The decision, the release with its signature, and the parity receipt."""
    held = snapshot.deploy
    if not held:
        return
    for key in ("decision", "release", "parity"):
        part = held.get(key)
        if isinstance(part, Mapping):
            pairs = [(words.term(str(name)), _leaf(value)) for name, value in _leaves(part)]
            yield Facts(words(f"deploy-{key}"), pairs, step="deploy")
    decision = held.get("decision") or {}
    if decision and not decision.get("release"):
        from breakeven.report.blocks import Note

        yield Note(words("withheld"), tone="bad")


def _leaves(data: Mapping[str, Any], depth: int = 0) -> Iterator[tuple[str, Any]]:
    """The scalars of a record in two levels; deeper parts stand in the artifact itself."""
    for name, value in data.items():
        if isinstance(value, Mapping) and quantity(value) is None:
            if depth < 1:
                yield from ((f"{name}, {key}", item) for key, item in _leaves(value, depth + 1))
        elif value not in (None, "", []) and name != "format":
            if isinstance(value, list):
                if all(isinstance(item, (str, int, float)) for item in value):
                    yield name, ", ".join(str(item) for item in value)
            else:
                yield name, value


def _leaf(value: Any) -> Cell:
    held = quantity(value)
    if held:
        return Cell(quantity=held)
    if isinstance(value, bool):
        return Cell(str(value).lower())
    if isinstance(value, int):
        return number(value, "")
    if isinstance(value, float):
        return Cell(quantity=measured(value, ""))
    text = str(value)
    return Cell(text, code=len(text) > 24 and " " not in text)


def lineage(snapshot: Snapshot, words: Words) -> Section:
    """Every step with its fingerprint, what it needs, when it was made and how often it was run; the file itself."""
    blocks: list[Block] = []
    made = {name: manifest for name, manifest in snapshot.lineage.items() if manifest}
    state = {item["step"]: str(item["state"]) for item in snapshot.states}
    if made:
        columns: dict[str, list[tuple[str, str, str]]] = {}
        for name in state or made:
            digest = str(made.get(name, {}).get("fingerprint", ""))
            columns.setdefault(_column(name), []).append((name, digest, state.get(name, "fresh")))
        needs = {name: list(manifest.get("needs") or {}) for name, manifest in made.items()}
        names = {"title": words("lineage-title"), "description": words("lineage-caption")}
        blocks.append(Picture("lineage", names["title"], draw.lineage("lineage", list(columns.values()), needs, names), words("lineage-caption")))
        rows = [[Cell(name, code=True), Cell(str(held.get("fingerprint", ""))[:16], code=True),
                 Cell(words.term(state.get(name, "")), tone=STATES.get(state.get(name, ""), "")),
                 Cell(str(held.get("created", "")).replace("T", " ").replace("+00:00", "")),
                 Cell(numbers.duration(held.get("seconds"))), Cell(str(snapshot.counters.get(name, 0))),
                 Cell(", ".join(held.get("needs") or {}), code=True)] for name, held in made.items()]
        heads = [words(name) for name in ("step", "fingerprint", "state", "created", "took", "runs", "needs")]
        blocks.append(Table(words("every-step"), heads, rows))
    versions = {**{name: value for held in made.values() for name, value in (held.get("versions") or {}).items()}, **snapshot.versions}
    if versions:
        blocks.append(Facts(words("versions"), [(name, Cell(str(value), code=True)) for name, value in versions.items()]))
    if snapshot.config_text:
        blocks.append(Listing(words("the-file"), snapshot.config_text))
    return Section("lineage", words("lineage"), blocks)


def _column(step: str) -> str:
    """Steps of one stage share a column; the verdict and the load test stand after the packages they read."""
    return {"evaluate/speed": "evaluate-2", "evaluate/verdict": "evaluate-3"}.get(step, step.split("/")[0])
