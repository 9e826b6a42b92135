"""What a service answers when it fails, as an error keeps it: its own words, cut to a length, and no key in them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable

from pydantic import SecretStr

MAX_RAW = 20_000  # characters of an answer that an error keeps
QUOTED = 200  # and that its sentence quotes


def own_words(raw: str) -> str:
    """What an answer says went wrong: OpenAI's error object, FastAPI's `detail`, A1111's error and detail; no HTML."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(body, dict):
        return ""
    error = body.get("error")
    if isinstance(error, dict):
        parts = [error.get("message")]
    else:
        parts = [_detail(body.get(key)) for key in ("error", "error_code", "detail", "errors", "message")]
    said = ": ".join(dict.fromkeys(str(part) for part in parts if part))
    return said if len(said) <= QUOTED else said[:QUOTED] + "..."


def _detail(value: object) -> object:
    """FastAPI lists what is wrong with a request: its place and its words are enough."""
    if isinstance(value, list):
        found = [entry for entry in value if isinstance(entry, dict)]
        return "; ".join(
            f"{'.'.join(map(str, one['loc'])) if isinstance(one.get('loc'), list) else ''} {one.get('msg', '')}"
            for one in found
        )
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def redact(text: str, secrets: Iterable[SecretStr], shortest: int = 4) -> str:
    """The text without any of the secrets, whole, in base64, or the password of a pair alone.

    What has fewer characters than `shortest` is no secret, and might take words apart.
    """
    for secret in secrets:
        value = secret.get_secret_value()
        forms = {value, base64.b64encode(value.encode()).decode(), value.partition(":")[2]}
        for form in sorted(forms, key=len, reverse=True):
            if len(form) >= shortest:
                text = text.replace(form, "******")
    return text
