"""Create photos, sources, embeddings and runs.

Revision 0001, after None, 2026-11-22 21:15:37.087726.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ingest_run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "started_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("encoder", sa.Text(), nullable=False),
        sa.Column(
            "inputs",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("scanned", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("indexed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("updated", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("duplicates", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unlabelled", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failed", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ingest_run")),
    )
    op.create_table(
        "photo",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lon", sa.Double(), nullable=True),
        sa.Column("label_source", sa.Text(), nullable=True),
        sa.Column("captured_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("author", sa.Text(), nullable=True),
        sa.Column("license", sa.Text(), nullable=True),
        sa.Column("caption", sa.Text(), nullable=True),
        sa.Column("camera", sa.Text(), nullable=True),
        sa.Column("country", sa.String(length=2), nullable=True),
        sa.Column("country_name", sa.Text(), nullable=True),
        sa.Column("region", sa.Text(), nullable=True),
        sa.Column("city", sa.Text(), nullable=True),
        sa.Column("dataset", sa.Text(), nullable=True),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(state = 'failed') = (error IS NOT NULL)", name=op.f("ck_photo_failed_has_error")
        ),
        sa.CheckConstraint("country ~ '^[A-Z]{2}$'", name=op.f("ck_photo_country_is_iso")),
        sa.CheckConstraint(
            "label_source IN ('manifest', 'exif', 'xmp', 'manual', 'predicted')",
            name=op.f("ck_photo_label_source_known"),
        ),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_photo_sha256_is_hex")),
        sa.CheckConstraint(
            "state <> 'unlabelled' OR lat IS NULL", name=op.f("ck_photo_unlabelled_has_none")
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'embedded', 'indexed', 'failed', 'unlabelled')",
            name=op.f("ck_photo_state_known"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('pending', 'embedded', 'indexed') OR lat IS NOT NULL",
            name=op.f("ck_photo_indexed_has_label"),
        ),
        sa.CheckConstraint(
            "(lat IS NULL) = (label_source IS NULL)", name=op.f("ck_photo_label_has_source")
        ),
        sa.CheckConstraint("(lat IS NULL) = (lon IS NULL)", name=op.f("ck_photo_lat_with_lon")),
        sa.CheckConstraint("lat BETWEEN -90 AND 90", name=op.f("ck_photo_lat_range")),
        sa.CheckConstraint("lon BETWEEN -180 AND 180", name=op.f("ck_photo_lon_range")),
        sa.CheckConstraint(
            "size_bytes >= 0 AND attempts >= 0", name=op.f("ck_photo_counts_not_negative")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_photo")),
        sa.UniqueConstraint("sha256", name=op.f("uq_photo_sha256")),
    )
    op.create_index("ix_photo_author", "photo", ["author"], unique=False)
    op.create_index("ix_photo_country", "photo", ["country"], unique=False)
    op.create_index("ix_photo_dataset", "photo", ["dataset"], unique=False)
    op.create_index(
        "ix_photo_newest",
        "photo",
        [sa.literal_column("captured_at DESC NULLS LAST"), "id"],
        unique=False,
    )
    op.create_index(
        "ix_photo_unfinished",
        "photo",
        ["state"],
        unique=False,
        postgresql_where=sa.text("state <> 'indexed'"),
    )
    op.create_table(
        "embedding",
        sa.Column("photo_id", sa.Uuid(), nullable=False),
        sa.Column("encoder", sa.Text(), nullable=False),
        sa.Column("point_id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["photo_id"], ["photo.id"], name=op.f("fk_embedding_photo_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("photo_id", "encoder", name=op.f("pk_embedding")),
    )
    op.create_index("ix_embedding_encoder", "embedding", ["encoder"], unique=False)
    op.create_table(
        "source",
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("photo_id", sa.Uuid(), nullable=True),
        sa.Column("signature", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "photo_id IS NOT NULL OR error IS NOT NULL", name=op.f("ck_source_photo_or_error")
        ),
        sa.ForeignKeyConstraint(
            ["photo_id"], ["photo.id"], name=op.f("fk_source_photo_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["ingest_run.id"], name=op.f("fk_source_run_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("uri", name=op.f("pk_source")),
    )
    op.create_index(op.f("ix_source_photo_id"), "source", ["photo_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_source_photo_id"), table_name="source")
    op.drop_table("source")
    op.drop_index("ix_embedding_encoder", table_name="embedding")
    op.drop_table("embedding")
    op.drop_index(
        "ix_photo_unfinished", table_name="photo", postgresql_where=sa.text("state <> 'indexed'")
    )
    op.drop_index("ix_photo_newest", table_name="photo")
    op.drop_index("ix_photo_dataset", table_name="photo")
    op.drop_index("ix_photo_country", table_name="photo")
    op.drop_index("ix_photo_author", table_name="photo")
    op.drop_table("photo")
    op.drop_table("ingest_run")
