from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geosearch.client import GeoSearch
from geosearch.geo import Coordinate
from geosearch.ingest import sources as sources_module
from geosearch.ingest.archives import MAX_HEADER_BYTES, members
from geosearch.ingest.folders import scan
from geosearch.ingest.manifest import read_manifest
from geosearch.ingest.reader import PhotoReader, ReadLimits
from geosearch.ingest.sources import BadSource, PhotoSource, SourceUnreadable

MakeJpeg = Callable[..., bytes]


def _tar(*files: tuple[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _special(name: str, kind: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info.tobuf()


def _scan(tmp_path: Path, data: bytes) -> list[PhotoSource | BadSource]:
    path = tmp_path / "shard.tar"
    path.write_bytes(data)
    return list(scan([path]))


def _reasons(found: list[PhotoSource | BadSource]) -> dict[str, str]:
    return {
        source.uri.partition("::")[2]: source.reason
        for source in found
        if isinstance(source, BadSource)
    }


def _photos(found: list[PhotoSource | BadSource]) -> list[str]:
    return [s.uri.partition("::")[2] for s in found if isinstance(s, PhotoSource)]


def test_photos_of_an_archive_are_found_with_their_labels_and_read_by_uri(tmp_path: Path) -> None:
    label = {"latitude": 55.7, "lng": 13.2, "author": "Ann", "camera_id": 7}
    found = _scan(
        tmp_path,
        _tar(
            ("0001.jpg", b"one"), ("0001.json", json.dumps(label).encode()),
            ("0002.jpeg", b"two"), ("0002.txt", b"A street\n"), ("0002.cls", b"4"),
            ("deep/0003.PNG", b"three"), ("._0004.jpg", b"mac"), ("readme.md", b"x"),
        ),
    )  # fmt: skip
    one, two, three = found
    assert isinstance(one, PhotoSource)
    assert isinstance(two, PhotoSource)
    assert isinstance(three, PhotoSource)
    assert one.claims.coordinate == Coordinate(55.7, 13.2)
    assert (one.claims.author, one.claims.attributes) == ("Ann", {"camera_id": 7})
    assert two.claims.caption == "A street"
    assert one.uri == f"{tmp_path}/shard.tar::0001.jpg"
    with PhotoReader() as reader:
        assert [reader.read(source).data for source in (three, one, two)] == [
            b"three", b"one", b"two",
        ]  # fmt: skip


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_are_read_in_every_format(tmp_path: Path, form: int) -> None:
    long = "d" * 90 + "/" + "n" * 90 + ".jpg"
    names = (
        [long, "a.jpg"] if form == tarfile.USTAR_FORMAT else [long, "Ü/é.jpg", "x" * 300 + ".jpg"]
    )
    found = _scan(tmp_path, _tar(*((name, name.encode()) for name in names), form=form))
    assert _photos(found) == names
    with PhotoReader() as reader:
        for source, name in zip(found, names, strict=True):
            assert isinstance(source, PhotoSource)
            assert reader.read(source).data == name.encode()


def test_hostile_members_are_refused_row_by_row(tmp_path: Path) -> None:
    end = bytes(1024)
    whole = _tar(("a.jpg", b"a"))[:1024]
    data = b"".join(
        [
            whole,
            _special("link.jpg", tarfile.SYMTYPE),
            _special("hard.jpg", tarfile.LNKTYPE),
            _special("device.jpg", tarfile.CHRTYPE),
            _special("pipe.jpg", tarfile.FIFOTYPE),
            _tar(("../up.jpg", b"x"))[:1024],
            _tar(("in/../../up.jpg", b"x"))[:1024],
            _tar(("/etc/x.jpg", b"x"), form=tarfile.USTAR_FORMAT)[:1024],
            _tar(("line\nend.jpg", b"x"), form=tarfile.USTAR_FORMAT)[:1024],
            _tar(("a.jpg", b"again"))[:1024],
            _tar(("z.jpg", b"z"))[:1024],
            end,
        ]
    )
    found = _scan(tmp_path, data)
    assert _photos(found) == ["a.jpg", "z.jpg"]
    reasons = _reasons(found)
    assert "symbolic link" in reasons["link.jpg"]
    assert "hard link" in reasons["hard.jpg"]
    assert "device" in reasons["device.jpg"]
    assert "pipe" in reasons["pipe.jpg"]
    for name in ("../up.jpg", "in/../../up.jpg", "/etc/x.jpg"):
        assert "leads out" in reasons[name]
    assert "plain text" in reasons["lineend.jpg"]
    assert "came before" in reasons["a.jpg"]


def test_a_header_that_says_it_is_huge_is_not_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, MAX_HEADER_BYTES + 1
    found = _scan(tmp_path, info.tobuf() + bytes(MAX_HEADER_BYTES + 2048))
    assert "no name is that long" in _reasons(found)["pax"]


def test_an_archive_that_is_cut_off_gives_what_is_whole(tmp_path: Path) -> None:
    data = _tar(("a.jpg", b"a" * 700), ("b.jpg", b"b" * 5000))
    found = _scan(tmp_path, data[:4000])
    assert _photos(found) == ["a.jpg"]
    assert "cut off" in _reasons(found)["b.jpg"]
    source = PhotoSource(f"{tmp_path}/shard.tar::b.jpg", None)
    with PhotoReader() as reader, pytest.raises(SourceUnreadable, match="no such file"):
        reader.read(source)


def test_an_archive_that_is_none_is_one_bad_row(tmp_path: Path) -> None:
    [bad] = _scan(tmp_path, b"<html>" * 200)
    assert isinstance(bad, BadSource)
    assert "no header" in bad.reason


def test_a_negative_size_does_not_go_round_in_circles() -> None:
    block = bytearray(tarfile.TarInfo("x.jpg").tobuf()[:512])
    block[124:136] = b"\xff" * 12  # base-256: -1
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    found = list(members(io.BytesIO(bytes(block) + bytes(2048))))
    assert [member.problem is not None for member in found] == [True]


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (b'{"lat": 91, "lon": 2}', "91"), (b"{", "label"), (b"[1]", "no object"),
        (b'{"lat": [], "lon": 2}', "label"), (b"[" * 100_000, "label"),
        (b'{"lat": 1}', "lon is blank"),
    ],
)  # fmt: skip
def test_a_bad_label_is_a_bad_row(tmp_path: Path, label: bytes, reason: str) -> None:
    found = _scan(tmp_path, _tar(("a.jpg", b"a"), ("a.json", label), ("b.jpg", b"b")))
    assert reason in _reasons(found)["a.jpg"]
    assert _photos(found) == ["b.jpg"]


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), min_size=1, max_size=12),
    st.integers(0, 4096),
)
def test_damage_anywhere_is_survived(damage: list[tuple[int, int]], length: int) -> None:
    data = bytearray(_tar(("a.jpg", b"a" * 600), ("ü" * 90 + ".jpg", b"b")))
    for offset, value in damage:
        data[offset % len(data)] = value
    for member in members(io.BytesIO(bytes(data[:length]))):
        assert 0 <= member.offset
        if member.problem is None:
            assert member.offset + member.size_bytes <= length


