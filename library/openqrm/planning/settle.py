"""What follows when a round of a plan was carried out: commit, take back, go on elsewhere, or give up."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from openqrm.datacenter import Datacenter
from openqrm.errors import ApplyError
from openqrm.model import Operation, Plan
from openqrm.planning import rounds, verbs
from openqrm.planning.context import Context
from openqrm.planning.operations import Step, group
from openqrm.planning.rounds import ALL, SETTLED
from openqrm.planning.segments import Prepared, segments_of
from openqrm.planning.verbs import Trouble, Verb

# Appliances, or nothing for plans that are about other things: those succeed or fail as a whole.
Names = Collection[str] | None
CANCELLED = "Cancelled by"
# The states of plans that are over as was wanted.
GOOD = ("done", "cancelled")
RETURNED = "The move was taken back: the appliance runs on its old resource again."


def settle(center: Datacenter, plan_id: int, number: int, actor: str) -> Prepared:
    """Ends the plan's round of this number: its outcome is committed, or the next round is drawn and returned.

    Appliances that failed do not hold up the others. No segments: the plan is over. A round that was settled before is
    not settled again.
    """
    with center.store.write(actor, f"plan {plan_id}") as tx:
        tx.lock("assign")
        plan = tx.plan(plan_id)
        if plan.state != "applying":
            return Prepared(plan_id)
        if (now := rounds.current(plan)) == number:
            settlement = _Settlement(Context(tx, center.config, center.types), verbs.get(plan.verb), plan)
            settlement.run()
            plan = tx.plan(plan_id)
            now = rounds.current(plan)
        left = segments_of(rounds.of_round(plan, now)) if now != number else []
        return Prepared(plan_id, left, number=now)


def outcome(center: Datacenter, plan_id: int) -> None:
    """Returns if the plan succeeded. Raises: ApplyError with what failed, and whether it was undone completely."""
    with center.store.read() as tx:
        plan = tx.plan(plan_id)
    if plan.state in GOOD:
        return
    see = f"See `openqrm operation show {plan_id}`."
    if plan.state == "applying":
        raise ApplyError(f"Plan {plan_id} is not over: {plan.message}", remedy=f"{see} Run the same command again.")
    if plan.state == "failed":
        remedy = f"{see} `openqrm operation resume {plan_id}` goes on; so does the same command."
        raise ApplyError(plan.message, remedy=remedy)
    raise ApplyError(plan.message, remedy=see)


class _Settlement:
    """One call of `settle`. `operations`: those of the next round."""

    def __init__(self, context: Context, change: Verb, plan: Plan) -> None:
        self._context = context
        self._change = change
        self._plan = plan
        self._round = rounds.current(plan)
        self.operations: tuple[Operation, ...] = ()

    def run(self) -> None:
        """Decides."""
        if rounds.takes_back(self._round):
            self._taken_back()
        else:
            self._gone_forward()

    def _gone_forward(self) -> None:
        trouble = self._trouble(self._round)
        good, bad = self._split(trouble)
        if good is None or good:
            part = rounds.part(self._plan, good)
            self._change.commit(self._context, part)
            back = any(row.get("back") for row in part.objects)
            self._note(good, ok=not back, why=f"{self._plan.message} {RETURNED}" if back else "")
        if bad is None or bad:
            self._note_message(trouble)
            undo = self._change.undo
            if undo is None:
                self._give_up(bad, trouble, trouble)
            elif not self._draw(undo(self._context, rounds.part(self._plan, bad), trouble), self._round + 1):
                self._give_up(bad, trouble, {})
        self._end()

    def _taken_back(self) -> None:
        trouble = self._trouble(self._last_forward())
        left = self._left()
        bad = self._open()
        onward = self._change.again(self._context, rounds.part(self._plan, bad), trouble, left)
        if onward and onward.drawing.steps:
            self._context.tx.add_objects(self._plan.id, onward.drawing.objects)
            self._draw(onward.drawing.steps, self._round + (1 if onward.forward else 2))
        else:
            self._give_up(bad, trouble, left)
        self._end()

    def _trouble(self, number: int) -> Trouble:
        """What failed in a round; everything where the plan was cancelled, but for the return of a move."""
        if self._plan.message.startswith(CANCELLED) and not any(row.get("back") for row in self._plan.objects):
            return {ALL: self._plan.message}
        return rounds.trouble(self._plan, number)

    def _split(self, trouble: Trouble) -> tuple[Names, Names]:
        """The appliances that succeeded and those that did not; None: the plan as a whole."""
        names = self._open()
        if names is None:
            return ((), None) if trouble else (None, ())
        failed = {member.partition("/")[0] for member in trouble}
        bad = [name for name in names if ALL in trouble or name in failed]
        return [name for name in names if name not in bad], bad

    def _open(self) -> list[str] | None:
        """The appliances that are not done with; None where the plan is not about appliances."""
        if self._change.kind != "appliance":
            return None
        done = rounds.settled(self._plan)
        return [name for name in rounds.names(self._plan, "appliance") if name not in done]

    def _last_forward(self) -> int:
        return max(rounds.round_of(o) for o in self._plan.operations if not rounds.takes_back(rounds.round_of(o)))

    def _left(self) -> dict[str, str]:
        """What could not be taken back. A machine that cannot be switched off is harmless once its grant is revoked."""
        found = rounds.trouble(self._plan, self._round)
        operations = rounds.of_round(self._plan, self._round)
        revoked = {
            rounds.member_of(item) for o in operations if o.verb == "revoke" and o.state == "done" for item in o.items
        }
        failed = {
            rounds.member_of(item) for o in operations if o.verb != "off" and o.state != "done" for item in o.items
        }
        return {member: why for member, why in found.items() if member not in revoked or member in failed}

    def _draw(self, steps: Sequence[Step], number: int) -> bool:
        """Adds the operations of the next round. Returns whether there are any."""
        if not steps:
            return False
        first = max((operation.seq for operation in self._plan.operations), default=0) + 1
        self.operations = group(steps, first_seq=first, first_phase=number * rounds.ROUND + 1)
        self._context.tx.add_operations(self._plan.id, self.operations)
        return True

    def _give_up(self, names: Names, trouble: Trouble, left: Trouble) -> None:
        self._change.close(self._context, rounds.part(self._plan, names), not left)
        self._note_message(trouble)
        first = next(iter(left.values()), "")
        why = f"{rounds.joined(_texts(trouble)).rstrip('. ')}. "
        taken_back = left and self._change.undo is not None
        why += f"Undoing it failed too: {first}" if taken_back else self._change.undone
        self._note(names, ok=False, why=why, left=bool(left))

    def _note_message(self, trouble: Trouble) -> None:
        if not self._plan.message:
            self._context.tx.set_plan(self._plan.id, "applying", message=rounds.joined(_texts(trouble)))

    def _note(self, names: Names, *, ok: bool, why: str = "", left: bool = False) -> None:
        row = {"kind": SETTLED, "ok": ok, "why": why, "left": left}
        rows: list[Mapping[str, object]] = [{**row, "name": name} for name in ([ALL] if names is None else names)]
        self._context.tx.add_objects(self._plan.id, rows)
        self._plan = self._context.tx.plan(self._plan.id)

    def _end(self) -> None:
        """Ends the plan where nothing is open any more."""
        rows = list(rounds.settled(self._plan).values())
        if self.operations or (self._open() if self._change.kind == "appliance" else not rows):
            return
        bad = [row for row in rows if not row["ok"]]
        cancelled = self._plan.message.startswith(CANCELLED)
        undone = "cancelled" if cancelled else "undone"
        state = "failed" if any(row.get("left") for row in bad) else undone if bad else "done"
        message = rounds.joined(list(dict.fromkeys(str(row["why"]) for row in bad if row["why"])))
        self._context.tx.set_plan(self._plan.id, state, message=message or (self._plan.message if bad else ""))
        if bad and state != "cancelled":
            data = {"plan": self._plan.id, "resume": f"openqrm operation resume {self._plan.id}"}
            text = message or self._plan.message
            self._context.tx.add_event("error", text, kind="plan", name=str(self._plan.id), data=data)


def _texts(trouble: Trouble) -> list[str]:
    return list(dict.fromkeys(trouble.values()))


def undo_now(context: Context, change: Verb, plan: Plan) -> bool:
    """Withdraws a plan of which nothing was begun. Returns whether that could be."""
    if any(operation.attempts for operation in plan.operations):
        return False
    return change.withdraw(context, rounds.part(plan, rounds.names(plan, "appliance") or None))
