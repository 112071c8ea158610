"""Let a run of locate say which photos of the collection it compares with.

Revision 0011, after 0010.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("locate_run", sa.Column("criteria", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("locate_run", "criteria")
