"""Sessions with a stateful policy: the state goes out with each answer and comes back with the next observation.

Nothing of it is kept here. A state belongs to the release that made it: who sends it back names that one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from breakeven.errors import Place
from breakeven.ledger.events import Charge, new_id
from breakeven.serving import routes
from breakeven.serving.exchange import Exchange, read_object
from breakeven.serving.promises import check_once
from breakeven.serving.wire import HttpError, Response, json_response, wrong_field

if TYPE_CHECKING:
    from breakeven.ledger.keys import Key
    from breakeven.serving.app import Service
    from breakeven.serving.deployment import Deployment

_START = frozenset({"model", "seed"})
_STEP = frozenset({"model", "observation", "state"})


async def start(service: Service, exchange: Exchange) -> Response:
    """POST /v1/session/start {"seed", "model"?}: the first state of a stateful policy. Nothing is charged."""
    key = await service.access.key(exchange, "predict")
    rates = service.access.rate(key)
    body = await exchange.body(service.limits.max_bytes)
    request = read_object(body, _START, '{"seed": 1}')
    seed = request.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 1 << 63:
        raise wrong_field("seed", "expects-index")
    with service.deployment(routes.named_model(request), key) as deployment:
        routes.check_size(deployment, len(body))
        policy = _policy(deployment)
        state = await deployment.on_worker(lambda: policy.start(seed), lane=key.id)
        return json_response(200, {"id": new_id(), "model": deployment.name, "state": state}, rates)


async def step(service: Service, exchange: Exchange) -> Response:
    """POST /v1/session/step {"state", "observation", "model"?}: state in, state out; charged as one answer.

    A state belongs to the release that made it: who sends it back names that one.
    """
    key = await service.access.key(exchange, "predict")
    rates = service.access.rate(key)
    routes.check_open(service)
    check_once(exchange)
    body = await exchange.body(service.limits.max_bytes)
    request = read_object(body, _STEP, '{"state": ..., "observation": ...}')
    for name in ("state", "observation"):
        if name not in request:
            raise wrong_field(name, "expects-last")
    with service.deployment(routes.named_model(request), key) as deployment:
        routes.check_size(deployment, len(body))
        return await _stepped(service, deployment, key, request, rates)


async def _stepped(
    service: Service, deployment: Deployment, key: Key, request: Mapping[str, Any], rates: Mapping[str, str]
) -> Response:
    policy = _policy(deployment)
    item = deployment.package.parse(request["observation"])
    admission = await routes.admit(service, deployment, key, {"answers": 1})
    try:
        try:
            state, output = await deployment.on_worker(lambda: policy.step(request["state"], item), lane=key.id)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise HttpError(422, "session-state", at=Place(field="state")) from error
        quantities = deployment.package.usage([item], [output])
        charge = Charge(key.customer, quantities, source=service.source, key=key.id, release=deployment.name,
                        plan=deployment.plan.version)  # fmt: skip
        body = routes.answer_body(deployment, charge.id, [output], quantities) | {"state": state}
        response = json_response(200, body, rates)
    except BaseException:
        service.ledger.release(admission)
        raise
    await service.commit(admission, charge)
    service.answered(deployment, charge)
    if service.inputs is not None:  # the observation and the answer; the state stays the customer's
        service.inputs.offer(charge, deployment.package.task, [item], [output])
    return response


def _policy(deployment: Deployment) -> Any:
    policy = deployment.package.session() if hasattr(deployment.package, "session") else None
    if policy is None:
        raise HttpError(422, "session-not-offered")
    return policy
