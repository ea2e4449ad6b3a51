"""Recipes: whole projects to start from, each a folder here with a breakeven.yaml and a README."""

from __future__ import annotations

import difflib
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from breakeven.artifacts import write_atomic
from breakeven.errors import Place, UsageError, reader_language

MAIN = "breakeven.yaml"
READMES = {"zh": "README.zh-CN.md"}  # of every recipe; any other language reads README.md
IGNORED = ("artifacts/", "releases/", "keys/*.key", "*.sqlite*", "batches/", "refresh/", "report.html", "report.md")


def names() -> list[str]:
    """The recipes, sorted."""
    return sorted(item.name for item in files(__name__).iterdir() if (item / MAIN).is_file())


def describe() -> list[dict[str, str]]:
    """`{name, title, summary}` of every recipe, from the head of its README in the reader's language."""
    page = READMES.get(reader_language(), "README.md")
    found = []
    for name in names():
        lines = [line.strip() for line in (_folder(name) / page).read_text(encoding="utf-8").splitlines()]
        title, summary = lines[0].lstrip("# "), next(line for line in lines[1:] if line)
        found.append({"name": name, "title": title, "summary": summary})
    return found


def has_model(name: str) -> bool:
    """Whether the recipe makes a model, or is a business alone, which has no stages and signs nothing."""
    lines = (_folder(name) / MAIN).read_text(encoding="utf-8").splitlines()
    return any(line.startswith("product:") for line in lines)


def write(name: str, directory: Path) -> list[Path]:
    """Writes the recipe's files into `directory` and returns what was written.

    A breakeven.yaml that is there already is an error; any other file that is there is kept as it is.
    """
    if name not in names():
        nearest = [*difflib.get_close_matches(name, names(), 1), None]
        raise UsageError("unknown-recipe", recipe=name, allowed=names(), nearest=nearest[0])
    if (directory / MAIN).exists():
        raise UsageError("project-exists", at=Place(file=str(directory / MAIN)))
    written = []
    for item in sorted(_folder(name).iterdir(), key=lambda item: item.name):
        if item.is_file():
            written += put(directory / item.name, item.read_bytes())
    return written + put(directory / ".gitignore", ("\n".join(IGNORED) + "\n").encode())


def put(path: Path, data: bytes) -> list[Path]:
    """Writes a file that is not there yet; what was written."""
    if path.exists():
        return []
    write_atomic(path, data)
    return [path]


def _folder(name: str) -> Traversable:
    return files(__name__) / name
