"""Texts, labels and templates as a learner gives them, one or many, checked before a model sees them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

from . import registry
from .errors import TextError, warn
from .settings import say

Texts = str | Iterable[str]
_tokenizing = threading.Lock()


def as_texts(texts: Texts) -> list[str]:
    """One text or many as a list. Raises `TextError` for what is empty, or no text."""
    several = isinstance(texts, Iterable) and not isinstance(texts, (str, bytes))
    return [_checked(text) for text in texts] if several else [_checked(texts)]


def some_texts(texts: Texts) -> list[str]:
    """`as_texts`, of which there must be at least one."""
    if texts := as_texts(texts):
        return texts
    raise TextError(
        say(
            zh="标签或文本的列表是空的，请至少给出一个。",
            en="The list of labels or texts is empty, please give at least one.",
        )
    )


def as_labels(labels: Iterable[str]) -> list[str]:
    """Labels for a classification: a list, at least one, each only once."""
    if isinstance(labels, str):
        raise TextError(
            say(
                zh=f"标签必须放在列表里，请写成 [{labels!r}]。",
                en=f"The labels must be a list, please write [{labels!r}].",
            )
        )
    labels = some_texts(labels)
    if repeated := [label for label, count in Counter(labels).items() if count > 1]:
        raise TextError(
            say(
                zh=f"标签“{repeated[0]}”重复了，请让每个标签只出现一次。",
                en=f"The label {repeated[0]!r} appears more than once, please give each label once.",
            )
        )
    return labels


def fill(template: str, labels: list[str]) -> list[str]:
    """The template's sentence for each label, put in as it is at every `{}`."""
    if "{}" in template:
        return [template.replace("{}", label) for label in labels]
    raise TextError(
        say(
            zh=f"模板“{template}”里没有 {{}}，请用 {{}} 标出标签的位置。",
            en=f"The template {template!r} has no {{}}, please mark the label's place with {{}}.",
        )
    )


def tokenize(tokenizer: Any, texts: list[str], max_tokens: int, *, padding: bool | str = True) -> Any:
    """A text tower's inputs as tensors. What exceeds `max_tokens` is cut, and a `CourseWarning` says by how many."""
    with _tokenizing:  # to cut or not is a state of a fast tokenizer, which threads share
        longest = max(len(ids) for ids in tokenizer(texts, verbose=False)["input_ids"])
        inputs = tokenizer(
            texts, padding=padding, truncation=True, max_length=max_tokens, return_tensors="pt"
        )
    if longest > max_tokens:
        cut = longest - max_tokens
        warn(
            say(
                zh=f"文本超出模型上限 {max_tokens} 个 token，末尾 {cut} 个已截去，请写短一些。",
                en=f"A text exceeds the model's limit of {max_tokens} tokens, "
                f"its last {cut} were cut, please shorten it.",
            )
        )
    return inputs


def warn_of_language(model_name: str, texts: list[str]) -> None:
    """A `CourseWarning` where Chinese goes to a model that is known to read none."""
    known = registry.info(model_name)
    if known and "zh" not in known.languages and any(map(is_chinese, texts)):
        better = registry.models(task="clip", language="zh")[0].id
        warn(
            say(
                zh=f"{model_name} 只用英文训练过，读不懂中文，请改用 {better}。",
                en=f"{model_name} was trained on English and cannot read Chinese, please use {better}.",
            )
        )


def is_chinese(text: str) -> bool:
    """Whether a text holds a Chinese character (CJK Unified Ideographs)."""
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


def _checked(text: Any) -> str:
    if not isinstance(text, str):
        raise TextError(
            say(
                zh=f"文本必须是字符串，不能是 {type(text).__name__}，请传入 str。",
                en=f"A text must be a string, not {type(text).__name__}, please pass a str.",
            )
        )
    if not text.strip():
        raise TextError(
            say(zh="文本或标签是空的，请写上内容。", en="A text or label is empty, please write something.")
        )
    return unbroken(text)


def unbroken(text: str) -> str:
    """The text. `TextError` for half of a surrogate pair, which no file and no request can hold, and which tokenizers
    refuse with a TypeError."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TextError(
            say(
                zh="文本里有残缺的字符，请重新输入或复制。",
                en="The text holds broken characters, please type or copy it again.",
            )
        ) from error
    return text
