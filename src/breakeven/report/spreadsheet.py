"""The plan as a spreadsheet that computes: the base case in live formulas over one sheet of inputs.

What has no short formula (churn by age, the mean bill of a price plan by meters, loans, a risk that is likelier than
not) is written as the simulation's own numbers, in rows marked so. Changing an input changes everything that is a
formula.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.errors import need_package
from breakeven.report.sales_sheet import write_sales

if TYPE_CHECKING:
    from breakeven.economics.plan import BusinessPlan
    from breakeven.economics.results import Plan

MONTH_SECONDS, HOURS = "2628000", "730"
EXTRA = "excel"
Formula = Callable[[int], str]


class Grid:
    """Rows of formulas by name; months stand in the columns from C on, month 1 first."""

    def __init__(self, plan: Plan, inputs: dict[str, str]) -> None:
        self.plan, self.inputs = plan, inputs
        self.rows: list[tuple[str, list[Any], bool]] = []
        self.places: dict[str, int] = {}

    @property
    def months(self) -> int:
        """How many columns."""
        return self.plan.settings.months

    def add(self, name: str, formula: Formula) -> None:
        """A row whose formula of month m (from 1) is `formula(m)`."""
        self.places[name] = len(self.rows) + 2
        self.rows.append((name, [f"={formula(month)}" for month in range(1, self.months + 1)], True))

    def replace(self, name: str, formula: Formula) -> None:
        """Another formula in a row that others refer to already."""
        place = self.places[name] - 2
        self.rows[place] = (name, [f"={formula(month)}" for month in range(1, self.months + 1)], True)

    def values(self, name: str, values: Any) -> None:
        """A row of the simulation's own numbers."""
        self.places[name] = len(self.rows) + 2
        self.rows.append((name, [float(value) for value in values], False))

    def at(self, name: str, month: int, otherwise: str = "0") -> str:
        """The cell of a row in a month; `otherwise` before month 1."""
        return otherwise if month < 1 else f"{column(month)}{self.places[name]}"

    def whole(self, name: str) -> str:
        """All months of a row."""
        place = self.places[name]
        return f"$C${place}:${column(self.months)}${place}"

    def total(self, name: str, parts: list[str]) -> None:
        """A row that sums others."""
        self.add(name, lambda m: "+".join(self.at(part, m) for part in parts) or "0")


def column(month: int) -> str:
    """The letters of a month's column."""
    number, letters = month + 2, ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def write_plan(path: Path, plan: Plan) -> None:
    """Writes the workbook: inputs, months (live), result (live), scenarios with their fans."""
    try:
        import xlsxwriter
    except ModuleNotFoundError as error:
        raise need_package("XlsxWriter", EXTRA, purpose="the plan as a spreadsheet") from error
    inputs = {name: f"Inputs!$B${row}" for row, name in enumerate(plan.settings.drivers(), start=2)}
    grid = build(plan, inputs)
    with xlsxwriter.Workbook(str(path)) as book:
        _inputs(book, plan)
        _months(book, grid)
        _result(book, grid)
        _scenarios(book, plan)


def build(plan: Plan, inputs: dict[str, str]) -> Grid:
    """Every row of the base case, in an order in which each refers to rows above it."""
    grid, settings = Grid(plan, inputs), plan.settings
    write_sales(grid)
    _milestones(grid, settings)
    _costs(grid, settings)
    _money(grid, settings)
    return grid


def _milestones(grid: Grid, settings: BusinessPlan) -> None:
    """1 from the month in which a milestone is met."""
    for item in settings.milestones:
        cell = grid.inputs[f"milestones.{item.name}.value"]
        metric = f"12*{{}}>={cell}" if item.metric == "arr" else f"{{}}>={cell}"
        row, name = "mrr" if item.metric == "arr" else item.metric, f"met {item.name}"

        def met(month: int, item: Any = item, metric: str = metric, row: str = row, name: str = name) -> str:
            now = metric.format(grid.at(row, month)) if month <= (item.by or month) else "FALSE"
            return f"IF(OR({grid.at(name, month - 1)}>=1,{now}),1,0)"

        grid.add(name, met)


def _present(grid: Grid, item: Any, month: int) -> str:
    """Whether something is there in a month: its own months, and after its milestone."""
    if not item.start <= month <= (item.end or month):
        return "0"
    return "1" if item.needs is None else grid.at(f"met {item.needs}", month - 1)


