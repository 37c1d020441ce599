"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates all tables."""
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("before", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("after", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_kind_name_id", "audit", ["kind", "name", "id"], unique=False)
    op.create_table(
        "epochs",
        sa.Column("appliance", sa.String(), nullable=False),
        sa.Column("member", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("appliance", "member", name=op.f("pk_epochs")),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(none_as_null=True), nullable=False),
        sa.CheckConstraint("\"severity\" IN ('info', 'warning', 'error')", name=op.f("ck_events_severity")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_kind_name_id", "events", ["kind", "name", "id"], unique=False)
    op.create_index("ix_events_severity_id", "events", ["severity", "id"], unique=False)
    op.create_table(
        "kernels",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("arch", sa.String(), nullable=False),
        sa.Column("vmlinuz", sa.String(), nullable=False),
        sa.Column("initramfs", sa.String(), nullable=False),
        sa.Column("modules", sa.String(), nullable=False),
        sa.Column("sizes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("parameters", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kernels")),
        sa.UniqueConstraint("name", name=op.f("uq_kernels_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "plans",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("verb", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("basis", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.CheckConstraint(
            "\"state\" IN ('planned', 'applying', 'done', 'failed', 'undone', 'cancelled')", name=op.f("ck_plans_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plans")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_plans_state"), "plans", ["state"], unique=False)
    op.create_table(
        "plugins",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("fields", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_plugins")),
    )
    op.create_table(
        "resources",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("arch", sa.String(), nullable=False),
        sa.Column("cores", sa.BigInteger(), nullable=False),
        sa.Column("memory_mib", sa.BigInteger(), nullable=False),
        sa.Column("disk_mib", sa.BigInteger(), nullable=False),
        sa.Column("nic_count", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("power_driver", sa.String(), nullable=False),
        sa.Column("power", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("firmware", sa.String(), nullable=False),
        sa.Column("hardware", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("monitored", sa.Boolean(), nullable=False),
        sa.Column("boot_id", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("kernel", sa.String(), nullable=False),
        sa.Column("manifest", sa.String(), nullable=False),
        sa.Column("reported_epoch", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("parameters", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("token_sha256", sa.String(), nullable=True),
        sa.CheckConstraint(
            "\"state\" IN ('new', 'idle', 'reserved', 'starting', 'active', 'stopping', 'error', 'off', 'unknown', 'quarantined')",  # noqa: E501
            name=op.f("ck_resources_state"),
        ),
        sa.CheckConstraint(
            "cores >= 0 AND memory_mib >= 0 AND disk_mib >= 0 AND nic_count >= 0", name=op.f("ck_resources_sizes")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resources")),
        sa.UniqueConstraint("name", name=op.f("uq_resources_name")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_resources_token_sha256")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_resources_choice",
        "resources",
        ["state", "type", "arch", "memory_mib", "cores", "disk_mib", "nic_count", "name"],
        unique=False,
    )
    op.create_table(
        "settings",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_settings")),
    )
    op.create_table(
        "storages",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("parameters", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_storages")),
        sa.UniqueConstraint("name", name=op.f("uq_storages_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "nics",
        sa.Column("mac", sa.String(), nullable=False),
        sa.Column("resource", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["resource"], ["resources.name"], name=op.f("fk_nics_resource"), onupdate="CASCADE", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("mac", name=op.f("pk_nics")),
    )
    op.create_index(op.f("ix_nics_resource"), "nics", ["resource"], unique=False)
    op.create_index(
        "uq_nics_storage_address",
        "nics",
        ["address"],
        unique=True,
        sqlite_where=sa.text("role = 'storage' AND address <> ''"),
        postgresql_where=sa.text("role = 'storage' AND address <> ''"),
    )
    op.create_table(
        "operations",
        sa.Column("plan", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("verb", sa.String(), nullable=False),
        sa.Column("variable", sa.String(), nullable=False),
        sa.Column("items", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("undo", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.CheckConstraint("\"state\" IN ('pending', 'done', 'failed', 'undone')", name=op.f("ck_operations_state")),
        sa.ForeignKeyConstraint(["plan"], ["plans.id"], name=op.f("fk_operations_plan"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("plan", "seq", name=op.f("pk_operations")),
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("resource", sa.String(), nullable=False),
        sa.Column("order", sa.String(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("manifest", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("\"order\" IN ('assign', 'release', 'reboot', 'poweroff')", name=op.f("ck_orders_order")),
        sa.CheckConstraint(
            "\"state\" IN ('pending', 'accepted', 'done', 'failed', 'superseded')", name=op.f("ck_orders_state")
        ),
        sa.ForeignKeyConstraint(
            ["resource"], ["resources.name"], name=op.f("fk_orders_resource"), onupdate="CASCADE", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_orders_resource"), "orders", ["resource"], unique=False)
    op.create_index(
        "uq_orders_pending",
        "orders",
        ["resource"],
        unique=True,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_table(
        "plan_objects",
        sa.Column("plan", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(["plan"], ["plans.id"], name=op.f("fk_plan_objects_plan"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("plan", "position", name=op.f("pk_plan_objects")),
    )
    op.create_index("ix_plan_objects_kind_name", "plan_objects", ["kind", "name"], unique=False)
    op.create_table(
        "resource_tags",
        sa.Column("resource", sa.String(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["resource"],
            ["resources.name"],
            name=op.f("fk_resource_tags_resource"),
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("resource", "tag", name=op.f("pk_resource_tags")),
    )
    op.create_index("ix_resource_tags_tag_resource", "resource_tags", ["tag", "resource"], unique=False)
    op.create_table(
        "volumes",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("storage", sa.String(), nullable=False),
        sa.Column("size_mib", sa.BigInteger(), nullable=False),
        sa.Column("parent", sa.String(), nullable=False),
        sa.Column("parameters", sa.JSON(none_as_null=True), nullable=False),
        sa.CheckConstraint("size_mib >= 0", name=op.f("ck_volumes_sizes")),
        sa.ForeignKeyConstraint(["storage"], ["storages.name"], name=op.f("fk_volumes_storage"), onupdate="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volumes")),
        sa.UniqueConstraint("storage", "name", name=op.f("uq_volumes_storage_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "images",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("storage", sa.String(), nullable=False),
        sa.Column("volume", sa.String(), nullable=False),
        sa.Column("deployment", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("parent", sa.String(), nullable=False),
        sa.Column("parameters", sa.JSON(none_as_null=True), nullable=False),
        sa.CheckConstraint("\"kind\" IN ('golden', 'clone', 'private')", name=op.f("ck_images_kind")),
        sa.ForeignKeyConstraint(
            ["storage", "volume"],
            ["volumes.storage", "volumes.name"],
            name=op.f("fk_images_storage_volume"),
            onupdate="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_images")),
        sa.UniqueConstraint("name", "shared", name=op.f("uq_images_name_shared")),
        sa.UniqueConstraint("name", name=op.f("uq_images_name")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_images_storage_volume", "images", ["storage", "volume"], unique=False)
    op.create_table(
        "appliances",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kernel", sa.String(), nullable=False),
        sa.Column("image", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("requirements", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("members", sa.BigInteger(), nullable=False),
        sa.Column("clone", sa.Boolean(), nullable=False),
        sa.Column("root_mode", sa.String(), nullable=False),
        sa.Column("sla", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("parameters", sa.JSON(none_as_null=True), nullable=False),
        sa.CheckConstraint(
            "\"state\" IN ('stopped', 'starting', 'active', 'stopping', 'failed')", name=op.f("ck_appliances_state")
        ),
        sa.CheckConstraint("members >= 0", name=op.f("ck_appliances_sizes")),
        sa.ForeignKeyConstraint(["image"], ["images.name"], name=op.f("fk_appliances_image"), onupdate="CASCADE"),
        sa.ForeignKeyConstraint(["kernel"], ["kernels.name"], name=op.f("fk_appliances_kernel"), onupdate="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_appliances")),
        sa.UniqueConstraint("name", name=op.f("uq_appliances_name")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_appliances_image"), "appliances", ["image"], unique=False)
    op.create_index(op.f("ix_appliances_kernel"), "appliances", ["kernel"], unique=False)
    op.create_index(op.f("ix_appliances_state"), "appliances", ["state"], unique=False)
    op.create_table(
        "assignments",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("appliance", sa.String(), nullable=False),
        sa.Column("member", sa.Integer(), nullable=False),
        sa.Column("resource", sa.String(), nullable=False),
        sa.Column("image", sa.String(), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("plan", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["appliance"], ["appliances.name"], name=op.f("fk_assignments_appliance"), onupdate="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["image", "shared"],
            ["images.name", "images.shared"],
            name=op.f("fk_assignments_image_shared"),
            onupdate="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["resource"], ["resources.name"], name=op.f("fk_assignments_resource"), onupdate="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignments")),
        sa.UniqueConstraint("appliance", "member", name=op.f("uq_assignments_appliance_member")),
        sa.UniqueConstraint("resource", name=op.f("uq_assignments_resource")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_assignments_image", "assignments", ["image"], unique=False)
    op.create_index(
        "uq_assignments_exclusive_image",
        "assignments",
        ["image"],
        unique=True,
        sqlite_where=sa.text("NOT shared"),
        postgresql_where=sa.text("NOT shared"),
    )
