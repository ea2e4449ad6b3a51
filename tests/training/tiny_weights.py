"""A tiny random BERT with its tokenizer, made here: nothing is downloaded; and texts it can learn."""

from __future__ import annotations

import json
from pathlib import Path

CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 60,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
WORDS = ["good", "bad", "film", "shop", "very", "not", "a", "the", "nice", "poor", "great", "awful", "slow", "fast"]


def tiny_bert(folder: Path, *, seed: int = 0, **changes: object) -> Path:
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    from breakeven.models.bert import Bert

    folder.mkdir(parents=True, exist_ok=True)
    config = {**CONFIG, **changes}
    torch.manual_seed(seed)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(Bert(config).state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def opinions(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts of 2 to 12 words whose label is whether a good or a bad word stands in them."""
    import random

    draw = random.Random(seed)
    good, bad, plain = ["good", "nice", "great", "fast"], ["bad", "poor", "awful", "slow"], ["film", "shop", "a", "the"]
    texts, labels = [], []
    for _ in range(count):
        label = draw.choice(["good", "bad"])
        words = [*draw.choices(plain, k=draw.randint(1, 11)), draw.choice(good if label == "good" else bad)]
        draw.shuffle(words)
        texts.append(" ".join(words))
        labels.append(label)
    return texts, labels
