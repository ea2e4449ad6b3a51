from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from model_fakes import Fitting, cases, plain_task
from tiny_weights import opinions
from torch import nn

from breakeven.errors import DataError, EnvironmentFault, IntegrityError
from breakeven.models.encoder import Encoder, EncoderSettings
from breakeven.training import allocator, loop, schedule
from breakeven.training.optimiser import MasterAdamW

SETTINGS = {"epochs": 3, "batch_tokens": 64, "learning_rate": 3e-3, "bf16": False, "max_length": 32}


class Line:
    """A learner with one weight: y = w x, rows of one token."""

    def __init__(self, rows=40, broken_at=None, fault=None):
        self.lengths, self.device, self.key = [1] * rows, torch.device("cpu"), "line"
        self.faster: dict[str, float] = {}
        self.weight = nn.Parameter(torch.zeros(1))
        self.broken_at, self.fault, self.seen = broken_at, fault, 0

    def named(self):
        return {"w": self.weight}

    def start(self):
        return {"w": torch.zeros(1)}

    def cast(self, kind):
        pass

    def train(self, on):
        pass

    def loss(self, rows):
        self.seen += 1
        if self.fault and self.seen > 8:
            raise self.fault
        target = float("nan") if self.broken_at and self.seen > self.broken_at else 2.0
        return (self.weight - target).square().mean()

    def validate(self):
        return {"macro_f1": float(1 - (self.weight.detach() - 2).abs()), "log_loss": 0.0, "accuracy": 0.0}


OPTIONS = loop.Options(
    epochs=10, batch_tokens=4, learning_rate=0.1, weight_decay=0.0, warmup=0.1, patience=50, bf16=False
)


def test_it_learns_and_keeps_the_best(context):
    outcome = loop.run(Line(), OPTIONS, context, started=time.monotonic())
    assert outcome.weights["w"].item() == pytest.approx(2.0, abs=0.1)
    assert (outcome.stopped, outcome.still_improving, outcome.steps) == ("epochs", False, 100)
    assert outcome.best["score"] == max(item["macro_f1"] for item in outcome.history)
    assert context.reports[-1][0] == 100
    assert set(context.reports[-1][2]) == {"loss", "seconds_left"}


def test_a_budget_is_marked_still_improving(context):
    context.budget_seconds = 0.3
    learner = Line()
    plain = learner.loss

    def slow(rows):
        time.sleep(0.01)
        return plain(rows)

    learner.loss = slow
    options = dataclasses.replace(OPTIONS, learning_rate=0.01)
    outcome = loop.run(learner, options, context, started=time.monotonic())
    assert outcome.stopped == "budget"
    assert 1 <= outcome.steps < 100
    assert outcome.plan.limited_by == "budget"
    assert outcome.still_improving


def test_patience_ends_a_run(context):
    learner = Line()
    learner.validate = lambda: {"macro_f1": 0.5}
    outcome = loop.run(learner, dataclasses.replace(OPTIONS, patience=2), context, started=time.monotonic())
    assert outcome.stopped == "converged"
    assert outcome.best["step"] == outcome.plan.evaluate_at[0]
    assert outcome.steps == outcome.plan.evaluate_at[2]


def test_the_warm_up_leaves_no_trace(context, tmp_path):
    torch.manual_seed(3)
    learner = Line()
    run = loop._Run(learner, OPTIONS, context, time.monotonic())
    assert learner.weight.item() == 0.0
    assert run.optimiser.moments() == {}


def test_divergence_is_named(context):
    with pytest.raises(DataError, match=r"the loss became nan at step .*lower the candidate's learning_rate"):
        loop.run(Line(broken_at=20), OPTIONS, context, started=time.monotonic())


@pytest.mark.parametrize(
    "fault",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        torch.OutOfMemoryError("CUDA out of memory"),
    ],
)
def test_out_of_memory_suggests_a_smaller_batch(context, fault):
    with pytest.raises(EnvironmentFault, match="batch_tokens: 16"):
        loop.run(Line(fault=fault), OPTIONS, context, started=time.monotonic())


def test_other_faults_stay_what_they_are(context):
    with pytest.raises(RuntimeError, match="shapes"):
        loop.run(Line(fault=RuntimeError("shapes differ")), OPTIONS, context, started=time.monotonic())


def test_checkpoints_of_another_training_are_refused(context):
    loop.run(Line(), OPTIONS, context, started=time.monotonic())
    with pytest.raises(IntegrityError, match="belong to another training"):
        loop.run(Line(), dataclasses.replace(OPTIONS, learning_rate=0.2), context, started=time.monotonic())


def test_ctrl_c_keeps_the_last_checkpoint_and_resuming_gives_the_same(context, tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "CHECKPOINT_SECONDS", 1e-9)  # after every step
    whole = loop.run(Line(), OPTIONS, Fitting(tmp_path / "whole"), started=time.monotonic())
    learner = Line(fault=KeyboardInterrupt())
    learner.loss_before = learner.loss

    def interrupted(rows):
        if learner.seen == 60:
            raise KeyboardInterrupt
        learner.fault = None
        return learner.loss_before(rows)

    learner.loss = interrupted
    with pytest.raises(KeyboardInterrupt):
        loop.run(learner, OPTIONS, context, started=time.monotonic())
    assert loop.Checkpoints(context.checkpoints).newest().step > 0
    resumed = loop.run(Line(), OPTIONS, context, started=time.monotonic())
    assert torch.equal(resumed.weights["w"], whole.weights["w"])
    assert [item["macro_f1"] for item in resumed.history] == [item["macro_f1"] for item in whole.history]
    assert resumed.earlier_seconds > 0
    assert [finding.code for finding in context.findings] == ["resumed"]


