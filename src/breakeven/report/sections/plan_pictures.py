"""The pictures of a plan, each with its numbers as a table: revenue, cash, break-even, unit economics, owners, exit.

They read plan.json alone, so that a plan without a model is drawn as one with candidates is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from breakeven.quantity import Origin, Quantity, weakest
from breakeven.report import money, numbers
from breakeven.report import pictures as draw
from breakeven.report.blocks import Cell, Picture, Table
from breakeven.report.chart import Label
from breakeven.report.origins import quantity
from breakeven.report.sections.cells import in_percent, judged, origin_of
from breakeven.report.words import Words

STEP = "business"
FANS = (("mrr", "mrr_end"), ("cash", "npv"))  # the stream, and the figure whose origin it shares
MONTHS = 6  # months that a table names
EXITS = 6  # exit values that a table names
EVENTS = ("shares", "pool", "grant", "exercise", "transfer", "cancel", "split", "promise")
HOLDERS = 8  # as many as there are colours; the others are one
Plans = Mapping[str, Mapping[str, Any]]


def label_of(plan: Mapping[str, Any], words: Words) -> Label:
    """Tick labels for money: a sign, and thousands and millions by the language's letters."""
    units = [(float(size), letter) for size, letter in (part.split(":") for part in words("big-units").split(" "))]
    return money.compact(draw.money_label(plan.get("currency")), units)


def growth(plan: Mapping[str, Any], shown: str | None, words: Words) -> Iterator[Picture]:
    """Recurring revenue and cash, side by side: a fan for the shown candidate, the medians of the others."""
    found: Plans = plan.get("candidates") or {}
    for stream, figure in FANS:
        every = [
            _line(item, stream, name, place, fan=name == shown) for place, (name, item) in enumerate(found.items())
        ]
        # The shown one is drawn last, over the others.
        series = sorted((line for line in every if line is not None), key=lambda line: line.low is not None)
        if not series or shown is None:
            continue
        others = "-alone" if len(series) == 1 else ""
        scenarios = numbers.count(plan.get("scenarios"))
        caption = words(f"{stream}-caption{others}", scenarios=scenarios, candidate=shown)
        names = _names(stream, words, caption)
        if others:
            series = [draw.Line("", line.x, line.y, line.index, line.low, line.high) for line in series]
        ticks = _ticks(series[0].x)
        drawn = draw.lines(stream, series, names, y_label=label_of(plan, words), zero=True, x_ticks=ticks)
        yield Picture(stream, names["title"], drawn, caption, _fan_table(plan, found[shown], (stream, figure), words))


def _names(key: str, words: Words, caption: str) -> dict[str, str]:
    return {
        "title": words(f"{key}-title"),
        "description": caption,
        "x": words(f"{key}-x"),
        "y": words(f"{key}-y"),
    }


def _line(item: Mapping[str, Any], stream: str, name: str, index: int, *, fan: bool) -> draw.Line | None:
    held = (item.get("fans") or {}).get(stream) or {}
    middle = held.get("p50") or held.get("mean")
    if not middle:
        return None
    months = [float(place + 1) for place in range(len(middle))]
    return draw.Line(name, months, middle, index, held.get("p10") if fan else None, held.get("p90") if fan else None)


def _fan_table(plan: Mapping[str, Any], item: Mapping[str, Any], what: tuple[str, str], words: Words) -> Table:
    """Median and p10 to p90 of a stream at a few months."""
    stream, figure = what
    fan, unit = item["fans"][stream], f"{plan.get('currency')}{'/month' if stream == 'mrr' else ''}"
    middle = fan.get("p50") or fan["mean"]
    low, high = (fan.get(name) or [None] * len(middle) for name in ("p10", "p90"))
    method = "median and p10 to p90 of the scenarios"
    rows = []
    for month in _some(len(middle), MONTHS):
        at = month - 1
        held = Quantity(middle[at], unit, origin_of(item, figure), low[at], high[at], 0.8, method=method)
        rows.append([Cell(numbers.count(month)), Cell(quantity=held)])
    return Table(words(f"{stream}-title"), [words("month"), words(f"{stream}-y")], rows, step=STEP)


def _ticks(months: Sequence[float]) -> list[float]:
    """Half years, years or more of them, at most seven."""
    last = int(max(months))
    step = next((step for step in (1, 2, 3, 6, 12, 24, 60) if last <= 7 * step), 120)
    return [float(month) for month in range(step, last + 1, step)]


def _some(last: int, about: int) -> list[int]:
    """The first, the last and whole steps between them: months 1, 6, 12 ..."""
    step = max(1, math.ceil(last / about))
    return list(dict.fromkeys([1, *range(step, last + 1, step), last]))


