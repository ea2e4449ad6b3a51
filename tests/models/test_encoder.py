from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_fakes import Fitting, cases, plain_task
from tiny_weights import CONFIG, opinions, tiny_bert

from breakeven.errors import ConfigError, DataError, IntegrityError, UsageError
from breakeven.models import attention, bert, lora, prepacked
from breakeven.models.dropout import FastDropout
from breakeven.models.encoder import ONNX_FP32, TORCH_BF16, TORCH_FP32, Encoder, EncoderSettings
from breakeven.models.encoder_runtimes import equal_lengths
from breakeven.models.text_learner import Rows, TextLearner

TEXTS = ["good film", "a very bad shop the film", "nice", "", "unheard words slow film slow", "not good", "great great"]


def encoder(weights, **options):
    settings = {"epochs": 6, "batch_tokens": 64, "learning_rate": 5e-3, "bf16": False, "max_length": 32, **options}
    return Encoder(EncoderSettings(weights=str(weights), **settings), plain_task())


def trained(root, weights, **options):
    context, model = Fitting(root), encoder(weights, **options)
    record = model.fit(cases(*opinions(150)), cases(*opinions(60, seed=1)), context)
    return context, model, record


@pytest.fixture(scope="module")
def full(tmp_path_factory, tiny):
    return trained(tmp_path_factory.mktemp("full"), tiny)


def predictor(model, folder, root, runtime):
    place = root / runtime
    place.mkdir(parents=True)
    model.package(folder, place, runtime, [])
    return model.load(place, runtime, threads=1)


@pytest.mark.slow
def test_packed_vectors_equal_transformers(tiny):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModel.from_pretrained(tiny, add_pooling_layer=False).eval()
    ids = [[2, 5, 6, 3], [2, 3], [2, 9, 8, 7, 6, 5, 3], [2, 5, 5, 3]]
    ours = bert.read(tiny).eval()
    with torch.inference_mode():
        wanted = torch.cat([theirs(torch.tensor([one])).last_hidden_state.mean(1) for one in ids])
        found = ours(bert.pack(ids))
        ours.merge()
        merged = ours(bert.pack(ids))
    assert torch.allclose(found, wanted, atol=1e-5)
    assert torch.allclose(merged, wanted, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["RobertaConfig", "XLMRobertaConfig"])
def test_positions_of_roberta_equal_transformers(tmp_path, kind):
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, kind)(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=40, type_vocab_size=1, pad_token_id=1)  # fmt: skip
    model = transformers.AutoModel.from_config(config).eval()
    model.save_pretrained(tmp_path)
    ids = [[0, 5, 6, 2], [0, 7, 8, 9, 2]]
    with torch.inference_mode():
        wanted = torch.cat([model(torch.tensor([one])).last_hidden_state.mean(1) for one in ids])
        assert torch.allclose(bert.read(tmp_path).eval()(bert.pack(ids)), wanted, atol=1e-5)


@given(st.lists(st.integers(2, 20), min_size=1, max_size=40), st.booleans())
def test_a_training_step_has_the_vectors_and_gradients_of_plain_attention(lengths, merged):
    """Texts on a grid, rounded up and merged, against one call a length differentiated by torch."""
    torch.manual_seed(0)
    config = {**CONFIG, "num_hidden_layers": 1}
    plain = bert.Bert(config)
    texts = [torch.randint(1, 60, (length,)).tolist() for length in lengths]
    weights = torch.randn(len(texts), 32)
    ours = bert.Bert(config)
    ours.load_state_dict(plain.state_dict())
    if merged:
        ours.merge()
    for model, packer in ((plain, bert.pack), (ours, bert.pack_to_learn)):
        (model(packer(texts)) * weights).sum().backward()
    grads = {name: value.grad for name, value in ours.named_parameters()}
    if merged:
        parts = ("query", "key", "value")
        for kind in ("weight", "bias"):
            whole = grads.pop(f"encoder.layer.0.attention.self.merged.{kind}")
            grads |= {
                f"encoder.layer.0.attention.self.{name}.{kind}": part
                for name, part in zip(parts, whole.chunk(3), strict=True)
            }
    for name, value in plain.named_parameters():
        assert torch.allclose(value.grad, grads[name], atol=1e-4, rtol=1e-4), name
    with torch.inference_mode():
        assert torch.allclose(plain(bert.pack(texts)), ours(bert.pack_to_learn(texts)), atol=1e-5)


