"""What operators may send and what they get, with examples for the description."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(min_length=1, max_length=63, examples=["web01"])]
Boot = Literal["auto", "in_place", "reset"]


class Body(BaseModel):
    """Base of all bodies: frozen; unknown fields are refused, so that a misspelt one does not pass silently."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StartBody(Body):
    """How to start: `boot` as `openqrm appliance start --boot`, `to` the resource to take; `check`: only the plan."""

    boot: Boot = "auto"
    to: Annotated[str, Field(max_length=63, examples=["node-52-54-00-12-34-56"])] = ""
    check: bool = False


class StopBody(Body):
    """How to stop: `force` resets the machine instead of asking its system; `check`: only the plan."""

    force: bool = False
    check: bool = False


class RestartBody(Body):
    """How to restart; `check`: only the plan of the stop."""

    boot: Boot = "auto"
    check: bool = False


class NamesBody(Body):
    """The objects to act on; `check`: only the plan."""

    names: Annotated[list[Name], Field(min_length=1, max_length=10_000)]
    check: bool = False


class TokenBody(Body):
    """A token to create; without `expires_in_days` it does not expire."""

    name: Name
    role: Literal["viewer", "operator", "admin"]
    expires_in_days: Annotated[int, Field(strict=True, ge=1, le=36_500)] | None = None


class Job(BaseModel):
    """A change that was planned. `plan`: its number, under which its progress is read; 0: there is nothing to do.

    `lines`: the plan in words; `unchanged`: object -> why nothing is done; `check`: the plan was not applied.
    """

    plan: int = Field(examples=[17])
    lines: list[str] = Field(examples=[["plan start", "  web01/0 on node01 (epoch 3): 2 of 1 cores"]])
    unchanged: dict[str, str] = Field(examples=[{}])
    check: bool


class Changed(BaseModel):
    """What a change of objects did."""

    changed: bool
    objects: list[dict[str, Any]] = Field(examples=[[{"name": "web01", "image": "nginx", "changed": True}]])


class Created(BaseModel):
    """A new token; it is shown this once."""

    name: str = Field(examples=["ci"])
    role: str = Field(examples=["viewer"])
    token: str = Field(examples=["oqt_..."])


class Page(BaseModel):
    """Objects, sorted by name; `next`: the `after` of the next page, empty on the last."""

    items: list[dict[str, Any]] = Field(examples=[[{"name": "web01", "state": "active"}]])
    next: str = Field(examples=[""])


class ListOf(BaseModel):
    """Rows of a journal."""

    items: list[dict[str, Any]] = Field(examples=[[{"id": 17, "verb": "start", "state": "applying"}]])
