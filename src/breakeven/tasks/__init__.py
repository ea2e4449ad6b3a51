"""The table of tasks, and how a name becomes one. A light file here, or a third party's `package.module:Class`."""

from __future__ import annotations

import difflib
import os

from breakeven.errors import ConfigError, Place
from breakeven.task import Task, load_reference

TABLE: dict[str, str] = {
    "text-classification": "breakeven.tasks.text_classification:TextClassification",
}
TRUST = "BREAKEVEN_TRUST"


def find(name: str, *, allow: bool = False) -> Task:
    """The task called `name`, or an error that suggests the nearest.

    A third party's task (`my_package.my:MyTask`) runs code from outside, so it must be allowed once: by `allow`, or by
    naming it in the environment variable BREAKEVEN_TRUST (comma separated).
    """
    if name in TABLE:
        return _make(TABLE[name])
    if ":" in name:
        if not allow and name not in trusted():
            raise ConfigError("task-untrusted", at=Place(field="product.task"), task=name, variable=TRUST)
        return _make(name)
    nearest = [*difflib.get_close_matches(name, TABLE, 1), None]  # None: no hint that leads nowhere
    raise ConfigError(
        "unknown-task", at=Place(field="product.task"), task=name, allowed=sorted(TABLE), nearest=nearest[0]
    )


def trusted() -> tuple[str, ...]:
    """References whose code the owner of this machine allows to run."""
    return tuple(part.strip() for part in os.environ.get(TRUST, "").split(",") if part.strip())


def _make(reference: str) -> Task:
    try:
        found = load_reference(reference)
    except AttributeError as error:
        raise ConfigError("task-not-a-task", at=Place(field="product.task"), reference=reference) from error
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise ConfigError("task-not-a-task", at=Place(field="product.task"), reference=reference)
    return found()
