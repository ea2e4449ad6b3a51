"""Forms over HTTP: bytes as they are and as base64 are the same request, with the same answer and the same charge."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable
from typing import Any

import pytest

from breakeven.ledger import Ledger
from breakeven.packaging.package import Package
from tests.conformance.test_contract import ENTRIES
from tests.serving.conftest import Caller
from tests.serving.test_multipart import form

Make = Callable[..., Caller]
PICTURES = [bytes(range(256)), b"--x\r\n", b"\x00" * 5]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return ENTRIES["pictures"].package(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def call(make: Make, package: Package) -> Caller:
    return make(package, rates={"images": "0.01"})


def send(call: Caller, body: bytes, boundary: str = "sep4rate", **headers: Any) -> Any:
    body = body.replace(b"--x", b"--" + boundary.encode())
    return call("POST", "/v1/predict", body, content_type=f"multipart/form-data; boundary={boundary}", **headers)


def pictures(*contents: bytes) -> bytes:
    return form(
        *((head_of(f"inputs[{n}].image", "image/png"), data) for n, data in enumerate(contents)),
        *((f'inputs[{n}].note"', f"note {n}".encode()) for n in range(len(contents))),
    )


def head_of(name: str, kind: str) -> str:
    return f'{name}"; filename="a"\r\nContent-Type: {kind}'


def test_the_same_answer_as_base64_in_json(call: Caller, ledger: Ledger) -> None:
    safe = [picture.replace(b"--x", b"") for picture in PICTURES]
    as_form = send(call, pictures(*safe))
    inputs = [{"image": base64.b64encode(data).decode(), "note": f"note {n}"} for n, data in enumerate(safe)]
    as_json = call("POST", "/v1/predict", {"inputs": inputs})
    assert (as_form.status, as_json.status) == (200, 200), as_form.body
    for part in ("outputs", "usage", "price", "model"):
        assert as_form.json[part] == as_json.json[part]
    assert as_form.json["outputs"][0] == {"bytes": 256, "mean": 127.5, "note": "note 0"}
    assert as_form.json["usage"] == [{"meter": "images", "quantity": 3}]
    assert [event["quantities"] for event in ledger.events()] == [{"images": 3}, {"images": 3}]


def test_one_picture_needs_no_number(call: Caller) -> None:
    answer = send(call, form((head_of("image", "image/png"), b"\x01\x03")))
    assert answer.json["outputs"] == [{"bytes": 2, "mean": 2.0, "note": ""}]


def test_a_retry_with_another_boundary_is_the_same_request(call: Caller, ledger: Ledger) -> None:
    body = pictures(b"abc")
    first, again = (send(call, body, boundary, idempotency_key="k") for boundary in ("one1", "two2"))
    other = send(call, pictures(b"abd"), idempotency_key="k")
    assert first.body == again.body and again.headers["idempotent-replayed"] == "true"
    assert (other.status, other.error["code"]) == (422, "idempotency-other-body")
    assert len(ledger.events()) == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (form(('note"', b"no picture")), 422, "input-not-bytes", "inputs[0].image"),
        (form((head_of("image", "image/png"), b"")), 422, "input-not-bytes", "inputs[0].image"),
        (form(('image"', b"a"), ('price"', b"0")), 422, "body-unknown-field", "price"),
        (form(('image"; filename="../../x"', b"a")), 400, "form-filename", "image"),
        (form(*[(f'inputs[{n}].image"', b"a") for n in range(9999)]), 400, "form-limits", None),
        (b"nonsense", 400, "form-broken", None),
        (pictures(b"a" * (2 << 20)), 413, "body-too-large", None),
    ],
)
def test_a_wrong_form_is_refused_and_costs_nothing(
    call: Caller, ledger: Ledger, body: bytes, status: int, code: str, param: str | None
) -> None:
    answer = send(call, body)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (status, code, param)
    assert not ledger.events()


def test_no_file_is_opened_for_a_form(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **more: Any) -> Any:
        raise AssertionError("a temporary file")

    for name in ("NamedTemporaryFile", "TemporaryFile", "SpooledTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    assert send(call, pictures(b"a" * 900_000)).status == 200


def test_base64_that_is_none_is_refused(call: Caller) -> None:
    for image in ("not base64!", "YQ", 3, None):
        answer = call("POST", "/v1/predict", {"inputs": [{"image": image}]})
        assert (answer.status, answer.error["code"]) == (422, "input-not-bytes")
        assert answer.error["param"] == "inputs[0].image"


def test_a_task_without_bytes_takes_no_forms(make: Make) -> None:
    answer = send(make(), form(('inputs"', b"a")))
    assert (answer.status, answer.error["code"]) == (415, "body-type")


def test_a_batch_file_brings_bytes_as_base64(call: Caller) -> None:
    from tests.serving.test_batches import run

    line = b'{"input": {"image": "%s"}}\n' % base64.b64encode(PICTURES[0])
    _, output, errors = run(call, line)
    assert (output[0]["output"]["mean"], errors) == (127.5, [])