def _costs(grid: Grid, settings: BusinessPlan) -> None:
    x, serving = grid.inputs, settings.costs.serving
    per = "+".join(x[f"costs.serving.{name}"] for name in ("review_per_answer", "liability_per_answer"))
    per += f"+{x['costs.serving.per_answer']}" if serving.per_answer is not None else ""
    grid.add("per answer", lambda m: f"{grid.at('answers', m)}*({per})")
    parts = ["per answer"]
    if serving.machine_per_hour is not None:
        load = f"{x['costs.serving.peak_factor']}/({x['costs.serving.capacity_per_second']}*{MONTH_SECONDS})"
        least = serving.minimum_machines
        grid.add("machines", lambda m: f"MAX({least},ROUNDUP({grid.at('answers', m)}*{load}*(1-1E-12),0))")
        price = f"{x['costs.serving.machine_per_hour']}*{HOURS}"
        grid.add("machine cost", lambda m: f"{grid.at('machines', m)}*{price}")
        parts.append("machine cost")
    each, fee = x["costs.serving.per_customer"], x["costs.payments.percentage"]
    invoice = x["costs.payments.per_invoice"]
    grid.add("per customer", lambda m: f"{grid.at('customers', m)}*({each}+{invoice})+{grid.at('revenue', m)}*{fee}")
    parts += ["per customer", *_people(grid, settings), *_fixed(grid, settings)]
    again = settings.costs.training.every_months if settings.costs.training is not None else 0
    if again:
        grid.add("training", lambda m: x["costs.training.per_run"] if m % again == 0 else "0")
        parts.append("training")
    if grid.plan.run.base["risk_cost"].any():
        grid.values("risks", grid.plan.run.base["risk_cost"])
        parts.append("risks")
    grid.total("costs", [*parts, "marketing", "bad debt"])


def _people(grid: Grid, settings: BusinessPlan) -> list[str]:
    names = []
    for role in settings.team:
        here, name = f"team.{role.role}.", f"team {role.role}"
        cells = {key: grid.inputs.get(here + key, "0") for key in
                 ("count", "per_customers", "salary_per_month", "load", "raise_per_year")}  # fmt: skip

        def paid(month: int, role: Any = role, cells: dict[str, str] = cells) -> str:
            people = cells["count"]
            if role.per_customers is not None:
                people = f"MAX({people},ROUNDUP({grid.at('customers', month)}/{cells['per_customers']}*(1-1E-12),0))"
            cost = f"{cells['salary_per_month']}*(1+{cells['load']})*(1+{cells['raise_per_year']})^{(month - 1) // 12}"
            return f"{_present(grid, role, month)}*{people}*{cost}"

        grid.add(name, paid)
        names.append(name)
    return names


def _fixed(grid: Grid, settings: BusinessPlan) -> list[str]:
    names = []
    for item in settings.costs.fixed:
        here, name = f"costs.fixed.{item.name}.", f"fixed {item.name}"

        def paid(month: int, item: Any = item, here: str = here) -> str:
            rise = f"(1+{grid.inputs[here + 'growth_per_year']})^{(month - 1) // 12}"
            return f"{_present(grid, item, month)}*{grid.inputs[here + 'per_month']}*{rise}"

        grid.add(name, paid)
        names.append(name)
    for risk in settings.risks:
        for mitigation in risk.mitigations:
            if mitigation.chosen:
                cell = grid.inputs[f"risks.{risk.name}.mitigations.{mitigation.name}.cost_per_month"]
                grid.add(f"against {risk.name}", lambda m, cell=cell: cell)  # type: ignore[misc]
                names.append(f"against {risk.name}")
    return names


def _money(grid: Grid, settings: BusinessPlan) -> None:
    run, x = grid.plan.run, grid.inputs
    grid.add("EBITDA", lambda m: f"{grid.at('revenue', m)}-{grid.at('costs', m)}+{x['other_per_month']}")
    grid.values("capital", run.base["capital"])
    grid.values("depreciation", run.base["depreciation"])
    grid.add("profit so far", lambda m: f"{grid.at('profit so far', m - 1, '-' + x['tax.losses'])}"
             f"+{grid.at('EBITDA', m)}-{grid.at('depreciation', m)}")  # fmt: skip
    grid.add("taxed so far", lambda m: f"MAX({grid.at('taxed so far', m - 1)},{grid.at('profit so far', m)},0)")
    grid.add("tax", lambda m: f"{x['tax.rate']}*({grid.at('taxed so far', m)}-{grid.at('taxed so far', m - 1)})")
    grid.add("cash flow", lambda m: f"{grid.at('EBITDA', m)}-({grid.at('revenue', m)}-{grid.at('bad debt', m)}"
             f"-{grid.at('collected', m)})-{grid.at('capital', m)}-{grid.at('tax', m)}")  # fmt: skip
    grid.values("funding", run.base["funding"])
    # What is there on day one: cash, rounds that are in, less what is bought before the first month.
    first = [x[f"funding.{item.name}.amount"] for item in settings.funding if item.month == 0]
    own = [x["cash"]] if settings.cash is not None else []
    start = "+".join([repr(float(run.base["cash_before_funding"][0] - run.base["cash_flow"][0])), *own, *first])
    earned = f"((1+{x['interest_on_cash_per_year']})^(1/12)-1)"
    grid.add("cash", lambda m: f"({grid.at('cash', m - 1, start)})*1+MAX({grid.at('cash', m - 1, start)},0)*{earned}"
             f"+{grid.at('cash flow', m)}+{grid.at('funding', m)}")  # fmt: skip


