"""A picture in words: by the vision model where it is there, else by mini-clip, which picks from Little
World's words."""

from __future__ import annotations

import asyncio
from functools import cached_property

from fastapi import Request
from PIL import Image

from course_lib.clip import CLIPService
from course_lib.settings import language

from .. import words
from ..dialogue import DESCRIBE
from ..scenes import BACKGROUNDS, COLORED, COLORS, KINDS, TIMES
from .decoding import Finished
from .errors import ApiError, full
from .events import Events
from .vision import VisionEngine
from .worker import Full


class Interrogator:
    """`caption` says what is in a picture, in the course's language."""

    def __init__(self, vision: VisionEngine):
        self.vision = vision

    async def caption(self, picture: Image.Image, request: Request) -> str:
        """Raises `ApiError` 429 where every place is taken."""
        lang = language()
        try:
            with self.vision.places:
                if await asyncio.to_thread(self._sees):
                    return await self._described(picture, lang, request)
                return await asyncio.to_thread(self._chosen, picture, lang)
        except Full:
            raise full(self.vision.places) from None

    def _sees(self) -> bool:
        """Whether there is a vision model; it is loaded, if that has not been done."""
        if not self.vision.there:
            return False
        try:
            self.vision.wait()
        except ApiError:
            return False
        return True

    async def _described(self, picture: Image.Image, lang: str, request: Request) -> str:
        parts = [{"type": "image", "image": picture}, {"type": "text", "text": DESCRIBE[lang][0]}]
        messages = [{"role": "user", "content": parts}]
        question = await asyncio.to_thread(self.vision.prepare, messages, limit=200)
        text = ""
        async with Events(request) as events:
            job = self.vision.submit(question, events.emit)
            try:
                while not isinstance(event := await events.next(), Finished):
                    text += event
            finally:
                job.cancelled.set()
        return text

    @cached_property
    def _clip(self) -> CLIPService:
        return CLIPService("mini-clip")

    def _chosen(self, picture: Image.Image, lang: str) -> str:
        """One question after the other: what, in which colour, where, when."""

        def which(options: list, sentence) -> object:
            scores = self._clip.similarity(picture, [sentence(option) for option in options])
            return options[int(scores.argmax())]

        template = {"zh": "图中有{}", "en": "a picture of {}"}[lang]
        kind = which(list(KINDS), lambda k: template.format(words.group_phrase(k, None, 1, lang)))
        color = None
        if kind in COLORED:
            color = which(list(COLORS), lambda c: template.format(words.group_phrase(kind, c, 1, lang)))
        thing = words.group_phrase(kind, color, 1, lang)
        place, when = words.BACKGROUND[lang], words.TIME[lang]
        scene = {"zh": "{said}有{what}", "en": "a picture of {what} {said}"}[lang]
        background = which(list(BACKGROUNDS), lambda b: scene.format(what=thing, said=place[b]))
        time = which(list(TIMES), lambda t: scene.format(what=thing, said=when[t]))
        if lang == "zh":
            return f"{when[time]}，{place[background]}有{thing}"
        return f"{thing} {place[background]} {when[time]}"
