"""Near-duplicate texts under one stated rule, found exactly: Jaccard >= 0.8 over sets of character 5-grams.

No sketches that miss: prefix filtering (two sets this alike must share one of their rarest members) gives candidates,
a bitmap bounds their difference, and what is left is counted exactly. All in arrays; texts are shingled block by block,
so memory grows with the rarest fifth of the 5-grams and not with all of them.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

RULE = "Jaccard >= 0.8 over sets of character 5-grams of the text, NFKC, case folded, runs of white space as one space"
THRESHOLD = 0.8
WIDTH = 5
_BLOCK = 1_000_000  # characters shingled at a time
_KEPT_BLOCKS = 20  # blocks whose hashes are kept between the two passes, 8 MB each
_BUCKET_BITS = 22  # for counting how common a 5-gram is
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


_END = "\U0010ffff" * (WIDTH - 1)


class Shingles:
    """Texts as sets of hashed 5-grams, made anew for whichever texts are asked for."""

    def __init__(self, texts: Sequence[str]) -> None:
        import numpy as np

        # Behind every text stand codes of no character, so that a text shorter than a gram is one gram of its own.
        joined = _END.join(texts) + _END
        self.codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
        self.lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        self.starts = np.concatenate([[0], np.cumsum(self.lengths + len(_END))])
        self.grams = np.maximum(self.lengths - WIDTH + 1, self.lengths > 0)
        self.doc_bits = max(int(len(texts) - 1).bit_length(), 1)

    def __len__(self) -> int:
        return len(self.lengths)

    def blocks(self) -> list[tuple[int, int]]:
        """Ranges of texts of about `_BLOCK` characters each."""
        import numpy as np

        marks = np.searchsorted(self.starts, np.arange(0, self.starts[-1] + 1, _BLOCK))
        edges = np.unique(np.concatenate([marks, [0, len(self)]])).clip(0, len(self))
        return [(int(a), int(b)) for a, b in itertools.pairwise(edges) if b > a]

    def block(self, start: int, end: int) -> np.ndarray:
        """Hashes of every 5-gram of texts start to end, text by text, repeats included."""
        hashes = _hashed(self.codes[self.starts[start] : self.starts[end]])
        found: np.ndarray = hashes[_ranges(self.starts[start:end] - self.starts[start], self.grams[start:end])]
        return found

    def of(self, docs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(hashes of distinct 5-grams, position in `docs`) of any texts, by position, then hash."""
        import numpy as np

        where = _ranges(self.starts[docs], self.lengths[docs] + len(_END))
        hashes = _hashed(self.codes[where])
        sizes = self.lengths[docs] + len(_END)
        hashes = hashes[_ranges(np.cumsum(sizes) - sizes, self.grams[docs])]
        places = np.repeat(np.arange(len(docs), dtype=np.uint64), self.grams[docs])
        bits = max(int(len(docs) - 1).bit_length(), 1)
        packed = _distinct((places << (64 - bits)) | (hashes >> bits))
        return packed << bits, (packed >> (64 - bits)).astype(np.int64)


def _distinct(values: np.ndarray) -> np.ndarray:
    """The values sorted, each once; `values` itself is sorted on the way."""
    import numpy as np

    values.sort()
    once: np.ndarray = values[np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]]
    return once


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """start, start + 1, ... of every range, one behind the other."""
    import numpy as np

    before = np.cumsum(lengths) - lengths
    ranges: np.ndarray = np.arange(int(lengths.sum())) + np.repeat(starts - before, lengths)
    return ranges


def _hashed(codes: np.ndarray) -> np.ndarray:
    """[len(codes)] a hash of the 5 codes from each place on; past the end they count as 0."""
    import numpy as np

    values = np.zeros(len(codes), np.uint64)
    with np.errstate(over="ignore"):
        for step in range(WIDTH):
            values *= np.uint64(0x9E3779B97F4A7C15)
            values[: len(codes) - step] += codes[step:]
        values ^= values >> 29
        values *= np.uint64(0xBF58476D1CE4E5B9)
        values ^= values >> 32
    return values


