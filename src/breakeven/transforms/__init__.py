"""What changes a value alike in a row and in a request: fitted on training rows, kept as JSON."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breakeven.artifacts import read_json, write_json
from breakeven.errors import ConfigError, IntegrityError, Place
from breakeven.task import Task, load_reference

FORMAT = 1
TABLE: dict[str, str] = {
    "normalise": "breakeven.transforms.text:Normalise",
    "mask_personal_data": "breakeven.transforms.text:MaskPersonalData",
}


@dataclass(frozen=True)
class Link:
    """One transform of a chain: its name and version, the settings it was declared with, the state it was fitted to."""

    name: str
    version: int
    settings: Mapping[str, Any]
    state: Mapping[str, Any]
    transform: Any


class Chain:
    """Transforms in order. Applying it changes nothing in place and never depends on which inputs come together."""

    def __init__(self, links: Sequence[Link] = ()) -> None:
        self.links = tuple(links)

    @classmethod
    def fit(cls, declared: Sequence[str | Mapping[str, Any]], task: Task, inputs: list[Any]) -> Chain:
        """A chain fitted on training inputs. `declared`: names, or `{name: settings}` for one with settings."""
        links: list[Link] = []
        for item in declared:
            name, settings = _declared(item)
            transform = _made(name, settings)
            state = transform.fit(task, inputs)
            links.append(Link(name, transform.version, settings, state, transform))
            inputs = transform.apply(task, inputs, state)
        return cls(links)

    def apply(self, task: Task, inputs: list[Any]) -> list[Any]:
        """The inputs after every transform; for a table and for one request alike."""
        for link in self.links:
            inputs = link.transform.apply(task, inputs, link.state)
        return inputs

    def as_json(self) -> dict[str, Any]:
        """The shape of `transforms.json`."""
        return {
            "format": FORMAT,
            "chain": [
                {"name": link.name, "version": link.version, "settings": dict(link.settings), "state": dict(link.state)}
                for link in self.links
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Chain:
        """The inverse of `as_json`; a chain of a newer program is refused."""
        if data.get("format", 0) > FORMAT:
            raise IntegrityError("format-newer", found=data.get("format"), known=FORMAT)
        return cls([_link(item) for item in data.get("chain", [])])

    @classmethod
    def read(cls, path: Path) -> Chain:
        """The chain kept in a `transforms.json`."""
        return cls.from_json(read_json(path))

    def write(self, path: Path) -> None:
        """Keeps the chain as `transforms.json`."""
        write_json(path, self.as_json())


def _declared(item: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(item, str):
        return item, {}
    if len(item) != 1:
        raise ConfigError("transform-declared", at=Place(field="process.transforms"), found=sorted(item))
    ((name, settings),) = item.items()
    return name, dict(settings or {})


def _find(name: str) -> Any:
    if name not in TABLE:
        nearest = [*difflib.get_close_matches(name, TABLE, 1), None]
        raise ConfigError(
            "unknown-transform",
            at=Place(field="process.transforms"),
            name=name,
            allowed=sorted(TABLE),
            nearest=nearest[0],
        )
    return load_reference(TABLE[name])


def _made(name: str, settings: Mapping[str, Any]) -> Any:
    try:
        return _find(name)(**settings)
    except TypeError as error:
        place = Place(field="process.transforms")
        raise ConfigError("transform-settings", at=place, name=name, reason=str(error)) from error


def _link(item: Mapping[str, Any]) -> Link:
    transform = _made(item["name"], item["settings"])
    if item["version"] != transform.version:
        raise IntegrityError("transform-version", name=item["name"], found=item["version"], known=transform.version)
    return Link(item["name"], item["version"], item["settings"], item["state"], transform)
