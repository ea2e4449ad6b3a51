"""The load test of a running server, as a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import click

from breakeven.cli.options import answer, as_json, say, spoken
from breakeven.data.inputs import read_inputs
from breakeven.errors import UsageError

if TYPE_CHECKING:
    from breakeven.serving.load import LoadResult


@click.command()
@click.argument("url")
@click.option("--key", envvar="BREAKEVEN_KEY", required=True, help="An API key; BREAKEVEN_KEY keeps it off the screen.")
@click.option(
    "--rate", required=True, type=click.FloatRange(0.1, 20_000), help="Requests a second, whatever comes back."
)
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(0.2, 3600))
@click.option("--file", "source", type=click.File("rb"), help="An input a line, JSON or plain text.")
@click.option("--connections", default=64, show_default=True, type=click.IntRange(1, 5000))
@click.option(
    "--p95", type=click.FloatRange(0, min_open=True), metavar="MS", help="Exit 1 unless the server holds this."
)
@click.option("--allow-remote", is_flag=True, help="Load a server that is not on this machine.")
@as_json
def load(
    url: str,
    key: str,
    rate: float,
    seconds: float,
    source: Any,
    connections: int,
    p95: float | None,
    allow_remote: bool,
    as_json: bool,
) -> None:
    """Send requests to the server at URL as they would come, without waiting for answers (open loop).

    Latencies count from when a request was due, so that a server that stalls cannot hide what it kept from being sent.
    Every answer is charged to the key. Without --file the release's own example is asked.
    """
    from breakeven.errors import EnvironmentFault
    from breakeven.serving.load import LAG_LIMIT_MS, holds, open_loop

    base = _server(url, allow_remote)
    bodies = _bodies(base, source)
    result = open_loop(base, key, bodies, rate, seconds, connections=connections, lag_limit_ms=float("inf"))
    held = p95 is None or holds(result, p95)
    late = result.lag_ms > LAG_LIMIT_MS
    if as_json:
        answer({**result.as_json(), "generator_late": late, **({} if p95 is None else {"holds": held})})
    else:
        _tell_load(result, late)
    if not held and late:  # a late generator makes latencies longer, never shorter
        raise EnvironmentFault("generator-lagged", lag_ms=round(result.lag_ms, 1), limit_ms=LAG_LIMIT_MS)
    if not held or not result.answers:
        raise click.exceptions.Exit(1)


def _tell_load(result: LoadResult, late: bool) -> None:
    say(f"{result.sent} sent, {result.answers} answered, {result.achieved:.1f} answers a second")
    if result.p50_ms is not None:
        names = ("p50", "p95", "p99", "max")
        click.echo("  " + ", ".join(f"{spoken(name)} {getattr(result, f'{name}_ms'):.1f} ms" for name in names))
    for name, count in sorted(result.errors.items()):
        click.echo(f"  {count} x {name}")
    if late:
        say(
            f"the generator was itself {result.lag_ms:.1f} ms late (p99): this machine is busy, latencies are too long",
            err=True,
        )


def _server(url: str, allow_remote: bool) -> str:
    """The address without its path, checked."""
    import ipaddress
    from urllib.parse import urlsplit

    try:
        address = urlsplit(url if "://" in url else f"http://{url}")
        port, host = address.port or 80, address.hostname or ""
    except ValueError:
        raise UsageError("load-url", url=url[:100]) from None
    if address.scheme != "http" or not host:
        raise UsageError("load-url", url=url[:100])
    try:
        near = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = False
    if not near and not allow_remote:
        raise UsageError("load-remote", host=host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bodies(base: str, source: BinaryIO | None) -> list[str]:
    """Request bodies: an input each, from a file or the server's own example."""
    import json
    from urllib.request import urlopen

    from breakeven.errors import EnvironmentFault

    if source is not None:
        inputs = read_inputs(source, source.name)
        if not inputs:
            raise UsageError("no-inputs")
        return [json.dumps({"inputs": [item]}, ensure_ascii=False) for item in inputs]
    try:
        with urlopen(f"{base}/openapi.json", timeout=10) as page:  # noqa: S310  _server let only http through
            document = json.load(page)
        body = document["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        return [json.dumps(example, ensure_ascii=False) for example in body["examples"]]
    except OSError as error:
        raise EnvironmentFault("load-unreachable", url=base, reason=str(getattr(error, "reason", error))) from error
    except (ValueError, KeyError, TypeError):
        raise UsageError("load-no-example", url=base) from None
