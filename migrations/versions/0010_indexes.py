"""Create the list of indexes, one for each encoder, and of photos that they have yet to see.

Revision 0010, after 0009.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_moment = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "vector_index",
        sa.Column("encoder", sa.Text(), nullable=False),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("backbone", sa.Text(), nullable=True),
        sa.Column("heads", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("changed_at", _moment, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('filling', 'active', 'retired')", name=op.f("ck_vector_index_state_known")
        ),
        sa.PrimaryKeyConstraint("encoder", name=op.f("pk_vector_index")),
        sa.UniqueConstraint("collection", name=op.f("uq_vector_index_collection")),
    )
    op.create_index(
        "uq_vector_index_active",
        "vector_index",
        ["state"],
        unique=True,
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_table(
        "index_backlog",
        sa.Column("encoder", sa.Text(), nullable=False),
        sa.Column("photo_id", sa.Uuid(), nullable=False),
        sa.Column("serial", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["encoder"],
            ["vector_index.encoder"],
            name=op.f("fk_index_backlog_encoder"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("encoder", "photo_id", name=op.f("pk_index_backlog")),
    )
    op.create_index("ix_index_backlog_serial", "index_backlog", ["encoder", "serial"])
    # Indexes that are there already; which of them is in use is known when one is next opened.
    op.execute(
        """
        INSERT INTO vector_index (encoder, collection, state)
        SELECT encoder,
               'geosearch-' || left(encode(sha256(convert_to(encoder, 'UTF8')), 'hex'), 12),
               'retired'
        FROM (SELECT DISTINCT encoder FROM embedding) AS known
        """
    )


def downgrade() -> None:
    op.drop_table("index_backlog")
    op.drop_table("vector_index")