def test_a_member_over_the_limit_is_not_read(tmp_path: Path) -> None:
    [source] = _scan(tmp_path, _tar(("a.jpg", b"a" * 2_000_000)))
    assert isinstance(source, PhotoSource)
    with PhotoReader(ReadLimits(max_bytes=1_000_000)) as reader:
        with pytest.raises(SourceUnreadable, match="limit of 1 MB"):
            reader.read(source)


def test_a_manifest_names_members_of_archives(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "s.tar").write_bytes(_tar(("a/1.jpg", b"one")))
    (tmp_path / "labels.csv").write_text(
        "path,lat,lon\nshards/s.tar::a/1.jpg,1,2\ns3://bucket/s.tar::b.jpg,3,4\n"
    )
    one, two = read_manifest(tmp_path / "labels.csv")
    assert isinstance(one, PhotoSource)
    with PhotoReader() as reader:
        assert reader.read(one).data == b"one"
    assert (two.uri, getattr(two, "path", None)) == ("s3://bucket/s.tar::b.jpg", None)


def test_archives_over_http_are_refused_with_a_way_out() -> None:
    with PhotoReader() as reader, pytest.raises(SourceUnreadable, match="download it first"):
        reader.read(PhotoSource("https://example.org/s.tar::a.jpg", None))


def test_a_folder_of_archives_is_ingested_once_and_retried_from_the_record(
    geosearch: GeoSearch, tmp_path: Path, make_jpeg: MakeJpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources_module, "SETTLED_AFTER_S", 0.0)
    shard = tmp_path / "in" / "s-000.tar"
    shard.parent.mkdir()
    label = json.dumps({"lat": 59.3, "lon": 18.1}).encode()
    shard.write_bytes(
        _tar(("1.jpg", make_jpeg(1)), ("1.json", label), ("2.jpg", make_jpeg(2, gps=(1.0, 2.0))))
    )
    report = geosearch.ingest(shard.parent)
    assert (report.indexed, report.failed) == (2, 0)
    assert geosearch.ingest(shard.parent).duplicates == 2
    [hit] = geosearch.search(near=(59.3, 18.1), radius_km=1).hits
    assert hit.photo.path == f"{shard}::1.jpg"
    services = geosearch.services
    services.catalogue.mark_pending({hit.photo.id}, encoder=str(services.embedder.identity))
    assert geosearch.retry().indexed == 1


def test_members_of_archives_are_searched_with_and_located(
    geosearch: GeoSearch, folder: Path, tmp_path: Path, make_jpeg: MakeJpeg
) -> None:
    geosearch.ingest(folder)
    (tmp_path / "s.tar").write_bytes(_tar(("1.jpg", (folder / "lund-0.jpg").read_bytes())))
    [hit] = geosearch.search(image=f"{tmp_path}/s.tar::1.jpg", k=1).hits
    assert hit.photo.path.endswith("lund-0.jpg")
    [answer] = geosearch.locate(tmp_path / "s.tar")
    assert answer.image.endswith("s.tar::1.jpg")
    assert answer.reason is None or "read" not in answer.reason
