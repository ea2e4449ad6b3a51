"""OpenAI-compatible chat, completions and embeddings, where the task of a release generates or embeds.

The same keys, queue, charge and errors as /v1/predict. An option that the task does not honour is refused: an answer
that ignored it would not be what was asked for.
"""

from __future__ import annotations

import base64
import math
import sys
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from breakeven.errors import InputError, Place
from breakeven.serving import routes
from breakeven.serving.exchange import Exchange, read_object
from breakeven.serving.streaming import stream
from breakeven.serving.wire import HttpError, Response, json_response, wrong_field

if TYPE_CHECKING:
    from breakeven.serving.app import Service
    from breakeven.serving.deployment import Deployment

ROLES = ("system", "developer", "user", "assistant", "tool")
LONGEST_ANSWER = 1 << 20
_STOPS = 4
_SAID = {"chat": "messages", "text": "prompt"}
_EXAMPLES = {
    "chat": '{"model": "...", "messages": [{"role": "user", "content": "..."}]}',
    "text": '{"model": "...", "prompt": "..."}',
    "embedding": '{"model": "...", "input": "..."}',
}
# Taken and not acted upon: who asks, and what is so anyway.
_IDLE: dict[str, Callable[[Any], bool]] = {
    "user": lambda value: isinstance(value, str),
    "n": lambda value: value == 1 and not isinstance(value, bool),
    "logprobs": lambda value: value is False,
    "store": lambda value: value is False,
    "response_format": lambda value: value == {"type": "text"},
}


def _between(low: float, high: float) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and math.isfinite(value) and low <= value <= high

    return check


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _stop(value: Any) -> bool:
    stops = [value] if isinstance(value, str) else value
    return isinstance(stops, list) and len(stops) <= _STOPS and all(isinstance(stop, str) and stop for stop in stops)


# Option -> (what it may be, in words, whether a value is).
OPTIONS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "max_tokens": (f"a whole number from 1 to {LONGEST_ANSWER}", _whole(1, LONGEST_ANSWER)),
    "temperature": ("a number from 0 to 2", _between(0, 2)),
    "top_p": ("a number from 0 to 1", _between(0, 1)),
    "stop": (f"a text or up to {_STOPS} texts, none of them empty", _stop),
    "seed": ("a whole number of 64 bits", _whole(-(1 << 63), (1 << 63) - 1)),
    "presence_penalty": ("a number from -2 to 2", _between(-2, 2)),
    "frequency_penalty": ("a number from -2 to 2", _between(-2, 2)),
}
_ALIASES = {"max_completion_tokens": "max_tokens"}
_GENERATION = frozenset({"model", "stream", "stream_options", *OPTIONS, *_ALIASES, *_IDLE})
_FIELDS = {
    "chat": _GENERATION | {"messages"},
    "text": _GENERATION | {"prompt"},
    "embedding": frozenset({"model", "input", "encoding_format", "user"}),
}


async def model(service: Service, exchange: Exchange) -> Response:
    """GET /v1/models/{model}: one of those that /v1/models lists."""
    await service.access.key(exchange, "predict")
    return json_response(200, routes.described(service.named(unquote(exchange.named["model"]))))


async def chat(service: Service, exchange: Exchange) -> Response | None:
    """POST /v1/chat/completions."""
    return await _generated(service, exchange, "chat")


async def completions(service: Service, exchange: Exchange) -> Response | None:
    """POST /v1/completions."""
    return await _generated(service, exchange, "text")


async def _generated(service: Service, exchange: Exchange, kind: str) -> Response | None:
    key, rates, body = await routes.taken(service, exchange)
    request = await routes.parsed(body, lambda: _read(body, kind))
    with service.deployment(routes.named_model(request), key) as deployment:
        routes.check_size(deployment, len(body))
        task = deployment.package.task
        if kind not in getattr(task, "generates", ()):
            raise HttpError(404, "generation-not-offered", model=deployment.name, task=task.name)
        prompts, options = _prompts(request, kind), _options(request, task.sampling)
        inputs = _inputs(deployment, [task.prompt({_SAID[kind]: prompt, **options}) for prompt in prompts], _SAID[kind])
        asked = _stream_options(request)
        if asked is not None:
            events = Chunks(deployment, kind, usage=asked)
            await stream(service, deployment, exchange, key, inputs, events=events)
            return None
        return await routes.charged(
            service, deployment, exchange, key, inputs, body=body, rates=rates, shape=_completion(kind)
        )