def _prefixes(shingles: Shingles, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(packed gram|text of every text's rarest grams, set sizes, bitmaps)."""
    import numpy as np

    blocks, bits = shingles.blocks(), min(max(int(shingles.grams.sum()).bit_length(), 8), _BUCKET_BITS)
    common = np.zeros(1 << bits, np.int64)
    kept: dict[int, np.ndarray] = {}
    for start, end in blocks:
        hashes = shingles.block(start, end)
        common += np.bincount((hashes >> (64 - bits)).astype(np.int64), minlength=1 << bits)
        if len(kept) < _KEPT_BLOCKS:
            kept[start] = hashes
    rarest, sizes, maps = [], [], []
    for start, end in blocks:
        hashes = kept.pop(start) if start in kept else shingles.block(start, end)
        keys, owner = _ordered(hashes, common, shingles.grams[start:end], bits)
        counted = np.bincount(owner, minlength=end - start)
        sizes.append(counted)
        maps.append(_maps(keys, owner, end - start))
        doc_bits = shingles.doc_bits
        taken = _prefix(keys, owner, counted, threshold)
        rarest.append((keys[taken] >> doc_bits << doc_bits) | (owner[taken] + start).astype(np.uint64))
    return np.concatenate(rarest), np.concatenate(sizes), np.concatenate(maps)


def _ordered(hashes: np.ndarray, common: np.ndarray, grams: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """(key, text) of every distinct gram, by text, the rarest first.

    A key is how common the gram is (12 bits), then its hash: one order for all texts. Any order would be right; this
    one is fast, since grams that few texts share stand first.
    """
    import numpy as np

    frequency = np.minimum(common[(hashes >> (64 - bits)).astype(np.int64)], (1 << 12) - 1).astype(np.uint64)
    keys = (frequency << 52) | (hashes >> 12)
    width = max(int(len(grams) - 1).bit_length(), 1)
    owner = np.repeat(np.arange(len(grams), dtype=np.uint64), grams)
    packed = _distinct((owner << (64 - width)) | (keys >> width))
    return packed << width, (packed >> (64 - width)).astype(np.int64)


def _prefix(keys: np.ndarray, owner: np.ndarray, sizes: np.ndarray, threshold: float) -> np.ndarray:
    """Which grams stand among those of which two sets this alike must share one; grams that stand once are left out."""
    import numpy as np

    ranks = np.arange(len(keys)) - (np.cumsum(sizes) - sizes)[owner]
    needed = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
    taken: np.ndarray = (ranks < needed[owner]) & ((keys >> 52) > np.uint64(1))
    return taken


def _maps(keys: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """[count, words] a bit for every gram, flipped when two meet: differing bits never exceed differing grams."""
    import numpy as np

    bits = ((keys >> 30) & np.uint64(_MAP_WORDS * 64 - 1)).astype(np.int64)
    flips = np.bincount(owner * (_MAP_WORDS * 64) + bits, minlength=count * _MAP_WORDS * 64) & 1
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
    layers = (np.ascontiguousarray(maps[:, :1]), maps)
    step = 0
    while step < _MOST_STEPS:
        step += 1
        later = later[(later - step >= first[later])]
        if not len(later):
            break
        later = later[parent[docs[later]] < 0]
        pairs = _alike(docs[later], docs[later - step], sizes, layers, threshold)
        waiting.append(pairs)
        if step <= 8 or sum(map(len, waiting)) > 20_000:
            _mark(waiting, parent, shingles, sizes, threshold)
    _mark(waiting, parent, shingles, sizes, threshold)
    left = later[(later - step >= first[later])] if step >= _MOST_STEPS else later[:0]
    skipped = int((left - first[left] - step + 1)[parent[docs[left]] < 0].sum())
    return Near(parent, skipped)


def _alike(
    one: np.ndarray, other: np.ndarray, sizes: np.ndarray, maps: Sequence[np.ndarray], threshold: float
) -> np.ndarray:
    """[m, 2] the pairs (later, earlier) that sizes and bitmaps cannot rule out."""
    import numpy as np

    a, b = sizes[one], sizes[other]
    most = (1 - threshold) / (1 + threshold) * (a + b) + 1e-9
    fit = np.abs(a - b) <= most
    one, other, most = one[fit], other[fit], most[fit]
    # One word of the map settles nearly every pair; the others are fetched for the few it leaves.
    for words in maps:
        fit = _ones(words[one] ^ words[other]) <= most
        one, other, most = one[fit], other[fit], most[fit]
    return np.stack([np.maximum(one, other), np.minimum(one, other)], axis=1)


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
    bits = max(int(len(pairs) - 1).bit_length(), 1)
    keys = np.concatenate([(pair.astype(np.uint64) << (64 - bits)) | (value >> bits) for pair, value in parts])
    keys.sort()
    equal = keys[1:][keys[1:] == keys[:-1]]
    return np.bincount((equal >> (64 - bits)).astype(np.int64), minlength=len(pairs))
