"""Fetching jars: whole or not at all, resumed, refused when the hash differs, from any mirror."""

import hashlib
import re
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.stack import jars
from services.stack.console import StackError

BODY = bytes(range(256)) * 1000
WANTED = jars.wanted
JAR = jars.Jar("org.example", "thing", "1.0", len(BODY), hashlib.sha256(BODY).hexdigest())


class Repository(ThreadingHTTPServer):
    """A small repository that can cut a transfer, and remembers what it was asked."""

    body = BODY
    cut_after: int | None = None
    ignores_ranges = False
    missing = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}/maven"


class Answer(BaseHTTPRequestHandler):
    server: Repository

    def do_GET(self) -> None:
        server, span = self.server, self.headers.get("Range")
        server.asked.append(span)
        if server.missing:
            self.send_error(404)
            return
        start = 0
        if span and not server.ignores_ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", span).group(1))  # type: ignore[union-attr]
        body = server.body[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.cut_after is not None:
            body, server.cut_after = body[: server.cut_after], None
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def repository() -> Iterator[Repository]:
    server = Repository()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def one_small_jar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "wanted", lambda: [JAR])
    monkeypatch.setattr(jars.time, "sleep", lambda seconds: None)


def ensure(cache: Path, mirror: str) -> Path:
    (file,) = jars.ensure(cache, {"LIANDIAO_MAVEN_MIRROR": mirror})
    return file


def test_the_committed_list_names_kafka_with_lengths_and_hashes() -> None:
    listed = WANTED()

    assert len(listed) == 46
    assert any(jar.name == "kafka_2.13-4.3.1.jar" for jar in listed)
    assert all(jar.size > 0 and re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in listed)


def test_a_jar_is_fetched_once_and_then_needs_no_network(
    repository: Repository, tmp_path: Path
) -> None:
    first = ensure(tmp_path, repository.url)
    again = ensure(tmp_path, "http://127.0.0.1:1")

    assert first == again
    assert first.read_bytes() == BODY
    assert repository.asked == [None]


def test_a_cut_transfer_is_resumed_where_it_ended(repository: Repository, tmp_path: Path) -> None:
    repository.cut_after = 100_000

    file = ensure(tmp_path, repository.url)

    assert file.read_bytes() == BODY
    first, second = repository.asked
    assert first is None
    assert second == "bytes=100000-"


def test_a_part_of_an_earlier_run_is_resumed(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "thing-1.0.jar.part").write_bytes(BODY[:5000])

    ensure(tmp_path, repository.url)

    assert repository.asked == ["bytes=5000-"]


def test_a_repository_that_ignores_ranges_gives_the_whole_again(
    repository: Repository, tmp_path: Path
) -> None:
    repository.ignores_ranges = True
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "thing-1.0.jar.part").write_bytes(b"x" * 5000)

    assert ensure(tmp_path, repository.url).read_bytes() == BODY


def test_another_hash_is_refused_and_nothing_is_kept(
    repository: Repository, tmp_path: Path
) -> None:
    repository.body = BODY[:-1] + b"!"

    with pytest.raises(StackError, match="does not have the hash"):
        ensure(tmp_path, repository.url)

    assert [f.name for f in (tmp_path / "kafka").iterdir()] == [".lock"]


def test_a_damaged_jar_in_the_cache_is_fetched_anew(repository: Repository, tmp_path: Path) -> None:
    file = ensure(tmp_path, repository.url)
    file.write_bytes(BODY[:-1] + b"!")

    assert ensure(tmp_path, repository.url).read_bytes() == BODY


def test_without_network_one_sentence_says_so(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="the network does not reach the Maven repository"):
        ensure(tmp_path, "http://127.0.0.1:1")


def test_a_certificate_that_nobody_here_trusts_is_one_sentence(
    repository: Repository, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own_certificate(tmp_path / "server.pem"))
    repository.socket = context.wrap_socket(repository.socket, server_side=True)

    with pytest.raises(StackError, match="SSL_CERT_FILE"):
        ensure(tmp_path / "cache", repository.url.replace("http:", "https:"))


def own_certificate(path: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that it signed itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    path.write_bytes(key.private_bytes(pem, *form) + certificate.public_bytes(pem))
    return path


def test_a_repository_without_the_jar_is_one_sentence(
    repository: Repository, tmp_path: Path
) -> None:
    repository.missing = True

    with pytest.raises(StackError, match=r"the answer for thing-1\.0\.jar was 404"):
        ensure(tmp_path, repository.url)


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_mirror_may_be_a_folder(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "mirror"
    (folder / JAR.path).parent.mkdir(parents=True)
    (folder / JAR.path).write_bytes(BODY)

    file = ensure(tmp_path / "cache", form.format(folder))

    assert file.read_bytes() == BODY


def test_the_public_repository_is_the_default() -> None:
    assert jars.mirror({}).startswith("https:")
