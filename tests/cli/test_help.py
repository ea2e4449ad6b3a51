"""Help pages and mistakes of usage: every paragraph has its Chinese, lines fit, English stays as it was."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from inspect import cleandoc

import click
import pytest

from breakeven.cli import COMMANDS, breakeven
from breakeven.cli.help import columns, lines_of, said_of
from tests.inprocess import breakeven as call

CONTEXT = click.Context(breakeven, info_name="breakeven")
FRAMEWORK = ("Show this message and exit.",)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command and the name it is called by."""

    def walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield name, command
        for below, child in getattr(command, "commands", {}).items():
            yield from walk(f"{name} {below}", child)

    for name in COMMANDS:
        command = breakeven.get_command(CONTEXT, name)
        assert command is not None
        yield from walk(name, command)


def paragraphs() -> Iterator[str]:
    """Every paragraph of help that the commands declare, in one line each."""
    whole = [breakeven, *(command for _, command in commands())]
    said = [text for _, text in COMMANDS.values()] + [command.help or "" for command in whole]
    said += [getattr(param, "help", None) or "" for command in whole for param in command.params]
    for text in said:
        yield from (" ".join(part.split()) for part in cleandoc(text).split("\n\n") if part.strip())


def chinese() -> dict[str, str]:
    folder = files("breakeven") / "catalogue" / "zh" / "said"
    return tomllib.loads((folder / "commands.toml").read_text(encoding="utf-8"))


def test_every_paragraph_of_help_has_its_chinese_and_none_is_left_over() -> None:
    declared, said = {*paragraphs(), *FRAMEWORK}, chinese()
    assert not sorted(declared - said.keys())
    assert not sorted(said.keys() - declared)
    assert all(columns(text) > len(text) for text in said.values())


@pytest.mark.parametrize("width", [60, 100])
def test_chinese_pages_of_help_hold_no_english_and_fit_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREAKEVEN_LANG", "zh")
    for name, command in commands():
        context = command.context_class(command, info_name=f"breakeven {name}", terminal_width=width)
        page = command.get_help(context)
        assert page.startswith(f"用法：breakeven {name} ")
        assert not any(word in page for word in ("Usage", "Options", "Commands", "default:", "required", "Show "))
        wide = [line for line in page.splitlines() if columns(line) > width and "  " in line.strip()]
        assert not wide, wide


def test_lists_of_commands_take_the_first_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAKEVEN_LANG", "zh")
    assert said_of("Make a key. It is shown once, here, and") == "创建密钥。"
    assert said_of("See: breakeven recipes  [default: sentiment]") == "配方名，见 breakeven recipes。[默认：sentiment]"
    assert said_of("nobody says this") == "nobody says this"


def test_a_line_never_begins_with_a_closing_sign_and_words_stay_whole() -> None:
    assert lines_of("价格，成本。", 6) == ["价格，", "成本。"]
    assert lines_of("见 breakeven run", 12) == ["见", "breakeven", "run"]
    assert columns("价a") == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--port", "x"], "错误：“--port”的值无效：“x”不是整数"),
        (["serve", "--port", "99999"], "错误：“--port”的值无效：99999 不在范围 0<=x<=65535 之内"),
        (["serv"], "错误：没有命令“serv”；是否指“serve”？"),
        (["xyz"], "错误：没有命令“xyz”"),
        (["run", "--dry"], "错误：没有选项“--dry”；是否指“--dry-run”？"),
        (["usage", "a"], "错误：多出参数：a"),
        (["usage", "--customer"], "错误：选项“--customer”需要一个值"),
        (["run", "--refresh=1"], "错误：选项“--refresh”不接受值"),
        (["invoice", "finalize"], "错误：缺少选项“--month”"),
        (["compare", "a"], "错误：缺少参数“OTHER”"),
        (["serve", "--log", "xml"], "错误：“--log”的值无效：“xml”不在可选值之中：'text', 'json'"),
        (["keys", "rotate", "k", "--overlap", "1"], "错误：--overlap 的值无效：“1”不是时长，例如 30m、24h 或 7d"),
    ],
)
def test_mistakes_of_usage_are_said_in_chinese(arguments: list[str], said: str) -> None:
    told = call(*arguments, BREAKEVEN_LANG="zh")
    assert told.returncode == 2
    assert told.stderr.splitlines()[-1] == said
    assert "Usage" not in told.stderr and "Try" not in told.stderr


def test_a_group_without_a_command_shows_its_help_in_chinese() -> None:
    told = call("keys", BREAKEVEN_LANG="zh")
    assert told.returncode == 2 and "选项：" in told.stderr and "错误" not in told.stderr


def test_english_is_as_the_framework_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAKEVEN_LANG", "en")
    page = call("keys", "create", "--help", BREAKEVEN_LANG="en").stdout
    assert page.startswith("Usage: breakeven keys create [OPTIONS]\n\n  Make a key.") and "[required]" in page
    told = call("serve", "--port", "x", BREAKEVEN_LANG="en").stderr
    assert "Try 'breakeven serve --help' for help.\n\nError: Invalid value for '--port'" in told
