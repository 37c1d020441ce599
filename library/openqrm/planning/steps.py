"""The steps that playbooks ask for, as requests and answers of plain values that JSON can carry.

A request has `step`, `actor`, and what the step needs; an answer has what the step returns, or `error` with the parts
of the library's error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from openqrm import fakenode, spaces, unused
from openqrm.datacenter import Datacenter
from openqrm.errors import OpenqrmError
from openqrm.grantsecrets import grant_secret
from openqrm.planning import changes, journal, settle, turns, verbs
from openqrm.planning.operations import NODE
from openqrm.store import Writer

Request = Mapping[str, Any]
Answer = dict[str, Any]
# How often a plan that waits for its turn on a storage server asks again.
TURN_POLL_S = 1


def answer(center: Datacenter, request: Request) -> Answer:
    """What the step returns; an error of the library becomes `error` with `kind`, `message`, `remedy`, `exit_code`.

    A step that the database broke off before anything of it was written is done again.
    """
    try:
        return center.store.again(lambda: STEPS[request["step"]](center, request))
    except OpenqrmError as error:
        return {"error": error.parts()}


def load() -> None:
    """Imports what steps need: called once by a process that answers many requests, or forks those that do."""
    verbs.known()


def _segments(segments: Sequence[Mapping[str, object]]) -> Answer:
    hosts = dict.fromkeys(host for segment in segments for host in _hosts(segment))
    return {"segments": list(segments), "hosts": list(hosts)}


def _hosts(segment: Mapping[str, object]) -> list[str]:
    hosts = segment["hosts"]
    return [str(host) for host in hosts] if isinstance(hosts, list) else []


def _report(plan: changes.Prepared) -> Answer:
    return {
        "plan": plan.plan,
        "round": plan.number,
        "lines": list(plan.lines),
        "unchanged": list(plan.unchanged.values()),
        **_segments(plan.segments),
    }


def _prepare(center: Datacenter, request: Request) -> Answer:
    owner, actor, check = request["owner"], request["actor"], request["check"]
    if request["plan"] is None:
        plan = changes.prepare(center, request["verb"], request["arguments"], owner=owner, actor=actor, check=check)
    else:
        plan = changes.adopt(center, request["plan"], owner=owner, actor=actor)
    return _report(plan)


def _resume(center: Datacenter, request: Request) -> Answer:
    owner, actor, check = request["owner"], request["actor"], request["check"]
    return _report(changes.resume(center, request["plan"], owner=owner, actor=actor, check=check))


def _cancel(center: Datacenter, request: Request) -> Answer:
    owner, actor, check = request["owner"], request["actor"], request["check"]
    return _report(
        changes.cancel(center, request["plan"], owner=owner, actor=actor, force=request["force"], check=check)
    )


def _begin(center: Datacenter, request: Request) -> Answer:
    """`count` `items` for the role's `variable`. The controller's own operations are done here, with a count of 0.

    Or what it `waits` for, and after how many seconds to ask `again`; `waited_s` of the request: since it first asked.
    """
    actor, plan, seq = request["actor"], request["plan"], request["seq"]
    with center.store.write(actor, f"plan {plan}") as tx:
        if waits := _turn(center, tx, plan, seq, request.get("waited_s", 0.0)):
            return waits
        operation, items = journal.begin(tx, plan, seq)
    if operation.role == NODE and items:
        return {"count": 0, "problem": journal.perform(center, plan, operation, items, actor)}
    role = operation.role.rsplit(".", 1)[-1]
    given = {"items": [dict(item) for item in items], "variable": operation.variable, "role": role}
    return {"count": len(items), "timeout_s": center.config.deadlines.operation_s, **given}


def _turn(center: Datacenter, tx: Writer, plan: int, seq: int, waited_s: float) -> Answer:
    """Empty once it is the operation's turn; it fails when it waited too long."""
    reason, storage = turns.take(tx, center.config, plan, seq)
    if not reason:
        return {}
    if waited_s >= center.config.deadlines.turn_s:
        problem = f"{reason}; its turn did not come in {waited_s:.0f} s (deadlines.turn_s)"
        tx.set_operation(plan, seq, "failed", message=problem)
        return {"count": 0, "problem": problem}
    if not waited_s:
        tx.add_event("info", f"Plan {plan} {reason}.", "storage", storage, {"plan": plan, "operation": seq})
    return {"count": 0, "waits": f"plan {plan} {reason}", "again": TURN_POLL_S}


def _end(center: Datacenter, request: Request) -> Answer:
    """The `verb`, and after how many seconds to try it `again`; 0: not again."""
    plan, seq, problem = request["plan"], request["seq"], request["problem"]
    with center.store.write(request["actor"], f"plan {plan}") as tx:
        verb, again = journal.end(tx, plan, seq, problem, result=request["result"], final=request["final"])
    return {"verb": verb, "again": center.config.deadlines.retry_s if again else 0}


def _settle(center: Datacenter, request: Request) -> Answer:
    plan = settle.settle(center, request["plan"], request["round"], request["actor"])
    with center.store.read() as tx:
        good = tx.plan(request["plan"]).state in settle.GOOD
    return {"round": plan.number, "good": good, **_segments(plan.segments)}


def _found(center: Datacenter, request: Request) -> Answer:
    """The hosts of a plan, and the storages as (host, location, name)."""
    with center.store.read() as tx:
        hosts = dict.fromkeys(operation.host for operation in tx.plan(request["plan"]).operations)
        storages = [[item.host, item.location, item.name] for item in tx.storages()]
    return {"hosts": list(hosts), "storages": storages}


def _close(center: Datacenter, request: Request) -> Answer:
    settle.outcome(center, request["plan"])
    return {}


def _spaces(center: Datacenter, request: Request) -> Answer:
    """Whom to ask how full their storages are (`openqrm.spaces`)."""
    return {"calls": spaces.calls(center, request["storages"])}


def _note_spaces(center: Datacenter, request: Request) -> Answer:
    return {"storages": spaces.record(center, request["asked"], request["actor"])}


def _unused(center: Datacenter, _request: Request) -> Answer:
    """Where to look for files that are not in use (`openqrm.unused`)."""
    return {"places": unused.places(center)}


def _grant_secrets(center: Datacenter, request: Request) -> Answer:
    """The secret of each grant of a list of (target, resource, epoch)."""
    return {"secrets": [grant_secret(center.config, *grant) for grant in request["grants"]]}


def _simulate(center: Datacenter, request: Request) -> Answer:
    """Simulated nodes report what switching them on or off made of them."""
    if request["verb"] == "off":
        fakenode.report_off(center.store, request["names"])
    else:
        fakenode.report_boot(center.store, center.config, request["names"])
    return {}


STEPS: Mapping[str, Callable[[Datacenter, Request], Answer]] = {
    "prepare": _prepare,
    "resume": _resume,
    "cancel": _cancel,
    "begin": _begin,
    "end": _end,
    "settle": _settle,
    "found": _found,
    "close": _close,
    "spaces": _spaces,
    "note_spaces": _note_spaces,
    "unused": _unused,
    "grant_secrets": _grant_secrets,
    "simulate": _simulate,
}
