"""How many usage events and invoice lines are rated exactly in a second of one core's own time.

CPU seconds are counted, so that neighbours on the machine do not.

    python bench/invoice.py [seconds]

Three shapes of work: a statement with an exactly priced line for every event of one customer; one invoice over the
same many events (tiers, tax); and many customers with a few events each (whole invoices, lines a second).
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable
from datetime import timedelta

from breakeven.economics.invoice import Customer, Event, invoice
from breakeven.economics.plans import Plan
from breakeven.economics.proration import Period
from breakeven.economics.statement import itemise

PERIOD = Period.month(2026, 1)
PLAN = Plan.model_validate(
    {
        "fees": [
            {"kind": "flat", "price": "49"},
            {"kind": "per_unit", "meter": "input_tokens", "price": "0.0000025"},
            {"kind": "graduated", "meter": "answers", "tiers": [{"up_to": 10, "price": "0.01"}, {"price": "0.004"}]},
        ],
        "taxes": [{"name": "VAT", "rate": "0.22"}],
    }
)
SIMPLE = Plan.model_validate({"per_input_token": "0.0000025", "per_answer": "0.004"})


def events(count: int) -> list[Event]:
    meters = ("input_tokens", "answers")
    return [
        Event(PERIOD.start + timedelta(seconds=number), f"e{number // 2}", meters[number % 2], number % 97 + 1)
        for number in range(count)
    ]


def best(work: Callable[[], object], units: int, seconds: float) -> float:
    """Units a second of the fastest run within the time."""
    fastest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.process_time()
        work()
        fastest = min(fastest, time.process_time() - begin)
    return units / fastest


def main(seconds: float = 5.0) -> None:
    many = events(200_000)
    few = events(6)
    customers = [Customer(f"c{number}") for number in range(2_000)]
    lines = sum(len(document.lines) + len(document.taxes) for document in [invoice(few, PLAN, customers[0], PERIOD)])
    rates = {
        "statement_lines_per_second": best(lambda: itemise(many, SIMPLE, customers[0], PERIOD), len(many), seconds),
        "invoiced_events_per_second": best(lambda: invoice(many, PLAN, customers[0], PERIOD), len(many), seconds),
        "small_invoice_lines_per_second": best(
            lambda: [invoice(few, PLAN, each, PERIOD) for each in customers], lines * len(customers), seconds
        ),
    }
    print(
        json.dumps(
            {
                **{name: round(rate) for name, rate in rates.items()},
                "python": platform.python_version(),
                "processor": platform.processor() or platform.machine(),
            }
        )
    )


if __name__ == "__main__":
    main(*(float(argument) for argument in sys.argv[1:2]))
