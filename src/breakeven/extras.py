"""Optional packages by extra: which of them are not installed. Read from the installation's own metadata."""

from __future__ import annotations

import re
from importlib import metadata

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


def packages(extra: str) -> list[str]:
    """The packages that an extra of this program brings; none where the installation does not know it."""
    try:
        wanted = metadata.requires("breakeven") or []
    except metadata.PackageNotFoundError:  # run from a folder, without an installation
        return []
    named = [(found.group(1), _NAME.match(line)) for line in wanted if (found := _EXTRA.search(line))]
    return [name.group() for owner, name in named if owner == extra and name and name.group() != "breakeven"]


def absent(extra: str) -> list[str]:
    """Those of them that are not installed."""
    return [name for name in packages(extra) if not _installed(name)]


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
