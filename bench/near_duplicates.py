"""Near-duplicates among 100,000 short texts: this program and datasketch, interleaved, under one rule.

The rule is Jaccard >= 0.8 over sets of character 5-grams. Texts are the sentences of the sentiment recipe, as they are
and with up to three characters changed or two of them joined. Recall is against brute force on a tenth of them, and
every row that this program names is checked against the rule. datasketch runs as its documentation shows it: MinHash of
128 permutations, LSH at 0.8.

    python bench/near_duplicates.py [--texts 100000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import time
from collections.abc import Callable

import numpy as np

from breakeven.data.duplicates import near, normal


def corpus(count: int) -> list[str]:
    """Human sentences from the recipe's package, and altered copies of them until there are `count`."""
    from breakeven.data.archives import member
    from breakeven.data.limits import Limits
    from breakeven.data.packages import Package, fetch
    from breakeven.data.web import Web

    package = Package("vaderSentiment==2.5", "b960c954831f5ca58afee61780cc04ed48e551b91e783bfcbfb2c18bb8081a84")
    archive, inner = fetch(package, Web()), "vaderSentiment-2.5/additional_resources/hutto_ICWSM_2014.tar.gz"
    lines: list[str] = []
    for name in ("movieReviewSnippets", "amazonReviewSnippets", "tweets", "nytEditorialSnippets"):
        data = member(archive, f"{inner}//hutto_ICWSM_2014/{name}_GroundTruth.txt", package.file_name, Limits())
        lines += [line.split("\t")[-1] for line in data.decode().splitlines()]
    chance, texts = random.Random(0), [normal(line) for line in lines]
    while len(texts) < count:
        text = chance.choice(lines)
        if chance.random() < 0.2:
            letters = list(text)
            for _ in range(chance.randint(0, 3)):
                letters[chance.randrange(len(letters))] = chance.choice("abcdefg ")
            texts.append(normal("".join(letters)))
        else:
            texts.append(normal(f"{text} {chance.choice(lines)}"[chance.randint(0, 40) : chance.randint(60, 200)]))
    chance.shuffle(texts)
    return texts[:count]


def ours(texts: list[str]) -> set[int]:
    return set(np.flatnonzero(near(texts).parent >= 0).tolist())


def datasketch(texts: list[str]) -> set[int]:
    from datasketch import MinHash, MinHashLSH

    index, found = MinHashLSH(threshold=0.8, num_perm=128), set()
    sets = [{gram.encode() for gram in grams(text)} for text in texts]
    for row, sketch in enumerate(MinHash.generator(sets, num_perm=128)):
        if index.query(sketch):
            found.add(row)
        index.insert(row, sketch)
    return found


def grams(text: str) -> set[str]:
    return {text[start : start + 5] for start in range(max(len(text) - 4, 1))} if text else set()


def brute_force(texts: list[str]) -> set[int]:
    """Rows that repeat an earlier one, by counting every shared 5-gram."""
    sets = [grams(text) for text in texts]
    holders: dict[str, list[int]] = {}
    found = set()
    for row, own in enumerate(sets):
        shared: dict[int, int] = {}
        for gram in own:
            for other in holders.setdefault(gram, []):
                shared[other] = shared.get(other, 0) + 1
            holders[gram].append(row)
        if any(count >= 0.8 * (len(own) + len(sets[other]) - count) - 1e-9 for other, count in shared.items()):
            found.add(row)
    return found


def timed(work: Callable[[list[str]], set[int]], texts: list[str]) -> tuple[float, float, set[int]]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = work(texts)
    return time.perf_counter() - wall, time.process_time() - cpu, found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    texts = corpus(options.texts)
    part = texts[: max(len(texts) // 10, 1)]
    truth = brute_force(part)
    for name, work in (("breakeven", ours), ("datasketch", datasketch)):
        found = work(part)
        print(f"{name:<11} on {len(part)}: {len(truth)} true repeats, recall {len(found & truth) / len(truth):.4f}, "
              f"precision {len(found & truth) / max(len(found), 1):.4f}")  # fmt: skip
        if name == "breakeven":
            assert found == truth, "not exact"
    times: dict[str, list[tuple[float, float]]] = {"breakeven": [], "datasketch": []}
    for _ in range(options.rounds):
        for name, work in (("breakeven", ours), ("datasketch", datasketch)):
            wall, cpu, found = timed(work, texts)
            times[name].append((wall, cpu))
            print(f"  {name:<11} {wall:6.2f} s wall, {cpu:6.2f} s CPU, {len(found)} repeats", flush=True)
    walls = {name: statistics.median(wall for wall, _ in rounds) for name, rounds in times.items()}
    cpus = {name: statistics.median(cpu for _, cpu in rounds) for name, rounds in times.items()}
    import datasketch as peer

    mean = sum(map(len, texts)) / len(texts)
    print(f"{len(texts)} texts of {mean:.0f} characters, medians of {options.rounds} interleaved rounds")
    for unit, seconds in (("wall", walls), ("CPU", cpus)):
        ratio = seconds["datasketch"] / seconds["breakeven"]
        print(
            f"{unit:>4}: breakeven {seconds['breakeven']:.2f} s, datasketch {seconds['datasketch']:.2f} s: {ratio:.1f}x"
        )
    print(
        f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"datasketch {peer.__version__}"
    )


if __name__ == "__main__":
    main()
