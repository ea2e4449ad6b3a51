"""Personal data: found by form and checksum, left alone where the checksum fails."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.data.personal import count, find, luhn, mask


@pytest.mark.parametrize(("text", "masked"), [
    ("write to Bob.Smith+x@mail.example.co.uk now", "write to [mail] now"),
    ("邮箱a@b.cn，电话13812345678。", "邮箱[mail]，电话[phone]。"),
    ("call +86 138 1234 5678 or +1 (415) 555-2671", "call [phone] or [phone]"),
    ("call 415-555-2671 or (415) 555-2671", "call [phone] or [phone]"),
    ("打 010-12345678 找我", "打 [phone] 找我"),
    ("card 4111 1111 1111 1111 thanks", "card [card] thanks"),
    ("card 4111111111111111", "card [card]"),
    ("id 11010519491231002X", "id [national_id]"),
    ("ssn 078-05-1120", "ssn [national_id]"),
    ("from 10.0.0.1 and fe80::1:2:3:4", "from [ip] and [ip]"),
])  # fmt: skip
def test_what_is_found(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize("text", [
    "card 4111 1111 1111 1112", "id 110105194912310021", "id 11010519491331002X", "order 123456789012",
    "2024-01-02 12:30:45", "1,000,000.00 of 2023-2024", "version 1.2.3.4.5", "999.999.999.999", "at 5:30:15 a::b",
    "@home and me@", "ISBN 978-0-306-40615-7", "666-12-1234", "0000 0000 0000 0000", "no data at all",
])  # fmt: skip
def test_what_is_left_alone(text: str) -> None:
    assert mask(text) == text


@given(st.text())
def test_masking_twice_changes_nothing_more(text: str) -> None:
    once = mask(text)
    assert mask(once) == once


@given(st.text("0123456789 @.-+abc:x", max_size=80))
def test_finds_are_ordered_and_never_overlap(text: str) -> None:
    found = find(text)
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))


def test_counts_by_kind_and_row() -> None:
    assert count(["a@b.cn and c@d.cn", None, "no", "10.0.0.1"]) == ({"mail": 2, "ip": 1}, [True, False, False, True])


def test_only_the_kinds_asked_for() -> None:
    assert mask("a@b.cn 10.0.0.1", ["ip"]) == "a@b.cn [ip]"


def test_luhn_refuses_a_row_of_one_digit() -> None:
    assert luhn("4111111111111111")
    assert not luhn("0000000000000000")


def test_a_long_text_without_data_is_quick() -> None:
    assert mask("1 a" * 100_000) == "1 a" * 100_000
