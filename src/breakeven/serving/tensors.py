"""Inputs and outputs of a task as named tensors of the Open Inference Protocol, from the task's own JSON Schemas.

An object of plain fields is a tensor a field, a row an element: a column of a table. Any other value is one tensor: a
text as it is, everything else as JSON in a text. `probabilities` and the like (an object of numbers) are a matrix whose
columns are named by the parameter `labels`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from breakeven.errors import Place
from breakeven.serving.multipart import holds_bytes
from breakeven.serving.wire import HttpError, encode, read_json, wrong_field

WHOLE = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
DATATYPES = {"string": "BYTES", "number": "FP64", "integer": "INT64", "boolean": "BOOL"}
_ELEMENTS = {"BYTES": "expects-text", "INT64": "expects-integer", "FP64": "expects-number", "BOOL": "expects-boolean"}
_TAKEN = {"BYTES": ("BYTES",), "FP64": ("FP16", "FP32", "FP64", *WHOLE), "INT64": WHOLE, "BOOL": ("BOOL",)}


@dataclass(frozen=True)
class Tensor:
    """One named tensor. `is_json`: its elements are texts that hold JSON. `is_bytes`: in JSON they are base64, behind
    it the bytes themselves. `labels`: the columns of a matrix.
    """

    name: str
    datatype: str
    is_json: bool = False
    labels: tuple[str, ...] = ()
    required: bool = True
    is_bytes: bool = False

    def as_json(self) -> dict[str, Any]:
        """As the model's metadata show it; -1 stands for the number of cases."""
        return {"name": self.name, "datatype": self.datatype, "shape": [-1, len(self.labels)] if self.labels else [-1]}


@dataclass(frozen=True)
class Layout:
    """The tensors of a value. `whole`: the value itself is the one tensor; else it is an object, a tensor a field."""

    tensors: tuple[Tensor, ...]
    whole: bool


def layout(schema: Mapping[str, Any], name: str) -> Layout:
    """The tensors of what a schema describes; `name` is the tensor's where the value is not an object of fields."""
    for branch in schema.get("oneOf", schema.get("anyOf", ())):
        if branch.get("type") == "string":
            return layout(branch, name)
    fields = schema.get("properties") if schema.get("type") == "object" else None
    if not fields:
        kind = _datatype(schema)
        return Layout((Tensor(name, kind or "BYTES", is_json=kind is None, is_bytes=holds_bytes(schema)),), True)
    required = schema.get("required", list(fields))
    return Layout(tuple(_field(field, part, field in required) for field, part in fields.items()), False)


def _field(name: str, schema: Mapping[str, Any], required: bool) -> Tensor:
    kind = _datatype(schema)
    if kind is not None:
        return Tensor(name, kind, required=required, is_bytes=holds_bytes(schema))
    columns = schema.get("properties", {}) if schema.get("type") == "object" else {}
    if columns and all(_datatype(part) in ("FP64", "INT64") for part in columns.values()):
        return Tensor(name, "FP64", labels=tuple(columns), required=required)
    return Tensor(name, "BYTES", is_json=True, required=required)


def _datatype(schema: Mapping[str, Any]) -> str | None:
    """None where a value may be absent, or is no plain one."""
    if "enum" in schema:
        return "BYTES" if all(isinstance(value, str) for value in schema["enum"]) else None
    kind = schema.get("type")
    return DATATYPES.get(kind) if isinstance(kind, str) else None


def payloads(expected: Layout, given: Any) -> list[Any]:
    """The payloads that a request's `inputs` hold, in order; HttpError 422 names the tensor that is wrong."""
    if not isinstance(given, list) or not given:
        raise wrong_field("inputs", "expects-tensors")
    known = {tensor.name: tensor for tensor in expected.tensors}
    columns: dict[str, list[Any]] = {}
    for index, tensor in enumerate(given):
        name = tensor.get("name") if isinstance(tensor, dict) else None
        if not isinstance(name, str) or name not in known or name in columns:
            raise wrong_field(f"inputs[{index}].name", "expects-tensor-names", names=list(known))
        columns[name] = _elements(tensor, known[name], f"inputs[{index}]")
    missing = [tensor.name for tensor in expected.tensors if tensor.required and tensor.name not in columns]
    if missing:
        raise wrong_field("inputs", "expects-tensor", name=missing[0])
    if len({len(column) for column in columns.values()}) > 1:
        raise wrong_field("inputs", "expects-tensor-lengths")
    if expected.whole:
        return columns[expected.tensors[0].name]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _elements(given: Mapping[str, Any], expected: Tensor, place: str) -> list[Any]:
    if given.get("datatype") not in _TAKEN[expected.datatype]:
        raise wrong_field(f"{place}.datatype", "expects-one-of", expected=_TAKEN[expected.datatype])
    data, shape = given.get("data"), given.get("shape")
    if not isinstance(data, list):
        raise wrong_field(f"{place}.data", "expects-tensor-data")
    width = len(expected.labels) or 1
    values = list(_flat(data))
    sizes = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    fits = sizes and len(shape or ()) in (1, 2) and shape == [len(values) // width, width][: len(shape or ())]
    if not fits or len(values) % width:
        raise wrong_field(f"{place}.shape", "expects-tensor-shape", width=width)
    checked = [_element(value, expected, f"{place}.data[{index}]") for index, value in enumerate(values)]
    if not expected.labels:
        return checked
    rows = (checked[start : start + width] for start in range(0, len(checked), width))
    return [dict(zip(expected.labels, row, strict=True)) for row in rows]


def _flat(data: Sequence[Any]) -> Iterable[Any]:
    for value in data:
        if isinstance(value, list):
            yield from value
        else:
            yield value


def _element(value: Any, expected: Tensor, place: str) -> Any:
    if isinstance(value, bytes):  # it stood behind the JSON object
        return _of_bytes(value, expected, place)
    whole = isinstance(value, int) and not isinstance(value, bool)
    fits = {
        "BYTES": isinstance(value, str),
        "INT64": whole,
        "FP64": whole or (isinstance(value, float) and math.isfinite(value)),
        "BOOL": isinstance(value, bool),
    }
    if not fits[expected.datatype]:
        raise wrong_field(place, _ELEMENTS[expected.datatype])
    return read_json(value.encode()) if expected.is_json else value


def _of_bytes(value: bytes, expected: Tensor, place: str) -> Any:
    if expected.is_bytes:
        return value
    if expected.is_json:
        return read_json(value)
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise wrong_field(place, "expects-text") from error
    if "\0" in text:
        raise HttpError(422, "json-character", at=Place(field=place), character="NUL")
    return text


def written(expected: Layout, outputs: Sequence[Any], wanted: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The tensors of some outputs; `wanted`: only these, in this order."""
    known = {tensor.name: tensor for tensor in expected.tensors}
    return [_tensor(known[name], outputs, expected.whole) for name in (known if wanted is None else wanted)]


def _tensor(tensor: Tensor, outputs: Sequence[Any], whole: bool) -> dict[str, Any]:
    values = list(outputs) if whole else [output.get(tensor.name) for output in outputs]
    found: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": [len(values)]}
    if tensor.labels:
        found["shape"] = [len(values), len(tensor.labels)]
        found["parameters"] = {"labels": json.dumps(tensor.labels, ensure_ascii=False)}
        values = [value[label] for value in values for label in tensor.labels]
    elif tensor.is_json:
        values = [encode(value) for value in values]
    return {**found, "data": values}
