"""The record: PostgreSQL models, sessions and the repository of photos."""
