"""The echo server over a writer that acknowledges before it commits: the kill test must see the difference."""

from __future__ import annotations

import sys
import time

from breakeven.ledger import writer
from breakeven.serving.run import main
from tests.serving.echo_server import opener


class Hasty(writer.Writer):
    """Says yes first."""

    def _write(self, entries: list[writer.Entry]) -> None:
        for entry in entries:
            if isinstance(entry.work, writer.Charge):
                entry.result = True
        writer._deliver([entry for entry in entries if isinstance(entry.work, writer.Charge)])
        time.sleep(0.5)  # longer than a busy machine takes to send what was acknowledged
        super()._write(entries)


if __name__ == "__main__":
    from breakeven.ledger import book

    book.Writer = Hasty  # type: ignore[misc]
    sys.exit(main(opener=opener))
