"""Near-duplicate texts under one stated rule, found exactly: Jaccard >= 0.8 over sets of character 5-grams.

No sketches that miss: prefix filtering (two sets this alike must share one of their rarest members) gives candidates,
a bitmap bounds their difference, and what is left is counted exactly. All in arrays; texts are shingled block by block,
so memory grows with the rarest fifth of the 5-grams and not with all of them.
"""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

RULE = "Jaccard >= 0.8 over sets of character 5-grams of the text, NFKC, case folded, runs of white space as one space"
THRESHOLD = 0.8
WIDTH = 5
_BLOCK = 2_000_000  # characters shingled at a time
_BUCKETS = 1 << 22  # for counting how common a 5-gram is
_MAP_WORDS = 4  # 256-bit maps
_BATCH = 200_000  # pairs compared exactly at a time
_MOST_STEPS = 4_000  # neighbours looked at within texts that share one 5-gram


@dataclass(frozen=True)
class Near:
    """What was found. `parent[i]`: an earlier text that text i nearly repeats, or -1. `skipped`: pairs not compared."""

    parent: np.ndarray
    skipped: int

    def roots(self) -> np.ndarray:
        """[n] the first text of everyone's chain of near-repeats; its own index where a text repeats nothing."""
        import numpy as np

        root = np.where(self.parent < 0, np.arange(len(self.parent)), self.parent)
        while True:
            following = root[root]
            if (following == root).all():
                return root
            root = following


def normal(text: str) -> str:
    """The form in which two texts are compared: NFKC, case folded, white space runs as one space."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def near(texts: Sequence[str], threshold: float = THRESHOLD) -> Near:
    """Every text that nearly repeats an earlier one. `texts` are in `normal` form; equal texts count as near."""
    import numpy as np

    count = len(texts)
    if count < 2:
        return Near(np.full(count, -1, np.int64), 0)
    shingles = Shingles(texts)
    prefixes, sizes, maps = _prefixes(shingles, threshold)
    return _joined(prefixes, sizes, maps, shingles, threshold)


class Shingles:
    """Texts as sets of hashed 5-grams, made anew for whichever texts are asked for."""

    def __init__(self, texts: Sequence[str]) -> None:
        import numpy as np

        self.codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
        self.lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self.doc_bits = max(int(len(texts) - 1).bit_length(), 1)

    def __len__(self) -> int:
        return len(self.lengths)

    def blocks(self) -> list[tuple[int, int]]:
        """Ranges of texts of about `_BLOCK` characters each."""
        import numpy as np

        marks = np.searchsorted(self.starts, np.arange(0, self.starts[-1] + 1, _BLOCK))
        edges = np.unique(np.concatenate([marks, [0, len(self)]])).clip(0, len(self))
        return [(int(a), int(b)) for a, b in itertools.pairwise(edges) if b > a]

    def of(self, docs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(hash, position in `docs`) of every distinct 5-gram, by position, then hash. A short text is one gram."""
        import numpy as np

        lengths = self.lengths[docs]
        grams = np.maximum(lengths - WIDTH + 1, (lengths > 0).astype(np.int64))
        places = np.repeat(np.arange(len(docs)), grams)
        firsts = np.concatenate([[0], np.cumsum(grams)])[:-1]
        offsets = np.arange(len(places)) - np.repeat(firsts, grams)
        where = np.repeat(self.starts[docs], grams) + offsets
        short = np.repeat(lengths, grams) < WIDTH
        hashes = self._hashes(where, np.repeat(self.starts[docs] + lengths, grams), short)
        bits = np.uint64(max(int(len(docs) - 1).bit_length(), 1))
        packed = (places.astype(np.uint64) << (np.uint64(64) - bits)) | (hashes >> bits)
        packed.sort()
        distinct = np.concatenate([[True], packed[1:] != packed[:-1]]) if len(packed) else np.zeros(0, bool)
        packed = packed[distinct]
        return packed << bits, (packed >> (np.uint64(64) - bits)).astype(np.int64)

    def _hashes(self, where: np.ndarray, ends: np.ndarray, short: np.ndarray) -> np.ndarray:
        import numpy as np

        values = np.zeros(len(where), np.uint64)
        any_short = bool(short.any())
        with np.errstate(over="ignore"):
            for step in range(WIDTH):
                index = where + step
                if any_short:
                    # Beyond the end of a short text stands a code that no character has.
                    beyond = index >= ends
                    codes = np.where(beyond, np.uint32(0x110000), self.codes[np.where(beyond, 0, index)])
                else:
                    codes = self.codes[index]
                values = values * np.uint64(0x9E3779B97F4A7C15) + codes
            values ^= values >> np.uint64(29)
            values *= np.uint64(0xBF58476D1CE4E5B9)
            values ^= values >> np.uint64(32)
        return values


