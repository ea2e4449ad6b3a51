"""The binary tensor data extension of the Open Inference Protocol: after the JSON object come the bytes of tensors.

Little-endian, row by row, nothing between elements; a truth value is a byte, a text or a file its length in four bytes
and itself. The header `Inference-Header-Content-Length` says where the JSON object ends.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from breakeven.errors import Place
from breakeven.serving.wire import HttpError, encode, wrong_field

KIND = "application/octet-stream"
HEADER = "inference-header-content-length"
EXTENSION = "binary_tensor_data"
FORMATS = {
    "BOOL": "?", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "UINT8": "B", "UINT16": "H", "UINT32": "I",
    "UINT64": "Q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
_SIZE = "binary_data_size"
_WANTED = "binary_data"
_ALL_WANTED = "binary_data_output"
_LENGTH = struct.Struct("<I")
_LONGEST_HEADER = 12
_scanner = json.JSONDecoder(strict=False)


def split(body: bytes, length: str | None) -> tuple[bytes, bytes]:
    """(JSON object, bytes of tensors) of a body; `length`: the header, None where there is none. HttpError 400 for a
    length that cannot be.
    """
    if length is None:
        return body, b""
    if (
        not length.isascii()
        or not length.isdigit()
        or len(length) > _LONGEST_HEADER
        or not 0 < int(length) <= len(body)
    ):
        raise HttpError(400, "tensor-header", at=Place(field=HEADER), found=length[:40], size=len(body))
    return body[: int(length)], body[int(length) :]


def filled(given: Any, rest: bytes) -> Any:
    """Tensors with their data, where some stand as bytes behind the JSON object, in the same order."""
    tensors = given if isinstance(given, list) else []
    begin, found = 0, list[Any]()
    for index, tensor in enumerate(tensors):
        size = _size(tensor, f"inputs[{index}]")
        if size is None:
            found.append(tensor)
            continue
        if begin + size > len(rest):
            place = f"inputs[{index}].parameters.{_SIZE}"
            raise wrong_field(place, "expects-tensor-bytes", found=size, left=len(rest) - begin)
        data = _elements(str(tensor.get("datatype")), rest[begin : begin + size], f"inputs[{index}]")
        found.append({**tensor, "data": data})
        begin += size
    if begin != len(rest):
        raise HttpError(400, "tensor-left", at=Place(field="inputs"), left=len(rest) - begin)
    return found if tensors else given


def _size(tensor: Any, place: str) -> int | None:
    """How many bytes a tensor says it has; None: its data are in the JSON object."""
    parameters = tensor.get("parameters") if isinstance(tensor, dict) else None
    if not isinstance(parameters, dict) or _SIZE not in parameters:
        return None
    size = parameters[_SIZE]
    if type(size) is not int or size < 0:
        raise wrong_field(f"{place}.parameters.{_SIZE}", "expects-index")
    if "data" in tensor:
        raise wrong_field(f"{place}.data", "expects-no-data")
    return size


def _elements(datatype: str, data: bytes, place: str) -> list[Any]:
    """What bytes say; texts and files as bytes."""
    if datatype == "BYTES":
        return _texts(data, place)
    letter = FORMATS.get(datatype)
    if letter is None:
        raise wrong_field(f"{place}.datatype", "expects-one-of", expected=["BYTES", *FORMATS])
    width = struct.calcsize(f"<{letter}")
    if len(data) % width:
        raise wrong_field(f"{place}.parameters.{_SIZE}", "expects-multiple", width=width)
    if letter == "?" and data.strip(b"\0\1"):
        raise wrong_field(f"{place}.data", "expects-boolean")
    return list(struct.unpack(f"<{len(data) // width}{letter}", data))


def _texts(data: bytes, place: str) -> list[bytes]:
    found, begin = list[bytes](), 0
    while begin < len(data):
        end = begin + _LENGTH.size
        if end > len(data) or end + _LENGTH.unpack_from(data, begin)[0] > len(data):
            raise wrong_field(f"{place}.data[{len(found)}]", "expects-element-bytes", left=len(data) - begin)
        begin = end + _LENGTH.unpack_from(data, begin)[0]
        found.append(data[end:begin])
    return found


def wanted(request: Mapping[str, Any]) -> dict[str | None, bool]:
    """Output -> whether it is to come as bytes; None: one that the request does not name."""
    found: dict[str | None, bool] = {None: _flag(request.get("parameters"), _ALL_WANTED, "parameters")}
    for index, output in enumerate(request.get("outputs") or ()):
        place = f"outputs[{index}].parameters"
        found[output["name"]] = _flag(output.get("parameters"), _WANTED, place, default=found[None])
    return found


def _flag(parameters: Any, name: str, place: str, *, default: bool = False) -> bool:
    value = parameters.get(name, default) if isinstance(parameters, dict) else default
    if not isinstance(value, bool):
        raise wrong_field(f"{place}.{name}", "expects-boolean")
    return value


def joined(answer: Mapping[str, Any], binary: Mapping[str | None, bool]) -> bytes:
    """An answer's JSON object, and behind it the bytes of those tensors that are wanted so. One with an absent value
    stays in the object: bytes have no word for it.
    """
    outputs, parts = [], []
    for tensor in answer["outputs"]:
        data = tensor["data"]
        if binary.get(tensor["name"], binary[None]) and None not in data:
            part = _written(tensor["datatype"], data)
            parts.append(part)
            parameters = {**tensor.get("parameters", {}), _SIZE: len(part)}
            tensor = {**{name: value for name, value in tensor.items() if name != "data"}, "parameters": parameters}
        outputs.append(tensor)
    return encode({**answer, "outputs": outputs}).encode() + b"".join(parts)


def _written(datatype: str, data: Sequence[Any]) -> bytes:
    if datatype == "BYTES":
        texts = [str(value).encode() for value in data]
        return b"".join(_LENGTH.pack(len(text)) + text for text in texts)
    return struct.pack(f"<{len(data)}{FORMATS[datatype]}", *data)


def header_of(body: bytes) -> int:
    """Where the JSON object of one of our own bodies ends: an answer that is given again has no header by it."""
    return int(_scanner.raw_decode(body.decode("latin-1"))[1])
