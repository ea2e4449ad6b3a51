"""The table of candidates, the pictures of the verdict, and the evaluate section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from breakeven.quantity import Quantity
from breakeven.report import numbers, pictures as draw
from breakeven.report.blocks import Block, Cell, Facts, Note, Picture, Table, Tone
from breakeven.report.origins import counted, measured, quantity
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot

STEP = "evaluate/verdict"
SPEED = "evaluate/speed"
MARKS: dict[str, Tone] = {"yes": "good", "no": "bad", "cannot_tell": "unsure"}
Candidates = Mapping[str, Mapping[str, Any]]


def candidates(snapshot: Snapshot) -> Candidates:
    """The verdict's candidates, in the order of the ladder."""
    found: Candidates = (snapshot.verdict or {}).get("candidates") or {}
    return found


def main_table(snapshot: Snapshot, words: Words) -> Table:
    """The table of the first screen: metric, speed, both costs, value, gates, and whether it pays."""
    verdict = snapshot.verdict or {}
    heads = [words("candidate"), words.term(str(verdict.get("metric", "metric"))), words("p95"), words("marginal"),
             words("at-volume"), words("value"), words("gates"), words("pays")]
    rows = []
    for name, found in candidates(snapshot).items():
        rows.append([
            Cell(name, tone="good" if name == verdict.get("chosen") else ""), cell(found.get("metric")),
            cell(found.get("latency_ms_p95"), bare=True), cell(found.get("marginal_per_1000")), cell(found.get("at_volume_per_1000")),
            cell(found.get("value_per_1000")), gates_cell(found, words), pays_cell(name, verdict, words),
        ])
    note = words("still-improving-note") if any(found.get("still_improving") for found in candidates(snapshot).values()) else ""
    return Table("", heads, rows, step=STEP, note=note, main=True)


def cell(data: Any, *, bare: bool = False) -> Cell:
    """A quantity's cell (`bare`: its head names the unit); what was not found out is n/a."""
    held = quantity(data)
    return Cell(quantity=held, bare=bare) if held else Cell(numbers.MISSING, tone="quiet")


def gates_cell(found: Mapping[str, Any], words: Words) -> Cell:
    """`ok`, or which gates did not pass."""
    gates = found.get("gates") or []
    if not gates:
        return Cell(words("no-gates"), tone="quiet")
    refused = [words.term(str(gate["gate"])) for gate in gates if gate.get("passes") == "no"]
    unsure = [words.term(str(gate["gate"])) for gate in gates if gate.get("passes") == "cannot_tell"]
    if refused:
        return Cell(f"x {', '.join(refused)}", tone="bad")
    return Cell(f"? {', '.join(unsure)}", tone="unsure") if unsure else Cell("ok", tone="good")


def pays_cell(name: str, verdict: Mapping[str, Any], words: Words) -> Cell:
    """`best: 97%` for the chosen one, else yes or no; a candidate that was still improving is marked `+`."""
    found = verdict["candidates"][name]
    mark = " +" if found.get("still_improving") else ""
    share = found.get("probability_best")
    if name == verdict.get("chosen"):
        return Cell((words("best-share", share=numbers.percent(share)) if share is not None else words("best")) + mark, tone="good")
    if found.get("pays"):
        return Cell((words("yes-share", share=numbers.percent(share)) if share is not None else words("yes")) + mark)
    return Cell(words("no") + mark, tone="bad")


def section(snapshot: Snapshot, words: Words) -> list[Block]:
    """Everything that was measured and judged."""
    if not candidates(snapshot):
        return []
    blocks: list[Block] = [*_reasons(snapshot, words), *_changes(snapshot, words), _gates(snapshot, words), _money(snapshot, words), *_parts(snapshot, words),
                           _metrics(snapshot, words)]
    blocks += [*_per_class(snapshot, words), *_per_slice(snapshot, words), *_speed(snapshot, words), *_runtimes(snapshot, words)]
    return [*blocks, *_rules(snapshot, words)]


