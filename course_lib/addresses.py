"""Addresses of services: which is whole, and which is on this machine."""

from __future__ import annotations

from urllib.parse import urlsplit


def is_address(url: str) -> bool:
    """Whether it is http(s) with a host, a port that is one, and no user name, password or letter beyond ASCII."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        return False
    return all(" " < letter <= "~" for letter in url)


def on_this_machine(url: str) -> bool:
    """Whether its host is this machine: no proxy is between, and no key leaves it."""
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
