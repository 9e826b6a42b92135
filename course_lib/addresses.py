"""Addresses of services: which is whole, and which is on this machine."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


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
    return urlsplit(url).hostname in _THIS_MACHINE


def past_proxies() -> None:
    """Let no proxy of the environment stand between this process and the servers on this machine.

    The course's own clients know; `requests` in a lesson's cell does not. Only where the environment names a proxy: on Windows
    and macOS a NO_PROXY alone would switch off the system's.
    """
    names = ("http_proxy", "https_proxy", "all_proxy")
    if not any(os.environ.get(name) or os.environ.get(name.upper()) for name in names):
        return
    there = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in there.split(",") if host.strip()]
    if "*" not in hosts:
        hosts = list(dict.fromkeys([*hosts, *_THIS_MACHINE]))
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(hosts)
