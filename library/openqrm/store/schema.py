"""The tables of the store, and the rules that the database itself holds.

Objects refer to each other by name (`ON UPDATE CASCADE`), so reading one needs no join. A change here needs a revision
in `migrations/versions`; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ForeignKey, ForeignKeyConstraint, Index, Integer, String, Table

from openqrm.states import APPLIANCE_STATES, RESOURCE_STATES

# Oldest first; the last one is what this version of the library reads and writes.
REVISIONS = ("0001", "0002", "0003")

IMAGE_KINDS = ("golden", "clone", "private")
PLAN_STATES = ("planned", "applying", "done", "failed", "undone", "cancelled")
# The highest number of a row.
MAX_ID = 2**31 - 1
OPEN_PLAN_STATES = ("planned", "applying")
OPERATION_STATES = ("pending", "done", "failed", "undone")
ORDERS = ("assign", "release", "reboot", "poweroff")
ORDER_STATES = ("pending", "accepted", "done", "failed", "superseded")
SEVERITIES = ("info", "warning", "error")
# Among the objects of a plan: its turn on a host (openqrm.planning.turns).
TURN = "turn"
ROLES = ("viewer", "operator", "admin")

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Utc(sa.TypeDecorator[datetime]):
    """A point in time: aware in Python, UTC in the database (SQLite keeps no zone)."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """The value in UTC, as the database takes it. Raises: ValueError for a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"time {value} has no zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002 (the interface)
        """The value as an aware time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _id() -> Column[int]:
    """A number never given twice (with `sqlite_autoincrement`): an old value cannot name a new object."""
    return Column("id", Integer, primary_key=True, autoincrement=True)


def _text(name: str, **options: Any) -> Column[str]:
    return Column(name, String, nullable=False, **options)


def _number(name: str, **options: Any) -> Column[int]:
    return Column(name, sa.BigInteger, nullable=False, **options)


def _flag(name: str) -> Column[bool]:
    return Column(name, sa.Boolean(), nullable=False)


def _json(name: str) -> Column[Any]:
    return Column(name, sa.JSON(none_as_null=True), nullable=False)


def _time(name: str, *, nullable: bool = False) -> Column[datetime]:
    return Column(name, Utc, nullable=nullable)


def _refers(name: str, target: str, *, ondelete: str | None = None, **options: Any) -> Column[str]:
    return Column(name, String, ForeignKey(target, onupdate="CASCADE", ondelete=ondelete), nullable=False, **options)


def _one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    return CheckConstraint(f'"{column}" IN ({", ".join(repr(value) for value in values)})', name=column)


def _not_negative(*columns: str) -> CheckConstraint:
    return CheckConstraint(" AND ".join(f"{column} >= 0" for column in columns), name="sizes")


def _unique_where(name: str, condition: str, *columns: str) -> Index:
    where = sa.text(condition)
    return Index(name, *columns, unique=True, sqlite_where=where, postgresql_where=where)


resources = Table(
    "resources",
    metadata,
    _id(),
    _text("name", unique=True),
    _text("state"),
    _text("type"),
    _text("arch"),
    _number("cores"),
    _number("memory_mib"),
    _number("disk_mib"),
    _number("nic_count"),
    _text("address"),
    _text("power_driver"),
    _json("power"),
    _text("firmware"),
    _json("hardware"),
    _flag("monitored"),
    _text("boot_id"),
    _text("mode"),
    _text("stage"),
    _text("kernel"),
    _text("manifest"),
    _number("reported_epoch"),
    _time("last_seen", nullable=True),
    _time("deadline", nullable=True),
    _json("parameters"),
    Column("token_sha256", String, unique=True),
    _one_of("state", RESOURCE_STATES),
    _not_negative("cores", "memory_mib", "disk_mib", "nic_count"),
    # In the order of `Reader.candidates`: the best candidate is the first entry of its part of the index.
    Index("ix_resources_choice", "state", "type", "arch", "memory_mib", "cores", "disk_mib", "nic_count", "name"),
    sqlite_autoincrement=True,
)

nics = Table(
    "nics",
    metadata,
    _text("mac", primary_key=True),
    _refers("resource", "resources.name", ondelete="CASCADE", index=True),
    Column("position", Integer, nullable=False),
    _text("name"),
    _text("role"),
    _text("address"),
    _unique_where("uq_nics_storage_address", "role = 'storage' AND address <> ''", "address"),
)

resource_tags = Table(
    "resource_tags",
    metadata,
    _refers("resource", "resources.name", ondelete="CASCADE", primary_key=True),
    _text("tag", primary_key=True),
    Index("ix_resource_tags_tag_resource", "tag", "resource"),
)

kernels = Table(
    "kernels",
    metadata,
    _id(),
    _text("name", unique=True),
    _text("version"),
    _text("arch"),
    _text("vmlinuz"),
    _text("initramfs"),
    _text("modules"),
    _json("sizes"),
    _json("parameters"),
    sqlite_autoincrement=True,
)

storages = Table(
    "storages",
    metadata,
    _id(),
    _text("name", unique=True),
    _text("type"),
    _text("host"),
    _text("location"),
    _text("address"),
    _json("parameters"),
    sqlite_autoincrement=True,
)

volumes = Table(
    "volumes",
    metadata,
    _id(),
    _text("name"),
    _refers("storage", "storages.name"),
    _number("size_mib"),
    _text("parent"),
    _json("parameters"),
    sa.UniqueConstraint("storage", "name"),
    _not_negative("size_mib"),
    sqlite_autoincrement=True,
)

images = Table(
    "images",
    metadata,
    _id(),
    _text("name", unique=True),
    _text("storage"),
    _text("volume"),
    _text("deployment"),
    _text("kind"),
    _flag("shared"),
    _text("parent"),
    _json("parameters"),
    ForeignKeyConstraint(["storage", "volume"], ["volumes.storage", "volumes.name"], onupdate="CASCADE"),
    sa.UniqueConstraint("name", "shared"),
    _one_of("kind", IMAGE_KINDS),
    Index("ix_images_storage_volume", "storage", "volume"),
    sqlite_autoincrement=True,
)

appliances = Table(
    "appliances",
    metadata,
    _id(),
    _text("name", unique=True),
    _refers("kernel", "kernels.name", index=True),
    _refers("image", "images.name", index=True),
    _text("state", index=True),
    _json("requirements"),
    _number("members"),
    _flag("clone"),
    _text("root_mode"),
    _json("sla"),
    _time("deadline", nullable=True),
    _json("parameters"),
    _one_of("state", APPLIANCE_STATES),
    _not_negative("members"),
    sqlite_autoincrement=True,
)

# Current assignments only. `shared` follows the image's, so that the database holds an image that is not to one member.
assignments = Table(
    "assignments",
    metadata,
    _id(),
    _refers("appliance", "appliances.name"),
    Column("member", Integer, nullable=False),
    _refers("resource", "resources.name", unique=True),
    _text("image"),
    _flag("shared"),
    _number("epoch"),
    Column("plan", Integer, nullable=False),
    _time("since"),
    ForeignKeyConstraint(["image", "shared"], ["images.name", "images.shared"], onupdate="CASCADE"),
    sa.UniqueConstraint("appliance", "member"),
    Index("ix_assignments_image", "image"),
    _unique_where("uq_assignments_exclusive_image", "NOT shared", "image"),
    sqlite_autoincrement=True,
)

# The last epoch of each member. Outlives the appliance: one of the same name goes on counting.
epochs = Table(
    "epochs",
    metadata,
    _text("appliance", primary_key=True),
    Column("member", Integer, primary_key=True, autoincrement=False),
    _number("epoch"),
)

plans = Table(
    "plans",
    metadata,
    _id(),
    _text("verb"),
    _text("state", index=True),
    _text("basis"),
    _text("owner"),
    _time("created"),
    _text("message"),
    _one_of("state", PLAN_STATES),
    sqlite_autoincrement=True,
)

plan_objects = Table(
    "plan_objects",
    metadata,
    Column("plan", Integer, ForeignKey("plans.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    _text("kind"),
    _text("name"),
    _json("data"),
    Index("ix_plan_objects_kind_name", "kind", "name"),
)

operations = Table(
    "operations",
    metadata,
    Column("plan", Integer, ForeignKey("plans.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("phase", Integer, nullable=False),
    _text("host"),
    _text("role"),
    _text("verb"),
    _text("variable"),
    _json("items"),
    _text("undo"),
    _text("state"),
    _text("message"),
    Column("attempts", Integer, nullable=False),
    _one_of("state", OPERATION_STATES),
)

orders = Table(
    "orders",
    metadata,
    _id(),
    _refers("resource", "resources.name", ondelete="CASCADE", index=True),
    _text("order"),
    _number("epoch"),
    _text("manifest"),
    _text("state"),
    _text("message"),
    _time("created"),
    _one_of("order", ORDERS),
    _one_of("state", ORDER_STATES),
    _unique_where("uq_orders_pending", "state = 'pending'", "resource"),
    sqlite_autoincrement=True,
)

events = Table(
    "events",
    metadata,
    _id(),
    _time("time"),
    _text("severity"),
    _text("kind"),
    _text("name"),
    _text("message"),
    _json("data"),
    _one_of("severity", SEVERITIES),
    Index("ix_events_kind_name_id", "kind", "name", "id"),
    Index("ix_events_severity_id", "severity", "id"),
    sqlite_autoincrement=True,
)

audit = Table(
    "audit",
    metadata,
    _id(),
    _time("time"),
    _text("actor"),
    _text("reason"),
    _text("action"),
    _text("kind"),
    _text("name"),
    _json("before"),
    _json("after"),
    Index("ix_audit_kind_name_id", "kind", "name", "id"),
    sqlite_autoincrement=True,
)

settings = Table("settings", metadata, _text("key", primary_key=True), Column("value", sa.JSON(), nullable=False))

# What the node API knows a machine by, beside `resources.token_sha256`, its current token. `assignment`: what the token
# is bound to, 0 for none; `used`: when it was first used; `boot_expected`: the controller caused the next registration.
identities = Table(
    "identities",
    metadata,
    _refers("resource", "resources.name", ondelete="CASCADE", primary_key=True),
    _text("claim_sha256"),
    _number("assignment"),
    _time("issued"),
    _time("used", nullable=True),
    Column("previous_sha256", String, index=True),
    _flag("approved"),
    _flag("boot_expected"),
)

# Tokens of operators: digests only. `expires`: from when on the token is worth nothing; NULL: never.
api_tokens = Table(
    "api_tokens",
    metadata,
    _text("name", primary_key=True),
    _text("role"),
    _text("token_sha256", unique=True),
    _time("created"),
    _time("expires", nullable=True),
    _one_of("role", ROLES),
)

# SSH host keys that the product made. `subject`: `resource/NAME` or `appliance/NAME/MEMBER`; `sealed`: the private key,
# encrypted by the key in state_dir.
host_keys = Table("host_keys", metadata, _text("subject", primary_key=True), _text("public"), _text("sealed"))

plugins = Table("plugins", metadata, _text("name", primary_key=True), _json("fields"))
