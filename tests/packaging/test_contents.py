"""What may lie in a package: formats that cannot run code, whole and inside the folder."""

from __future__ import annotations

import contextlib
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from breakeven.errors import BreakevenError, IntegrityError
from breakeven.packaging.contents import check_contents, check_finite, not_finite


def weights(folder: Path, **tensors: Any) -> Path:
    save_file({name: np.asarray(value) for name, value in tensors.items()}, folder / "w.safetensors")
    return folder / "w.safetensors"


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("m.pkl", b"\x80\x04", r"\.pkl"),
        ("m.pt", b"", r"\.pt"),
        ("m.pth", b"", r"\.pth"),
        ("m.h5", b"", r"\.h5"),
        ("m.keras", b"", r"\.keras"),
        ("m.npy", b"", r"\.npy"),
        ("m.distcp", b"", r"\.distcp"),
        (".metadata", b"", "no ending"),
        ("m.zip", b"", r"\.zip"),
        ("code.py", b"", r"\.py"),
        ("lib.so", b"", r"\.so"),
        ("noending", b"", "no ending"),
        ("vocab.txt", b"\x80\x04pickle", "a pickle"),
        ("w.safetensors", b"\x89HDF\r\n", "HDF5"),
        ("model.onnx", b"PK\x03\x04", "a zip archive"),
        ("config.json", b"\x7fELF", "a program"),
    ],
)
def test_other_formats_are_refused_by_ending_and_by_content(
    tmp_path: Path, name: str, content: bytes, found: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(IntegrityError, match=f"a kind that is not taken: {found}") as caught:
        check_contents(tmp_path)
    assert caught.value.exit_code == 4


def test_what_is_taken_passes(tmp_path: Path) -> None:
    weights(tmp_path, a=np.ones((2, 3), np.float32), b=np.zeros(0, np.float32), c=np.array([1, 2], np.int64))
    (tmp_path / "config.json").write_text('{"hidden_size": 3}')
    (tmp_path / "vocab.txt").write_text("wörter\n")
    (tmp_path / "m.gguf").write_bytes(b"GGUF....")
    check_contents(tmp_path)
    check_finite(tmp_path)


@pytest.mark.parametrize("key", ["auto_map", "module"])
def test_a_config_that_asks_to_import_code_is_refused(tmp_path: Path, key: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({key: {"AutoModel": "evil.Model"}}))
    with pytest.raises(IntegrityError, match=f"import code \\('{key}'\\)"):
        check_contents(tmp_path)


def test_the_same_word_in_a_vocabulary_is_data(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text('{"auto_map": 5}')
    check_contents(tmp_path)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"{", b"\xff\xfe{}"])
def test_json_that_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "vocab.json").write_bytes(content)
    with pytest.raises(IntegrityError, match="is not the JSON that was written"):
        check_contents(tmp_path)


def test_text_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(IntegrityError, match="not UTF-8"):
        check_contents(tmp_path)


def header(content: dict[str, Any], data: bytes) -> bytes:
    text = json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text + data


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "truncated"),
        (b"\x00" * 7, "truncated"),
        (struct.pack("<Q", 2**62) + b"{}", "truncated"),
        (struct.pack("<Q", 4) + b"{{{{", "its header is not safetensors"),
        (struct.pack("<Q", 2) + b"[]", "its header is not safetensors"),
        (header({"a": F32}, b"\x00" * 7), "bytes on the disk"),
        (header({"a": F32}, b"\x00" * 9), "bytes on the disk"),
        (header({"a": F32, "b": {**F32, "data_offsets": [4, 12]}}, b"\x00" * 12), "overlap or leave holes"),
        (header({"a": {**F32, "data_offsets": [8, 16]}}, b"\x00" * 16), "overlap or leave holes"),
        (header({"a": {**F32, "shape": [3]}}, b"\x00" * 8), "its header is not safetensors"),
        (header({"a": {**F32, "data_offsets": [0, -8]}}, b""), "its header is not safetensors"),
        (header({"a": {"dtype": "F32"}}, b""), "its header is not safetensors"),
        (header({"a": {**F32, "data_offsets": "ab"}}, b""), "its header is not safetensors"),
    ],
)
def test_safetensors_whose_header_lies_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    words = words.replace("bytes on the disk", "bytes on the disk")
    with pytest.raises(IntegrityError, match=words):
        check_contents(tmp_path)


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "w.safetensors").write_bytes(content)
    # Well formed by chance, or refused in our own words: nothing else.
    with contextlib.suppress(BreakevenError):
        check_contents(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_a_number_that_is_not_finite_is_found(tmp_path: Path, value: float, kind: type) -> None:
    weights(tmp_path, fine=np.ones(3, kind), broken=np.array([1.0, value], kind))
    with pytest.raises(IntegrityError, match="tensor 'broken'"):
        check_finite(tmp_path)


def test_bfloat16_is_looked_at_too(tmp_path: Path) -> None:
    fine, infinite = b"\x80\x3f", b"\x80\x7f"
    entry = {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}
    (tmp_path / "w.safetensors").write_bytes(header({"a": entry}, fine + fine))
    check_finite(tmp_path)
    (tmp_path / "w.safetensors").write_bytes(header({"a": entry}, fine + infinite))
    with pytest.raises(IntegrityError, match="tensor 'a'"):
        check_finite(tmp_path)


def test_links_and_pipes_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    os.mkfifo(folder / "pipe.json")
    with pytest.raises(IntegrityError, match="is a link or a device"):
        check_contents(folder)
    (folder / "pipe.json").unlink()
    (tmp_path / "outside.json").write_text("{}")
    (folder / "inside.json").symlink_to(tmp_path / "outside.json")
    with pytest.raises(IntegrityError, match="is a link or a device"):
        check_contents(folder)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([0.1, 0.9], False),
        ([0.1, float("nan")], True),
        ({"a": [{"b": float("inf")}]}, True),
        (np.array([1.0, np.nan]), True),
        (np.array(["text"]), False),
        ("nan", False),
        (7, False),
        (None, False),
    ],
)
def test_outputs_are_looked_at_however_nested(value: Any, expected: bool) -> None:
    assert not_finite(value) is expected


