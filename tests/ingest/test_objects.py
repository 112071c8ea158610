"""The S3 reader against a small server that speaks as much of S3 as reading needs."""

from __future__ import annotations

import io
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote

import pytest

from geosearch.ingest.folders import scan
from geosearch.ingest.reader import PhotoReader, ReadLimits
from geosearch.ingest.sources import BadSource, PhotoSource, SourceUnreadable

pytest.importorskip("s3fs")


def _tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("1.jpg", "2.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 1000
            archive.addfile(info, io.BytesIO(name[:1].encode() * 1000))
    return out.getvalue()


OBJECTS = {
    "/bucket/a b.jpg": b"photo",
    "/bucket/big.jpg": b"x" * 2_000_000,
    "/bucket/s.tar": _tar(),
    "/bucket/deep/b.jpg": b"b",
    "/bucket/deep/notes.txt": b"n",
    "/bucket/deep/2024/c.png": b"c",
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        name = unquote(self.path.partition("?")[0])
        if "list-type=2" in self.path:
            self._list(name.strip("/"), parse_qs(self.path.partition("?")[2]))
            return
        if name.endswith("secret.jpg"):
            status, body = 403, b"<Error><Code>AccessDenied</Code></Error>"
        elif name not in OBJECTS:
            status, body = 404, b"<Error><Code>NoSuchKey</Code></Error>"
        else:
            status, body = 200, OBJECTS[name]
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        whole = len(body)
        self.send_response(206 if part and status == 200 else status)
        if part and status == 200:
            first, last = int(part[1]), min(int(part[2] or whole - 1), whole - 1)
            body = body[first : last + 1]
            self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Wed, 01 May 2024 12:00:00 GMT")
        self.end_headers()
        if with_body:
            try:
                self.wfile.write(body)
            except OSError:
                self.close_connection = True

    def _list(self, bucket: str, asked: dict[str, list[str]]) -> None:
        prefix = asked.get("prefix", [""])[0]
        inside = [
            (name.removeprefix(f"/{bucket}/"), len(data))
            for name, data in OBJECTS.items()
            if name.startswith(f"/{bucket}/{prefix}")
        ]
        files = [(name, size) for name, size in inside if "/" not in name[len(prefix) :]]
        folders = {
            prefix + name[len(prefix) :].split("/")[0] + "/"
            for name, _ in inside
            if "/" in name[len(prefix) :]
        }
        moment = "2024-05-01T12:00:00.000Z"
        body = (
            f"<ListBucketResult><Name>{bucket}</Name><Prefix>{prefix}</Prefix><Delimiter>/"
            f"</Delimiter><IsTruncated>false</IsTruncated><KeyCount>{len(files)}</KeyCount>"
            + "".join(
                f"<Contents><Key>{name}</Key><Size>{size}</Size><LastModified>{moment}"
                "</LastModified><ETag>1</ETag></Contents>"
                for name, size in files
            )
            + "".join(f"<CommonPrefixes><Prefix>{n}</Prefix></CommonPrefixes>" for n in folders)
            + "</ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/xml")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[PhotoReader]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    try:
        with PhotoReader(ReadLimits(max_bytes=1_000_000)) as reader:
            yield reader
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _read(reader: PhotoReader, uri: str) -> bytes:
    return reader.read(PhotoSource(uri, None)).data


def test_objects_and_members_of_archives_are_read(reader: PhotoReader) -> None:
    assert _read(reader, "s3://bucket/a b.jpg") == b"photo"
    assert _read(reader, "s3://bucket/s.tar::2.jpg") == b"2" * 1000
    assert _read(reader, "s3://bucket/s.tar::1.jpg") == b"1" * 1000


@pytest.mark.usefixtures("reader")
def test_archives_and_prefixes_are_listed() -> None:
    def names(uri: str) -> list[str]:
        return [source.uri for source in scan([uri]) if isinstance(source, PhotoSource)]

    assert names("s3://bucket/s.tar") == ["s3://bucket/s.tar::1.jpg", "s3://bucket/s.tar::2.jpg"]
    assert names("s3://bucket/deep/") == ["s3://bucket/deep/b.jpg", "s3://bucket/deep/2024/c.png"]
    assert names("s3://bucket/a b.jpg") == ["s3://bucket/a b.jpg"]
    for nothing in ("s3://bucket/none/", "s3://bucket/none.tar"):
        [bad] = scan([nothing])
        assert isinstance(bad, BadSource)
        assert "no such object" in bad.reason


def test_photos_by_url_are_taken_and_archives_over_http_are_not() -> None:
    photo, archive = scan(["https://example.org/a.jpg", "https://example.org/s.tar"])
    assert photo == PhotoSource("https://example.org/a.jpg", None)
    assert isinstance(archive, BadSource)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("s3://bucket/big.jpg", "limit of 1 MB"),
        ("s3://bucket/none.jpg", "no such object"),
        ("s3://bucket/secret.jpg", "not allowed"),
        ("s3://bucket/none.tar::1.jpg", "no such object"),
        ("s3://bucket/s.tar::3.jpg", "no such file"),
        ("s3://", "S3 did not deliver"),
    ],
)
def test_what_cannot_be_read_has_a_reason(reader: PhotoReader, uri: str, reason: str) -> None:
    with pytest.raises(SourceUnreadable, match=reason):
        _read(reader, uri)
