"""How machines and operators prove who they are: identities of nodes, tokens of operators, SSH host keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables; machines that are known already count as approved and register again at their next boot."""
    op.create_table(
        "identities",
        sa.Column("resource", sa.String(), nullable=False),
        sa.Column("claim_sha256", sa.String(), nullable=False),
        sa.Column("assignment", sa.BigInteger(), nullable=False),
        sa.Column("issued", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used", sa.DateTime(timezone=True), nullable=True),
        sa.Column("previous_sha256", sa.String(), nullable=True),
        sa.Column("approved", sa.Boolean(), nullable=False),
        sa.Column("boot_expected", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["resource"],
            ["resources.name"],
            name=op.f("fk_identities_resource"),
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("resource", name=op.f("pk_identities")),
    )
    op.create_index("ix_identities_previous_sha256", "identities", ["previous_sha256"], unique=False)
    op.create_table(
        "api_tokens",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("\"role\" IN ('viewer', 'operator', 'admin')", name=op.f("ck_api_tokens_role")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_api_tokens_token_sha256")),
    )
    op.create_table(
        "host_keys",
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("public", sa.String(), nullable=False),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_host_keys")),
    )