def _inputs(book: Any, plan: Plan) -> None:
    sheet, head = book.add_worksheet("Inputs"), book.add_format({"bold": True})
    sheet.write_row(0, 0, ["input", "base case", "origin", "as declared", "source"], head)
    for row, (name, driver) in enumerate(plan.settings.drivers().items(), start=1):
        sheet.write_row(row, 0, [name, driver.mean, driver.origin, str(driver.as_json()), driver.source or ""])
    sheet.set_column(0, 0, 44)
    sheet.set_column(3, 3, 44)
    sheet.freeze_panes(1, 0)


def _months(book: Any, grid: Grid) -> None:
    sheet, head = book.add_worksheet("Months"), book.add_format({"bold": True})
    number, note = book.add_format({"num_format": "#,##0.00"}), book.add_format({"italic": True})
    sheet.write_row(0, 0, ["base case", "", *range(1, grid.months + 1)], head)
    for row, (name, cells, live) in enumerate(grid.rows, start=1):
        sheet.write(row, 0, name)
        sheet.write(row, 1, "" if live else "as simulated", note)
        for place, cell in enumerate(cells, start=2):
            (sheet.write_formula if live else sheet.write_number)(row, place, cell, number)
    sheet.set_column(0, 0, 24)
    sheet.set_column(2, grid.months + 1, 12)
    sheet.freeze_panes(1, 2)


def results(grid: Grid) -> dict[str, str]:
    """The figures of the base case, as formulas on the sheet of months."""
    rate, x = grid.plan.settings.discount_rate, grid.inputs
    last, flows = grid.months, [f"Months!{grid.at('cash flow', m)}" for m in range(1, grid.months + 1)]
    start = grid.plan.run.base["cash_before_funding"][0] - grid.plan.run.base["cash_flow"][0]
    worth = "+".join(f"{flow}/(1+{rate!r})^({month}/12)" for month, flow in enumerate(flows, start=1))
    found = {
        "recurring revenue, last month": f"=Months!{grid.at('mrr', last)}",
        "customers, last month": f"=Months!{grid.at('customers', last)}",
        "cash, last month": f"=Months!{grid.at('cash', last)}",
        "net present value (no ruin, no exit)": f"={float(start)!r}+{worth}",
        "lowest cash": f"=MIN(Months!{grid.whole('cash')})",
        "revenue, all months": f"=SUM(Months!{grid.whole('revenue')})",
        "price per answer": f"={x.get('price.per_answer', '0')}",
    }
    if "exit.arr_multiple" in x:
        price = f"12*Months!{grid.at('mrr', last)}*{x['exit.arr_multiple']}"
        found["price of the company, at the end"] = f"={price}"
        found["net present value (no ruin, with the exit)"] = (
            f"={float(start)!r}+{worth}+{price}/(1+{rate!r})^({last}/12)"
        )
    return found


def _result(book: Any, grid: Grid) -> None:
    sheet, money = book.add_worksheet("Result"), book.add_format({"num_format": "#,##0.00"})
    for row, (name, formula) in enumerate(results(grid).items()):
        sheet.write(row, 0, name)
        sheet.write_formula(row, 1, formula, money)
    sheet.set_column(0, 0, 40)
    sheet.set_column(1, 1, 18)


def _scenarios(book: Any, plan: Plan) -> None:
    """p10, p50 and p90 of the headline streams as simulated, and two fans."""
    sheet, head = book.add_worksheet("Scenarios"), book.add_format({"bold": True})
    months, place = plan.settings.months, 1
    sheet.write_row(0, 0, ["month"], head)
    sheet.write_column(1, 0, list(range(1, months + 1)))
    for index, name in enumerate(plan.run.quantiles):
        fan = plan.fan(name)
        chart = book.add_chart({"type": "line"}) if name in ("cash", "mrr") else None
        for label in ("p10", "p50", "p90", "base"):
            sheet.write(0, place, f"{name} {label}", head)
            sheet.write_column(1, place, fan[label])
            if chart is not None:
                chart.add_series({"name": ["Scenarios", 0, place], "values": ["Scenarios", 1, place, months, place]})
            place += 1
        if chart is not None:
            chart.set_title({"name": f"{name} ({plan.settings.currency})"})
            sheet.insert_chart(2 + 16 * index, 26, chart)