def test_merging_and_splitting_changes_no_bit(tiny):
    model = bert.read(tiny)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.merge()
    assert "encoder.layer.0.attention.self.merged.weight" in model.state_dict()
    model.split()
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())


def test_batches_come_in_few_shapes():
    shapes = set()
    for texts in range(1, 70):
        batch = bert.pack_to_learn([[1] * (1 + (texts * 7 + place) % 30) for place in range(texts)])
        shapes.add((batch.grid.texts, batch.grid.length))
        assert batch.grid.length % attention.LENGTH_STEP == 0
        assert len(batch.ids) % attention.TOKENS_STEP == 0
    assert len({texts for texts, _ in shapes}) <= 21
    assert len({length for _, length in shapes}) <= 4


@pytest.mark.parametrize(("kind", "gap"), [(torch.bfloat16, 0.02), (torch.float32, 2e-6)], ids=str)
def test_prepacked_layers_answer_as_plain_ones(tiny, kind, gap):
    if not prepacked.able(kind):
        pytest.skip("this build of torch has no oneDNN kernels, or this CPU not the type")
    plain, settled = bert.read(tiny).eval(), bert.read(tiny).eval()
    plain.cast(kind)
    settled.cast(kind)
    settled.settle()
    assert sum(isinstance(part, prepacked.Prepacked) for part in settled.modules()) == 2 * 4
    batch = bert.pack([[2, 5, 6, 3], [2, 3], [2, 7, 8, 3]])
    with torch.inference_mode():
        assert torch.allclose(plain(batch), settled(batch), atol=gap)


def test_layers_of_a_type_without_kernels_stay_as_they_are(tiny):
    model = bert.read(tiny).eval().double()
    model.settle()
    assert not prepacked.able(torch.float64)
    assert not any(isinstance(part, prepacked.Prepacked) for part in model.modules())


def test_fast_dropout_drops_its_rate_and_keeps_the_mean():
    torch.manual_seed(0)
    drop = FastDropout(0.1).train()
    out = drop(torch.ones(200, 1001))
    assert (out == 0).float().mean().item() == pytest.approx(0.0986, abs=0.003)
    assert out.mean().item() == pytest.approx(1.0, abs=0.003)
    assert torch.equal(drop(torch.ones(40, 40, dtype=torch.bfloat16)).unique(), torch.tensor([0, 1.109375]).bfloat16())
    assert torch.equal(drop.eval()(torch.ones(3, 3)), torch.ones(3, 3))


def test_fine_tuning_learns_and_records(full):
    context, _, record = full
    assert record["validation"]["accuracy"] > 0.9
    assert record["stopped"] in ("epochs", "converged")
    assert record["base"]["source"] == "path"
    assert {"config.json", "tokenizer.json", "model.safetensors", "head.safetensors"} <= {
        path.name for path in context.folder.iterdir()}  # fmt: skip


def test_only_words_that_occurred_moved(full, tiny):
    before = bert.read(tiny).embeddings.word_embeddings.weight
    after = bert.read(full[0].folder).embeddings.word_embeddings.weight
    moved = (before != after).any(1)
    assert moved[4:18].any()
    assert not moved[18:].any()  # ids that no text holds
    assert after.shape == before.shape


