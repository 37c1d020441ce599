"""Tokens of operators that expire."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; the tokens that are there do not expire."""
    op.add_column("api_tokens", sa.Column("expires", sa.DateTime(timezone=True), nullable=True))
