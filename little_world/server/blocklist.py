"""A content filter of the simplest sort: terms that neither a question nor an answer may hold.

Its outside is that of Azure OpenAI's content filter and custom blocklists: a prompt that is caught is a 400 with the
code `content_filter`, an answer that is caught ends with `finish_reason` "content_filter" and without its text. With a
blocklist an answer is held until it is complete, as Azure does by default: what has been streamed cannot be taken back.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any

from .decoding import Finished
from .errors import ApiError


class Blocklist:
    """Terms in any case; one in Latin letters counts as a word of its own ("cat" is not in "category")."""

    def __init__(self, terms: Iterable[str] = ()):
        patterns = [
            rf"\b{re.escape(t)}\b" if t.isascii() else re.escape(t) for t in map(str.strip, terms) if t
        ]
        self._pattern = re.compile("|".join(patterns), re.IGNORECASE) if patterns else None

    def check(self, messages: list[dict[str, Any]]) -> None:
        """Raises `ApiError` 400 for messages (in the form of chat templates) that hold a term."""
        self.check_text(*(part.get("text", "") for message in messages for part in message["content"]))

    def check_text(self, *texts: str) -> None:
        """The same for texts."""
        if any(map(self._holds, texts)):
            message = "The response was filtered due to the prompt triggering the content management policy of this server."
            raise ApiError(400, message, param="prompt", code="content_filter")

    async def filtered(self, events: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The events of an answer, pieces of text and then `Finished`; without the text where it holds a term."""
        if self._pattern is None:
            async for event in events:
                yield event
            return
        text = ""
        async for event in events:
            if not isinstance(event, Finished):
                text += event
            elif self._holds(text):
                yield replace(event, reason="content_filter")
            else:
                if text:
                    yield text
                yield event

    def _holds(self, text: str) -> bool:
        return self._pattern is not None and self._pattern.search(text) is not None