def _read(body: bytes, kind: str) -> dict[str, Any]:
    """The request without what is null, which stands for absent."""
    request = read_object(body, _FIELDS[kind], _EXAMPLES[kind])
    return {name: value for name, value in request.items() if value is not None}


def _inputs(deployment: Deployment, payloads: list[Any], field: str) -> list[Any]:
    try:
        return routes.items(deployment, payloads)
    except InputError as error:
        raise InputError(error.code, at=Place(field=field), **error.fields) from error


def _prompts(request: Mapping[str, Any], kind: str) -> list[Any]:
    if kind == "chat":
        messages = request.get("messages")
        if not isinstance(messages, list) or not messages:
            raise wrong_field("messages", "expects-messages", roles=ROLES)
        return [[_message(message, f"messages[{index}]") for index, message in enumerate(messages)]]
    prompt = request.get("prompt")
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(prompts, list) or not prompts or not all(isinstance(text, str) for text in prompts):
        raise wrong_field("prompt", "expects-texts")
    return prompts


def _message(message: Any, field: str) -> dict[str, str]:
    """One message with its content as text: special tokens in it are text as well."""
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise wrong_field(f"{field}.role", "expects-one-of", expected=ROLES)
    if unknown := sorted(set(message) - {"role", "content", "name"}):
        shown = unknown[0][:100].encode("ascii", "replace").decode()
        raise HttpError(422, "body-unknown-field", at=Place(field=f"{field}.{shown}"), allowed=["role", "content"])
    content = message.get("content")
    if isinstance(content, str):
        return {"role": message["role"], "content": content}
    if not isinstance(content, list) or not content:
        raise wrong_field(f"{field}.content", "expects-text")
    texts = []
    for index, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise wrong_field(f"{field}.content[{index}]", "expects-text-part")
        texts.append(part["text"])
    return {"role": message["role"], "content": "".join(texts)}


def _options(request: Mapping[str, Any], honoured: frozenset[str]) -> dict[str, Any]:
    for name, fits in _IDLE.items():
        if name in request and not fits(request[name]):
            raise HttpError(422, "option-not-offered", at=Place(field=name), option=name)
    found: dict[str, Any] = {}
    for given in (*OPTIONS, *_ALIASES):
        if given not in request:
            continue
        name = _ALIASES.get(given, given)
        words, fits = OPTIONS[name]
        if not fits(request[given]):
            raise HttpError(422, "option-value", at=Place(field=given), expected=words)
        if name not in honoured:
            raise HttpError(422, "option-not-offered", at=Place(field=given), option=given)
        found[name] = request[given]
    if isinstance(found.get("stop"), str):
        found["stop"] = [found["stop"]]
    return found


def _stream_options(request: Mapping[str, Any]) -> bool | None:
    """None: no stream; else whether its end tells the usage."""
    for name in ("stream", "stream_options"):
        if name in request and not isinstance(request[name], bool if name == "stream" else dict):
            raise wrong_field(name, "expects-boolean" if name == "stream" else "expects-object")
    options = request.get("stream_options", {})
    if set(options) - {"include_usage"} or not isinstance(options.get("include_usage", False), bool):
        raise wrong_field("stream_options.include_usage", "expects-boolean")
    if not request.get("stream", False):
        if options:
            raise HttpError(422, "option-not-offered", at=Place(field="stream_options"), option="stream_options")
        return None
    return bool(options.get("include_usage", False))


def tokens(quantities: Mapping[str, int]) -> dict[str, int]:
    """OpenAI's usage, from the meters that the ledger's row holds."""
    asked, given = quantities.get("input_tokens", 0), quantities.get("output_tokens", 0)
    return {"prompt_tokens": asked, "completion_tokens": given, "total_tokens": asked + given}


def _paid(deployment: Deployment, quantities: Mapping[str, int]) -> dict[str, Any]:
    price = deployment.plan.price(quantities)
    return {} if price is None else {"price": price, "currency": deployment.plan.currency}


def _head(deployment: Deployment, charge: str, kind: str) -> dict[str, Any]:
    return {"id": charge, "object": kind, "created": int(time.time()), "model": deployment.name}


