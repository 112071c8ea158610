"""Jobs take photos in, too: what kind a job is, and what was asked for.

Revision 0008, after 0003.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_job", sa.Column("kind", sa.Text(), server_default="locate", nullable=False))
    op.add_column(
        "api_job",
        sa.Column("options", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
    )
    op.create_check_constraint(
        op.f("ck_api_job_kind_known"), "api_job", "kind IN ('locate', 'ingest')"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_api_job_kind_known"), "api_job")
    op.drop_column("api_job", "options")
    op.drop_column("api_job", "kind")
