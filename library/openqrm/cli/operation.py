"""`openqrm operation`: plans, what they do and how far they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openqrm.cli.framework import Group, changes_something
from openqrm.cli.output import print_details, print_json, print_table
from openqrm.cli.parameters import list_option, yes_option
from openqrm.cli.session import Session, with_session
from openqrm.planning import rounds

if TYPE_CHECKING:
    from openqrm.model import Plan

STATES = ("planned", "applying", "done", "failed", "undone", "cancelled")


@click.group(cls=Group)
def operation() -> None:
    """Plans: what runs, ran or failed, step by step."""


@operation.command("list")
@list_option("--state", "states", type=click.Choice(STATES), help="Only in this state.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="The newest so many.")
@with_session
def list_(session: Session, states: list[str] | None, limit: int) -> None:
    """List plans, the newest first."""
    with session.read() as reader:
        found = reader.plans(states, limit)
    if session.json:
        print_json(found)
        return
    rows = [
        (
            plan.id,
            plan.verb,
            plan.state,
            _subjects(plan),
            f"{sum(step.state == 'done' for step in plan.operations)}/{len(plan.operations)}",
            plan.created,
            plan.message,
        )
        for plan in found
    ]
    print_table(("ID", "VERB", "STATE", "OBJECTS", "STEPS", "AGE", "MESSAGE"), rows, "No plans.")


def _subjects(plan: Plan) -> list[str]:
    """The names of what the plan is about; machines only where they are that themselves."""
    rows = [item for item in plan.objects if item.get("kind") not in ("member", *rounds.NOTES)]
    main = [item for item in rows if item.get("kind") != "resource"] or rows
    return list(dict.fromkeys(str(item.get("name")) for item in main))


@operation.command()
@click.argument("plan_id", metavar="ID", type=click.IntRange(1))
@with_session
def show(session: Session, plan_id: int) -> None:
    """Show a plan with its steps: where each ran, and how it went."""
    with session.read() as reader:
        plan = reader.plan(plan_id)
    if session.json:
        print_json(plan)
        return
    print_details(
        [
            ("ID", plan.id),
            ("Verb", plan.verb),
            ("State", plan.state),
            ("Age", plan.created),
            ("Owner", plan.owner),
            ("Message", plan.message),
            (
                "Members",
                [
                    f"{item['name']}[{item.get('member')}] on {item.get('resource')}"
                    for item in plan.objects
                    if item.get("kind") == "member"
                ],
            ),
        ]
    )
    click.echo()
    rows = [
        (
            step.phase,
            step.host,
            step.role.rsplit(".", 1)[-1],
            step.verb,
            ", ".join(str(item.get("name") or item.get("volume") or item.get("resource") or "") for item in step.items),
            step.state,
            step.message,
        )
        for step in plan.operations
    ]
    print_table(("PHASE", "HOST", "ROLE", "VERB", "ITEMS", "STATE", "MESSAGE"), rows, "No steps.")


@operation.command()
@click.argument("plan_id", metavar="ID", type=click.IntRange(1))
@changes_something
@with_session
def resume(session: Session, plan_id: int) -> None:
    """Go on with a plan that failed, or whose controller died."""
    with session.read() as reader:
        reader.plan(plan_id)
    session.change("operation_resume", {"operation": plan_id}, f"plan {plan_id} is done", plan=plan_id)


@operation.command()
@click.argument("plan_id", metavar="ID", type=click.IntRange(1))
@click.option("--force", is_flag=True, help="Also if its controller was on another host, and is known to be gone.")
@yes_option
@changes_something
@with_session
def cancel(session: Session, plan_id: int, force: bool, yes: bool) -> None:
    """Take back a plan that was interrupted."""
    with session.read() as reader:
        plan = reader.plan(plan_id)
    session.confirm(f"Take back plan {plan_id} ({plan.verb})?", yes=yes)
    variables = {"operation": plan_id, **({"force": True} if force else {})}
    session.change("operation_cancel", variables, f"cancelled plan {plan_id}", plan=plan_id)
