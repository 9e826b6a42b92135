"""The errors a learner meets: their kinds, their one sentence, and how a notebook shows them."""

from __future__ import annotations

import pickle
import warnings

import pytest
from IPython.core.interactiveshell import InteractiveShell

from course_lib import errors


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.ImageError, ValueError),
        (errors.TextError, ValueError),
        (errors.SettingsError, ValueError),
        (errors.ModelError, OSError),
    ],
)
def test_each_error_is_a_course_error_and_the_builtin_that_callers_expect(kind, builtin):
    assert issubclass(kind, errors.CourseError)
    assert issubclass(kind, builtin)
    assert str(kind("A sentence.")) == "A sentence."


def test_a_message_is_one_line_whatever_was_put_into_it():
    assert str(errors.ImageError("a name\nwith a break,\t please rename it.")) == (
        "a name with a break, please rename it."
    )


@pytest.mark.parametrize(
    "error",
    [
        errors.ServiceError("Nobody is there.", kind="connection"),
        errors.ServiceError("Too much.", kind="rate_limit", status=429, raw="{}"),
        errors.CutOffError("Cut off.", raw="a ca"),
        errors.ImageError("No picture."),
    ],
)
def test_an_error_comes_whole_out_of_another_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_a_notebook_shows_one_sentence_and_a_script_the_traceback(capsys):
    shell = InteractiveShell.instance()
    try:
        shell.run_cell("from course_lib.errors import ImageError\nraise ImageError('No such picture.')")
        shown = capsys.readouterr().out
        shell.run_cell("raise ValueError('No such picture.')")
        ordinary = capsys.readouterr().out
    finally:
        InteractiveShell.clear_instance()
    assert "No such picture." in shown
    assert shown.strip().count("\n") == 0
    assert "Traceback" in ordinary


def test_a_warning_points_at_the_caller_outside_the_libraries():
    library = {"__name__": "course_lib.anything", "warn": errors.warn}
    exec("def outer():\n    return inner()\n\ndef inner():\n    warn('Cut short.')", library)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        library["outer"]()
    assert [(w.category, str(w.message), w.filename) for w in caught] == [
        (errors.CourseWarning, "Cut short.", __file__)
    ]
