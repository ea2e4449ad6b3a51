"""A signed release of an encoder, measured on another machine, behind the real server: checked once, told, kept."""

from __future__ import annotations

import json
import shutil
from urllib.request import Request, urlopen

import pytest
from model_fakes import Fitting
from safetensors.torch import load_file, save_file
from tiny_weights import opinions

from breakeven.artifacts import hash_tree, read_json, write_json
from breakeven.models.encoder import TORCH_BF16, TORCH_FP32, Encoder, EncoderSettings
from breakeven.packaging import recheck, release, signing
from breakeven.packaging.package import build, identity
from breakeven.serving.launch import ServerProcess
from breakeven.task import Cases
from breakeven.tasks.text_classification import TextClassification

pytestmark = pytest.mark.slow
TASK = TextClassification()


@pytest.fixture(scope="module")
def package(tmp_path_factory, tiny):
    """A package whose chosen runtime is bf16, whatever this machine would choose."""
    root = tmp_path_factory.mktemp("elsewhere")
    settings = EncoderSettings(weights=str(tiny), epochs=6, batch_tokens=64, learning_rate=5e-3, bf16=False)
    model, context = Encoder(settings, TASK), Fitting(root)
    train, held = (Cases([str(n) for n in range(len(texts))], texts, labels)
                   for texts, labels in (opinions(150), opinions(60, seed=1)))  # fmt: skip
    model.fit(train, held, context)
    folder = root / "package"
    build(model, trained=context.folder, folder=folder, candidate="encoder", model_name="minilm-l6", calibration={},
          facts=TASK.facts(train), chain=None, cases=held, task=TASK, runtimes=[], seconds=0.1)  # fmt: skip
    (folder / TORCH_BF16).mkdir()
    model.package(context.folder, folder / TORCH_BF16, TORCH_BF16, [])
    info = read_json(folder / "package.json")
    info["hardware"] = {**info["hardware"], "cpu": "Another CPU", "isa": ["avx2"], "key": "another-cpu-64c-abcdef"}
    info["runtimes"]["chosen"] = TORCH_BF16
    write_json(folder / "package.json", info)
    return folder


def signed(package, root, *, bias=0.0):
    """(release, its public key). `bias`: makes the chosen runtime differ from what was recorded, as a CPU might."""
    mine = root / "package"
    shutil.copytree(package, mine)
    head = mine / TORCH_BF16 / "head.safetensors"
    tensors = load_file(head)
    tensors["bias"][0] += bias
    save_file(tensors, head)
    digest = identity(mine)
    name = release.release_id("toy", digest)
    key = root / "keys" / "release.key"
    signing.make_key(key)
    release.copy_package(mine, root / "made")
    record = {"id": name, "product": "toy", "task": TASK.name, "package": digest, "candidate": "encoder"}
    parity = {"release": name, "package": digest, "rows": 8, "agree": 8}
    release.complete(root / "made", record=record, parity=parity, card="# toy\n", key=key)
    release.publish(root / "made", root / "releases" / name)
    return root / "releases" / name, signing.public_path(key)


def served(folder, trust):
    """What a server says of itself, and answers."""
    with ServerProcess(folder, trust=trust, plan={"rates": {"answers": "0.004"}}) as server:
        found = {path: urlopen(server.url + path).read().decode() for path in ("/readyz", "/metrics")}
        headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
        request = Request(server.url + "/v1/predict", data=b'{"inputs": ["good film"]}', headers=headers)
        answer = json.load(urlopen(request))
        return json.loads(found["/readyz"]), found["/metrics"], answer["outputs"][0], server.stderr()


def test_a_runtime_that_differs_here_is_replaced_by_the_reference_and_everybody_is_told(package, tmp_path):
    folder, trust = signed(package, tmp_path, bias=5.0)
    before = hash_tree(folder)
    ready, metrics, output, said = served(folder, trust)
    assert ready["status"] == "ready"
    assert (ready["runtime"]["runtime"], ready["runtime"]["reason"]) == (TORCH_FP32, "parity")
    assert ready["runtime"]["agree"] < ready["runtime"]["rows"]
    named = f'release="{folder.name}",runtime="{TORCH_FP32}",state="fell_back"'
    assert f"breakeven_release_runtime{{{named}}} 1.0" in metrics
    assert f"serving with the reference runtime '{TORCH_FP32}' (parity" in said
    assert output["label"] == "good"  # by the chosen runtime it would be the other

    assert hash_tree(folder) == before  # the signed folder is as it was
    (kept,) = (folder.parent / recheck.HERE).iterdir()
    stamp = kept.stat().st_mtime_ns
    again, _, same, said = served(folder, trust)
    assert again["runtime"] == ready["runtime"] and same == output
    assert "known from an earlier start" in said and kept.stat().st_mtime_ns == stamp


def test_a_runtime_that_agrees_and_is_no_slower_stays(package, tmp_path):
    folder, trust = signed(package, tmp_path)
    ready, metrics, output, said = served(folder, trust)
    here = ready["runtime"]
    assert here["agree"] == here["rows"] and output["label"] == "good"
    # On a tiny encoder either may be faster: what is told must be what came of it.
    assert here["fell_back"] is (here["runtime"] == TORCH_FP32)
    assert here["reason"] == ("slower" if here["fell_back"] else None)
    assert f'state="{"fell_back" if here["fell_back"] else "checked"}"' in metrics
    assert "this machine differs" in said
