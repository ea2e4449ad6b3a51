"""The echo server where the system allows few open files."""

from __future__ import annotations

import resource
import sys

from breakeven.serving.run import main
from tests.serving.echo_server import opener

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (160, 160))
    sys.exit(main(opener=opener))