def break_even(plan: Mapping[str, Any], shown: str | None, words: Words) -> Iterator[Picture]:
    """In which share of the scenarios each kind of break-even has come by each month, and in which it never does."""
    item = (plan.get("candidates") or {}).get(shown) or {}
    curves = {name: curve for name, curve in (item.get("break_even") or {}).items() if curve.get("months")}
    if not curves:
        return
    never = words.joined(
        words("never-share", what=words(f"even-{name}"), share=numbers.percent(curve["never"]))
        for name, curve in curves.items()
    )
    months = next(iter(curves.values()))["months"]
    caption = words("break-even-caption", months=months[-1], never=never, candidate=shown)
    names = _names("break-even", words, caption)
    series = [
        draw.Line(words(f"even-{name}"), curve["months"], curve["probability"], place, dash=place)
        for place, (name, curve) in enumerate(curves.items())
    ]
    drawn = draw.lines("break-even", series, names, y_label=numbers.percent, span=(0.0, 1.0), x_ticks=_ticks(months))
    yield Picture("break-even", names["title"], drawn, caption, _even_table(item, curves, words))


def _even_table(item: Mapping[str, Any], curves: Mapping[str, Any], words: Words) -> Table:
    origin = origin_of(item, "probability_of_break_even")
    how = "share of the scenarios, with the simulation's own interval"

    def share(value: float) -> Cell:
        return judged(value, numbers.percent(value), origin, method=how)

    months = next(iter(curves.values()))["months"]
    rows = [
        [Cell(words("by-month", month=month)), *(share(curve["probability"][month - 1]) for curve in curves.values())]
        for month in _some(len(months), MONTHS)
    ]
    rows.append([Cell(words("never", months=months[-1])), *(share(curve["never"]) for curve in curves.values())])
    heads = [words("month"), *(words(f"even-{name}") for name in curves)]
    return Table(words("break-even-title"), heads, rows, step=STEP)


def unit(plan: Mapping[str, Any], shown: str | None, words: Words) -> Iterator[Picture]:
    """What 1,000 answers are worth, what may be asked, what is asked, what they cost, and what is left."""
    sheet = ((plan.get("candidates") or {}).get(shown) or {}).get("unit") or {}
    bars = unit_bars(sheet, words)
    if not bars:
        return
    measured = sheet.get("basis") == "verdict"
    caption = words("unit-caption-measured" if measured else "unit-caption", candidate=shown)
    names = {**_names("unit", words, caption), "x": words("unit-x")}
    drawn = money.waterfall("unit", bars, names, label_of(plan, words))
    rows = [[Cell(bar.name), Cell(quantity=bar.amount)] for bar in bars]
    table = Table(names["title"], [words("what"), words("unit-x")], rows, step=STEP)
    yield Picture("unit", names["title"], drawn, caption, table)


def unit_bars(sheet: Mapping[str, Any], words: Words) -> list[money.Bar]:
    """The rows of the waterfall: totals where they are known, the steps between them, each cost, what is left."""
    value, ceiling, price, cost = (quantity(sheet.get(name)) for name in ("value", "ceiling", "price", "cost"))
    parts = {name: held for name, data in (sheet.get("cost_parts") or {}).items() if (held := quantity(data))}
    if price is None and not parts:
        return []
    bars: list[money.Bar] = []
    if value is not None and ceiling is not None:
        bars.append(money.Bar(words("unit-value"), value, "total"))
        bars += _step(words("unit-alternative"), value, ceiling)
        bars.append(money.Bar(words("unit-ceiling"), ceiling, "total"))
        bars += _step(words("unit-customer"), ceiling, price) if price is not None else []
    if price is not None:
        bars.append(money.Bar(words("unit-price"), price, "total"))
    largest = sorted(parts.items(), key=lambda part: -part[1].value)
    sign = -1.0 if price is not None else 1.0
    bars += [money.Bar(words.term(name), _signed(held, sign)) for name, held in largest if held.value]
    if price is not None and cost is not None:
        bars.append(money.Bar(words("unit-left"), _less(price, cost), "total"))
    elif cost is not None:
        bars.append(money.Bar(words("unit-cost"), cost, "total"))
    return bars


def _step(name: str, before: Quantity, after: Quantity) -> list[money.Bar]:
    change = _less(after, before)
    return [money.Bar(name, change)] if abs(change.value) > 1e-9 * max(abs(before.value), abs(after.value)) else []


def _signed(held: Quantity, sign: float) -> Quantity:
    return held if sign > 0 else Quantity(-held.value, held.unit, held.origin, method=held.method, source=held.source)


def _less(one: Quantity, other: Quantity) -> Quantity:
    """The difference of two figures as shown; how they move together is not known, so it has no interval."""
    return Quantity(
        one.value - other.value, one.unit, weakest([one.origin, other.origin]), method="difference of two figures"
    )


