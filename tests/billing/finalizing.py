"""A process that finalizes many customers' months and says each number once it is acknowledged; to be killed."""

from __future__ import annotations

import sys
import time

from breakeven.billing.issue import finalize
from breakeven.errors import Busy
from tests.billing.conftest import office


def main(place: str, month: str, *customers: str) -> None:
    here = office(place)
    print("ready", flush=True)
    for customer in customers:
        while True:
            try:
                document = finalize(here, customer, month)
            except Busy:  # another process holds the file for a moment
                time.sleep(0.02)
                continue
            print(document["number"], customer, document["hash"], flush=True)
            break


if __name__ == "__main__":
    main(*sys.argv[1:])
