"""Batches beside each other: everything once, evenly, a thread each, and the answers of one thread."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_runtimes import MAY_VARY, TEXTS

from breakeven.models.cores import EVEN, LEAST_TOKENS, Cores
from breakeven.models.encoder import TORCH_BF16, TORCH_FP32


@pytest.fixture(scope="module")
def cores():
    before = torch.get_num_threads()
    yield Cores(2)
    torch.set_num_threads(before)


@given(st.lists(st.integers(1, 128), max_size=200), st.integers(128, 1024))
def test_every_text_is_in_one_part_and_no_thread_is_left_idle(cores, lengths, most):
    parts = cores.parts(lengths, most)
    assert sorted(index for part in parts for index in part) == list(range(len(lengths)))
    if len(parts) > 1:
        loads = [sum(lengths[index] for index in part) for part in parts]
        assert len(parts) % 2 == 0 and sum(lengths) >= 2 * LEAST_TOKENS
        assert min(loads) > 0 and sum(loads) >= EVEN * len(parts) * max(loads)
        assert max(loads) <= most / EVEN


@pytest.mark.parametrize("lengths", [[40], [40, 40], [128, 8, 8], [128]])
def test_little_and_uneven_work_is_one_part(cores, lengths):
    assert len(cores.parts(lengths, 1024)) == 1


def test_each_part_has_one_thread_to_itself_and_the_caller_keeps_its_own(cores):
    torch.set_num_threads(2)
    both = threading.Barrier(2)  # neither goes on before the other has come

    def work(part):
        both.wait(60)
        return part, torch.get_num_threads(), threading.get_ident()

    found = cores.map(work, ["a", "b"])
    assert [(part, threads) for part, threads, _ in found] == [("a", 1), ("b", 1)]
    assert len({ident for *_, ident in found} | {threading.get_ident()}) == 3
    assert cores.map(lambda part: (part, torch.get_num_threads()), ["alone"]) == [("alone", 2)]


def test_what_fails_in_a_part_fails_for_the_caller(cores):
    with pytest.raises(ZeroDivisionError, match="division"):
        cores.map(lambda part: 1 // part, [1, 0])


@pytest.mark.parametrize("runtime", [TORCH_FP32, TORCH_BF16])
def test_answers_beside_each_other_are_those_of_one_thread(trained, tmp_path, runtime):
    folder, model = trained
    before = torch.get_num_threads()
    model.package(folder, tmp_path, runtime, [])
    texts = TEXTS * 12
    try:
        alone = model.load(tmp_path, runtime, threads=1).predict(texts)
        shared = model.load(tmp_path, runtime, threads=2)
        assert len(shared._cores.parts(shared.sizes(texts), shared.tokens_per_batch)) == 2
        beside = shared.predict(texts)
    finally:
        torch.set_num_threads(before)
    for one, other in zip(alone, beside, strict=True):
        assert one == pytest.approx(other, abs=MAY_VARY[runtime])
