"""Inputs to answer, from a file or a pipe: a text a line, or JSON a line; read within a limit, errors by line."""

from __future__ import annotations

import json
from typing import Any, BinaryIO

from breakeven.data.encoding import to_utf8
from breakeven.data.limits import MB
from breakeven.errors import DataError, EnvironmentFault, Place

MAX_MB = 100


def read_inputs(stream: BinaryIO, name: str) -> list[Any]:
    """One payload a line, empty lines left out. A line that begins as an object of JSON begins must be one."""
    try:
        data = stream.read(MAX_MB * MB + 1)
    except OSError as error:
        raise EnvironmentFault("file-unreadable", at=Place(file=name), reason=error.strerror or str(error)) from error
    if len(data) > MAX_MB * MB:
        raise DataError("inputs-too-large", at=Place(file=name), limit=MAX_MB)
    try:
        text = to_utf8(data, name)[0].decode()
    except DataError as error:
        if error.code != "encoding-not-found":
            raise
        raise DataError("inputs-encoding", at=error.at, **error.fields) from None  # no source is there to declare it
    lines = text.replace("\r\n", "\n").split("\n")
    return [_of_file(line, name, number) for number, line in enumerate(lines, 1) if line.strip()]


def _of_file(line: str, name: str, number: int) -> Any:
    if not line.startswith('{"'):
        return of_argument(line)
    try:
        return json.loads(line)
    except RecursionError as error:
        raise DataError("json-lines-deep", at=Place(file=name, line=number)) from error
    except ValueError as error:
        place = Place(file=name, line=number, column=getattr(error, "colno", None))
        raise DataError("json-lines-broken", at=place, reason=getattr(error, "msg", None) or str(error)) from error


def of_argument(text: str) -> Any:
    """JSON where a text looks like an object, a list or a quoted text and is one, else the text itself."""
    try:
        return json.loads(text) if text[:1] in tuple('{["') else text
    except (ValueError, RecursionError):
        return text