def onnx_model(folder: Path, *, operator: str = "MatMul", domain: str = "", external: dict[str, str] | None = None,
               value: float = 1.0) -> Path:  # fmt: skip
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    tensor = helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [1.0, 1.0, 1.0, value])
    if external is not None:
        tensor.ClearField("float_data")
        tensor.data_location = TensorProto.EXTERNAL
        for name, entry in external.items():
            tensor.external_data.add(key=name, value=entry)
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "w"], ["y"], domain=domain)], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])], [tensor],
    )  # fmt: skip
    path = folder / "model.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]).SerializeToString())
    return path


def test_an_onnx_model_passes(tmp_path: Path) -> None:
    onnx_model(tmp_path)
    check_contents(tmp_path)
    check_finite(tmp_path)


def test_an_onnx_weight_that_is_not_finite_is_found(tmp_path: Path) -> None:
    onnx_model(tmp_path, value=float("nan"))
    with pytest.raises(IntegrityError, match="tensor 'w'"):
        check_finite(tmp_path)


@pytest.mark.parametrize(("operator", "domain"), [("Nonsense", ""), ("Run", "evil.custom")])
def test_an_unknown_operator_is_refused(tmp_path: Path, operator: str, domain: str) -> None:
    onnx_model(tmp_path, operator=operator, domain=domain)
    with pytest.raises(IntegrityError, match=f"uses the operator {domain or 'ai.onnx'}:{operator}"):
        check_contents(tmp_path)


def onnx_graph(folder: Path, node: Any, initializers: Any = ()) -> None:
    from onnx import TensorProto, helper

    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([node], "g", [], [y], list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def test_an_unknown_operator_inside_a_branch_is_refused(tmp_path: Path) -> None:
    helper = pytest.importorskip("onnx").helper
    y = helper.make_tensor_value_info("y", 1, [1])
    branch = helper.make_graph([helper.make_node("Evil", [], ["y"], domain="evil")], "branch", [], [y])
    onnx_graph(tmp_path, helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch))
    with pytest.raises(IntegrityError, match="uses the operator evil:Evil"):
        check_contents(tmp_path)


@pytest.mark.parametrize("inside_branch", [False, True])
def test_a_constant_with_data_outside_the_folder_is_refused(tmp_path: Path, inside_branch: bool) -> None:
    onnx = pytest.importorskip("onnx")
    tensor = onnx.TensorProto(data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    node = onnx.helper.make_node("Constant", [], ["y"], value=tensor)
    if inside_branch:
        y = onnx.helper.make_tensor_value_info("y", 1, [1])
        branch = onnx.helper.make_graph([node], "branch", [], [y])
        node = onnx.helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    onnx_graph(tmp_path, node)
    with pytest.raises(IntegrityError, match="keeps its weights outside the folder: '/etc/passwd'"):
        check_contents(tmp_path)


def test_whole_numbers_in_a_model_are_always_finite(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    numbers = onnx.helper.make_tensor("n", onnx.TensorProto.INT64, [2], [2**62, -1])
    onnx_graph(tmp_path, onnx.helper.make_node("Identity", ["n"], ["y"]), [numbers])
    check_finite(tmp_path)


def test_a_json_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "vocab.json").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(IntegrityError, match="larger than 100000000 bytes"):
        check_contents(tmp_path)


def test_gguf_by_its_ending_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGML....")
    with pytest.raises(IntegrityError, match="not a GGUF file"):
        check_contents(tmp_path)


@pytest.mark.parametrize("location", ["/etc/passwd", "../weights.data", "a/../../weights.data", "", "..\\weights.data"])
def test_external_data_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    (tmp_path / "weights.data").write_bytes(b"\x00" * 16)
    onnx_model(folder, external={"location": location})
    with pytest.raises(IntegrityError, match="keeps its weights outside the folder"):
        check_contents(folder)


@pytest.mark.parametrize(
    ("external", "words"),
    [
        ({"location": "missing.data"}, "is missing"),
        ({"location": "w.data", "offset": "8", "length": "16"}, "is truncated"),
        ({"location": "w.data", "length": "-1"}, "is truncated"),
        ({"location": "w.data", "length": "many"}, "no readable range"),
    ],
)
def test_external_data_that_is_not_there_is_refused(tmp_path: Path, external: dict[str, str], words: str) -> None:
    (tmp_path / "w.data").write_bytes(b"\x00" * 16)
    onnx_model(tmp_path, external=external)
    with pytest.raises(IntegrityError, match=words):
        check_contents(tmp_path)


def test_external_data_beside_the_model_is_taken_and_looked_at(tmp_path: Path) -> None:
    onnx_model(tmp_path, external={"location": "w.data", "length": "16"})
    (tmp_path / "w.data").write_bytes(np.ones(4, np.float32).tobytes())
    check_contents(tmp_path)
    check_finite(tmp_path)
    (tmp_path / "w.data").write_bytes(np.array([1, 1, 1, np.inf], np.float32).tobytes())
    with pytest.raises(IntegrityError, match="tensor 'w'"):
        check_finite(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not protobuf \xff\xff\xff"])
def test_what_is_no_onnx_model_is_refused(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("onnx")
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(IntegrityError, match="is broken"):
        check_contents(tmp_path)
