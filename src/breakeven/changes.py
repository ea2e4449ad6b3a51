"""What changed between two JSON values, said so that a reader finds it in the file: by dotted names, old and new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from breakeven.errors import message

LONGEST_VALUE = 60  # letters of a changed value that are shown


def differences(old: Any, new: Any, name: str = "") -> list[dict[str, Any]]:
    """What changed between two JSON values, as messages `name: old -> new`, the names dotted."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: list[dict[str, Any]] = []
        for key in sorted(set(old) | set(new), key=str):
            label = key if name in ("", "settings", "files") else f"{name}.{key}"
            if key not in new:
                found.append(message("why-removed", name=label))
            elif key not in old:
                found.append(message("why-added", name=label))
            else:
                found += differences(old[key], new[key], str(label))
        return found
    if isinstance(old, list) and isinstance(new, list) and (parts := _by_name(old, new)):
        return differences(*parts, name)
    if old != new:
        return [message("why-changed", name=name, old=_short(old), new=_short(new))]
    return []


def _by_name(old: list[Any], new: list[Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Two lists as mappings, where that tells more: by the items' own names, by place where they are equally long."""
    both = []
    for items in (old, new):
        names = [item.get("name") for item in items if isinstance(item, dict)]
        both.append({str(name): item for name, item in zip(names, items, strict=False)})
        if len(both[-1]) < len(items) or None in names:
            break
    else:
        return both[0], both[1]
    if len(old) == len(new) and any(isinstance(item, dict) for item in (*old, *new)):
        return {str(i): item for i, item in enumerate(old, 1)}, {str(i): item for i, item in enumerate(new, 1)}
    return None


def _short(value: Any) -> str:
    """A value as it stands in the file, as far as there is room; what is nobody's to read is shortened."""
    text = value if isinstance(value, str) else _plain(value)
    if len(text) == 64 and set(text) <= set("0123456789abcdef"):
        return text[:8]
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def _plain(value: Any) -> str:
    """`[a, b]`, `{x: 1}`, `null`: YAML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_plain(item)}" for name, item in value.items() if item is not None) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_plain(item) for item in value) + "]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
