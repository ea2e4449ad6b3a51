"""One Model class a family of models; every module here is light and imports its framework inside its methods.

`create` turns a candidate's entry of the file into a model; it is the only door the stages need.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from breakeven.errors import ConfigError, Place
from breakeven.task import Model, Task


def create(task: Task, name: str, options: Mapping[str, Any], *, at: Place | None = None) -> Model:
    """The model `name` of a task with a candidate's own keys checked; ConfigError names the key that is wrong.

    A family that loads pretrained weights takes them from the model's own name unless `weights` says otherwise.
    """
    model_class = task.model(name).load()
    known = model_class.settings.model_fields
    given = dict(options)
    if "weights" in known and given.get("weights") is None:
        given["weights"] = name
    return model_class(_checked(model_class, name, given, at), task)


def _checked(model_class: type[Model], name: str, given: Mapping[str, Any], at: Place | None) -> Any:
    import difflib

    from pydantic import ValidationError

    try:
        return model_class.settings.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = sorted(model_class.settings.model_fields)
            near = difflib.get_close_matches(key, known, 1, 0.5)
            raise ConfigError(
                "unknown-key" if near else "unknown-key-plain",
                at=at,
                key=key,
                allowed=known,
                nearest=near[0] if near else None,
            ) from None
        raise ConfigError(
            "bad-value", at=at, key=key, found=first.get("input"), expected=first["msg"].lower()
        ) from None
