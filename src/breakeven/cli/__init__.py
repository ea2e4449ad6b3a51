"""The command line: a table of commands, loaded on use, and the one place where errors become words and exit codes."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

import click

from breakeven import __version__
from breakeven.cli.help import spoken_help, tell_usage
from breakeven.errors import BreakevenError, message, render

# name -> (module, one line of help). An explicit table, so that `--help` imports no command.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("projects", "Make a project folder from a recipe."),
    "recipes": ("projects", "List the recipes."),
    "check": ("projects", "Check breakeven.yaml and say what is wrong, line by line."),
    "status": ("projects", "Show what is fresh, stale or missing, and why."),
    "run": ("runs", "Run the stages that are not fresh, and answer: which candidate pays?"),
    "show": ("runs", "Show a stage or a candidate."),
    "compare": ("runs", "Two candidates side by side, in quality and in money."),
    "report": ("runs", "Write report.html and report.md."),
    "simulate": ("plans", "Simulate the business section alone; no model needed."),
    "actuals": ("plans", "What happened beside the plan, and the plan refitted."),
    "captable": ("captable", "Who owns the company; Open Cap Format."),
    "serve": ("service", "Serve the signed release: predictions, keys, metering."),
    "predict": ("service", "Answer inputs with the release, without a server."),
    "releases": ("releases", "List releases; roll back, canary, shadow."),
    "refresh": ("refresh", "Learn from feedback: retrain, compare, canary."),
    "keys": ("keys", "Create, list, rotate and revoke customers' keys."),
    "customers": ("books", "Add, list, limit, export and erase customers."),
    "usage": ("service", "What was used, by customer and meter, and what it costs."),
    "invoice": ("invoices", "Drafts, numbered invoices, credit notes; PDF, HTML, EN 16931."),
    "margin": ("invoices", "What every customer pays, costs and leaves."),
    "feedback": ("service", "List the feedback that customers sent."),
    "inputs": ("watching", "Kept inputs of customers who consented."),
    "drift": ("watching", "How far requests are from the training rows."),
    "alerts": ("alerts", "Watch by rules; send alerts to a webhook or a command."),
    "top": ("top", "A running server, live in the terminal."),
    "ledger": ("ledgers", "Prove, correct, close, copy and compare the ledger."),
    "load": ("load", "Load-test a running server, open loop."),
    "doctor": ("machine", "Check this machine: packages, cores, memory, disk, ports."),
    "schema": ("machine", "Print the JSON Schema of breakeven.yaml."),
}


class _Commands(click.Group):
    """Commands imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        import importlib

        module = importlib.import_module(f"breakeven.cli.{COMMANDS[cmd_name][0]}")
        return spoken_help(getattr(module, cmd_name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            ctx.fail(f"no such command '{args[0]}'" + (f"; did you mean '{near[0]}'?" if near else ""))
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", prog_name="breakeven")
def breakeven() -> None:
    """From data to an AI model that pays for itself: value > price > cost, per answer, measured.

    Start with: breakeven init demo --recipe sentiment && cd demo && breakeven run
    """


spoken_help(breakeven)


def main(argv: list[str] | None = None) -> None:
    """The entry point of the `breakeven` command. Exits with the codes of docs/errors.md."""
    import signal

    arguments = sys.argv[1:] if argv is None else argv
    signal.signal(signal.SIGTERM, _terminated)
    try:
        code = breakeven.main(arguments, prog_name="breakeven", standalone_mode=False)
        _leave(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as leave:
        _leave(leave.exit_code)
    except click.ClickException as error:
        tell_usage(error)
        _leave(2)
    except (click.Abort, KeyboardInterrupt):
        from breakeven.cli.options import say

        say("stopped", err=True)
        _leave(130)
    except BreakevenError as error:
        tell(error, as_json="--json" in arguments)
        _leave(error.exit_code)
    except BrokenPipeError:
        # The reader of our output left (`| head`): not an error, and nothing more can be printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(0)
    except MemoryError:
        _tell_memory(as_json="--json" in arguments)
        _leave(5)
    except OSError as error:
        tell_system(error, as_json="--json" in arguments)
        _leave(5)
    except Exception as error:
        _bug(error, arguments)


def tell(error: BreakevenError, *, as_json: bool) -> None:
    """An expected error: words on stderr, and JSON on stdout for `--json`."""
    if as_json:
        import json

        shown = error.as_json()
        shown["more"] = [other.as_json() for other in error.more]
        click.echo(json.dumps({"error": shown}, ensure_ascii=False, default=str))
        return
    for problem in (error, *error.more[:20]):
        click.echo(render("error-line", {"said": problem}), err=True)
    if len(error.more) > 20:
        click.echo(render("errors-more", {"count": len(error.more) - 20}), err=True)


def tell_system(error: OSError, *, as_json: bool) -> None:
    """What the operating system refused (disk full, read-only, no permission), named."""
    from breakeven.errors import EnvironmentFault, Place

    fault = EnvironmentFault(
        "system-refused",
        at=Place(file=str(error.filename) if error.filename else None),
        reason=error.strerror or str(error),
    )
    tell(fault, as_json=as_json)


def _tell_memory(*, as_json: bool) -> None:
    """Memory ran out; a limit that somebody set on this process is named."""
    import resource

    from breakeven.errors import EnvironmentFault

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    limited = "" if soft == resource.RLIM_INFINITY else message("memory-limit", gib=f"{soft / 2**30:.1f}")
    tell(EnvironmentFault("memory-short", limit=limited), as_json=as_json)


def _terminated(signum: int, frame: Any) -> None:
    """SIGTERM unwinds like Ctrl-C, so that scratch folders and servers are cleaned up, and leaves with 143."""
    raise click.exceptions.Exit(143)


def _bug(error: Exception, arguments: list[str]) -> None:
    """Our own bug: a report file, its place, exit 70; the traceback is shown only when asked for."""
    import tempfile
    import traceback

    trace = "".join(traceback.format_exception(error))
    if os.environ.get("BREAKEVEN_DEBUG"):
        click.echo(trace, err=True)
    place: object = message("bug-no-file")
    with (
        contextlib.suppress(OSError),
        tempfile.NamedTemporaryFile(
            "w", prefix="breakeven-bug-", suffix=".txt", delete=False, encoding="utf-8"
        ) as report,
    ):
        report.write(f"breakeven {__version__}, python {sys.version}\narguments: {arguments}\n\n{trace}")
        place = report.name
    bug = BreakevenError("our-bug", kind=type(error).__name__, reason=str(error)[:200], report=place)
    tell(bug, as_json="--json" in arguments)
    _leave(70)


def _leave(code: int) -> None:
    with contextlib.suppress(BrokenPipeError, ValueError):
        sys.stdout.flush()
    sys.exit(code)
