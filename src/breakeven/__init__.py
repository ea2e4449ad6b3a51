"""From data to a model that pays for itself: collect, process, train, evaluate, deploy, business."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PLACES = {
    "Project": "breakeven.project:Project",
    "Snapshot": "breakeven.project:Snapshot",
    "Quantity": "breakeven.quantity:Quantity",
}
_ROOMS = ("economics", "tasks", "errors", "quantity")

__all__ = ["Project", "Quantity", "Snapshot", "__version__", *_ROOMS]

if TYPE_CHECKING:
    from breakeven.project import Project, Snapshot
    from breakeven.quantity import Quantity


def __getattr__(name: str) -> Any:
    """Public names are imported on first use, so that `import breakeven` costs nothing."""
    import importlib

    if name in _PLACES:
        module, _, attribute = _PLACES[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    if name in _ROOMS:
        return importlib.import_module(f"breakeven.{name}")
    raise AttributeError(f"module 'breakeven' has no attribute {name!r}")
