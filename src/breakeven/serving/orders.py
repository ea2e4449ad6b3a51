"""What the command line asks a running server about its releases, through the ledger's desk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from breakeven.ledger.book import Ledger
    from breakeven.serving.roster import Roster

STATUS = "releases.status"
FOLLOW = "releases.follow"
_NOTED = ("number", "by", "reason", "canary", "share", "shadow", "beside")


class Orders:
    """The desk's commands; `roster` is None until there is one, and for a server that follows nothing."""

    def __init__(self) -> None:
        self.roster: Roster | None = None

    def commands(self) -> dict[str, Callable[..., Any]]:
        """`releases.status` tells; `releases.follow` writes the decision into the audit log and looks at once."""
        return {STATUS: self._status, FOLLOW: self._follow}

    def _status(self, _ledger: Ledger) -> dict[str, Any] | None:
        return None if self.roster is None else self.roster.told()

    def _follow(self, ledger: Ledger, decided: Mapping[str, Any]) -> dict[str, Any] | None:
        note(ledger, decided)
        return None if self.roster is None else self.roster.follow_now()


def summary(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says: `{number, action, release, canary, share, shadow, beside, by, reason}`."""
    canary, shadow = record.get("canary") or {}, record.get("shadow") or {}
    return {
        "number": record.get("number"),
        "action": record.get("action") or "deploy",
        "release": record.get("release"),
        "canary": canary.get("release"),
        "share": canary.get("share"),
        "shadow": shadow.get("release"),
        "beside": [one["release"] for one in record.get("beside") or []] or None,
        "by": record.get("by"),
        "reason": record.get("reason"),
    }


def note(ledger: Ledger, decided: Mapping[str, Any]) -> None:
    """Writes a `summary` into the audit log."""
    detail = {name: decided[name] for name in _NOTED if decided.get(name) is not None}
    ledger.note("command", f"releases.{decided.get('action')}", str(decided.get("release")), **detail)
