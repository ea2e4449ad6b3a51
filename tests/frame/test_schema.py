"""The schema: exported, complete, and every field of it read by something."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from pydantic import BaseModel

from breakeven import recipes, tasks
from breakeven.config import read
from breakeven.project import ProjectSettings, schema

SOURCE = Path(__file__).parents[2] / "src" / "breakeven"


def models(annotation: Any, seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation not in seen:
            seen.add(annotation)
            yield annotation
            for info in annotation.model_fields.values():
                yield from models(info.annotation, seen)
        return
    for argument in get_args(annotation):
        yield from models(argument, seen)


def all_settings() -> list[type[BaseModel]]:
    seen: set[type[BaseModel]] = set()
    found = list(models(ProjectSettings, seen))
    for name in tasks.TABLE:
        task = tasks.find(name)
        for model in task.models:
            found += list(models(task.model(model).load().settings, seen))
    return found


def test_every_field_of_the_schema_is_read_by_something() -> None:
    # A field's declaration is `name: type`; a reader is an attribute access, or a (dotted) key in a string.
    text = "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))
    read = set(re.findall(r"[.}\"'](\w+)\b(?!\s*:)", text))
    unread = [f"{model.__name__}.{name}" for model in all_settings() for name in model.model_fields if name not in read]
    assert not unread, f"settings that nothing reads: {unread}"


def test_every_setting_says_what_it_means() -> None:
    silent = [
        f"{model.__name__}.{name}"
        for model in all_settings()
        for name, info in model.model_fields.items()
        if not info.description and not list(models(info.annotation, set()))
    ]
    assert not silent, f"settings without a description: {silent}"


def test_unknown_keys_are_refused_everywhere() -> None:
    lenient = [model.__name__ for model in all_settings() if model.model_config.get("extra") not in ("forbid",)]
    # A candidate's own keys are checked by its model, a field's role by the task.
    assert set(lenient) <= {"Candidate", "Fields"}, lenient


@functools.cache
def checker() -> Any:
    """What validates against the schema, made once."""
    made = schema()
    return jsonschema.validators.validator_for(made)(made)


@pytest.mark.slow
def test_the_schema_is_a_json_schema() -> None:
    type(checker()).check_schema(checker().schema)


@pytest.mark.parametrize("name", recipes.names())
def test_the_json_schema_takes_every_recipe(name: str, tmp_path: Path) -> None:
    recipes.write(name, tmp_path)
    data = read(tmp_path / "breakeven.yaml").data
    checker().validate(json.loads(json.dumps(data, default=str)))


def test_the_json_schema_refuses_what_the_program_refuses() -> None:
    (said,) = checker().iter_errors({"version": 1, "trian": {}})
    assert "trian" in said.message
