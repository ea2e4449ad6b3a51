"""What every test stands on: a terminal of no stated width, as a pipe is."""

from __future__ import annotations

import os

# Runners that share the work among processes state the width of their own terminal, which folds tables otherwise.
os.environ.pop("COLUMNS", None)