def owners(plan: Mapping[str, Any], shown: str | None, words: Words) -> Iterator[Picture]:
    """Who owns the company after each step, and who is paid what at an exit; a holder has one colour in both."""
    item = (plan.get("candidates") or {}).get(shown) or {}
    table = item.get("cap_table") or {}
    steps = [step for step in table.get("steps") or [] if step.get("holders")]
    shares = _gathered([step["holders"] for step in steps], words)
    holders = list(dict.fromkeys(name for held in shares for name in held))
    if steps:
        rows = [_row(step, held, table, words) for step, held in zip(steps, shares, strict=True)]
        yield _owned(rows, [_holder(name, words) for name in holders], origin_of(item, "npv"), words)
    sold = table.get("exit") or {}
    if sold.get("payout") and len(sold.get("values") or []) > 1:
        yield _exit(plan, sold, holders, words)


def _row(step: Mapping[str, Any], held: Mapping[str, float], table: Mapping[str, Any], words: Words) -> money.Stack:
    """What happened and when; of a planned round also in how many scenarios it closes."""
    parts = str(step["event"]).split(", ")
    name = words.joined(words.term(f"event-{part}") if part in EVENTS else part for part in parts)
    planned, chance = bool(step.get("planned")), (table.get("rounds") or {}).get(step["event"])
    under = str(step["date"])
    if planned and isinstance(chance, (int, float)) and chance < 1:
        under = words("owners-chance", date=under, share=numbers.percent(chance))
    return money.Stack(name, under, {_holder(holder, words): share for holder, share in held.items()}, planned)


def _holder(name: str, words: Words) -> str:
    return words("owners-pool") if name == "pool" else name


def _owned(rows: Sequence[money.Stack], holders: Sequence[str], assumed: Origin, words: Words) -> Picture:
    names = {"title": words("owners-title"), "description": words("owners-caption"), "x": words("owners-x")}
    cells = [
        [Cell(f"{row.name}, {row.under}"), *(_share(row.shares.get(name, 0.0), row, assumed) for name in holders)]
        for row in rows
    ]
    table = Table(names["title"], [words("owners-step"), *holders], cells, step=STEP)
    drawn = money.stacks("owners", rows, holders, names)
    return Picture("owners", names["title"], drawn, names["description"], table)


def _share(share: float, row: money.Stack, assumed: Origin) -> Cell:
    return judged(share, numbers.percent(share), assumed if row.planned else "declared")


def _gathered(rows: Sequence[Mapping[str, float]], words: Words) -> list[dict[str, float]]:
    """Shares of the holders, the smallest of many as one."""
    largest: dict[str, float] = {}
    for row in rows:
        for name, share in row.items():
            largest[name] = max(largest.get(name, 0.0), share)
    if len(largest) <= HOLDERS:
        return [dict(row) for row in rows]
    kept = set(sorted(largest, key=lambda name: -largest[name])[: HOLDERS - 1])
    found = []
    for row in rows:
        shown = {name: share for name, share in row.items() if name in kept}
        found.append({**shown, words("owners-others"): sum(row.values()) - sum(shown.values())})
    return found


def _exit(plan: Mapping[str, Any], sold: Mapping[str, Any], holders: Sequence[str], words: Words) -> Picture:
    values = [float(value) for value in sold["values"]]
    paid = _paid(sold["payout"], holders, words)
    share, amount = quantity(sold.get("founders_share")), quantity(sold.get("founders_payout"))
    founders = {"share": words.amount(in_percent(share)), "amount": words.amount(amount)} if share and amount else {}
    caption = words("exit-caption-founders" if founders else "exit-caption", date=sold.get("date"), **founders)
    names = _names("exit", words, caption)
    drawn = money.payouts("exit", values, paid, names, label_of(plan, words))
    return Picture("exit", names["title"], drawn, caption, _exit_table(values, paid, str(plan["currency"]), words))


def _paid(payout: Mapping[str, Sequence[float]], holders: Sequence[str], words: Words) -> list[money.Paid]:
    """Payouts in the colours of the table; who has none there is one of the others."""
    rows: dict[str, list[float]] = {}
    for name, amounts in payout.items():
        key = name if name in holders else words("owners-others")
        rows[key] = [one + float(more) for one, more in zip(rows.get(key, [0.0] * len(amounts)), amounts, strict=True)]
    order = [name for name in [*holders, words("owners-others")] if name in rows and any(rows[name])]
    places = {name: place for place, name in enumerate(holders)}
    return [
        money.Paid(_holder(name, words), rows[name], places.get(name, HOLDERS - 1)) for name in dict.fromkeys(order)
    ]


def _exit_table(values: Sequence[float], paid: Sequence[money.Paid], code: str, words: Words) -> Table:
    """A few exit values, and what each holder is paid at them."""
    how = "what the cap table gives each holder at this price"
    places = sorted({round(place * (len(values) - 1) / (EXITS - 1)) for place in range(1, EXITS)})

    def cell(value: float) -> Cell:
        return Cell(quantity=Quantity(float(round(value)), code, "assumed", method=how))

    rows = [[cell(values[at]), *(cell(holder.amounts[at]) for holder in paid)] for at in places]
    return Table(words("exit-title"), [words("exit-x"), *(holder.name for holder in paid)], rows, step=STEP)
