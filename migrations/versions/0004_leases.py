"""Lease rows of the intake to workers, note what became of each, and when a run is registered.

Revision 0004, after 0006.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0006"
branch_labels = None
depends_on = None

_moment = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.add_column("intake", sa.Column("leased_by", sa.Text(), nullable=True))
    op.add_column("intake", sa.Column("leased_until", _moment, nullable=True))
    op.add_column("intake", sa.Column("outcome", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("ck_intake_lease_has_owner"),
        "intake",
        "(leased_by IS NULL) = (leased_until IS NULL)",
    )
    op.create_index(
        "ix_intake_suspect",
        "intake",
        ["id"],
        postgresql_where=sa.text("finished_at IS NULL AND attempts > 0"),
    )
    op.add_column("ingest_run", sa.Column("registered_at", _moment, nullable=True))


def downgrade() -> None:
    op.drop_column("ingest_run", "registered_at")
    op.drop_index("ix_intake_suspect", "intake")
    op.drop_constraint(op.f("ck_intake_lease_has_owner"), "intake", type_="check")
    for name in ("outcome", "leased_until", "leased_by"):
        op.drop_column("intake", name)
