"""Keep what agreement has taught about models.

Revision 0012, after 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lmm_observation",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("deployments", sa.Text(), nullable=False),
        sa.Column("ranked_by", sa.Text(), nullable=False),
        sa.Column("stated", sa.Double(), nullable=False),
        sa.Column("expected", sa.Double(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("agreed", sa.Boolean(), nullable=False),
        sa.Column("observed_on", sa.Date(), server_default=sa.text("CURRENT_DATE"), nullable=False),
        sa.CheckConstraint(
            "probability >= 0 AND probability <= 1",
            name=op.f("ck_lmm_observation_is_probability"),
        ),
        sa.CheckConstraint(
            "stated > 0 AND stated < 1", name=op.f("ck_lmm_observation_stated_is_share")
        ),
        sa.CheckConstraint(
            "expected > 0 AND expected < 1", name=op.f("ck_lmm_observation_expected_is_share")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lmm_observation")),
    )
    op.create_index("ix_lmm_observation_model", "lmm_observation", ["model", "deployments", "id"])


def downgrade() -> None:
    op.drop_table("lmm_observation")
