"""A pretrained text encoder with a linear head: frozen, fine-tuned in full, or by low-rank adapters (LoRA)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from breakeven.artifacts import fingerprint, write_atomic
from breakeven.errors import UsageError, need_package
from breakeven.task import Cases, Model, Predictor, TrainContext

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from breakeven.models.encoder_files import About
    from breakeven.models.text_learner import Rows
    from breakeven.training.loop import Outcome
    from breakeven.training.weights import Weights

TORCH_FP32, TORCH_BF16, ONNX_FP32 = "torch-fp32", "torch-packed-bf16", "onnx-fp32"
TORCH_INT8, COMPILED_FP32, COMPILED_BF16 = "torch-packed-int8", "torch-compiled-fp32", "torch-compiled-bf16"
EMBEDDINGS_VERSION = 1
TOKENS_ASSUMED = 40  # a row, where nothing was read yet
SPEEDS = {"frozen": 6000.0, "full": 1700.0, "lora": 2200.0}  # tokens a second of a 22.7 M model on two cores, assumed


# A multiple of the learning rate, so that the head's is about 1e-3 either way. Measured on 4,200 sentences with MiniLM
# at 5e-5: after 60 steps log loss 0.34 and accuracy 0.859 at 20, against 0.59 and 0.840 at 1.
HEAD_RATE = {"full": 20.0, "lora": 2.0}


class EncoderSettings(BaseModel):
    """What may be set of an encoder candidate; the names are those of the field's tools."""

    model_config = ConfigDict(extra="forbid")

    weights: str | None = Field(
        None, description="A known name, a folder or a Hugging Face id; default: the model's name"
    )
    adapt: Literal["frozen", "full", "lora"] = Field("full", description="What is trained besides the head")
    epochs: float = Field(3.0, gt=0, le=1000, description="Passes over the training rows, if time allows")
    steps: int | None = Field(None, ge=1, description="A fixed number of steps instead of what the time budget allows")
    batch_tokens: int = Field(768, ge=8, le=1_000_000, description="Tokens a training batch")
    learning_rate: float | None = Field(None, gt=0, lt=1, description="Peak; default 5e-5 (full) or 5e-4 (LoRA)")
    weight_decay: float = Field(0.01, ge=0, lt=1, description="Of AdamW; biases and norms are not decayed")
    warmup: float = Field(0.06, ge=0, lt=1, description="Share of the steps over which the learning rate rises")
    dropout: float = Field(0.1, ge=0, lt=1, description="Of hidden values, while training")
    max_length: int = Field(128, ge=4, le=8192, description="Tokens of a text that are read; the rest is cut off")
    patience: int = Field(4, ge=1, description="Looks at validation rows without gain before training stops")
    bf16: Literal["auto", True, False] = Field("auto", description="Compute in bf16; auto: where it measures faster")
    prefix: str | None = Field(None, description="Put before every text; default: what the weights expect")
    lora_r: int = Field(16, ge=1, le=1024, description="Rank of the LoRA matrices")
    lora_alpha: float = Field(32.0, gt=0, description="LoRA's correction is multiplied by lora_alpha / lora_r")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="Share of LoRA's inputs dropped while training")
    lora_target_modules: tuple[str, ...] = Field(
        ("query", "value"), description="Last names of the linear layers that LoRA adapts"
    )


