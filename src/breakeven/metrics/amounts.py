"""The mean of a declared amount."""
from __future__ import annotations
from typing import Any
def mean(amount: Any) -> float:
    return float(amount)
