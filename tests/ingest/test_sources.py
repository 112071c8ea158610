from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from geosearch.errors import ConfigError
from geosearch.ingest import sources
from geosearch.ingest.folders import scan
from geosearch.ingest.reader import PhotoReader, ReadLimits
from geosearch.ingest.sources import (
    BadSource,
    PhotoSource,
    SourceUnreadable,
    path_of,
    signature_of,
    uri_of,
)


def _read(source: PhotoSource, *, max_bytes: int = 10_000_000):
    with PhotoReader(ReadLimits(max_bytes=max_bytes)) as reader:
        return reader.read(source)


def _names(found: Iterator[PhotoSource | BadSource]) -> list[str]:
    return [Path(source.uri).name for source in found]


def test_folders_are_searched_to_the_bottom_in_order_of_name(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/1.jpeg", "a.png", "c.txt", ".hidden/x.jpg", ".y.jpg", "d.heic"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert _names(scan([tmp_path])) == ["a.png", "1.jpeg", "2.JPG", "d.heic"]


def test_a_file_that_is_named_is_taken_whatever_its_ending(tmp_path: Path) -> None:
    (tmp_path / "scan.bin").write_bytes(b"")
    assert _names(scan([tmp_path / "scan.bin"])) == ["scan.bin"]


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file or folder"):
        list(scan([tmp_path / "none"]))


def test_loops_of_links_are_walked_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.jpg").write_bytes(b"")
    (tmp_path / "a" / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "me.jpg").symlink_to(tmp_path / "me.jpg")
    found = list(scan([tmp_path]))
    assert [Path(source.uri).name for source in found] == ["x.jpg", "me.jpg"]
    loop = found[1]
    assert isinstance(loop, BadSource)
    assert "loop" in loop.reason


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Root may read everything, so root's tests become someone else for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read_is_named_and_the_rest_goes_on() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "locked").mkdir(mode=0)
        (folder / "z.jpg").write_bytes(b"x")
        with _as_nobody():
            bad, good = scan([folder])
        assert isinstance(bad, BadSource)
        assert "not allowed" in bad.reason
        (folder / "z.jpg").chmod(0)
        assert isinstance(good, PhotoSource)
        with _as_nobody(), pytest.raises(SourceUnreadable, match="not allowed"):
            _read(good)


def test_a_missing_file_is_a_reason(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="no such file"):
        _read(PhotoSource(str(tmp_path / "x.jpg"), tmp_path / "x.jpg"))


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"x" * 2_000_001)
    with pytest.raises(SourceUnreadable, match=r"limit of 2 MB.*GEOSEARCH_MAX_FILE_MB"):
        _read(PhotoSource("x", tmp_path / "x.jpg"), max_bytes=2_000_000)


def test_bytes_that_are_no_image_are_read_and_the_problem_kept(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"<html>")
    content = _read(PhotoSource("x", tmp_path / "x.jpg"))
    assert content.metadata is None
    assert content.problem
    assert len(content.sha256) == 64


@pytest.mark.parametrize(
    "name", [b"caf\xe9.jpg", "café.jpg".encode(), b"a b#c%.jpg", b"a.tar::b.jpg", b"http:b.jpg"]
)
def test_any_name_survives_the_way_through_the_record(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.write_bytes(b"x")
    uri = uri_of(path)
    uri.encode("utf-8")  # what PostgreSQL takes
    assert path_of(uri) == path
    assert _names(scan([tmp_path])) == [Path(uri).name]


def test_urls_are_no_paths() -> None:
    assert path_of("https://example.org/a.jpg") is None
    assert path_of("s3://bucket/a.jpg") is None
    assert path_of("/photos/shard.tar::a.jpg") is None


def test_a_signature_changes_with_content_time_and_sidecar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "SETTLED_AFTER_S", 0.0)
    path = tmp_path / "x.jpg"
    path.write_bytes(b"one")
    seen = {signature_of(path)}
    status = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # same size, same time of change
    seen.add(signature_of(path))
    (tmp_path / "x.xmp").write_bytes(b"<x/>")
    seen.add(signature_of(path))
    assert len(seen) == 3
    assert None not in seen


def test_a_file_that_may_still_change_has_no_signature(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(b"one")
    assert signature_of(path) is None
