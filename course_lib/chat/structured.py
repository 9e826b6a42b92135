"""One JSON object out of a model's answer, checked against a pydantic model: the right one, or an error.

The chapter takes everything between the first { and the last } and hopes. A model also writes prose, code
fences, two objects, half an object, a number as a word. Of these only prose and fences around one whole
object can be read without guessing.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import AnswerError
from ..settings import say

MAX_CHARACTERS = 200_000
# How strictly a service can be asked for a schema, strictest first: whole, its form alone, any JSON object, not at all.
LEVELS = ("json_schema", "json_schema_form", "json_object", "text")
CONSTRAINED = LEVELS[:2]
# Keywords that Azure's strict mode refuses: "Structured outputs", unsupported type-specific keywords
_LIMITS = {
    *("minLength", "maxLength", "pattern", "format"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
}
_NAMED = ("properties", "$defs")  # whose keys are names that somebody chose, not keywords
_LIKE_AN_OBJECT = re.compile(r'\{\s*["}]')

Schema = TypeVar("Schema", bound=BaseModel)


def parse_json(text: str, schema: type[Schema]) -> Schema:
    """The one JSON object in `text` as a `schema`; prose or code fences around it are fine.

    Raises `AnswerError`, which keeps the text as `raw`, for no object, half of one, several, a key given
    twice, or values that do not fit the schema.
    """
    if len(text) > MAX_CHARACTERS:
        raise _error(text, zh="太长", en="too long")
    found = _objects(text)
    if not found:
        raise _error(text, zh="里没有 JSON 对象", en="without a JSON object")
    if len(found) > 1:
        raise _error(text, zh=f"里有 {len(found)} 个 JSON 对象", en=f"with {len(found)} JSON objects")
    try:
        return schema.model_validate(found[0])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"])) or "JSON"
    raise _error(
        text,
        zh=f"不合格式（{where}：{first['msg']}）",
        en=f"that does not fit the schema ({where}: {first['msg']})",
    )


def _objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects that stand in a text, not those inside others."""
    decoder = json.JSONDecoder(object_pairs_hook=_once_each, parse_constant=_no_constant)
    objects, position = [], text.find("{")
    while position >= 0:
        # A brace in prose is passed over; what begins like an object must be one, to its end.
        if _LIKE_AN_OBJECT.match(text, position):
            try:
                value, position = decoder.raw_decode(text, position)
            except (ValueError, RecursionError):
                value = None
            if value is None:
                raise _error(text, zh="里的 JSON 不完整或有错", en="whose JSON is incomplete or malformed")
            objects.append(value)
            position -= 1
        position = text.find("{", position + 1)
    return objects


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) != len(dict(pairs)):
        raise ValueError("a key is given twice")
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _error(text: str, *, zh: str, en: str) -> AnswerError:
    return AnswerError(
        say(
            zh=f"模型的回答{zh}，请看错误的 .raw，再试一次，或换一个更强的模型。",
            en=f"The model gave an answer {en}, please look at the error's .raw, then ask again or use a "
            "better model.",
        ),
        raw=text,
    )


def response_format(schema: type[BaseModel], level: str) -> dict[str, Any]:
    """The request's `response_format` at one of LEVELS.

    A strict schema allows no field but its own and requires all of them, as OpenAI demands and its SDK writes it.
    """
    if level in CONSTRAINED:
        import openai

        strict = openai.pydantic_function_tool(schema)["function"]["parameters"]
        if level == "json_schema_form":
            strict = _form(strict)
        described = {"name": schema.__name__, "schema": strict, "strict": True}
        return {"type": "json_schema", "json_schema": described}
    return {"type": level}


def has_limits(schema: type[BaseModel]) -> bool:
    """Whether a strict schema says more than the form: how long a text, or how large a number may be."""
    return response_format(schema, "json_schema") != response_format(schema, "json_schema_form")


def _form(node: Any) -> Any:
    """A JSON Schema without its limits, which stand in the descriptions: read by the model, and enforced by nobody."""
    if isinstance(node, list):
        return [_form(one) for one in node]
    if not isinstance(node, dict):
        return node
    limits = [f"{key}: {value}" for key, value in node.items() if key in _LIMITS]
    kept = {
        key: {name: _form(one) for name, one in value.items()} if key in _NAMED else _form(value)
        for key, value in node.items()
        if key not in _LIMITS
    }
    if limits:
        kept["description"] = " ".join(filter(None, (kept.get("description"), f"({', '.join(limits)})")))
    return kept


def in_words(prompt: str, schema: type[BaseModel]) -> str:
    """The prompt with the schema written below it, for a service that does not take one by itself."""
    text = json.dumps(schema.model_json_schema(), ensure_ascii=False)
    demand = say(
        zh="只回答一个 JSON 对象，符合此 JSON Schema：", en="Answer with one JSON object of this schema:"
    )
    return f"{prompt}\n\n{demand}\n{text}"
