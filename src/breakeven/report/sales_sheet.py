"""The rows of a spreadsheet about who comes, who goes and what is billed, for each segment, as live formulas.

What has no short formula stands as the simulation's own numbers: churn by age, an answer to the price by points of a
curve, a risk that is likelier than not (then all segments do); of a price plan by meters the mean bill of a customer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from breakeven.economics.plan import Part
    from breakeven.report.spreadsheet import Formula, Grid

TOTALS = {"customers": "customers", "answers": "answers", "mrr": "mrr", "revenue": "revenue",
          "bad debt": "bad_debt", "collected": "collected", "marketing": "marketing"}  # fmt: skip


def write_sales(grid: Grid) -> None:
    """Every segment's rows, and their totals."""
    parts = grid.plan.settings.parts()
    live = all(_has_formulas(grid, part) for part in parts.values())
    for number, (prefix, part) in enumerate(parts.items()):
        if live:
            _Segment(grid, prefix, part).write()
        else:
            _as_simulated(grid, prefix or "own ", first=number == 0)
    for name in TOTALS:
        grid.total(name, [f"{prefix}{name}" if prefix else f"own {name}" for prefix in parts])


def _has_formulas(grid: Grid, part: Part) -> bool:
    customers, response = part.customers, part.price.response if part.price is not None else None
    struck = any(risk.effect and risk.likelihood.mean > 0.5 for risk in grid.plan.settings.risks)
    by_age = customers.churn_by_month or customers.churn_curve
    return not (struck or by_age or (response is not None and response.curve is not None))


def _as_simulated(grid: Grid, own: str, *, first: bool) -> None:
    """The base case's numbers of the whole company, in the rows of its first segment; zeros in those of the others."""
    for name, stream in TOTALS.items():
        series = grid.plan.run.base[stream]
        grid.values(f"{own}{name}", series if first else series * 0.0)