@pytest.mark.slow
@pytest.mark.parametrize("adapt", ["frozen", "lora"])
def test_the_other_ways_learn_too(tmp_path, tiny, adapt):
    rate = {"learning_rate": 2e-2} if adapt == "lora" else {}
    context, model, record = trained(tmp_path, tiny, adapt=adapt, epochs=10, **rate)
    assert record["validation"]["accuracy"] > 0.85
    assert record["trained_parameters"] < 0.35 * record["parameters"]
    raw = predictor(model, context.folder, tmp_path / "package", TORCH_FP32).predict(TEXTS)
    assert np.allclose(np.sum(raw, 1), 1)
    assert model.trains_by_steps() is (adapt == "lora")


def test_frozen_vectors_are_computed_once(tmp_path, tiny):
    context, model, _ = trained(tmp_path, tiny, adapt="frozen")
    (folder,) = (tmp_path / "shared").iterdir()
    stamp = (folder / "vectors.safetensors").stat().st_mtime_ns
    model.fit(cases(*opinions(150)), cases(*opinions(60, seed=1)), context)
    assert [path.stat().st_mtime_ns for path in (tmp_path / "shared").glob("*/vectors.safetensors")] == [stamp]


def test_lora_is_merged_without_a_trace(tiny):
    torch.manual_seed(0)
    model, plain = bert.read(tiny).eval(), bert.read(tiny)
    lora.adapt(model, ["query", "value"], rank=2, alpha=4.0, dropout=0.0)
    for part in model.modules():
        if isinstance(part, lora.LoraLinear):
            torch.nn.init.normal_(part.up)
    batch = bert.pack([[2, 5, 6, 3], [2, 3]])
    before = model(batch)
    lora.merge(model)
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert torch.allclose(model(batch), before, atol=1e-5)
    assert not torch.allclose(plain.eval()(batch), before, atol=1e-3)


def test_lora_names_what_it_could_adapt(tiny):
    with pytest.raises(ConfigError, match=r"no linear layer is called q_proj.*query"):
        lora.adapt(bert.read(tiny), ["q_proj"], rank=2, alpha=4.0, dropout=0.0)


def test_bf16_runtime_keeps_to_the_reference(full, tmp_path):
    context, model, _ = full
    reference = np.array(predictor(model, context.folder, tmp_path, TORCH_FP32).predict(TEXTS))
    bf16 = np.array(predictor(model, context.folder, tmp_path, TORCH_BF16).predict(TEXTS))
    assert 0 < np.abs(reference - bf16).max() < 0.02
    assert reference.argmax(1).tolist() == bf16.argmax(1).tolist()


@pytest.mark.slow
def test_onnx_runtime_keeps_to_the_reference(full, tmp_path):
    context, model, _ = full
    reference = np.array(predictor(model, context.folder, tmp_path, TORCH_FP32).predict(TEXTS))
    onnx = predictor(model, context.folder, tmp_path, ONNX_FP32)
    assert np.abs(reference - np.array(onnx.predict(TEXTS))).max() < 1e-4
    alone = np.array([onnx.predict([text])[0] for text in TEXTS])
    assert np.abs(alone - np.array(onnx.predict(TEXTS))).max() < 1e-4
    assert not [path for path in (tmp_path / ONNX_FP32).iterdir() if path.suffix in (".pt", ".pkl")]


@pytest.mark.parametrize(("runtime", "within"), [(TORCH_FP32, 1e-4), (TORCH_BF16, 0.02)])
def test_answers_do_not_depend_on_company(full, tmp_path, runtime, within):
    context, model, _ = full
    loaded = predictor(model, context.folder, tmp_path, runtime)
    together = np.array(loaded.predict(TEXTS * 5))
    alone = np.array([loaded.predict([text])[0] for text in TEXTS] * 5)
    assert np.abs(together - alone).max() < within
    assert loaded.predict([]) == []


