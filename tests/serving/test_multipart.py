"""Forms: what they hold, and what broken or hostile ones get."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.serving.multipart import Part, boundary, digest, payloads, read_parts, request_of, takes_forms
from breakeven.serving.wire import HttpError

PICTURE = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}
ASKED = {
    "type": "object",
    "properties": {"image": PICTURE, "question": {"type": "string"}, "top": {"type": "integer"}},
    "required": ["image", "question"],
}


def form(*parts: tuple[str, bytes], end: bytes = b"--x--\r\n") -> bytes:
    """A form with the boundary `x`; each part is its head after `name=` and its content."""
    return (
        b"".join(
            b'--x\r\nContent-Disposition: form-data; name="%s\r\n\r\n%s\r\n' % (head.encode(), content)
            for head, content in parts
        )
        + end
    )


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_bytes_come_out_as_they_went_in(contents: list[bytes]) -> None:
    safe = [content.replace(b"--x", b"") for content in contents]
    parts = read_parts(form(*(('inputs"', content) for content in safe)), "x", limit=10)
    assert payloads(parts, PICTURE) == safe


def test_one_case_by_its_fields_and_several_by_number() -> None:
    one = read_parts(
        form(('image"; filename="a.png"', b"\x89PNG"), ('question"', b"what?"), ('top"', b"3")), "x", limit=9
    )
    assert payloads(one, ASKED) == [{"image": b"\x89PNG", "question": "what?", "top": 3}]
    many = read_parts(
        form(('inputs[1].image"', b"b"), ('inputs[0].image"', b"a"), ('inputs[0].question"', "哪".encode())),
        "x",
        limit=9,
    )
    assert payloads(many, ASKED) == [{"image": b"a", "question": "哪"}, {"image": b"b"}]


def test_a_form_may_name_the_model_and_the_stream() -> None:
    request, rest = request_of(
        read_parts(form(('model"', b"m"), ('inputs"', b"1"), ('stream"', b"true")), "x", limit=9)
    )
    assert (request, [part.name for part in rest]) == ({"model": "m", "stream": True}, ["inputs"])
    with pytest.raises(HttpError, match="true or false"):
        request_of([Part("stream", "", b"yes")])
    with pytest.raises(HttpError, match="stands twice"):
        request_of([Part("model", "", b"a"), Part("model", "", b"b")])


def test_the_same_form_under_another_boundary_is_the_same_request() -> None:
    body = form(('inputs"', b"abc"))
    same = read_parts(body.replace(b"--x", b"--other"), "other", limit=9)
    assert digest(read_parts(body, "x", limit=9)) == digest(same) != digest([Part("inputs", "", b"abd")])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "form-broken"),
        (b"hello", "form-broken"),
        (form(('inputs"', b"a"), end=b""), "form-broken"),
        (b'--x\r\nContent-Disposition: form-data; name="a"\n\nb\r\n--x--\r\n', "form-broken"),
        (b"--x\r\nContent-Type: text/plain\r\n\r\nb\r\n--x--\r\n", "form-broken"),
        (form(*[('inputs"', b"a")] * 10_000), "form-limits"),
        (form(("a" * 10_000 + '"', b"a")), "form-limits"),
        (form(("a" * 300 + '"', b"a")), "form-name"),
        (form(('a\x00b"', b"a")), "form-name"),
        (form(('"', b"a")), "form-name"),
        (form(('inputs"; filename="../../x"', b"a")), "form-filename"),
        (form(('inputs"; filename="/etc/passwd"', b"a")), "form-filename"),
        (form(('inputs"; filename="a\x00.png"', b"a")), "form-filename"),
        (form(('inputs"; filename=".."', b"a")), "form-filename"),
        (form(('inputs"\r\nContent-Transfer-Encoding: base64', b"YQ==")), "form-broken"),
        (form(("inputs\"\r\nX: " + "a" * 5000, b"a")), "form-limits"),
    ],
)  # fmt: skip
def test_what_is_no_form_or_too_much_of_one_is_400(body: bytes, code: str) -> None:
    with pytest.raises(HttpError, match=r"form|file") as caught:
        read_parts(body, "x", limit=64)
    assert (caught.value.code, caught.value.status) == (code, 400)


@pytest.mark.parametrize("end", ["", "; boundary=", "; boundary=" + "a" * 71, '; boundary="a\nb"'])
def test_a_boundary_is_one_that_could_be(end: str) -> None:
    with pytest.raises(HttpError, match="no boundary") as caught:
        boundary(f"multipart/form-data{end}")
    assert caught.value.status == 400


def test_usual_boundaries_are_found() -> None:
    assert boundary("multipart/form-data; boundary=----WebKitFormBoundaryA1b2") == "----WebKitFormBoundaryA1b2"
    assert boundary('multipart/form-data; boundary="a b"; charset=utf-8') == "a b"


@pytest.mark.parametrize(
    ("parts", "schema", "words"),
    [
        ([("picture", b"a")], PICTURE, "picture.*one of inputs"),
        ([("inputs[0].image", b"a")], PICTURE, "one of inputs"),
        ([("inputs", b"a")], ASKED, "one of image"),
        ([("sound", b"a")], ASKED, "sound.*one of image"),
        ([("image", b"a"), ("image", b"b")], ASKED, "stands twice"),
        ([("inputs[2].image", b"a")], ASKED, "numbered from 0"),
        ([("question", b"\xff")], ASKED, "not UTF-8"),
        ([("question", b"a\x00")], ASKED, "NUL"),
        ([("top", b"three")], ASKED, "not JSON"),
    ],
)
def test_a_wrong_part_is_named(parts: list[tuple[str, bytes]], schema: dict[str, Any], words: str) -> None:
    with pytest.raises(HttpError, match=words):
        payloads([Part(name, "", content) for name, content in parts], schema)


def test_only_inputs_that_hold_bytes_take_forms() -> None:
    assert takes_forms(PICTURE)
    assert takes_forms(ASKED)
    assert not takes_forms({"type": "string"})
    assert not takes_forms({"type": "object", "properties": {"a": {"type": "string"}}})