class _Segment:
    """One segment's cells of inputs by their names in it, and the rows it writes."""

    def __init__(self, grid: Grid, prefix: str, part: Part) -> None:
        self.grid, self.prefix, self.part = grid, prefix, part
        self.own = prefix or "own "
        self.x = {name.removeprefix(prefix): cell for name, cell in grid.inputs.items() if name.startswith(prefix)}
        self.later = 1 if grid.plan.settings.growth_in_month_1 else 0

    def at(self, name: str, month: int, otherwise: str = "0") -> str:
        """The segment's own cell of a row; `units`, `new customers` and `adopted` of a plan without segments carry no
        prefix."""
        bare = not self.prefix and name in ("units", "new customers", "adopted")
        return self.grid.at(name if bare else f"{self.own}{name}", month, otherwise)

    def add(self, name: str, formula: Formula) -> None:
        """One row."""
        bare = not self.prefix and name in ("units", "new customers", "adopted")
        self.grid.add(name if bare else f"{self.own}{name}", formula)

    def write(self) -> None:
        """Customers, units, answers, marketing and what is billed."""
        x, start = self.x, self.x["customers.start"]
        churn = x.get("customers.churn_per_month", "0")
        if self.part.customers.churn_per_year is not None:
            churn = f"(1-(1-{x['customers.churn_per_year']})^(1/12))"
        more, used = x["customers.expansion_per_month"], x["customers.answers_each"]
        paid, won = self._channels()
        seasons = self._seasons()

        def kept(month: int, row: str = "customers") -> str:
            return f"{self.at(row, month - 1, start)}*(1-{churn})"

        # The rows refer to one another: customers of the month before, new ones of this month.
        rows = ("customers", "units", "new customers", *(("adopted",) if self.part.market is not None else ()))
        for name in rows:
            self.add(name, lambda m: "0")
        formulas: dict[str, Formula] = {
            "customers": lambda m: f"{kept(m)}+{self.at('new customers', m)}",
            "units": lambda m: f"{kept(m, 'units')}*(1+{more}*{self._grows(m)})+{self.at('new customers', m)}",
            "new customers": lambda m: self._new(m, kept(m), won(m)),
            "adopted": lambda m: f"{self.at('adopted', m - 1, start)}+{self.at('new customers', m)}",
        }
        for name in rows:
            self.grid.replace(name if not self.prefix and name != "customers" else f"{self.own}{name}", formulas[name])
        self.add("answers", lambda m: f"{self.at('units', m)}*{used}*{seasons[m - 1]!r}")
        self.add("marketing", paid)
        self._billing()

    def _grows(self, month: int) -> str:
        return "1" if month > 1 or self.later else "0"

    def _new(self, month: int, kept: str, won: str) -> str:
        """New customers of a month: offered, by word of mouth, by diffusion, as many as market and sellers allow."""
        x, customers = self.x, self.part.customers
        rise = f"(1+{x['customers.new_growth_per_month']})^{month - 1 + self.later}"
        offered = f"({x['customers.new_per_month']}*{rise}+{won}){self._answer()}"
        new = f"{offered}+{kept}*{x['customers.growth_per_month']}*{self._grows(month)}"
        if self.part.market is not None:
            size = "*".join(x[f"market.{name}"] for name in ("customers", "reachable", "share"))
            if self.part.market.innovation is not None:
                before = self.at("adopted", month - 1, x["customers.start"])
                rate = f"({x['market.innovation']}+{x['market.imitation']}*{before}/MAX({size},1E-12))"
                new = f"{new}+{rate}*MAX({size}-{before},0)"
            new = f"MIN({new},MAX({size}-{kept},0))"
        if customers.sales is not None:
            role = next(role for role in self.grid.plan.settings.team if role.role == customers.sales.role)
            there = "1" if role.start <= month <= (role.end or month) else "0"
            sellers = f"{there}*{self.grid.inputs[f'team.{role.role}.count']}"
            new = f"MIN({new},{sellers}*{x['customers.sales.closes_per_month']})"
        return new

    def _answer(self) -> str:
        """How new customers answer to the price, as a factor."""
        price = self.part.price
        if price is None or price.response is None:
            return ""
        asked, about = self.x[f"price.{price.leading}"], "price.response."
        reference = self.x[f"{about}reference"]
        if price.response.elasticity is not None:
            return f"*(MAX({asked},1E-12)/{reference})^{self.x[f'{about}elasticity']}"
        slope, end = (self.x[f"{about}demand.{name}"] for name in ("slope", "intercept"))
        return f"*(1+EXP({slope}*{reference}-{end}))/(1+EXP({slope}*{asked}-{end}))"

    def _channels(self) -> tuple[Formula, Formula]:
        """(money spent, customers won) of all channels in a month."""
        x = self.x

        def running(month: int) -> list[str]:
            channels = self.part.customers.channels.items()
            return [name for name, each in channels if each.start <= month <= (each.end or month)]

        def won(month: int) -> str:
            found = []
            for name in running(month):
                here = f"customers.channels.{name}."
                fresh, most = f"{x[here + 'spend_per_month']}/{x[here + 'cac']}", x.get(f"{here}saturation_per_month")
                found.append(fresh if most is None else f"{most}*(1-EXP(-{fresh}/MAX({most},1E-12)))")
            return "(" + ("+".join(found) or "0") + ")"

        def paid(month: int) -> str:
            return "+".join(x[f"customers.channels.{name}.spend_per_month"] for name in running(month)) or "0"

        return paid, won

    def _seasons(self) -> list[float]:
        declared, begin = self.part.customers.seasonality, self.part.customers.first_month
        months = range(self.grid.months)
        return [declared[(month + begin - 1) % 12] if declared else 1.0 for month in months]

    def _billing(self) -> None:
        x, once = self.x, self.x.get("price.per_new_customer", "0")

        def rise(month: int) -> str:
            return f"(1+{x['price.change_per_year']})^{(month - 1) // 12}" if "price.change_per_year" in x else "1"

        def recurring(month: int) -> str:
            found = []
            if "price.per_answer" in x:
                found.append(f"{self.at('answers', month)}*{x['price.per_answer']}")
            if "price.per_customer" in x:
                found.append(f"{self.at('units', month)}*{x['price.per_customer']}")
            return f"({'+'.join(found) or '0'})*{rise(month)}"

        if self.part.price is not None and self.part.price.plan is not None:
            self._mean_bill()
            self.add("mrr", lambda m: f"{self.at('customers', m)}*{self.at('mean bill', m)}")
            self.add("revenue", lambda m: f"{self.at('mrr', m)}+{self.at('new customers', m)}*{self.at('once', m)}")
        else:
            self.add("mrr", recurring)
            self.add("revenue", lambda m: f"{self.at('mrr', m)}+{self.at('new customers', m)}*{once}*{rise(m)}")
        self.add("bad debt", lambda m: f"{self.at('revenue', m)}*{x['customers.bad_debt']}")
        self.add("good", lambda m: f"{self.at('revenue', m)}-{self.at('bad debt', m)}")
        self.add("collected", self._collected)

    def _collected(self, month: int) -> str:
        """What comes in of the bills of the months before."""
        lag = f"({self.x['customers.collection_days']}/(365/12))"
        whole, part = f"INT({lag})", f"({lag}-INT({lag}))"
        cells = self.grid.whole(f"{self.own}good")
        now = f"IF({month}-{whole}>=1,INDEX({cells},MAX(1,{month}-{whole})),0)*(1-{part})"
        return f"{now}+IF({month}-{whole}-1>=1,INDEX({cells},MAX(1,{month}-{whole}-1)),0)*{part}"

    def _mean_bill(self) -> None:
        """What a price plan by meters bills a customer in the mean, and a new one once: as simulated."""
        base = _base(self.grid.plan.settings, self.prefix)

        def shared(money: Any, among: Any) -> list[float]:
            return [float(m / n) if n > 0.0 else 0.0 for m, n in zip(money, among, strict=True)]

        self.grid.values(f"{self.own}mean bill", shared(base["mrr"], base["customers"]))
        self.grid.values(f"{self.own}once", shared(base["revenue"] - base["mrr"], base["new_customers"]))


def _base(plan: Any, prefix: str) -> dict[str, Any]:
    """The base case's streams of one segment, of a firm that no ruin ends: so do the formulas go on."""
    from breakeven.economics.actuals import alone
    from breakeven.economics.paths import simulate_block
    from breakeven.economics.sampling import Sampler
    from breakeven.economics.simulation import tables

    one = alone(plan, prefix.removeprefix("segments.").removesuffix(".")) if prefix else plan
    one = one.model_copy(update={"cash": None, "funding": []})
    made = simulate_block(one, Sampler.of(one, 0).base(), tables(one)).streams
    return {name: made[name][:, 0] for name in ("mrr", "customers", "revenue", "new_customers")}
