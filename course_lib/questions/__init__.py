"""Questions that CLIP can answer, in Chinese and English, read by a small grammar.

What is understood, of one picture: is there a thing (of a colour, size, number, in a place, at a time of day); is the
thing so; which of several is it; what colour, how many, where in the frame, what, what place, what time of day. Of a
collection: how many pictures show it, which do, is there any. The forms stand in `chinese.RULES` and
`english.RULES`; `refusals` says what CLIP cannot know. Nouns are open: any word that the grammar does not use itself.

Its limits: one clause, one question; things joined by "and" only in yes/no questions; no relation of two things;
English plurals and Chinese measure words by rule; a colour of one character before a noun (黑猫) only where the noun is
among the candidates.
"""

from .candidates import Candidates, merged
from .grammar import Question, parse
from .phrases import FACTS, NEUTRAL, Phrase, named, statement

__all__ = ["FACTS", "NEUTRAL", "Candidates", "Phrase", "Question", "merged", "named", "parse", "statement"]
