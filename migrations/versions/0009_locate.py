"""Create the list of photos that workers locate, and their answers.

Revision 0009, after 0008.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_moment = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "locate_run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("token", sa.Uuid(), nullable=False),
        sa.Column("encoder", sa.Text(), nullable=False),
        sa.Column("lmm", postgresql.JSONB(), nullable=True),
        sa.Column("touched_at", _moment, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_locate_run")),
        sa.UniqueConstraint("token", name=op.f("uq_locate_run_token")),
    )
    op.create_table(
        "locate",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("claims", postgresql.JSONB(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("registered_at", _moment, server_default=sa.text("now()"), nullable=False),
        sa.Column("claimed_at", _moment, nullable=True),
        sa.Column("finished_at", _moment, nullable=True),
        sa.Column("leased_by", sa.Text(), nullable=True),
        sa.Column("leased_until", _moment, nullable=True),
        sa.Column("answer", postgresql.JSONB(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"], ["locate_run.id"], name=op.f("fk_locate_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_locate")),
        sa.UniqueConstraint("run_id", "uri", name=op.f("uq_locate_run_id_uri")),
        sa.CheckConstraint(
            "(answer IS NULL) = (finished_at IS NULL)", name=op.f("ck_locate_answered_is_finished")
        ),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_locate_attempts_not_negative")),
        sa.CheckConstraint(
            "(leased_by IS NULL) = (leased_until IS NULL)", name=op.f("ck_locate_lease_has_owner")
        ),
    )
    op.create_index(
        "ix_locate_waiting",
        "locate",
        ["run_id", "id"],
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index("ix_locate_run_id", "locate", ["run_id", "id"])


def downgrade() -> None:
    op.drop_table("locate")
    op.drop_table("locate_run")
