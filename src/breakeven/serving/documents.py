"""The addresses that tell what is served: the OpenAPI document, and the same as a page to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from breakeven.errors import Place
from breakeven.serving.deployment import Standing
from breakeven.serving.exchange import Exchange
from breakeven.serving.wire import HttpError, Response, json_response

if TYPE_CHECKING:
    from breakeven.serving.app import Service

_NO_SCRIPTS = (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")


def _told(service: Service, exchange: Exchange) -> Standing:
    """The releases that the document is asked of: all, or the one that ?model= names."""
    query = exchange.query()
    for name in query:
        if name != "model":
            raise HttpError(422, "body-unknown-field", at=Place(field=name[:100]), allowed=["model"])
    if "model" not in query:
        return service.standing
    one = service.named(query["model"])
    return Standing(one, served={one.name: one})


async def openapi(service: Service, exchange: Exchange) -> Response:
    """GET /openapi.json?model=: of every release that answers, or of one."""
    from breakeven.serving.openapi import document

    return json_response(200, document(_told(service, exchange)))


async def docs(service: Service, exchange: Exchange) -> Response:
    """GET /docs?model=: the same as a page to read, with nothing loaded from anywhere."""
    from breakeven.serving.openapi import page

    return Response(
        200, page(_told(service, exchange)).encode(), [(b"content-type", b"text/html; charset=utf-8"), _NO_SCRIPTS]
    )
