"""The reader: what YAML 1.2 means, where an error points, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from breakeven.config import load, parse_mapping, read
from breakeven.errors import BreakevenError, ConfigError, EnvironmentFault, UsageError
from breakeven.yaml12 import MAX_BYTES, parse, resolve


class Gate(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    min: float | None = None
    max: float | None = None


class Candidate(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    epochs: int = 1


class Evaluate(BaseModel):
    model_config = ConfigDict(extra="forbid")
    metric: str = "f1"
    gates: dict[str, Gate] = {}
    price: Decimal = Field(Decimal(0), ge=0, decimal_places=12)
    amount: int | Gate = 0


class Root(BaseModel):
    model_config = ConfigDict(extra="forbid")
    version: int
    evaluate: Evaluate = Evaluate()
    candidates: list[Candidate] = []


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def writer(text: str | bytes, name: str = "breakeven.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return writer


def failure(path: Path, *overrides: str) -> BreakevenError:
    with pytest.raises(BreakevenError) as caught:
        load(path, Root, overrides)
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [("no", "no"), ("on", "on"), ("yes", "yes"), ("1e3", 1000.0), ("08", 8), ("12:30", "12:30"), ("0o17", 15),
     ("0x1F", 31), ("true", True), ("null", None), ("~", None), ("1_000", "1_000"), (".5", 0.5),
     ("-.inf", float("-inf")),
     ("2026-11-22", "2026-11-22"), ("=", "=")],
)  # fmt: skip
def test_plain_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_a_quoted_number_stays_text() -> None:
    assert parse("['1', \"no\", 1]", file="x")[0] == ["1", "no", 1]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=14, min_value=-(10**12), max_value=10**12))
def test_no_digit_of_a_declared_number_is_lost(number: Decimal) -> None:
    found = resolve(f"{number:f}")
    assert (Decimal(repr(found)) if isinstance(found, float) else Decimal(found)) == number


def test_unknown_key_points_at_the_key_and_suggests(write: Any) -> None:
    error = failure(write("version: 1\nevaluate:\n  gate: {}\n"))
    assert str(error).endswith(
        "breakeven.yaml:3:3: unknown key 'evaluate.gate'; did you mean 'gates'? "
        "Known here: amount, gates, metric, price"
    )
    assert error.exit_code == 2


def test_every_problem_is_told_not_the_first_alone(write: Any) -> None:
    error = failure(write("version: x\ncandidates:\n- {name: a, epochs: many}\n- {nam: b}\n"))
    told = [str(item) for item in (error, *error.more)]
    assert len(told) == 4
    assert any(":3:21: candidates.0.epochs: found 'many'" in line for line in told)
    assert any(":4:4: unknown key 'candidates.1.nam'" in line for line in told)
    assert any("'candidates.1.name' is missing" in line for line in told)


def test_a_union_is_told_as_one_expectation(write: Any) -> None:
    error = failure(write("version: 1\nevaluate: {amount: much}\n"))
    assert "expected a valid integer" in str(error) and " or " in str(error) and not error.more


@pytest.mark.parametrize("number", ["-1", ".nan", "0.1234567890123"])
def test_prices_that_cannot_be_are_refused(write: Any, number: str) -> None:
    assert "evaluate.price" in str(failure(write(f"version: 1\nevaluate:\n  price: {number}\n")))


@pytest.mark.parametrize(
    ("text", "match"),
    [("", "config is empty"), ("# only words\n---\n", "config is empty"), ("[1, 2]", "the file holds a list"),
     ("a: [1\n", r":2:1: is not valid YAML"), ("a: 1\na: 2", "key 'a' stands twice"), ("? [1]\n: 2", "a key is a list"),
     ("a: !!python/object/apply:os.system [id]", "tag"), ("a: !custom 1", "tag"), ("a: \x00b", "control character"),
     ("a: *nothing", "not valid YAML"), ("[" * 1_000, "nested more than 64"),
     (b"version: 1\na: \xff", r":2: is not UTF-8")],
)  # fmt: skip
def test_files_that_are_no_config(write: Any, text: str | bytes, match: str) -> None:
    path = write(text)
    with pytest.raises(ConfigError, match=match):
        load(path, Root)


@pytest.mark.parametrize(("text", "match"), [
    ("\x00", r"yaml:1:1: .*U\+0000"), ("a: 1\nb: two\x00", r"yaml:2:7: holds the control character U\+0000"),
    ("a: 中\x1b", r"yaml:1:5: .*U\+001B"), ("a: 1\n\n\x07", r"yaml:3:1: .*U\+0007"),
])  # fmt: skip
def test_a_control_character_is_shown_where_it_stands(write: Any, text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        load(write(text), Root)


def test_aliases_that_lead_to_themselves_are_too_deep(write: Any) -> None:
    with pytest.raises(ConfigError, match="nested more than 64"):
        read(write("a: &a [*a]\n"))


def test_aliases_cannot_multiply(write: Any) -> None:
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
    )
    with pytest.raises(ConfigError, match="aliases counted"):
        read(write(bomb))


def test_an_alias_is_fine(write: Any) -> None:
    settings, _ = load(write("version: 1\nevaluate:\n  gates: {a: &g {max: 1}, b: *g}\n"), Root)
    assert settings.evaluate.gates["b"].max == 1


def test_size_is_bounded_before_reading(write: Any) -> None:
    with pytest.raises(ConfigError, match=f"larger than {MAX_BYTES} bytes"):
        read(write(b"#" * (MAX_BYTES + 1)))


def test_absent_folder_and_unreadable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read(tmp_path / "nothing.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        read(tmp_path / ("x" * 300))


@pytest.mark.parametrize(
    "text",
    ["password: hunter2hunter2", "deploy: {api_key: abcdef}", "url: 'postgres://me:hunter2hunter2@host/db'",
     "note: sk-abcdefghijklmnopqrstuv"],
)  # fmt: skip
def test_secrets_are_refused_and_not_echoed(write: Any, text: str) -> None:
    error = failure(write(f"version: 1\n{text}\n"))
    assert error.code == "config-secret"
    assert "hunter2" not in str(error) and "abcdef" not in str(error)


def test_names_of_environment_variables_are_no_secrets(write: Any) -> None:
    assert parse_mapping("{api_key_env: OPENAI_API_KEY, url_env: DB_URL}", file="x").data["url_env"] == "DB_URL"
    assert read(write("api_key_env: MY_KEY")).data == {"api_key_env": "MY_KEY"}


def test_overrides_are_yaml_and_reach_lists_by_name(write: Any) -> None:
    path = write("version: 1\ncandidates: [{name: a}, {name: b}]\n")
    changed = ["candidates.b.epochs=3", "candidates.0.name=z", "evaluate.gates.f1.min=0.7", "evaluate.metric=no"]
    settings, _ = load(path, Root, changed)
    assert [candidate.epochs for candidate in settings.candidates] == [1, 3]
    assert settings.candidates[0].name == "z"
    assert settings.evaluate.gates["f1"].min == 0.7 and settings.evaluate.metric == "no"


def test_an_override_that_cannot_be_says_so(write: Any) -> None:
    path = write("version: 1\ncandidates: [{name: a}]\n")
    with pytest.raises(UsageError, match=r"expected section\.key=value"):
        load(path, Root, ["version"])
    with pytest.raises(UsageError, match="1 items and none is 'q'"):
        load(path, Root, ["candidates.q.epochs=1"])
    assert "--set evaluate.price" in str(failure(path, "evaluate.price=-3"))


def test_windows_line_ends_bom_and_odd_names(write: Any) -> None:
    path = write("\ufeffversion: 1\r\nevaluate:\r\n  metric: 准确率 😀\r\n".encode(), "我的 项目 😀.yaml")
    settings, _ = load(path, Root)
    assert settings.evaluate.metric == "准确率 😀"
