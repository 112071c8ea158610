"""`geosearch bench workers` on servers of its own.

    python benchmarks/worker_throughput.py [PHOTOS]

PostgreSQL and Valkey come from wheels; for Qdrant stands the test server of its REST API.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

PHOTOS = 400


def main() -> None:
    """Start servers, measure, print rows as JSON."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from support.cluster import Valkey  # type: ignore[import-not-found]  # beside the tests
    from support.qdrant_server import QdrantServer  # type: ignore[import-not-found]

    from geosearch.catalogue.embedded import EmbeddedPostgres
    from geosearch.catalogue.session import migrate, open_engine
    from workers.bench import throughput

    photos = int(sys.argv[1]) if len(sys.argv) > 1 else PHOTOS
    valkey = Valkey()
    with tempfile.TemporaryDirectory() as name, QdrantServer(Path(name) / "qdrant") as qdrant:
        postgres = EmbeddedPostgres(Path(name) / "postgres")
        try:
            engine = open_engine(postgres.url)
            migrate(engine)
            engine.dispose()
            os.environ |= {
                "GEOSEARCH_DATABASE_URL": postgres.url,
                "GEOSEARCH_QDRANT_URL": qdrant.url,
                "GEOSEARCH_BROKER_URL": valkey.url,
            }
            found = throughput(lambda text: print(text, file=sys.stderr), size=photos)  # noqa: T201
        finally:
            postgres.close()
            valkey.close()
    print(json.dumps(found, indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