def test_resuming_with_other_threads_says_so(context):
    loop.run(Line(), OPTIONS, context, started=time.monotonic())
    context.threads = 2
    loop.run(Line(), OPTIONS, context, started=time.monotonic())
    torch.set_num_threads(1)
    assert "threads 1 -> 2" in str(context.findings[0])


def test_masters_keep_what_bf16_would_round_away():
    weight = nn.Parameter(torch.full((2, 2), 100.0, dtype=torch.bfloat16))
    optimiser = MasterAdamW({"w": weight}, {"w": torch.full((2, 2), 100.0)}, weight_decay=0.0)
    for _ in range(40):
        weight.grad = torch.ones_like(weight)
        optimiser.step(0.01, clip=10.0)
    assert optimiser.weights()["w"][0, 0].item() == pytest.approx(99.6, abs=0.01)
    assert weight[0, 0].item() == 99.5  # the nearest bf16; without masters it would still be 100


def test_norms_and_biases_are_not_decayed():
    named = {"w": nn.Parameter(torch.ones(2, 2)), "b": nn.Parameter(torch.ones(2))}
    optimiser = MasterAdamW(named, {}, weight_decay=0.5)
    for value in named.values():
        value.grad = torch.zeros_like(value)
    optimiser.step(0.1, clip=1.0)
    assert named["w"][0, 0].item() == pytest.approx(0.95)
    assert named["b"][0].item() == 1.0


def test_it_steps_as_adamw_of_torch_after_clipping():
    torch.manual_seed(0)
    shapes = {"table": (300, 300), "w": (4, 3), "b": (4,)}  # the first is updated alone
    start = {name: torch.randn(shape) for name, shape in shapes.items()}
    ours = {name: nn.Parameter(value.clone()) for name, value in start.items()}
    theirs = {name: nn.Parameter(value.clone()) for name, value in start.items()}
    groups = [{"params": [theirs["table"], theirs["w"]], "weight_decay": 0.1}, {"params": [theirs["b"]]}]
    adam = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.0)
    optimiser = MasterAdamW(ours, start, weight_decay=0.1)
    for scale in (0.01, 5.0, 1.0):
        for name, value in start.items():
            ours[name].grad, theirs[name].grad = value * scale, value.clone() * scale
        norm = nn.utils.clip_grad_norm_(list(theirs.values()), 1.0)
        adam.step()
        assert optimiser.step(0.01, clip=1.0) == pytest.approx(float(norm), rel=1e-5)
    for name in shapes:
        assert torch.allclose(ours[name], theirs[name], atol=1e-5)
        assert ours[name].grad is None


def test_memory_is_given_back_after_training():
    asked = []

    class Library:
        def mallopt(self, name, value):
            asked.append((name, value))

        def malloc_trim(self, pad):
            asked.append("trim")

    with pytest.raises(ValueError, match="stop"), allocator.kept(Library()):
        assert asked == [(allocator.MMAP_THRESHOLD, 2**25), (allocator.TRIM_THRESHOLD, 2**31 - 1)]
        raise ValueError("stop")
    assert asked[2:] == [(allocator.TRIM_THRESHOLD, 2**26), "trim"]
    with allocator.kept(None):
        pass


def fit(root, tiny, **changes):
    context = Fitting(root)
    model = Encoder(EncoderSettings(weights=str(tiny), **{**SETTINGS, **changes}), plain_task())
    record = model.fit(cases(*opinions(120)), cases(*opinions(40, seed=1)), context)
    return context, model, record


def test_two_runs_with_one_seed_write_the_same_bytes(tmp_path, tiny):
    written = [(fit(tmp_path / name, tiny)[0].folder / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert written[0] == written[1]


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}, {fakes!r}]
from breakeven.training import schedule
schedule.CHECKPOINT_SECONDS = 1e-9      # a checkpoint after every step
from breakeven.training.checkpoints import Checkpoints
save = Checkpoints.save
def noted(self, step, *rest):
    save(self, step, *rest)
    print(step, flush=True)
Checkpoints.save = noted
from test_loop import fit
fit(Path({root!r}), Path({tiny!r}), bf16={bf16})
print("done", flush=True)
"""


def child(root: Path, tiny: Path, *, bf16: bool) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    code = CHILD.format(tests=str(here), fakes=str(here.parent / "models"), root=str(root), tiny=str(tiny), bf16=bf16)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


@pytest.mark.slow
@pytest.mark.parametrize("bf16", [False, True])
def test_killed_in_mid_epoch_resumes_to_the_same_bytes(tmp_path, tiny, bf16):
    """kill -9 in the middle of the second epoch, then in the third; the files equal an uninterrupted run's."""
    whole, _, record = fit(tmp_path / "whole", tiny, bf16=bf16)
    steps = record["steps"]
    for stop in (steps * 2 // 5, steps * 4 // 5):
        process = child(tmp_path / "killed", tiny, bf16=bf16)
        for line in process.stdout:
            if line.strip().isdigit() and int(line) >= stop:
                process.send_signal(signal.SIGKILL)
                break
        assert process.wait(200) == -signal.SIGKILL
        assert not (tmp_path / "killed" / "trained" / "model.safetensors").exists()
    process = child(tmp_path / "killed", tiny, bf16=bf16)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0
    first = int(output.split()[0])
    assert first > stop  # it went on, it did not begin again
    for name in ("model.safetensors", "head.safetensors"):
        assert (tmp_path / "killed" / "trained" / name).read_bytes() == (whole.folder / name).read_bytes()


def test_the_plan_is_kept_and_followed(context):
    loop.run(Line(), OPTIONS, context, started=time.monotonic())
    kept = schedule.Plan.from_json(__import__("json").loads((context.checkpoints / loop.PLAN).read_text()))
    assert kept.steps == 100
    assert kept.precision == "float32"