def _completion(kind: str) -> routes.Shape:
    def shape(deployment: Deployment, charge: str, outputs: list[Any], quantities: Mapping[str, int]) -> dict[str, Any]:
        choices: list[dict[str, Any]] = []
        for index, output in enumerate(outputs):
            reply = deployment.package.task.reply(output)
            said: dict[str, Any] = {"text": reply.text}
            if kind == "chat":
                said = {"message": {"role": "assistant", "content": reply.text, "refusal": None}}
            choices.append({"index": index, **said, "logprobs": None, "finish_reason": reply.finish})
        head = _head(deployment, charge, "chat.completion" if kind == "chat" else "text_completion")
        return {**head, "choices": choices, "usage": tokens(quantities), **_paid(deployment, quantities)}

    return shape


class Chunks:
    """A stream's events as OpenAI's clients read them; `usage`: one more at the end tells what was charged."""

    def __init__(self, deployment: Deployment, kind: str, *, usage: bool) -> None:
        self._deployment = deployment
        self._kind = kind
        self._usage = usage
        self._begun = False

    def _chunk(self, charge: str, text: str | None, finish: str | None) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "text": text or ""}
        if self._kind == "chat":
            delta = {} if text is None else {"content": text}
            choice = {"index": 0, "delta": delta if self._begun else {"role": "assistant", **delta}}
        self._begun = True
        head = _head(self._deployment, charge, "chat.completion.chunk" if self._kind == "chat" else "text_completion")
        more = {"usage": None} if self._usage else {}
        return {**head, "choices": [{**choice, "logprobs": None, "finish_reason": finish}], **more}

    def part(self, charge: str, part: Any) -> dict[str, Any]:
        """See streaming.Events."""
        return self._chunk(charge, self._deployment.package.task.reply([part]).text, None)

    def end(self, charge: str, sent: list[Any], quantities: Mapping[str, int]) -> list[dict[str, Any]]:
        """See streaming.Events."""
        last = self._chunk(charge, None, self._deployment.package.task.reply(sent).finish)
        if not self._usage:
            return [last]
        paid = {"usage": tokens(quantities), **_paid(self._deployment, quantities)}
        return [last, {**last, "choices": [], **paid}]


async def embeddings(service: Service, exchange: Exchange) -> Response:
    """POST /v1/embeddings."""
    key, rates, body = await routes.taken(service, exchange)
    request = await routes.parsed(body, lambda: _read(body, "embedding"))
    with service.deployment(routes.named_model(request), key) as deployment:
        routes.check_size(deployment, len(body))
        if not getattr(deployment.package.task, "embeds", False):
            raise HttpError(404, "embedding-not-offered", model=deployment.name, task=deployment.package.task.name)
        given = request.get("input")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise wrong_field("input", "expects-texts")
        form = request.get("encoding_format", "float")
        if form not in ("float", "base64"):
            raise wrong_field("encoding_format", "expects-one-of", expected=["float", "base64"])
        if not isinstance(request.get("user", ""), str):
            raise wrong_field("user", "expects-text")
        inputs = _inputs(deployment, texts, "input")
        return await routes.charged(
            service, deployment, exchange, key, inputs, body=body, rates=rates, shape=_vectors(packed=form == "base64")
        )


def _vectors(*, packed: bool) -> routes.Shape:
    def shape(deployment: Deployment, charge: str, outputs: list[Any], quantities: Mapping[str, int]) -> dict[str, Any]:
        vectors = [deployment.package.task.vector(output) for output in outputs]
        data = [
            {"object": "embedding", "index": index, "embedding": _packed(vector) if packed else vector}
            for index, vector in enumerate(vectors)
        ]
        asked = quantities.get("input_tokens", 0)
        usage = {"prompt_tokens": asked, "total_tokens": asked}
        body = {"id": charge, "object": "list", "data": data, "model": deployment.name, "usage": usage}
        return {**body, **_paid(deployment, quantities)}

    return shape


def _packed(vector: Sequence[float]) -> str:
    """32-bit floats, little-endian, in base64."""
    values = array("f", vector)
    if sys.byteorder == "big":
        values.byteswap()
    return base64.b64encode(values.tobytes()).decode()
