"""Alembic's entry: runs the scripts on the connection that `geosearch migrate` hands over."""

from alembic import context

from geosearch.catalogue import lmm_tables  # noqa: F401  # its tables are part of the metadata
from geosearch.catalogue.models import Base

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("run migrations by `geosearch migrate`, which knows the database")
context.configure(connection=connection, target_metadata=Base.metadata)
context.run_migrations()