class Encoder(Model):
    """Mean-pooled token vectors and a softmax layer; raw output: probabilities over the classes."""

    settings: ClassVar[type[BaseModel]] = EncoderSettings
    options: EncoderSettings

    def trains_by_steps(self) -> bool:
        """A frozen encoder reads every row once, whatever time it takes."""
        return self.options.adapt != "frozen"

    def estimate(self, rows: int) -> dict[str, float]:
        """From assumed tokens a row and speeds of a small encoder on two cores; larger weights take longer."""
        from breakeven.training.weights import cache_folder, download_mb

        larger = 2.0 if "e5" in (self.options.weights or "") else 1.0
        passes = 1.0 if self.options.adapt == "frozen" else self.options.epochs
        seconds = rows * passes * TOKENS_ASSUMED * larger / SPEEDS[self.options.adapt]
        return {
            "minutes": seconds / 60,
            "answer_seconds": TOKENS_ASSUMED * larger / SPEEDS["frozen"],
            "memory_gb": 1.5 * larger,
            "download_mb": download_mb(self.options.weights, cache_folder()),
            "money": 0.0,
        }

    def fit(self, train: Cases, validation: Cases, context: TrainContext) -> dict[str, Any]:
        """Trains what `adapt` names and writes a folder that transformers can read, adapters merged."""
        started = time.monotonic()
        _need_torch()
        from breakeven.models.encoder_files import About
        from breakeven.training.weights import resolve

        weights = resolve(self.options.weights, context.cache)
        classes = [str(label) for label in self.task.facts(train)["classes"]]
        prefix = weights.prefix if self.options.prefix is None else self.options.prefix
        about = About(classes, self.options.max_length, prefix)
        rows = self._rows(train, weights, about), self._rows(validation, weights, about)
        fit = self._fit_head if self.options.adapt == "frozen" else self._fit_steps
        return {**fit(weights, about, rows, context, started), "base": weights.record()}

    def _rows(self, cases: Cases, weights: Weights, about: About) -> Rows:
        from breakeven.models.text_learner import Rows
        from breakeven.models.tokens import Tokeniser

        tokens = Tokeniser(weights.folder, max_length=about.max_length, prefix=about.prefix)
        tokens.fits(_config(weights.folder)["vocab_size"])
        number = {label: place for place, label in enumerate(about.classes)}
        ids = tokens.encode([self.task.text_of(item) or "" for item in cases.inputs])
        return Rows(ids, [number.get(str(label), -1) for label in cases.targets or []])

    def _fit_steps(
        self, weights: Weights, about: About, rows: tuple[Rows, Rows], context: TrainContext, started: float
    ) -> dict[str, Any]:
        import torch

        from breakeven.models import encoder_files, lora
        from breakeven.models.text_learner import TextLearner
        from breakeven.training import loop, precision

        torch.manual_seed(context.seed)
        encoder, size = open_encoder(weights.folder, dropout=self.options.dropout)
        if self.options.adapt == "lora":
            lora.adapt(
                encoder,
                self.options.lora_target_modules,
                rank=self.options.lora_r,
                alpha=self.options.lora_alpha,
                dropout=self.options.lora_dropout,
            )
        learner = TextLearner(
            encoder,
            size,
            len(about.classes),
            train=rows[0],
            validation=rows[1],
            device=precision.device(),
            key=self._key(weights, rows),
            head_rate=HEAD_RATE[self.options.adapt],
        )
        trained = sum(value.numel() for value in learner.named().values())
        outcome = loop.run(learner, self._loop_options(), context, started=started)
        learner.widen(outcome.weights)
        lora.merge(encoder)
        encoder_files.write(context.folder, about, encoder, learner.head.state_dict(), base=weights.folder)
        return {
            **_record(outcome),
            "parameters": sum(value.numel() for value in encoder.parameters()),
            "trained_parameters": trained,
        }

    def _key(self, weights: Weights, rows: tuple[Rows, Rows]) -> str:
        settings = self.options.model_dump(mode="json", exclude={"bf16"})
        return fingerprint(
            {"weights": weights.revision, "settings": settings, "rows": [[part.ids, part.truths] for part in rows]}
        )

    def _loop_options(self) -> Any:
        from breakeven.training.loop import Options

        chosen = self.options
        rate = chosen.learning_rate or (5e-4 if chosen.adapt == "lora" else 5e-5)
        return Options(
            chosen.epochs,
            chosen.batch_tokens,
            rate,
            chosen.weight_decay,
            chosen.warmup,
            chosen.patience,
            bf16=None if chosen.bf16 == "auto" else bool(chosen.bf16),
            steps=chosen.steps,
        )

    def _fit_head(
        self, weights: Weights, about: About, rows: tuple[Rows, Rows], context: TrainContext, started: float
    ) -> dict[str, Any]:
        import torch

        from breakeven.models import encoder_files
        from breakeven.training import head

        torch.set_num_threads(context.threads)
        encoder, _ = open_encoder(weights.folder)
        vectors = self._vectors(encoder, weights, about, rows, context)
        truths = [torch.tensor(part.truths) for part in rows]
        found = head.fit(
            vectors[0],
            truths[0],
            (vectors[1], truths[1]),
            len(about.classes),
            progress=lambda done, total, loss: context.progress(done, total, log_loss=loss),
        )
        state = {"weight": found.weight, "bias": found.bias}
        encoder, _ = open_encoder(weights.folder)
        encoder_files.write(context.folder, about, encoder, state, base=weights.folder)
        count = sum(value.numel() for value in encoder.parameters())
        return {
            "steps": len(found.history),
            "stopped": "converged",
            "still_improving": False,
            "history": found.history,
            "validation": {name: value for name, value in found.best.items() if name != "strength"},
            "parameters": count + found.weight.numel() + found.bias.numel(),
            "trained_parameters": found.weight.numel() + found.bias.numel(),
            "earlier_seconds": 0.0,
        }

    def _vectors(
        self, encoder: nn.Module, weights: Weights, about: About, rows: tuple[Rows, Rows], context: TrainContext
    ) -> list[Tensor]:
        """Vectors of the training and validation rows: computed once for these texts and weights, then shared."""
        from breakeven.models.encoder_files import read_tensors, write_tensors

        kind, _ = self._kind(encoder, rows[0])
        key = {
            "kind": "embeddings",
            "version": EMBEDDINGS_VERSION,
            "weights": weights.revision,
            "prefix": about.prefix,
            "max_length": about.max_length,
            "precision": str(kind),
            "rows": fingerprint([part.ids for part in rows]),
        }

        def build(folder: Path) -> None:
            write_tensors(folder / "vectors.safetensors", self._embed(encoder, kind, rows, context))

        found = read_tensors(context.shared(key, build) / "vectors.safetensors")
        return [found["train"], found["validation"]]

    def _kind(self, encoder: nn.Module, rows: Rows) -> tuple[torch.dtype, str]:
        import torch

        from breakeven.models.bert import pack
        from breakeven.training import precision

        sample = sorted(rows.ids, key=len)[len(rows.ids) // 2 :][:16]
        state = {name: value.clone() for name, value in encoder.state_dict().items()}

        def attempt(kind: torch.dtype) -> None:
            encoder.load_state_dict(state)
            encoder.cast(kind)
            with torch.inference_mode():
                encoder(pack(sample))

        wanted = None if self.options.bf16 == "auto" else bool(self.options.bf16)
        found = precision.choose(wanted, precision.device(), attempt)
        encoder.cast(torch.float32)
        encoder.load_state_dict(state)
        return found

    def _embed(
        self, encoder: nn.Module, kind: torch.dtype, rows: tuple[Rows, Rows], context: TrainContext
    ) -> dict[str, Tensor]:
        from breakeven.models.text_learner import vectors_of
        from breakeven.training import precision
        from breakeven.training.loop import memory_faults

        device = precision.device()
        encoder.cast(kind)
        encoder.eval().to(device)
        if hasattr(encoder, "settle"):
            encoder.settle()
        total = sum(len(part.ids) for part in rows)
        done = 0

        def show(count: int) -> None:
            nonlocal done
            done += count
            context.progress(done, total)

        with memory_faults(self.options.batch_tokens):
            return {
                name: vectors_of(encoder, part.ids, device, shown=show).cpu()
                for name, part in zip(("train", "validation"), rows, strict=True)
            }

    def runtimes(self) -> tuple[str, ...]:
        """fp32 in torch is the reference; the others must answer as it does."""
        return (TORCH_FP32, TORCH_BF16, ONNX_FP32, TORCH_INT8, COMPILED_FP32, COMPILED_BF16)

    def runtimes_by_default(self) -> tuple[str, ...]:
        """Without 8 bits, which a trained encoder's answers seldom bear, and compiling, which takes minutes."""
        return (TORCH_FP32, TORCH_BF16, ONNX_FP32)

    def package(self, trained: Path, folder: Path, runtime: str, sample: list[Any]) -> None:
        """Copies fp32 files, casts them to bf16, or exports the graph."""
        _need_torch()
        from breakeven.models.encoder_files import ABOUT, HEAD, MODEL, read_tensors, write_tensors

        if runtime not in self.runtimes():
            raise UsageError("runtime-unknown", runtime=runtime, allowed=self.runtimes())
        names = [ABOUT, "config.json", "tokenizer.json"] + ([] if runtime == ONNX_FP32 else [HEAD])
        for name in names:
            write_atomic(folder / name, (trained / name).read_bytes())
        if runtime in (TORCH_FP32, TORCH_INT8, COMPILED_FP32):
            write_atomic(folder / MODEL, (trained / MODEL).read_bytes())
        elif runtime in (TORCH_BF16, COMPILED_BF16):
            import torch

            tensors = read_tensors(trained / MODEL)
            write_tensors(folder / MODEL, {name: value.to(torch.bfloat16) for name, value in tensors.items()})
        else:
            from breakeven.models.onnx_export import export

            export(trained, folder / "model.onnx")

    def load(self, folder: Path, runtime: str, *, threads: int) -> Predictor:
        """A predictor over a packaged folder."""
        _need_torch()
        from breakeven.models.encoder_files import About
        from breakeven.models.encoder_runtimes import OnnxPredictor, TorchPredictor, prepare

        about = About.read(folder)
        if runtime == ONNX_FP32:
            return OnnxPredictor(self.task, about, folder, threads=threads)
        encoder, _ = open_encoder(folder)
        prepare(encoder, runtime)
        compiled = runtime in (COMPILED_FP32, COMPILED_BF16)  # its calls share what they look up
        return TorchPredictor(self.task, about, folder, encoder, threads=threads, beside=not compiled)


def open_encoder(folder: Path, *, dropout: float = 0.0) -> tuple[nn.Module, int]:
    """(encoder in fp32, size of its vectors): without padding where the family is known, else by transformers."""
    from breakeven.models import bert

    config = _config(folder)
    if bert.covers(config):
        return bert.read(folder, dropout=dropout), int(config["hidden_size"])
    from breakeven.models.generic import Generic

    encoder = Generic(folder)
    return encoder, encoder.size


def _config(folder: Path) -> dict[str, Any]:
    from breakeven.artifacts import read_json

    found: dict[str, Any] = read_json(folder / "config.json")
    return found


def _need_torch() -> None:
    import importlib.util

    for name in ("torch", "tokenizers"):
        if importlib.util.find_spec(name) is None:
            raise need_package(name, "text", purpose="to run a text encoder")


def _record(outcome: Outcome) -> dict[str, Any]:
    """The training record of a run by steps."""
    best = next(item for item in outcome.history if item["step"] == outcome.best["step"])
    return {
        "steps": outcome.steps,
        "stopped": outcome.stopped,
        "still_improving": outcome.still_improving,
        "history": outcome.history,
        "best_step": outcome.best["step"],
        "earlier_seconds": outcome.earlier_seconds,
        "validation": {name: value for name, value in best.items() if name not in ("step", "loss")},
        "plan": outcome.plan.as_json(),
        "precision": outcome.plan.precision,
        "device": outcome.plan.device,
    }
