"""Create the ledger of model calls and the cache of their answers.

Revision 0003, after 0005.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0005"
branch_labels = None
depends_on = None

_moment = postgresql.TIMESTAMP(timezone=True)
_dollars = sa.Numeric(20, 12)


def upgrade() -> None:
    op.create_table(
        "lmm_call",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("answer_key", sa.String(length=64), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("deployment", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="reserved", nullable=False),
        sa.Column("most_usd", _dollars, nullable=True),
        sa.Column("cost_usd", _dollars, nullable=True),
        sa.Column("cost_source", sa.Text(), nullable=True),
        sa.Column("answered_by", sa.Text(), nullable=True),
        sa.Column("prompt_tokens", sa.Integer(), nullable=True),
        sa.Column("completion_tokens", sa.Integer(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", _moment, server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", _moment, nullable=False),
        sa.CheckConstraint(
            "state IN ('reserved', 'settled', 'failed', 'unknown')",
            name=op.f("ck_lmm_call_state_known"),
        ),
        sa.CheckConstraint(
            "most_usd >= 0 AND cost_usd >= 0", name=op.f("ck_lmm_call_dollars_not_negative")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lmm_call")),
    )
    op.create_index(
        "uq_lmm_call_under_way",
        "lmm_call",
        ["answer_key"],
        unique=True,
        postgresql_where=sa.text("state = 'reserved'"),
    )
    op.create_index("ix_lmm_call_run_id", "lmm_call", ["run_id"])
    op.create_index("ix_lmm_call_created_at", "lmm_call", ["created_at"])
    op.create_index("ix_lmm_call_dearest", "lmm_call", ["deployment", "cost_usd"])
    op.create_table(
        "lmm_answer",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("answered_by", sa.Text(), nullable=False),
        sa.Column("picture", sa.String(length=64), nullable=False),
        sa.Column("prompt_version", sa.Text(), nullable=False),
        sa.Column("outcome", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", _moment, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_lmm_answer")),
    )


def downgrade() -> None:
    op.drop_table("lmm_answer")
    op.drop_table("lmm_call")
