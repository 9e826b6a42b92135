"""What the checks of exercise 2 stand on: a model that looks, pictures whose truth is known, and words for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...clip import CLIPService


class Bench:
    """`picture(seed, **facts)` draws a new picture; `template` is a prompt with a {name} for each fact.

    `choices` maps each fact's name to the words a prompt may have there, `{name in code: word}`: the names are what
    `picture` takes, the words are in the learner's language. Each fact has three at least.
    """

    def __init__(
        self,
        clip: CLIPService,
        picture: Callable[..., Any],
        template: str,
        choices: Mapping[str, Mapping[str, str]],
    ):
        self.clip, self.picture, self.template = clip, picture, template
        self.choices = {fact: dict(words) for fact, words in choices.items()}
