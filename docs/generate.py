"""Writes the pages that are made from the program itself: config.md, errors.md, cli.md.

`--check` writes nothing and fails when a page differs from what the program would write; a test calls it so.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
PARTS = (
    "report",
    "settings",
    "words",
    "invoice_words",
)  # pages of labels and of parts of messages, which have no code of their own
MADE = "<!-- Made by docs/generate.py from the program; edit the program, not this page. -->\n\n"


def config_page() -> str:
    """Every key of breakeven.yaml, from the JSON Schema."""
    from breakeven.project import schema

    whole = schema()
    lines = [
        "# breakeven.yaml",
        "",
        "Every key, from the schema that the program checks by (`breakeven schema` prints it for editors). YAML 1.2; unknown",
        "keys are refused with file, line and column. `--set section.key=value` overrides any of them for one run.",
        "",
    ]
    for name, part in whole["properties"].items():
        lines += [f"## {name}", "", part.get("description", ""), ""] if part.get("description") else [f"## {name}", ""]
        rows = list(_rows(part, whole, name, 0))
        if rows:
            lines += ["| key | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    return MADE + "\n".join(lines).rstrip() + "\n"


def _rows(part: dict[str, Any], whole: dict[str, Any], name: str, depth: int) -> Iterator[str]:
    for target in _targets(part, whole):
        for key, value in target.get("properties", {}).items():
            dotted = f"{name}.{key}"
            default = "required" if key in target.get("required", []) else _code(value.get("default"))
            yield f"| `{dotted}` | {_type(value, whole)} | {default} | {_cell(value.get('description', ''))} |"
            if depth < 4:
                yield from _rows(value, whole, dotted, depth + 1)
        extra = target.get("additionalProperties")
        if isinstance(extra, dict) and depth < 4:
            yield from _rows(extra, whole, f"{name}.NAME", depth + 1)
        if target.get("type") == "array" and isinstance(target.get("items"), dict) and depth < 4:
            yield from _rows(target["items"], whole, f"{name}[]", depth + 1)


def _targets(part: dict[str, Any], whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "$ref" in part:
        yield from _targets(whole["$defs"][part["$ref"].rsplit("/", 1)[-1]], whole)
    elif "anyOf" in part or "oneOf" in part:
        for branch in part.get("anyOf", part.get("oneOf", [])):
            yield from _targets(branch, whole)
    else:
        yield part


def _type(part: dict[str, Any], whole: dict[str, Any]) -> str:
    names = []
    for target in _targets(part, whole):
        if "enum" in target:
            names.append(" \\| ".join(f"`{item}`" for item in target["enum"]))
        elif "const" in target:
            names.append(f"`{target['const']}`")
        else:
            names.append(
                {"object": "mapping", "array": "list", "null": "null"}.get(
                    str(target.get("type")), str(target.get("type", "any"))
                )
            )
    return " or ".join(dict.fromkeys(names))


def _code(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (dict, list)) and (not value or len(str(value)) > 40):
        return ""
    return f"`{value}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def errors_page() -> str:
    """Every code of the catalogue, with its words."""
    import breakeven

    lines = [
        "# Errors and findings",
        "",
        "An error stops, a finding informs. Both have a code, and the terminal, `--json`, the HTTP answers and the report use",
        "the same words; `BREAKEVEN_LANG=zh` says them in Chinese, the codes stay. Exit codes: 0 done; 1 the answer is no (a",
        "gate refused, nothing pays); 2 usage or config; 3 bad input data; 4 integrity or signature; 5 environment (disk,",
        "memory, port, package, network); 6 busy or locked; 70 a bug of breakeven, with a report file; 130 and 143 stopped by",
        "a signal.",
        "",
    ]
    folder = Path(breakeven.__file__).parent / "catalogue" / "en"
    for page in sorted(path for path in folder.glob("*.toml") if path.stem not in PARTS):
        lines += [f"## {page.stem}", "", "| code | message | expected | what to do |", "|---|---|---|---|"]
        for code, entry in tomllib.loads(page.read_text(encoding="utf-8")).items():
            cells = (_cell(entry.get(part, "")) for part in ("text", "expected", "hint"))
            lines.append(f"| `{code}` | " + " | ".join(cells) + " |")
        lines.append("")
    return MADE + "\n".join(lines).rstrip() + "\n"


def cli_page() -> str:
    """Every command's help."""
    import click

    from breakeven.cli import COMMANDS, breakeven

    context = click.Context(breakeven, info_name="breakeven", **breakeven.context_settings)
    lines = ["# Commands", "", "`--json` answers in JSON on stdout; words and progress go to stderr.", ""]
    for name in COMMANDS:
        command = breakeven.get_command(context, name)
        assert command is not None
        lines += _help(command, f"breakeven {name}", context)
    return MADE + "\n".join(lines).rstrip() + "\n"


def _help(command: Any, name: str, parent: Any) -> list[str]:
    import click

    settings = {name: getattr(parent, name) for name in ("help_option_names", "max_content_width")}
    context = click.Context(command, info_name=name, parent=None, **settings)
    lines = [f"## {name}", "", "```text", command.get_help(context), "```", ""]
    for child in getattr(command, "commands", {}).values():
        lines += _help(child, f"{name} {child.name}", context)
    return lines


PAGES = {"config.md": config_page, "errors.md": errors_page, "cli.md": cli_page}


def main(arguments: list[str]) -> int:
    """Writes the pages, or with --check says which differ."""
    differ = []
    for name, make in PAGES.items():
        path, text = DOCS / name, make()
        if "--check" in arguments:
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                differ.append(name)
        else:
            path.write_text(text, encoding="utf-8")
    if differ:
        print(f"docs differ from the program: {', '.join(differ)}; run: make docs", file=sys.stderr)
    return bool(differ)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