def test_sizes_are_tokens_and_special_tokens_in_a_text_are_words(full, tmp_path):
    context, model, _ = full
    loaded = predictor(model, context.folder, tmp_path, TORCH_FP32)
    assert loaded.sizes(["good film", "", "good " * 100]) == [4, 2, 32]
    assert loaded.sizes(["[SEP]"])[0] > 3  # read as text, bracket by bracket


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    weights = tiny_bert(tmp_path / "small", vocab_size=10)
    with pytest.raises(DataError, match="the tokenizer knows 18 tokens, and the embedding table has 10 rows"):
        trained(tmp_path, weights)


def test_weights_that_do_not_fit_their_config_are_refused(tmp_path):
    weights = tiny_bert(tmp_path / "odd")
    (weights / "config.json").write_text(json.dumps({**CONFIG, "hidden_size": 64}))
    with pytest.raises(IntegrityError, match="the weights cannot be read"):
        trained(tmp_path, weights)


def test_weights_that_are_not_finite_are_not_packaged(full, tmp_path):
    from safetensors.torch import load_file, save_file

    context, model, _ = full
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in context.folder.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    tensors = load_file(broken / "model.safetensors")
    tensors["embeddings.LayerNorm.bias"][0] = float("nan")
    save_file(tensors, broken / "model.safetensors")
    with pytest.raises(IntegrityError, match=r"NaN or infinity: embeddings\.LayerNorm\.bias"):
        predictor(model, broken, tmp_path, TORCH_BF16)


def test_a_head_of_other_sizes_is_refused(full, tmp_path):
    context, model, _ = full
    predictor(model, context.folder, tmp_path, TORCH_FP32)
    about = tmp_path / TORCH_FP32 / "encoder.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "classes": ["a", "b", "c"]}))
    with pytest.raises(IntegrityError, match="a head of other sizes"):
        model.load(tmp_path / TORCH_FP32, TORCH_FP32, threads=1)


def test_an_unknown_runtime_is_named(full, tmp_path):
    with pytest.raises(UsageError, match="no runtime is called 'int8'"):
        full[1].package(full[0].folder, tmp_path, "int8", [])


@pytest.mark.slow
def test_the_encoder_comes_out_in_the_layout_of_transformers(full):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModel.from_pretrained(full[0].folder, add_pooling_layer=False).eval()
    ids = [[2, 5, 6, 3]]
    with torch.inference_mode():
        ours = bert.read(full[0].folder).eval()(bert.pack(ids))
        assert torch.allclose(theirs(torch.tensor(ids)).last_hidden_state.mean(1), ours, atol=1e-5)


@pytest.mark.slow
def test_another_family_trains_with_padding_free_groups(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.DistilBertConfig(vocab_size=60, dim=32, n_layers=1, n_heads=4, hidden_dim=64)
    weights = tiny_bert(tmp_path / "distil")
    transformers.AutoModel.from_config(config).save_pretrained(weights)
    context, model, record = trained(tmp_path, weights, epochs=3)
    assert record["validation"]["accuracy"] > 0.6
    for runtime in (TORCH_FP32, TORCH_BF16):
        loaded = predictor(model, context.folder, tmp_path / "p", runtime)
        assert np.allclose(np.sum(loaded.predict(TEXTS), 1), 1)


def test_casting_there_and_back_loses_nothing(tiny):
    rows = Rows([[2, 5, 3], [2, 6, 3]], [0, 1])
    model = bert.read(tiny)
    learner = TextLearner(model, 32, 2, train=rows, validation=rows, device=torch.device("cpu"), key="k")
    before = {name: value.detach().clone() for name, value in learner.named().items()}
    learner.cast(torch.bfloat16)
    assert learner.named()["encoder.encoder.layer.0.output.dense.weight"].dtype == torch.bfloat16
    learner.cast(torch.float32)
    assert all(torch.equal(before[name], value) for name, value in learner.named().items())


def test_equal_lengths_share_a_batch_within_the_budget():
    batches = equal_lengths([3, 5, 3, 3, 9], 6)
    assert batches == [[0, 2], [3], [1], [4]]
