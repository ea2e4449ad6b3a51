"""Files of weights, read as data: safetensors and ONNX, whole, inside their folder, and finite."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import unreadable
from breakeven.errors import IntegrityError, Place, need_package

if TYPE_CHECKING:
    import numpy as np

MAX_HEADER_BYTES = 100_000_000
BLOCK_BYTES = 16 * 1024 * 1024
ONNX_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training", "com.microsoft")
# Exponent bits of the float types of safetensors: all set means infinite or not a number.
FLOAT_BITS = {
    "F64": ("<u8", 0x7FF0000000000000),
    "F32": ("<u4", 0x7F800000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
}
ITEM_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U64": 8,
    "U32": 4,
    "U16": 2,
    "U8": 1,
    "BOOL": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
}


def head(path: Path, count: int) -> bytes:
    """The first bytes of a file."""
    try:
        with path.open("rb") as stream:
            return stream.read(count)
    except OSError as error:
        raise unreadable(path, error) from error


def broken(path: Path, reason: str) -> IntegrityError:
    """The error for a file that is not what its ending says."""
    return IntegrityError("package-file-broken", at=Place(file=str(path)), reason=reason)


def safetensors_header(path: Path) -> tuple[dict[str, Any], int]:
    """(header, offset of the data) of a safetensors file; lengths, types and ranges are checked."""
    size = path.stat().st_size
    length = struct.unpack("<Q", head(path, 8))[0] if size >= 8 else 0
    if not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
        raise broken(path, "truncated, or its header length is a lie")
    try:
        header = json.loads(head(path, 8 + length)[8:])
        start = 8 + length
        spans = sorted(_span(entry) for name, entry in header.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise broken(path, "its header is not safetensors") from error
    end = 0
    for first, last in spans:
        if first != end or last < first:
            raise broken(path, "its tensors overlap or leave holes")
        end = last
    if start + end != size:
        raise broken(path, f"{size} bytes on the disk, {start + end} stated")
    return header, start


def _span(entry: dict[str, Any]) -> tuple[int, int]:
    first, last = entry["data_offsets"]
    count = 1
    for extent in entry["shape"]:
        count *= extent
    if last - first != count * ITEM_BYTES.get(entry["dtype"], 1) and entry["dtype"] in ITEM_BYTES:
        raise ValueError("shape and length differ")
    return first, last


def check_safetensors(path: Path) -> None:
    """Raises unless header and size fit."""
    safetensors_header(path)


def finite_safetensors(path: Path) -> None:
    """Raises where a float is infinite or not a number; reads blocks, not tensors."""
    import numpy as np

    header, start = safetensors_header(path)
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] not in FLOAT_BITS:
            continue
        kind, exponent = FLOAT_BITS[entry["dtype"]]
        first, last = entry["data_offsets"]
        with path.open("rb") as stream:
            stream.seek(start + first)
            for block in _blocks(stream, last - first):
                if _has_exponent(np.frombuffer(block, dtype=kind), exponent):
                    raise IntegrityError("package-not-finite", at=Place(file=str(path)), tensor=name)


def _blocks(stream: Any, length: int) -> Iterator[bytes]:
    while length > 0:
        block = stream.read(min(length, BLOCK_BYTES))
        length -= len(block)
        yield block


def _has_exponent(bits: np.ndarray, exponent: int) -> bool:
    return bool(((bits & exponent) == exponent).any())


def _onnx_model(path: Path) -> Any:
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise need_package("onnx", "text", purpose=f"checking {path.name}") from error
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:
        raise broken(path, "not an ONNX model") from error
    if not model.ir_version:
        raise broken(path, "not an ONNX model")
    return model


def _tensors(graph: Any) -> Iterator[Any]:
    """Every stored tensor of a graph and of the graphs inside its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)
            for inner in attribute.graphs:
                yield from _tensors(inner)


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)
            for inner in attribute.graphs:
                yield from _nodes(inner)


def check_onnx(path: Path) -> None:
    """Raises unless every operator is known and all external data lies beside the model."""
    import onnx

    model = _onnx_model(path)
    local = {(item.domain, item.name) for item in model.functions}
    graphs = [model.graph, *model.functions]
    for node in (node for graph in graphs for node in _nodes(graph)):
        runtime_own = node.domain == "com.microsoft"
        known = node.domain in ONNX_DOMAINS and (runtime_own or onnx.defs.has(node.op_type, node.domain))
        if not known and (node.domain, node.op_type) not in local:
            operator = f"{node.domain or 'ai.onnx'}:{node.op_type}"
            raise IntegrityError("package-unknown-operator", at=Place(file=str(path)), operator=operator)
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _check_external(path, {entry.key: entry.value for entry in tensor.external_data})


def _check_external(path: Path, where: dict[str, str]) -> None:
    """External data must be a plain file beside the model, as long as stated."""
    location = PurePosixPath(where.get("location", ""))
    if location.is_absolute() or ".." in location.parts or "\\" in str(location) or not location.parts:
        raise IntegrityError("package-outside", at=Place(file=str(path)), location=str(location))
    data = path.parent / location
    if not data.is_file() or data.is_symlink():
        raise broken(path, f"its data file '{location}' is missing")
    try:
        end = int(where.get("offset") or 0) + int(where.get("length") or 0)
    except ValueError as error:
        raise broken(path, "its external data has no readable range") from error
    if not 0 <= end <= data.stat().st_size:
        raise broken(path, f"its data file '{location}' is truncated")


def finite_onnx(path: Path) -> None:
    """Raises where a weight is infinite or not a number."""
    import numpy as np
    import onnx

    kinds = {
        onnx.TensorProto.FLOAT: "F32",
        onnx.TensorProto.DOUBLE: "F64",
        onnx.TensorProto.FLOAT16: "F16",
        onnx.TensorProto.BFLOAT16: "BF16",
    }
    # Only initializers are weights: a constant in the graph may be -inf on purpose, as attention masks are.
    for tensor in _onnx_model(path).graph.initializer:
        if tensor.data_type not in kinds:
            continue
        kind, exponent = FLOAT_BITS[kinds[tensor.data_type]]
        array = onnx.numpy_helper.to_array(tensor, base_dir=str(path.parent))
        if array.size > 1 and _has_exponent(np.ascontiguousarray(array).view(kind), exponent):
            raise IntegrityError("package-not-finite", at=Place(file=str(path)), tensor=tensor.name)
