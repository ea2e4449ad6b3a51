"""Help pages and mistakes of usage in the reader's language.

Commands declare their help in English, where it is read beside the code; `catalogue/<language>/said/` says every
paragraph of it in another language, keyed by the English. Wide signs take two columns, so lines are broken here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import click
from click.formatting import HelpFormatter

from breakeven.errors import phrased, reader_language, render, sayings

_NEVER_FIRST = "，。；：、？！）」”"
_WIDE = "\u2e80-\u9fff\uff00-\uffef，。；：、？！（）“”"
_PIECES = re.compile(rf"[{_WIDE}]|[^\s{_WIDE}]+\s*|\s+")
_DEFAULTS = re.compile(r"(.*?)\s*\[([^\[\]]*)\]", re.DOTALL)


class Spoken(HelpFormatter):
    """Writes what it is given in English in the reader's language."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """The usage line; what stands for options and commands is said, names stay."""
        super().write_usage(prog, phrase(args), prefix if reader_language() == "en" else phrase("Usage:"))

    def write_heading(self, heading: str) -> None:
        """A heading, `Options:`."""
        self.write(" " * self.current_indent + phrase(f"{phrase(heading)}:") + "\n")

    def write_text(self, text: str) -> None:
        """Paragraphs of a command's help."""
        if reader_language() == "en":
            super().write_text(text)
            return
        indent = " " * self.current_indent
        said = (lines_of(said_of(part), self.width - self.current_indent) for part in text.split("\n\n"))
        self.write("\n\n".join("\n".join(indent + line for line in lines) for lines in said) + "\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Options or commands with what they do."""
        if reader_language() == "en":
            super().write_dl(list(rows), col_max, col_spacing)
            return
        rows = list(rows)
        first = min(max(len(name) for name, _ in rows), col_max) + col_spacing
        for name, text in rows:
            lines = lines_of(said_of(text), max(self.width - self.current_indent - first, 20))
            self.write(" " * self.current_indent + (name.ljust(first) if len(name) < first else f"{name}\n"))
            for place, line in enumerate(lines):
                ahead = "" if place == 0 and len(name) < first else " " * (self.current_indent + first)
                self.write(f"{ahead}{line}\n")


class SpokenContext(click.Context):
    """A command's context whose help is said in the reader's language."""

    formatter_class = Spoken


def spoken_help(command: click.Command) -> click.Command:
    """The command and those below it, with help in the reader's language."""
    command.context_class = SpokenContext
    for below in getattr(command, "commands", {}).values():
        spoken_help(below)
    return command


def tell_usage(error: click.ClickException) -> None:
    """A mistake of usage on stderr: how the command is called, where its help is, what is wrong."""
    if reader_language() == "en" or isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    context = getattr(error, "ctx", None)
    if context is not None:
        click.echo(context.get_usage(), err=True)
        click.echo(phrase(f"Help: {context.command_path} --help") + "\n", err=True)
    said = " ".join(error.format_message().split())
    click.echo(render("error-line", {"said": phrase(said)}), err=True)


def said_of(text: str) -> str:
    """A paragraph of help in the reader's language; English where nobody said it."""
    words, plain = sayings("commands", reader_language()), " ".join(text.split())
    if plain in words:
        return words[plain]
    if found := _DEFAULTS.fullmatch(plain):
        extras = (phrase(part) for part in found[2].split("; "))
        return f"{said_of(found[1]) if found[1] else ''}[{'；'.join(extras)}]"
    return _begun(plain, words)


def _begun(plain: str, words: dict[str, str]) -> str:
    """The first sentence of what a list of commands shows cut short."""
    start = plain.removesuffix("...").strip().rstrip(".")
    whole = next((said for text, said in words.items() if start and text.startswith(start)), plain)
    return plain if whole == plain else whole.split("。")[0] + "。"


def lines_of(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` columns; a line never begins with a closing sign."""
    lines = [""]
    for piece in _PIECES.findall(text):
        # A closing sign that follows still needs its two columns on this line.
        over = columns(lines[-1] + piece.rstrip()) > width - 2
        if over and lines[-1] and piece not in _NEVER_FIRST:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    return [line.rstrip() for line in lines]


def columns(text: str) -> int:
    """Columns of a terminal that the text takes."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def phrase(said: str) -> str:
    """Words of the command-line framework in the reader's language, what they name within them too."""
    return phrased(said, "usage")
