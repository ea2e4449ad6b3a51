"""Every runtime of the encoder: the reference's answers within what it may differ, alone as in any company."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from breakeven.errors import EnvironmentFault
from breakeven.models import bert, int8, prepacked
from breakeven.models.encoder import (
    COMPILED_BF16,
    COMPILED_FP32,
    ONNX_FP32,
    TORCH_BF16,
    TORCH_FP32,
    TORCH_INT8,
)
from breakeven.models.encoder_runtimes import need_compiler, prepare
from breakeven.models.tokens import Tokeniser

TEXTS = ["good film", "a very bad shop the film", "nice", "", "unheard words slow film slow", "not good", "great great"]
# How far a runtime may be from the reference on this tiny encoder, and from itself in other company.
MAY_DIFFER = {TORCH_FP32: 0.0, TORCH_BF16: 0.02, ONNX_FP32: 1e-4, TORCH_INT8: 0.1, COMPILED_FP32: 1e-4,
              COMPILED_BF16: 0.02}  # fmt: skip
MAY_VARY = {TORCH_FP32: 1e-4, TORCH_BF16: 0.02, ONNX_FP32: 1e-4, TORCH_INT8: 1e-4, COMPILED_FP32: 1e-4,
            COMPILED_BF16: 0.02}  # fmt: skip
eight_bits = pytest.mark.skipif(not int8.able(), reason="this CPU multiplies 8 bits no faster")
compiled = [pytest.mark.slow, pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")]
ALL = [
    TORCH_FP32,
    TORCH_BF16,
    pytest.param(ONNX_FP32, marks=pytest.mark.slow),
    pytest.param(TORCH_INT8, marks=eight_bits),
    pytest.param(COMPILED_FP32, marks=compiled),
    pytest.param(COMPILED_BF16, marks=compiled),
]


def loaded(trained, root, runtime):
    folder, model = trained
    place = root / runtime
    place.mkdir(parents=True)
    model.package(folder, place, runtime, [])
    return model.load(place, runtime, threads=1)


def test_every_runtime_is_tested_here(trained):
    assert set(trained[1].runtimes()) == set(MAY_DIFFER) == set(MAY_VARY)
    assert trained[1].runtimes()[0] == TORCH_FP32
    assert set(trained[1].runtimes_by_default()) <= set(trained[1].runtimes())


@pytest.mark.parametrize("runtime", ALL)
def test_answers_one_by_one_equal_batched_ones_and_keep_to_the_reference(trained, tmp_path, runtime):
    there = loaded(trained, tmp_path, runtime)
    together = np.array(there.predict(TEXTS * 5))
    alone = np.array([there.predict([text])[0] for text in TEXTS] * 5)
    assert np.abs(together - alone).max() <= MAY_VARY[runtime]
    for budget in (1, 16, 4096):  # batches of another size
        there.tokens_per_batch = budget
        assert np.abs(np.array(there.predict(TEXTS * 5)) - together).max() <= MAY_VARY[runtime]
    reference = np.array(loaded(trained, tmp_path / "reference", TORCH_FP32).predict(TEXTS * 5))
    assert np.abs(together - reference).max() <= MAY_DIFFER[runtime]
    assert there.predict([]) == []


@eight_bits
@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.floats(0.01, 100.0), st.integers(0, 2**31))
def test_a_row_in_8_bits_is_nearly_exact_and_owes_nothing_to_its_company(rows, scale, seed):
    torch.manual_seed(seed)
    linear, hidden = torch.nn.Linear(64, 32), torch.randn(rows, 64) * scale
    hidden[0] *= 1000  # a neighbour that would coarsen a scale shared by the batch
    packed = int8.Int8Linear(linear)
    with torch.inference_mode():
        found, wanted = packed(hidden), linear(hidden)
        assert torch.equal(found, torch.cat([packed(row[None]) for row in hidden]))
    # Half a level of an input times its weight and half a level of a weight times its input, added up.
    spread = hidden.amax(1, keepdim=True).clamp(min=0) - hidden.amin(1, keepdim=True).clamp(max=0)
    most = (spread / 254) @ linear.weight.abs().sum(1)[None] + hidden.abs().sum(1, keepdim=True) * packed.scale / 2
    assert ((found - wanted).abs() <= most + 1e-4 * scale).all()


@eight_bits
def test_rows_of_zeros_and_of_one_sign_stay_right():
    linear = torch.nn.Linear(16, 8)
    packed = int8.Int8Linear(linear)
    hidden = torch.stack([torch.zeros(16), torch.ones(16), -torch.ones(16)])
    with torch.inference_mode():
        assert torch.allclose(packed(hidden), linear(hidden), atol=0.03)
        assert torch.allclose(packed(hidden)[0], linear.bias, atol=1e-6)


def test_a_cpu_without_8_bit_products_refuses_the_runtime(tiny, monkeypatch):
    monkeypatch.setattr(int8, "INSTRUCTIONS", {"none of them": "_is_none_supported"})
    with pytest.raises(EnvironmentFault, match="'int8' has no fast kernels here"):
        prepare(bert.read(tiny), TORCH_INT8)


def test_without_a_compiler_the_compiled_runtime_says_so_at_once(tiny, monkeypatch):
    monkeypatch.setitem(os.environ, "CXX", "no-such-compiler")
    with pytest.raises(EnvironmentFault, match=r"needs a C\+\+ compiler, and none of .*no-such-compiler"):
        need_compiler(COMPILED_FP32)
    with pytest.raises(EnvironmentFault, match=r"needs a C\+\+ compiler"):
        prepare(bert.read(tiny), COMPILED_FP32)


@pytest.mark.parametrize("runtime", [TORCH_INT8, COMPILED_BF16])
def test_another_family_has_no_such_runtime(runtime):
    with pytest.raises(EnvironmentFault, match="not made for this family of encoders"):
        prepare(torch.nn.Linear(2, 2), runtime)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(2, 20), min_size=1, max_size=30))
def test_rounding_a_batch_up_changes_no_vector(tiny, lengths):
    model = bert.read(tiny).eval()
    texts = [torch.randint(1, 18, (length,)).tolist() for length in lengths]
    batch = bert.pack_to_answer(texts)
    assert len(batch.ids) % 8 == 0 and len(batch.ids) - sum(lengths) < 32
    with torch.inference_mode():
        assert torch.allclose(model(batch), model(bert.pack(texts)), atol=1e-6)


def test_batches_of_answers_come_in_few_sizes():
    sizes = {len(bert.pack_to_answer([[1] * length]).ids) for length in range(1, 1025)}
    assert len(sizes) <= 48 and max(sizes) == 1024


@pytest.mark.skipif(not prepacked.able(torch.float32), reason="this build of torch has no oneDNN kernels")
def test_only_where_kernels_are_compiled_by_size_are_batches_rounded_up(tiny):
    plain, settled = bert.read(tiny).eval().double(), bert.read(tiny).eval()
    plain.settle()
    settled.settle()
    assert (plain.pack, settled.pack) == (bert.pack, bert.pack_to_answer)


def test_texts_that_were_counted_are_not_read_twice(tiny, monkeypatch):
    tokens = Tokeniser(tiny, max_length=32)
    wanted = tokens.encode(["good film", "nice"])
    assert tokens.count(["nice", "good film", "nice"]) == [3, 4, 3]
    monkeypatch.setattr(tokens, "_tokenizer", None)  # reading anything now would fail
    assert tokens.encode(["good film"]) == wanted[:1]
    assert tokens.encode(["nice"]) == wanted[1:]
    monkeypatch.undo()
    assert tokens.encode(["good film", "nice"]) == wanted  # what was taken is not kept
