"""One JSON object out of an answer: the right one or an error, whatever stands around it."""

from __future__ import annotations

import json
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from course_lib.chat.structured import MAX_CHARACTERS, has_limits, in_words, parse_json, response_format
from course_lib.errors import AnswerError


class Fruit(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    count: int


class Basket(BaseModel):
    fruits: list[Fruit]


FRUITS = st.builds(Fruit, name=st.text(max_size=20), count=st.integers(-(10**9), 10**9))
# Prose may hold braces, as long as they do not begin like an object.
PROSE = st.text(max_size=40).filter(lambda text: not set(text) & set('{"}'))


@given(FRUITS, PROSE, PROSE, st.booleans(), st.sampled_from([None, 2]))
def test_the_object_is_found_whatever_stands_around_it(fruit, before, after, ascii_only, indent):
    text = json.dumps(fruit.model_dump(), ensure_ascii=ascii_only, indent=indent)
    assert parse_json(before + text + after, Fruit) == fruit
    assert parse_json(f"{before}\n```json\n{text}\n```\n{after}", Fruit) == fruit


@given(FRUITS, st.data())
def test_no_part_of_an_object_is_taken_for_one(fruit, data):
    text = json.dumps(fruit.model_dump())
    end = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(AnswerError) as caught:
        parse_json(text[:end], Fruit)
    assert caught.value.raw == text[:end]


@given(st.lists(FRUITS, min_size=2, max_size=4), PROSE)
def test_of_several_objects_none_is_chosen(fruits, between):
    with pytest.raises(AnswerError):
        parse_json(between.join(json.dumps(fruit.model_dump()) for fruit in fruits), Fruit)


@given(st.text(max_size=300))
def test_any_text_ends_in_an_object_or_in_an_answer_error(text):
    try:
        assert isinstance(parse_json(text, Fruit), Fruit)
    except AnswerError as error:
        assert error.raw == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda c: st.lists(c) | st.dictionaries(st.text(), c),
        max_leaves=8,
    )
)
def test_any_json_that_is_no_fruit_is_an_error(value):
    if isinstance(value, dict) and value.keys() == {"name", "count"}:
        return
    with pytest.raises(AnswerError):
        parse_json(json.dumps(value), Fruit)


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "fig", "count": "2"}',
        '{"name": "fig", "count": 2.5}',
        '{"name": "fig", "count": true}',
        '{"name": "fig", "count": NaN}',
        '{"name": "fig", "count": 2, "count": 3}',
        '{"name": "fig", "count": 2, "more": 1}',
        '{"name": null, "count": 2}',
        "{'name': 'fig', 'count': 2}",
        '{"name": "fig", "count": 2,}',
        '{"basket": {"name": "fig", "count": 2}}',
        '{"basket": {"name": "fig", "count": 2}',
        "{" * MAX_CHARACTERS,
        "[" * MAX_CHARACTERS,
        '{"a":' * 30_000,
        "x" * (MAX_CHARACTERS + 1),
    ],
)
def test_what_looks_right_and_is_not(text):
    with pytest.raises(AnswerError):
        parse_json(text, Fruit)


def test_objects_inside_an_object_belong_to_it():
    fruits = [{"name": "fig", "count": 2}, {"name": "plum", "count": 1}]
    assert len(parse_json(json.dumps({"fruits": fruits}), Basket).fruits) == 2


def test_what_is_sent_along():
    assert response_format(Fruit, "json_object") == {"type": "json_object"}
    described = response_format(Fruit, "json_schema")["json_schema"]
    assert described["name"] == "Fruit" and described["schema"]["required"] == ["name", "count"]
    assert described["strict"] and described["schema"]["additionalProperties"] is False
    assert in_words("How many?", Fruit).startswith("How many?\n") and '"count"' in in_words("?", Fruit)


class Label(BaseModel):
    format: str = Field(max_length=20, description="In capitals.")  # a field that is called as a keyword is
    prices: list[Annotated[float, Field(gt=0)]] = Field(max_length=3)


def test_the_form_alone_has_the_limits_in_words():
    """Azure's strict mode refuses them as keywords."""
    whole = response_format(Label, "json_schema")["json_schema"]["schema"]
    form = response_format(Label, "json_schema_form")["json_schema"]["schema"]
    assert whole["properties"]["format"]["maxLength"] == 20
    assert form["properties"]["format"]["description"] == "In capitals. (maxLength: 20)"
    assert form["properties"]["prices"]["items"]["description"] == "(exclusiveMinimum: 0)"
    assert form["properties"]["prices"]["description"] == "(maxItems: 3)"
    assert '"maxLength"' not in json.dumps(form) and '"maxItems"' not in json.dumps(form)
    assert form["required"] == ["format", "prices"] and form["additionalProperties"] is False
    assert has_limits(Label) and not has_limits(Fruit)
