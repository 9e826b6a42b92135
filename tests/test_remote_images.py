"""Pictures from the web: fetched within limits, and never from where only this machine could reach."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from io import BytesIO

import pytest
from fault_server import FaultServer, body, closed_port, never, slowly
from PIL import Image

from course_lib import settings
from course_lib.chat import remote_images
from course_lib.chat.remote_images import fetch_image, is_public
from course_lib.errors import ImageError

HERE = ("127.0.0.1", "localhost", "picture.example")


def file(format: str = "PNG", size: tuple[int, int] = (40, 30)) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, "teal").save(buffer, format)
    return buffer.getvalue()


PNG = body(file(), kind="image/png")


@pytest.fixture(autouse=True)
def english():
    settings.set_language("en")
    yield
    settings.set_language(None)


def refused(url: str, match: str, **options) -> None:
    with pytest.raises(ImageError, match=match) as caught:
        fetch_image(url, **{"trusted_hosts": HERE, **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg; charset=binary", "application/octet-stream"])
def test_a_picture_is_fetched(kind):
    with FaultServer(body(file(), kind=kind)) as web:
        image = fetch_image(f"{web.root}/a%20b/c.png?size=1#top", trusted_hosts=HERE)
        assert (image.size, image.mode) == ((40, 30), "RGB")
        assert web.requests[0].path == "/a%20b/c.png?size=1"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://picture.example/a.png",
        "/etc/passwd",
        "C:\\a.png",
        "http:///a.png",
        "http://",
        "",
        "javascript:alert(1)",
        "http://user:secret@picture.example/a.png",
        "http://picture.example:port/a.png",
        "http://picture.example:99999/a.png",
        "http://picture.example/a b.png",
        "http://picture.example/\r\nX-Evil: 1",
        "http://图 片.example/a.png",
        "http://图\u200e片.example/a.png",
        "http://图片.example:port/a.png",
        "http://me@图片.example/a.png",
        "http://picture.example/图\n片.png",
        "http://picture.example/\ud83d.png",
        "http://[::1/a.png",
    ],
)
def test_what_is_no_http_address_is_refused(url):
    refused(url, "not a complete")


def test_letters_beyond_ascii_are_sent_as_browsers_send_them(monkeypatch):
    asked, look_up = [], socket.getaddrinfo

    def resolve(host, *arguments, **options):
        if host != "127.0.0.1":  # which connecting asks for once more
            asked.append(host)
        return look_up("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(remote_images.socket, "getaddrinfo", resolve)
    trusted = (*HERE, "xn--wcsw84d.example")
    location = "/图.png?名=%41".encode().decode("latin-1")  # as a server sends it
    with FaultServer(body("", status=302, location=location), PNG) as web:
        fetch_image(f"http://图片.example:{web.port}/小%20猫.png?大=1&b=%20#顶", trusted_hosts=trusted)
        assert asked == ["xn--wcsw84d.example"] * 2
        assert web.requests[0].headers["host"] == f"xn--wcsw84d.example:{web.port}"
        assert [request.path for request in web.requests] == [
            "/%E5%B0%8F%20%E7%8C%AB.png?%E5%A4%A7=1&b=%20",
            "/%E5%9B%BE.png?%E5%90%8D=%41",
        ]


@pytest.mark.parametrize("host", ["１２７.0.0.1", "127。0。0。1", "ｌocalhost"])
def test_a_private_address_in_other_letters_is_refused(host):
    refused(f"http://{host}/a.png", "private network|cannot be reached", trusted_hosts=())


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0.0.0.0", "[::1]", "169.254.169.254", "10.0.0.1", "192.168.1.1",
     "[fc00::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1"],
)  # fmt: skip
def test_a_private_address_is_refused_however_it_is_written(host):
    with FaultServer(PNG) as web:
        refused(f"http://{host}:{web.port}/a.png", "private network|cannot be reached", trusted_hosts=())
        assert web.requests == [] and web.connections == 0


@pytest.mark.parametrize(
    ("address", "public"),
    [("8.8.8.8", True), ("2606:4700::1111", True), ("100.64.0.1", False), ("224.0.0.1", False),
     ("64:ff9b::7f00:1", False), ("64:ff9b::808:808", True), ("2002:7f00:1::", False),
     ("fe80::1%eth0", False), ("::", False), ("255.255.255.255", False), ("::ffff:10.0.0.1", False)],
)  # fmt: skip
def test_public_addresses_are_told_from_others(address, public):
    assert is_public(address) is public


def test_a_name_with_one_private_address_is_refused(monkeypatch):
    def resolve(host, port, **_options):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("8.8.8.8", "10.0.0.1")]

    monkeypatch.setattr(remote_images.socket, "getaddrinfo", resolve)
    refused("http://rebinding.example/a.png", "private network", trusted_hosts=())


def test_a_name_is_resolved_once_and_the_checked_address_is_used(monkeypatch):
    """DNS rebinding: the second answer of the name server points into the local network."""
    with FaultServer(PNG) as web:
        answers = iter(["203.0.113.7", "127.0.0.1", "127.0.0.1"])
        asked, tried = [], []

        def resolve(host, port, **_options):
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

        def connect(address, timeout):
            tried.append(address)
            raise ConnectionRefusedError

        monkeypatch.setattr(remote_images, "is_public", lambda address: address == "203.0.113.7")
        monkeypatch.setattr(remote_images.socket, "getaddrinfo", resolve)
        monkeypatch.setattr(remote_images.socket, "create_connection", connect)
        refused(f"http://rebinding.example:{web.port}/a.png", "cannot be reached", trusted_hosts=())
        assert asked == ["rebinding.example"] and tried == [("203.0.113.7", web.port)]
        assert web.connections == 0


def test_redirects_are_followed_and_checked_each():
    with FaultServer(body("", status=302, location="/second"), PNG) as web:
        assert fetch_image(f"{web.root}/first", trusted_hosts=HERE).size == (40, 30)
        assert [request.path for request in web.requests] == ["/first", "/second"]
    with FaultServer(body("", status=307, location="http://169.254.169.254/latest/meta-data")) as web:
        refused(f"{web.root}/a.png", "169.254.169.254/latest/meta-data is in a private network")
    with FaultServer(body("", status=301, location="file:///etc/passwd")) as web:
        refused(f"{web.root}/a.png", "not a complete")
    with FaultServer(body("", status=302, location="/again")) as web:
        refused(f"{web.root}/a.png", "redirects too often")
        assert len(web.requests) == 4


def test_bytes_are_limited_whether_they_are_announced_or_not():
    with FaultServer(body(b"x" * 3000, kind="image/png")) as web:
        refused(f"{web.root}/a.png", "larger than", max_bytes=1000)

    def unannounced(connection, server):
        server.send(connection, b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n")
        while server.sent < 50_000_000:
            server.send(connection, b"x" * 65536)

    with FaultServer(unannounced) as web:
        refused(f"{web.root}/a.png", "larger than", max_bytes=100_000)
        assert web.sent < 10_000_000


@pytest.mark.parametrize("part", ["nothing", "headers", "body", "unannounced body"])
def test_time_is_limited_for_everything_together(part):
    start = {
        "headers": b"HTTP/1.1 200 OK\r\nX-Slow: ",
        "body": b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 9999\r\n\r\n",
        "unannounced body": b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n",
    }

    def dripping(connection, server):
        server.send(connection, start[part])
        while not server.stopping.is_set():
            server.send(connection, b"x")
            time.sleep(0.02)

    with FaultServer(never if part == "nothing" else dripping) as web:
        refused(f"{web.root}/a.png", "takes too long", timeout=0.4)
    with FaultServer(slowly(body("", status=302, location="/again"), 0.15)) as web:
        refused(f"{web.root}/a.png", "takes too long|too often", timeout=0.2, max_redirects=50)
        assert len(web.requests) < 5


def test_time_is_limited_for_connecting_and_tls_together(monkeypatch):
    connect = socket.create_connection

    def late(address, timeout):
        time.sleep(0.4)
        return connect(address, timeout)

    monkeypatch.setattr(remote_images.socket, "create_connection", late)
    with FaultServer(never) as web:
        began = time.monotonic()
        refused(f"https://127.0.0.1:{web.port}/a.png", "takes too long", timeout=0.6)
        assert time.monotonic() - began < 0.8


def test_a_name_that_was_looked_for_too_long_is_not_connected_to_for_ever(monkeypatch):
    """The clock once rang before there was anything to hang up, and then nobody looked at it again."""
    look_up = socket.getaddrinfo

    def late(*arguments, **options):
        time.sleep(0.3)
        return look_up(*arguments, **options)

    def dripping(connection, server):
        server.send(connection, b"HTTP/1.1 200 OK\r\nX-Slow: ")
        for _ in range(100):
            server.send(connection, b"x")
            time.sleep(0.02)

    monkeypatch.setattr(remote_images.socket, "getaddrinfo", late)
    with FaultServer(dripping) as web:
        began = time.monotonic()
        refused(f"{web.root}/a.png", "takes too long", timeout=0.2)
        assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("reply", "match"),
    [
        (body("<html>", kind="text/html"), "holds text/html, not a picture"),
        (body("{}"), "holds application/json"),
        (body(file(), status=404, kind="image/png"), "HTTP status 404"),
        (body(file()[:60], kind="image/png"), "damaged"),
        (body("hello", kind="image/png"), "does not hold a picture"),
        (lambda connection, server: server.send(connection, b"SSH-2.0-OpenSSH\r\n"), "cannot be reached"),
        (lambda connection, server: None, "cannot be reached"),
    ],
)
def test_what_is_no_picture_is_refused(reply, match):
    with FaultServer(reply) as web:
        refused(f"{web.root}/a.png", match)


def test_half_a_picture_is_an_error():
    def reset(connection, server):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 9999\r\n\r\n"
        server.send(connection, head + file()[:50])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def short(connection, server):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 9999\r\n\r\n"
        server.send(connection, head + file())

    for reply in (reset, short):
        with FaultServer(reply) as web:
            refused(f"{web.root}/a.png", "cannot be reached, or breaks off")


def test_nobody_listens_or_the_name_is_unknown(monkeypatch):
    refused(f"http://127.0.0.1:{closed_port()}/a.png", "cannot be reached")

    def unknown(*_arguments, **_options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(remote_images.socket, "getaddrinfo", unknown)
    refused("http://no-such-host.example/a.png", "cannot be reached")
    monkeypatch.undo()
    refused(f"http://{'a' * 80}.example/a.png", "cannot be reached", trusted_hosts=())


def test_https_wants_a_certificate_of_the_name(monkeypatch):
    """The connection goes to an address, the certificate is the name's."""
    seen = []

    class Context:
        def wrap_socket(self, sock, server_hostname, do_handshake_on_connect):
            seen.append(server_hostname)
            sock.close()
            raise ssl.SSLCertVerificationError("self-signed certificate")

    monkeypatch.setattr(remote_images.ssl, "create_default_context", Context)
    with FaultServer(PNG) as web:
        refused(f"https://localhost:{web.port}/a.png", "cannot be reached")
    assert seen == ["localhost"]


def test_a_signature_in_an_address_is_not_shown():
    with FaultServer(body("", status=403)) as web:
        with pytest.raises(ImageError) as caught:
            fetch_image(f"{web.root}/a.png?signature=canary", trusted_hosts=HERE)
        assert "canary" not in str(caught.value)
