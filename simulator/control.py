"""The control API: what tests and the demo ask and order, outside Graph.

GET  /truth[?mailbox=|drive=|hashes=0]   what the tenant really holds
POST /mutate {"actions": [{"action": …}]} changes, in order (mutate.py)
GET  /counters, POST /counters/reset      requests, offences, violations
GET  /faults, POST /faults, POST /faults/reset
     {"rules": [{"pattern", "letters", "loop"?}], "chances": {letter: p} | "hostile" | {},
      "slow_s"?}
GET  /settings, POST /settings            {"quirks": {…} | "hostile" | "calm", "limits": {…},
     "latency_s", "token_lifetime_s", "claims_challenges"}
"""

import json
from dataclasses import asdict, fields
from typing import Any

from simulator import mutate, quirks, truth
from simulator.tenant import Counters, Tenant
from simulator.web import Answer, GraphError, Json


def answer(
    tenant: Tenant, method: str, path: str, query: dict[str, str], body: bytes, allowed: bool
) -> Answer:
    """One control request."""
    if not allowed:
        return Answer(401, {"error": "control token missing or wrong"})
    try:
        given = json.loads(body) if body else {}
        return Answer(200, _answered(tenant, f"{method} {path.rstrip('/')}", query, given))
    except (mutate.Unknown, GraphError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Answer(400, {"error": f"{type(error).__name__}: {error}"})


def _answered(tenant: Tenant, operation: str, query: dict[str, str], given: Json) -> Json:
    match operation:
        case "GET /truth":
            return truth.whole(tenant, query)
        case "POST /mutate":
            return {"results": mutate.apply(tenant, given["actions"])}
        case "GET /counters":
            return counters_json(tenant)
        case "POST /counters/reset":
            tenant.counters = Counters()
            return {}
        case "GET /faults":
            return _faults_json(tenant)
        case "POST /faults":
            _set_faults(tenant, given)
            return _faults_json(tenant)
        case "POST /faults/reset":
            tenant.faults.calm()
            return {}
        case "GET /settings":
            return _settings_json(tenant)
        case "POST /settings":
            _set(tenant, given)
            return _settings_json(tenant)
    raise ValueError(f"no operation {operation}")


def counters_json(tenant: Tenant) -> Json:
    """The counters."""
    counters = tenant.counters
    found: Json = {field.name: getattr(counters, field.name) for field in fields(counters)}
    found["statuses"] = {str(status): n for status, n in counters.statuses.items()}
    return found | {"requests_total": sum(counters.requests.values())}


def _faults_json(tenant: Tenant) -> Json:
    faults = tenant.faults
    rules = [
        {"pattern": r.pattern, "letters": r.letters, "loop": r.loop, "used": r.used}
        for r in faults.rules
    ]
    return {"rules": rules, "chances": faults.chances, "slow_s": faults.slow_s}


def _set_faults(tenant: Tenant, given: Json) -> None:
    for rule in given.get("rules", []):
        tenant.faults.map(rule["pattern"], rule["letters"], loop=bool(rule.get("loop")))
    chances = given.get("chances")
    if chances == "hostile":
        tenant.faults.hostile()
    elif chances is not None:
        tenant.faults.chances = {str(k): float(v) for k, v in chances.items()}
    tenant.faults.slow_s = float(given.get("slow_s", tenant.faults.slow_s))


def _settings_json(tenant: Tenant) -> Json:
    return {
        "quirks": asdict(tenant.quirks),
        "limits": asdict(tenant.limits),
        "latency_s": tenant.latency_s,
        "token_lifetime_s": tenant.token_lifetime_s,
        "claims_challenges": tenant.claims_challenges,
        "now": tenant.clock.stamp(),
    }


def _set(tenant: Tenant, given: Json) -> None:
    chosen = given.get("quirks", {})
    if isinstance(chosen, str):
        tenant.quirks = {"hostile": quirks.hostile, "calm": quirks.calm}[chosen]()
    else:
        _change(tenant.quirks, chosen)
    _change(tenant.limits, given.get("limits", {}))
    for name in ("latency_s", "token_lifetime_s", "claims_challenges"):
        if name in given:
            setattr(tenant, name, given[name])


def _change(target: Any, values: Json) -> None:
    known = {field.name for field in fields(target)}
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"no setting {name}")
        setattr(target, name, value)