def _reasons(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    said = [(name, Cell(str(found["why_not"]))) for name, found in candidates(snapshot).items() if found.get("why_not")]
    if said:
        yield Facts(words("why-not"), said, step=STEP)


def _changes(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    """What would have to change for those that do not pay."""
    rows = []
    for found in candidates(snapshot).values():
        for change in found.get("changes") or []:
            gate = change.get("kind") == "gate"
            unit = "" if gate else str(change.get("unit", ""))
            now, needed = measured(change.get("found"), unit), measured(change.get("needed"), unit)
            rows.append([Cell(str(change.get("candidate"))), Cell(words.term(str(change["unit"] if gate else change.get("kind")))),
                         Cell(quantity=now) if now else cell(None), Cell(numbers.full(needed))])
    if rows:
        yield Table(words("changes"), [words("candidate"), words("what"), words("now"), words("needed")], rows, step=STEP)


def _gates(snapshot: Snapshot, words: Words) -> Block:
    rows = []
    for name, found in candidates(snapshot).items():
        for gate in found.get("gates") or []:
            held = quantity(gate.get("found"))
            limit = gate.get("limit")
            bound = quantity(limit) or Quantity(float(limit), held.unit if held else "", "declared") if limit is not None else None
            passes = str(gate.get("passes"))
            rows.append([Cell(name), Cell(words.term(str(gate["gate"]))), Cell(words.term(str(gate.get("kind", "")))),
                         Cell(quantity=bound), cell(gate.get("found")), Cell(words(f"judged-{gate.get('judged', 'bound')}")),
                         Cell(_passes(gate, words), tone=MARKS.get(passes, ""))])
    if not rows:
        return Note(words("no-gates-declared"), tone="quiet")
    heads = [words(name) for name in ("candidate", "gate", "kind", "limit", "found", "judged", "passes")]
    return Table(words("gates"), heads, rows, step=STEP, note=words("gates-note"))


def _passes(gate: Mapping[str, Any], words: Words) -> str:
    said = words(f"passes-{gate.get('passes')}")
    return words("cases-needed", said=said, n=numbers.count(gate["cases_needed"])) if gate.get("cases_needed") else said


MONEY = ("value_per_1000", "value_at_test_rates_per_1000", "at_volume_per_1000", "floor_per_1000", "recommended_per_1000",
         "ceiling_per_1000", "contribution_per_month", "surplus_per_month", "point_worth_per_month", "point_worth_at_our_share_per_month")


def _money(snapshot: Snapshot, words: Words) -> Block:
    found = candidates(snapshot)
    shown = [name for name in MONEY if any(quantity(item.get(name)) for item in found.values())]
    rows = []
    for name, item in found.items():
        machine = item.get("machine") or {}
        text = f"{machine.get('count', '?')} × {machine['name']}" if machine.get("name") else numbers.MISSING
        used = machine.get("utilization")
        share = quantity(used).value if quantity(used) else used  # type: ignore[union-attr]
        rows.append([Cell(name), *(cell(item.get(key)) for key in shown), Cell(text),
                     Cell(numbers.percent(share) if isinstance(share, (int, float)) else numbers.MISSING)])
    heads = [words("candidate"), *(words.term(name) for name in shown), words("machine"), words("utilization")]
    return Table(words("money"), heads, rows, step=STEP, note=words("money-note"))


def _parts(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    found = {name: item.get("cost_parts") or {} for name, item in candidates(snapshot).items()}
    names = list(dict.fromkeys(part for parts in found.values() for part in parts))
    if names:
        rows = [[Cell(name), *(cell(parts.get(part)) for part in names)] for name, parts in found.items()]
        yield Table(words("cost-parts"), [words("candidate"), *(words.term(part) for part in names)], rows, step=STEP)


def _metrics(snapshot: Snapshot, words: Words) -> Block:
    found = {name: item.get("metrics") or {} for name, item in candidates(snapshot).items()}
    classes = {str(label) for item in candidates(snapshot).values() for label in (item.get("pictures") or {}).get("classes", [])}
    names = [name for name in dict.fromkeys(key for item in found.values() for key in item)
             if not any(name.endswith(f"_{label}") for label in classes)]
    rows = [[Cell(words.term(name)), *(cell(item.get(name)) for item in found.values())] for name in names]
    return Table(words("metrics"), [words("metric"), *found], rows, step=STEP, note=words("metrics-note"))


def shown_candidate(snapshot: Snapshot) -> str | None:
    """The candidate whose details are drawn: the chosen one, else the one of highest value, else the last."""
    found = candidates(snapshot)
    chosen = (snapshot.verdict or {}).get("chosen")
    if chosen in found:
        return str(chosen)
    worth = {name: held.value for name, item in found.items() if (held := quantity(item.get("value_per_1000")))}
    return max(worth, key=lambda name: worth[name]) if worth else next(reversed(list(found)), None)


def _per_class(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    name = shown_candidate(snapshot)
    found = candidates(snapshot)[name] if name else {}
    rows = _breakdown(found.get("per_class") or (found.get("pictures") or {}).get("per_class") or {}, words)
    if rows:
        yield Table(words("per-class", candidate=name), *rows, step=STEP)


def _per_slice(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    name = shown_candidate(snapshot)
    found = candidates(snapshot)[name] if name else {}
    for field, values in (found.get("per_slice") or (found.get("pictures") or {}).get("per_slice") or {}).items():
        rows = _breakdown(values, words)
        if rows:
            yield Table(words("per-slice", field=field, candidate=name), *rows, step=STEP)


def _breakdown(values: Mapping[str, Any], words: Words) -> tuple[list[str], list[list[Cell]]] | None:
    """(heads, rows) of `{label: {n, metric: Quantity JSON or number}}`; None where there is nothing."""
    keys = list(dict.fromkeys(key for item in values.values() for key in item))
    if not keys:
        return None
    rows = [[Cell(label), *(_loose(item.get(key), key) for key in keys)] for label, item in values.items()]
    return [words("group"), *(words.term(key) for key in keys)], rows


def _loose(data: Any, key: str) -> Cell:
    held = quantity(data)
    if held is None and isinstance(data, (int, float)) and not isinstance(data, bool):
        held = counted(data) if key in ("n", "answered") else measured(data, "")
    if held is None:
        return Cell(numbers.MISSING, tone="quiet")
    return Cell(quantity=held)


def _speed(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    speed = snapshot.speed or {}
    found = speed.get("candidates") or {}
    names = [name for name in dict.fromkeys(key for item in found.values() for key in item)
             if any(quantity(item.get(name)) for item in found.values())]
    if not names:
        return
    rows = [[Cell(words.term(name)), *(cell(item.get(name)) for item in found.values())] for name in names]
    yield Table(words("speed"), [words("measured-thing"), *found], rows, step=SPEED, note=_conditions(speed, words))


def _conditions(speed: Mapping[str, Any], words: Words) -> str:
    hardware = speed.get("hardware")
    text = hardware if isinstance(hardware, str) else ", ".join(f"{key} {value}" for key, value in (hardware or {}).items())
    return words("speed-note", hardware=text or numbers.MISSING)


def _runtimes(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    rows = []
    for name, package in snapshot.packages.items():
        runtimes = package.get("runtimes") or {}
        for tried in runtimes.get("tried") or []:
            chosen = tried.get("runtime") == runtimes.get("chosen")
            within = "yes" if tried.get("within") else "no"
            rows.append([
                Cell(name), Cell(str(tried.get("runtime")), tone="good" if chosen else "", code=True), Cell(str(tried.get("threads", ""))),
                _loose_unit(tried.get("ms_per_case"), "ms"), _loose_unit(tried.get("agreement"), "share"),
                Cell(words(within) if tried.get("within") is not None else numbers.MISSING, tone=MARKS[within]),
                Cell(words("chosen") if chosen else ""),
            ])
    if rows:
        heads = [words(name) for name in ("candidate", "runtime", "threads", "ms-per-case", "agreement", "within", "chosen")]
        yield Table(words("runtimes"), heads, rows, note=words("runtimes-note"))


def _loose_unit(data: Any, unit: str) -> Cell:
    held = quantity(data) or (measured(data, unit) if isinstance(data, (int, float)) else None)
    return Cell(quantity=held) if held else Cell(numbers.MISSING, tone="quiet")


def _rules(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    name = shown_candidate(snapshot)
    rule = (candidates(snapshot)[name] if name else {}).get("rule") or {}
    pairs = [(words.term(str(key)), Cell(_said(value), code=True)) for key, value in rule.items() if value not in (None, {}, [])]
    if pairs:
        yield Facts(words("rule", candidate=name), pairs, step=STEP)


def _said(value: Any) -> str:
    if isinstance(value, float):
        return numbers.plain(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_said(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_said(item) for item in value)
    return str(value)


def pictures(snapshot: Snapshot, words: Words) -> list[Block]:
    """Frontier, ladder, confusion, calibration, latency and capacity, each where its numbers exist."""
    found = [_frontier(snapshot, words), _ladder(snapshot, words), _confusion(snapshot, words), _calibration(snapshot, words),
             *(_speeds(snapshot, words))]
    return [picture for picture in found if picture is not None]


def _frontier(snapshot: Snapshot, words: Words) -> Picture | None:
    verdict = snapshot.verdict or {}
    points = [draw.Point(name, cost, value, index, name == verdict.get("chosen"))
              for index, (name, item) in enumerate(candidates(snapshot).items())
              if (cost := quantity(item.get("at_volume_per_1000"))) and (value := quantity(item.get("value_per_1000")))]
    if not points:
        return None
    price = _price(verdict)
    caption = words("frontier-caption-price", price=numbers.full(price)) if price else words("frontier-caption")
    names = {"title": words("frontier-title"), "description": caption, "x": words("frontier-x"), "y": words("frontier-y"),
             "pays": words("frontier-pays") if price else words("frontier-pays-no-price")}
    return Picture("frontier", names["title"], draw.frontier("frontier", points, price, names, verdict.get("currency")), caption)


def _price(verdict: Mapping[str, Any]) -> Quantity | None:
    """The declared price per 1,000 answers, whatever unit it was stored in."""
    price = quantity((verdict.get("price") or {}).get("declared"))
    if price is None or "1000" in price.unit.replace(",", ""):
        return price
    code, _ = numbers.currency_of(price.unit)
    return price.scaled(1000, f"{code}/1000 answers") if code else None


def _ladder(snapshot: Snapshot, words: Words) -> Picture | None:
    rows = [(name, index, held) for index, (name, item) in enumerate(candidates(snapshot).items()) if (held := quantity(item.get("metric")))]
    if not rows:
        return None
    metric = words.term(str((snapshot.verdict or {}).get("metric")))
    caption = words("ladder-caption", metric=metric)
    names = {"title": words("ladder-title", metric=metric), "description": caption, "x": metric}
    return Picture("ladder", names["title"], draw.dots("ladder", rows, names, limit=_limit(snapshot, str((snapshot.verdict or {}).get("metric")))), caption)


def _limit(snapshot: Snapshot, gate: str) -> float | None:
    for item in candidates(snapshot).values():
        for found in item.get("gates") or []:
            if found.get("gate") == gate and found.get("limit") is not None:
                limit = quantity(found["limit"])
                return limit.value if limit else float(found["limit"])
    return None


def _confusion(snapshot: Snapshot, words: Words) -> Picture | None:
    name = shown_candidate(snapshot)
    found = (candidates(snapshot)[name] if name else {}).get("pictures") or {}
    classes, counts = found.get("classes"), found.get("confusion")
    if not name or not classes or not counts or len(classes) > 40:
        return None
    heads = [str(label) for label in classes]
    if len(counts[0]) > len(heads):
        refused = any(row[-1] for row in counts)
        heads = [*heads, words("refused")] if refused else heads
        counts = counts if refused else [row[:-1] for row in counts]
    caption = words("confusion-caption", candidate=name)
    names = {"title": words("confusion-title", candidate=name), "description": caption, "said": words("said"), "true": words("true")}
    rows = [(str(label), row) for label, row in zip(classes, counts, strict=False)]
    return Picture("confusion", names["title"], draw.confusion("confusion", heads, rows, names), caption)


def _calibration(snapshot: Snapshot, words: Words) -> Picture | None:
    name = shown_candidate(snapshot)
    found = (candidates(snapshot)[name] if name else {}).get("pictures") or {}
    bins = [item for item in found.get("reliability") or [] if item.get("n")]
    if not name or not bins:
        return None
    names = {"title": words("calibration-title", candidate=name), "description": words("calibration-caption"), "rows": words("rows"),
             "x": words("calibration-x"), "y": words("calibration-y"), "tip": words("calibration-tip", said="{said}", share="{share}", n="{n}")}
    index = list(candidates(snapshot)).index(name)
    return Picture("calibration", names["title"], draw.reliability("calibration", bins, names, index), words("calibration-caption"))


def _speeds(snapshot: Snapshot, words: Words) -> Iterator[Picture]:
    found, order = (snapshot.speed or {}).get("candidates") or {}, list(candidates(snapshot))
    for key, held, log in (("latency", "latency_ms_p95", True), ("capacity", "capacity_per_second", True)):
        rows = [(name, order.index(name), value) for name in order if (value := quantity((found.get(name) or {}).get(held)))]
        if not rows:
            continue
        ranges = {name: (low.value, high.value) for name in order if key == "latency"
                  and (low := quantity((found.get(name) or {}).get("latency_ms_p50"))) and (high := quantity((found.get(name) or {}).get("latency_ms_p99")))}
        names = {"title": words(f"{key}-title"), "description": words(f"{key}-caption"), "x": words(f"{key}-x")}
        yield Picture(key, names["title"], draw.dots(key, rows, names, limit=_limit(snapshot, held), log=log, whiskers=ranges), words(f"{key}-caption"))