def _prefixes(shingles: Shingles, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(packed gram|text of every text's rarest grams, set sizes, bitmaps)."""
    import numpy as np

    blocks = shingles.blocks()
    common = np.zeros(_BUCKETS, np.int32)
    sizes = np.zeros(len(shingles), np.int64)
    maps = np.zeros((len(shingles), _MAP_WORDS), np.uint64)
    kept = []
    for start, end in blocks:
        hashes, places = shingles.of(np.arange(start, end))
        common += np.bincount((hashes >> np.uint64(42)).astype(np.int64), minlength=_BUCKETS).astype(np.int32)
        sizes[start:end] = np.bincount(places, minlength=end - start)
        maps[start:end] = _maps(hashes, places, end - start)
        if len(blocks) == 1:
            kept.append((hashes, places))
    packed = []
    for start, end in blocks:
        hashes, places = kept.pop() if kept else shingles.of(np.arange(start, end))
        packed.append(_rarest(hashes, places, common, sizes[start:end], threshold, start, shingles.doc_bits))
    return np.concatenate(packed), sizes, maps


def _rarest(
    hashes: np.ndarray,
    places: np.ndarray,
    common: np.ndarray,
    sizes: np.ndarray,
    threshold: float,
    start: int,
    doc_bits: int,
) -> np.ndarray:
    """The grams of which two sets this alike must share one, packed with their text; those of one text left out."""
    import numpy as np

    frequency = np.minimum(common[(hashes >> np.uint64(42)).astype(np.int64)], (1 << 12) - 1).astype(np.uint64)
    bits = np.uint64(max(int(len(sizes) - 1).bit_length(), 1))
    # One order for all texts: how common, then the hash. Any order is right; rare first is fast.
    gram = (frequency << np.uint64(52)) | (hashes >> np.uint64(12))
    key = (places.astype(np.uint64) << (np.uint64(64) - bits)) | (gram >> bits)
    key.sort()
    ranks = np.arange(len(key)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    needed = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
    owner = (key >> (np.uint64(64) - bits)).astype(np.int64)
    gram = key << bits
    taken = (ranks < needed[owner]) & ((gram >> np.uint64(52)) > np.uint64(1))
    # A gram keeps what is left beside the text's number: equal grams stay equal, and a clash costs one comparison.
    doc = (owner[taken] + start).astype(np.uint64)
    width = np.uint64(doc_bits)
    packed: np.ndarray = (gram[taken] >> width << width) | doc
    return packed


def _maps(hashes: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
    """[count, words] a bit for every gram, flipped when two meet: differing bits never exceed differing grams."""
    import numpy as np

    bits = ((hashes >> np.uint64(20)) & np.uint64(_MAP_WORDS * 64 - 1)).astype(np.int64)
    flips = np.bincount(places * (_MAP_WORDS * 64) + bits, minlength=count * _MAP_WORDS * 64) & 1
    packed = np.packbits(flips.astype(np.uint8).reshape(count, -1), axis=1)
    return np.ascontiguousarray(packed).view(np.uint64)


def _joined(packed: np.ndarray, sizes: np.ndarray, maps: np.ndarray, shingles: Shingles, threshold: float) -> Near:
    """Pairs among texts that share a prefix gram, nearest neighbours first; a found repeat leaves the hunt."""
    import numpy as np

    parent = np.full(len(shingles), -1, np.int64)
    packed.sort()
    docs = (packed & np.uint64((1 << shingles.doc_bits) - 1)).astype(np.int64)
    grams = packed >> np.uint64(shingles.doc_bits)
    group = np.cumsum(np.concatenate([[0], (grams[1:] != grams[:-1]).astype(np.int64)])) if len(grams) else grams
    later = np.arange(len(docs))
    first = np.searchsorted(group, group, side="left") if len(docs) else later
    waiting: list[np.ndarray] = []
    step = 0
    while step < _MOST_STEPS:
        step += 1
        later = later[(later - step >= first[later])]
        if not len(later):
            break
        later = later[parent[docs[later]] < 0]
        pairs = _alike(docs[later], docs[later - step], sizes, maps, threshold)
        waiting.append(pairs)
        if step <= 8 or sum(map(len, waiting)) > 20_000:
            _mark(waiting, parent, shingles, sizes, threshold)
    _mark(waiting, parent, shingles, sizes, threshold)
    left = later[(later - step >= first[later])] if step >= _MOST_STEPS else later[:0]
    skipped = int((left - first[left] - step + 1)[parent[docs[left]] < 0].sum())
    return Near(parent, skipped)


def _alike(one: np.ndarray, other: np.ndarray, sizes: np.ndarray, maps: np.ndarray, threshold: float) -> np.ndarray:
    """[m, 2] the pairs (later, earlier) that sizes and bitmaps cannot rule out."""
    import numpy as np

    a, b = sizes[one], sizes[other]
    fit = np.minimum(a, b) >= threshold * np.maximum(a, b) - 1e-9
    one, other = one[fit], other[fit]
    most = (1 - threshold) / (1 + threshold) * (sizes[one] + sizes[other]) + 1e-9
    differ = _ones(maps[one] ^ maps[other])
    fit = differ <= most
    pairs = np.stack([one[fit], other[fit]], axis=1)
    return np.stack([pairs.max(1), pairs.min(1)], axis=1) if len(pairs) else pairs


def _ones(words: np.ndarray) -> np.ndarray:
    """Set bits of every row."""
    import numpy as np

    if hasattr(np, "bitwise_count"):
        counted: np.ndarray = np.bitwise_count(words).sum(1, dtype=np.int64)
        return counted
    table = np.array([value.bit_count() for value in range(256)], np.uint8)
    ones: np.ndarray = table[words.view(np.uint8)].sum(1, dtype=np.int64)
    return ones


def _mark(
    waiting: list[np.ndarray], parent: np.ndarray, shingles: Shingles, sizes: np.ndarray, threshold: float
) -> None:
    """Compares the waiting pairs exactly and notes the earlier text of each repeat."""
    import numpy as np

    if not waiting:
        return
    pairs = np.unique(np.concatenate(waiting), axis=0)
    waiting.clear()
    pairs = pairs[parent[pairs[:, 0]] < 0]
    for start in range(0, len(pairs), _BATCH):
        batch = pairs[start : start + _BATCH]
        shared = _shared(batch, shingles)
        total = sizes[batch[:, 0]] + sizes[batch[:, 1]]
        found = batch[shared >= threshold * (total - shared) - 1e-9]
        # Written backwards, the earliest partner of the batch stays.
        parent[found[::-1, 0]] = found[::-1, 1]


def _shared(pairs: np.ndarray, shingles: Shingles) -> np.ndarray:
    """[m] how many grams the two sets of each pair have in common."""
    import numpy as np

    docs, inverse = np.unique(pairs, return_inverse=True)
    inverse = inverse.reshape(pairs.shape)
    hashes, places = shingles.of(docs)
    counts = np.bincount(places, minlength=len(docs))
    starts = np.cumsum(counts) - counts
    parts = []
    for side in (0, 1):
        chosen = inverse[:, side]
        lengths = counts[chosen]
        pair = np.repeat(np.arange(len(pairs)), lengths)
        inner = np.arange(len(pair)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        parts.append((pair, hashes[np.repeat(starts[chosen], lengths) + inner]))
    bits = np.uint64(math.ceil(math.log2(len(pairs) + 1)) or 1)
    keys = np.concatenate(
        [(pair.astype(np.uint64) << (np.uint64(64) - bits)) | (value >> bits) for pair, value in parts]
    )
    keys.sort()
    equal = keys[1:][keys[1:] == keys[:-1]]
    return np.bincount((equal >> (np.uint64(64) - bits)).astype(np.int64), minlength=len(pairs))
