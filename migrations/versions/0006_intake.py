"""Create the intake: paths and URLs that are registered and wait to be read.

Revision 0006, after 0001.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0001"
branch_labels = None
depends_on = None

_moment = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "intake",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("claims", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("registered_at", _moment, server_default=sa.text("now()"), nullable=False),
        sa.Column("claimed_at", _moment, nullable=True),
        sa.Column("finished_at", _moment, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "error IS NULL OR finished_at IS NOT NULL",
            name=op.f("ck_intake_given_up_is_finished"),
        ),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_intake_attempts_not_negative")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["ingest_run.id"], name=op.f("fk_intake_run_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intake")),
        sa.UniqueConstraint("uri", name=op.f("uq_intake_uri")),
    )
    op.create_index(
        "ix_intake_waiting", "intake", ["id"], postgresql_where=sa.text("finished_at IS NULL")
    )
    op.create_index(
        "ix_intake_given_up", "intake", ["id"], postgresql_where=sa.text("error IS NOT NULL")
    )


def downgrade() -> None:
    op.drop_table("intake")
