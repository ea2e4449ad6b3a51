"""The document as one HTML file that needs nothing else: for the browser, for e-mail, and for printing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from breakeven.billing.shown import Shown

_TEMPLATE = "invoice.html"


def to_html(document: Mapping[str, Any]) -> str:
    """The page. Everything that people wrote is escaped; no script, nothing loaded from elsewhere."""
    from importlib.resources import files

    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = files("breakeven.billing") / "templates" / _TEMPLATE
    template = environment.from_string(source.read_text(encoding="utf-8"))
    return template.render(shown=Shown(document), document=document)
