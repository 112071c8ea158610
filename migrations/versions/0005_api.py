"""Create keys, answered uploads and jobs of the HTTP API.

Revision 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_moment = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(8), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", _moment, server_default=sa.func.now(), nullable=False),
        sa.Column("revoked_at", _moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_key_digest")),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("ck_api_key_digest_is_sha256")),
        sa.CheckConstraint(
            "scopes <@ ARRAY['read', 'write', 'admin'] AND cardinality(scopes) > 0",
            name=op.f("ck_api_key_scopes_known"),
        ),
    )
    op.create_table(
        "api_upload",
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("answer", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", _moment, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_api_upload")),
    )
    op.create_index("ix_api_upload_created_at", "api_upload", ["created_at"])
    op.create_table(
        "api_job",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("names", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("results", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", _moment, server_default=sa.func.now(), nullable=False),
        sa.Column("finished_at", _moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_job")),
        sa.CheckConstraint(
            "state IN ('queued', 'done', 'failed')", name=op.f("ck_api_job_state_known")
        ),
        sa.CheckConstraint(
            "(state = 'failed') = (error IS NOT NULL)", name=op.f("ck_api_job_failed_has_error")
        ),
    )
    op.create_index(
        "ix_api_job_queued",
        "api_job",
        ["created_at"],
        postgresql_where=sa.text("state = 'queued'"),
    )


def downgrade() -> None:
    for name in ("api_job", "api_upload", "api_key"):
        op.drop_table(name)
