"""The vector store: port, filters, planning, and the adapters for Edge and server."""
