"""A picture from the web, fetched here, so that no other server has to reach it: within limits, from public
hosts.

An address can come from anybody, so fetching it must not become a way into the local network (server-side
request forgery, OWASP SSRF Prevention Cheat Sheet). The host's name is resolved once, every address it has
must be public, and the connection goes to the address that was checked: a name that resolves to something
else a moment later (DNS rebinding) gains nothing. Each redirect is checked alike.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import string
import threading
import time
from collections.abc import Container
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from PIL import Image

from ..errors import ImageError
from ..images import open_image
from ..settings import say

MAX_BYTES = 20_000_000
MAX_SECONDS = 20.0
MAX_REDIRECTS = 3
# Stores that do not know better say octet-stream.
_TYPES = ("image/", "application/octet-stream", "binary/octet-stream")


def fetch_image(
    url: str,
    *,
    max_bytes: int = MAX_BYTES,
    timeout: float = MAX_SECONDS,
    max_redirects: int = MAX_REDIRECTS,
    trusted_hosts: Container[str] = (),
) -> Image.Image:
    """The picture at an http(s) address, as `open_image` gives it.

    `timeout` in seconds is for everything together; only the system's search for the host's name cannot be
    cut short, though nothing follows one that took too long. Letters beyond ASCII are encoded as browsers do.
    A host in `trusted_hosts` may have a private address: a server of one's own. Proxies are not used, as a
    proxy would resolve the name itself. Raises `ImageError` for an address that is refused, a limit that is
    passed, and what is no picture.
    """
    deadline = time.monotonic() + timeout
    for _ in range(max_redirects + 1):
        parts = checked_url(url)
        found = _get(parts, max_bytes, deadline, trusted_hosts)
        if isinstance(found, bytes):
            return open_image(found)
        url = urljoin(url, found)
    raise _error(url, zh="重定向次数太多", en="redirects too often")


def checked_url(url: str) -> SplitResult:
    """The parts of an http(s) address, in ASCII. Raises `ImageError` for any other, or one with a user's name in it."""
    try:
        parts = urlsplit(url)
        fine = (
            parts.scheme in ("http", "https") and parts.hostname and not parts.username and not parts.password
        )
        if fine and not url.isascii():
            parts = _encoded(parts)
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError:
        fine = False
    if not fine or any(letter <= " " or letter == "\x7f" for letter in url + parts.geturl()):
        raise _error(url, zh="不是完整的 http(s) 地址", en="is not a complete http(s) address")
    return parts


def _encoded(parts: SplitResult) -> SplitResult:
    """The parts in ASCII, as they are sent: the host's name by IDNA, the rest by percent signs."""
    host = parts.netloc
    if not host.isascii():
        host = parts.hostname.encode("idna").decode()  # raises for a name that can be none
        host = host if parts.port is None else f"{host}:{parts.port}"
    path, query = (quote(part, safe=string.punctuation) for part in (parts.path, parts.query))
    return parts._replace(netloc=host, path=path, query=query, fragment="")


def _get(parts: SplitResult, max_bytes: int, deadline: float, trusted: Container[str]) -> bytes | str:
    """The body, or where a redirect leads."""
    url = parts.geturl()
    sock: socket.socket | None = None
    # A server may send a byte a second for ever, which no timeout of a single read notices.
    stop = threading.Timer(max(0.0, deadline - time.monotonic()), lambda: sock and _hang_up(sock))
    stop.daemon = True
    try:
        stop.start()
        sock = _connect(parts, deadline, trusted)
        if parts.scheme == "https":
            # The certificate must be the name's, whatever the address.
            tls = ssl.create_default_context()
            sock = tls.wrap_socket(sock, server_hostname=parts.hostname, do_handshake_on_connect=False)
        _in_time(deadline)  # from here on `stop` finds a socket to hang up
        if parts.scheme == "https":
            sock.do_handshake()
        connection = _Prepared(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
        connection.sock = sock
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "multimodal-course"}
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        _in_time(deadline)
        if response.status in (301, 302, 303, 307, 308) and response.headers["Location"]:
            # Letters beyond ASCII are sent as UTF-8, and read as Latin-1.
            return response.headers["Location"].encode("latin-1", "replace").decode("utf-8", "replace")
        if response.status != 200:
            raise _error(
                url, zh=f"返回 HTTP 状态 {response.status}", en=f"answers HTTP status {response.status}"
            )
        if not response.headers.get_content_type().startswith(_TYPES):
            kind = response.headers.get_content_type()
            raise _error(url, zh=f"的内容是 {kind}，不是图片", en=f"holds {kind}, not a picture")
        body = response.read(max_bytes + 1)
        if len(body) > max_bytes:
            raise _error(
                url, zh=f"超过 {max_bytes / 1e6:.0f} MB", en=f"is larger than {max_bytes / 1e6:.0f} MB"
            )
        if response.length:  # bytes that were promised and did not come
            raise http.client.IncompleteRead(body, response.length)
        _in_time(deadline)
        return body
    except (
        OSError,
        UnicodeError,
        http.client.HTTPException,
    ) as error:  # UnicodeError: a name DNS cannot hold
        if isinstance(error, TimeoutError) or time.monotonic() >= deadline:
            raise _error(url, zh="没有及时传完", en="takes too long") from error
        raise _error(url, zh="连不上，或连接中断", en="cannot be reached, or breaks off") from error
    finally:
        stop.cancel()
        if sock is not None:
            sock.close()


class _Prepared(http.client.HTTPConnection):
    """A connection whose socket is there already, and is never replaced by another one."""

    def connect(self) -> None:
        raise OSError("the connection is gone")


def _connect(parts: SplitResult, deadline: float, trusted: Container[str]) -> socket.socket:
    """A socket to an address that was checked."""
    host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    addresses = [entry[4][0] for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if host not in trusted and not all(map(is_public, addresses)):
        raise _error(
            parts.geturl(), zh="在内网或本机，不能代为访问", en="is in a private network or on this machine"
        )
    for number, address in enumerate(addresses, 1):
        remaining = max(0.1, deadline - time.monotonic())
        try:
            return socket.create_connection((address, port), timeout=remaining)
        except OSError:
            if number == len(addresses):
                raise


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, also where it wraps another address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        elif ip.sixtofour or ip.teredo:
            return False
        elif ip in _NAT64:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.is_global and not ip.is_multicast


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _in_time(deadline: float) -> None:
    """After a read that may have ended because the time was up, not because all had come."""
    if time.monotonic() >= deadline:
        raise TimeoutError


def _hang_up(sock: socket.socket) -> None:
    try:
        # Wakes a read that waits, which closing would not. TLS's own would take the cipher away under it.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        pass  # closed already


def _error(url: str, *, zh: str, en: str) -> ImageError:
    shown = url.partition("?")[0][:100]  # what follows a ? may be a signature
    return ImageError(
        say(
            zh=f"{shown} {zh}，请换一个地址，或先下载图片再传入文件。",
            en=f"{shown} {en}, please use another address, or download the picture and pass the file.",
        )
    )
