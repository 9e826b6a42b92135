"""The machinery of the exercise checks: whatever a learner's function does, a sentence comes of it."""

import ast
import itertools
import re
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import course_lib.checking
from course_lib.checking import CheckFailed, Item, Result, guard
from course_lib.checking.panel import PRINTED_SHOWN
from course_lib.checking.step import NAN, Step, check
from course_lib.settings import set_language
from tools.lessons import SOLUTION_STUB


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.delenv("COURSE_CHECK_STRICT", raising=False)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    set_language("en")
    yield
    set_language(None)


class Doubling:
    """A check as the exercises have them: the function must double an array."""

    @check(zh="第 1 步：加倍", en="Step 1: double")
    def double(self, step, function):
        found = step.array(function, np.array([1.0, 2.0]), hints={"unsupported operand": "Write 2 * x."})
        step.require(found.shape == (2,), "the shape is kept", f"The shape is {found.shape}.")
        step.require(np.allclose(found, [2, 4]), "each number is doubled", "Multiply by 2.")


class Careless:
    """A check that looks at what it was given without asking of what form it is."""

    @check(zh="第 1 步：读", en="Step 1: read")
    def read(self, step, function, reads):
        found = step.call(function)
        step.require(True, "something is returned")
        reads(found)

    @check(zh="第 2 步：一对", en="Step 2: a pair")
    def pair(self, step, function):
        for one in step.call(function):
            step.numbers(one, hints={NAN: "Return infinity."})


def run(function) -> Result:
    return Doubling().double(function)


def remedy(result: Result) -> str:
    assert not result.passed
    return result.failures[0].remedy


# ----------------------------------------------------------------------------------- right answers pass


@pytest.mark.parametrize(
    "right",
    [
        lambda x: 2 * x,
        lambda x: [2.0, 4.0],
        lambda x: torch.tensor([2.0, 4.0], requires_grad=True),
        lambda x: (2, 4),
    ],
)
def test_numbers_may_come_as_array_tensor_or_list(right):
    assert run(right).passed


# -------------------------------------------------------------------- whatever goes wrong is a sentence


def endless(x):
    while True:
        pass


over = threading.Event()  # ends what nothing else can: a thread left running would slow every test after it


def endless_and_stubborn(x):
    while not over.is_set():
        try:
            while not over.is_set():
                pass
        except:  # noqa: E722
            pass


def chatty(x):
    print("spam " * 300_000)
    return 2 * x


def recursive(x):
    return recursive(x)


def leaves(x):
    sys.exit("good-bye")


def unwritten(x):
    raise NotImplementedError("this step is not written yet")


def bare(x):
    raise NotImplementedError


def unsupported(x):
    raise NotImplementedError("\"softmax_lastdim_kernel_impl\" not implemented for 'Long'")  # torch says so


def warns(x):
    return np.log(x - 5)


@pytest.mark.parametrize(
    ("wrong", "phrase"),
    [
        (unwritten, "not written yet"),
        (bare, "not written yet"),
        (unsupported, 'raised NotImplementedError: "softmax'),
        (lambda x: None, "returns nothing: end it with return"),
        (lambda x: 1 / 0, "raised ZeroDivisionError: division by zero"),
        (lambda: 1, "raised TypeError"),
        (recursive, "raised RecursionError"),
        (leaves, "raised SystemExit: good-bye"),
        (lambda x: "four", "returns a str: return an array of numbers"),
        (lambda x: {"a": 1}, "returns a dict: return an array of numbers"),
        (lambda x: [[1.0], [1.0, 2.0]], "returns a list: return an array of numbers"),
        (lambda x: (i for i in x), "returns a generator: return an array of numbers"),
        (lambda x: x["a"] + object(), "raised IndexError"),
        (lambda x: object() + x, "Write 2 * x."),
        (warns, "There is nan"),
        (lambda x: 3 * x, "Multiply by 2."),
        (lambda x: x[:1], "The shape is (1,)."),
        (np.array([2.0, 4.0]), "The function itself is needed here, not a ndarray"),
    ],
)
def test_a_wrong_function_gets_its_sentence(wrong, phrase):
    assert phrase in remedy(run(wrong))


def test_the_empty_cells_of_the_exercises_say_what_is_known_as_unwritten():
    said = {re.search(r'NotImplementedError\("(.+)"\)', stub)[1] for stub in SOLUTION_STUB.values()}
    assert said == set(guard.UNWRITTEN) - {""}


def test_an_error_that_should_come_may_be_any_but_that_of_an_unwritten_step():
    step = Step("an error is asked for")
    assert "softmax" in str(step.raised(unsupported, 1)) and step.raised(run, lambda x: 2 * x) is None
    with pytest.raises(Exception, match="^$"):
        step.raised(unwritten, 1)
    assert "not written yet" in step.items[-1].remedy


@pytest.mark.parametrize(
    ("reads", "error"),
    [
        (lambda found: found["a"], "TypeError"),
        (lambda found: found[9], "IndexError: list index out of range"),
        (lambda found: dict(found), "ValueError"),
        (lambda found: found.items(), "AttributeError"),
        (lambda found: open(found[0]), "FileNotFoundError"),
        (lambda found: [found.append(one) for one in zip(found, [1], strict=True)], "ValueError"),
        (lambda found: int(float("inf")), "OverflowError"),
        (lambda found: next(iter(())), "StopIteration"),
    ],
)
def test_what_a_check_cannot_read_is_a_sentence_too(reads, error):
    result = Careless().read(lambda: ["nowhere/at-all", "b"], reads)
    assert result.items[0].passed and len(result.items) == 2 and "form" in result.items[1].claim
    assert "The check cannot read what this step returned or left behind" in remedy(result)
    assert error in remedy(result)
    set_language("zh")
    assert "检查读不懂" in remedy(Careless().read(lambda: ["nowhere/at-all", "b"], reads))


def test_a_long_error_is_cut_short():
    def reads(found):
        raise KeyError("a long\n key " * 1000)

    assert (
        "\n" not in remedy(Careless().read(list, reads)) and len(remedy(Careless().read(list, reads))) < 600
    )


def test_what_is_said_of_none_and_of_nan():
    assert "One of the things returned is None" in remedy(Careless().pair(lambda: (np.ones(2), None)))
    assert remedy(Careless().pair(lambda: (1.0, np.nan))) == "Return infinity."
    assert "softmax" not in remedy(run(lambda x: x * np.nan))


def test_what_an_iterator_runs_is_within_the_limits(monkeypatch):
    def cell():
        print("begun")
        yield 1
        raise NotImplementedError("this step is not written yet")

    outcome = guard.call(cell, whole=True)
    assert "not written yet" in outcome.problem and outcome.printed == "begun\n"
    assert guard.call(lambda: map(str, (1, 2)), whole=True).value == ["1", "2"]
    assert guard.call(lambda: (1, 2), whole=True).value == (1, 2)
    assert len(guard.call(itertools.count, whole=True).value) == guard.MOST
    monkeypatch.setattr(guard, "TIME_LIMIT", 0.2)
    assert "still running" in guard.call(lambda: (one for one in iter(int, 1) if one), whole=True).problem


def test_gradients_are_as_the_cells_before_have_left_them():
    def weighted(x):
        return (torch.ones(2, requires_grad=True) * torch.from_numpy(2 * x)).numpy()

    assert "requires grad" in remedy(run(weighted))
    with torch.no_grad():
        assert run(weighted).passed and not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("function", [endless, endless_and_stubborn])
def test_an_endless_loop_is_stopped(function, monkeypatch):
    monkeypatch.setattr(guard, "TIME_LIMIT", 0.2)
    monkeypatch.setattr(guard, "STOP_TRIES", 10)
    over.clear()
    try:
        assert "still running after 0.2 seconds" in remedy(run(function))
    finally:
        over.set()
    for thread in [t for t in threading.enumerate() if t.name == "learner"]:
        thread.join(10)
        assert not thread.is_alive()


def test_a_check_can_be_stopped_on_windows_where_nothing_interrupts_a_wait(monkeypatch):
    join, waits = threading.Thread.join, []
    monkeypatch.setattr(
        threading.Thread, "join", lambda self, timeout=None: waits.append(timeout) or join(self, timeout)
    )
    assert run(lambda x: time.sleep(0.5) or 2 * x).passed
    assert waits and None not in waits and max(waits) <= 0.2


def test_waiting_where_python_cannot_interrupt_still_ends_the_check(monkeypatch):
    monkeypatch.setattr(guard, "TIME_LIMIT", 0.1)
    monkeypatch.setattr(guard, "STOP_TRIES", 2)
    assert "restart the kernel" in remedy(run(lambda x: time.sleep(2)))


def test_the_failing_line_is_the_learners_own():
    def deep(x):
        return np.linalg.inv(np.zeros((2, 2)))  # numpy's own line is far below this one

    assert "np.linalg.inv(np.zeros((2, 2)))" in remedy(run(deep))


def test_a_megabyte_of_output_is_kept_short(capsys):
    result = run(chatty)
    assert result.passed
    assert len(result.printed) <= PRINTED_SHOWN + 2
    assert len(repr(result)) < 2 * PRINTED_SHOWN and len(result._repr_html_()) < 3 * PRINTED_SHOWN
    assert capsys.readouterr() == ("", "")  # nbgrader gives no points to a cell that wrote to stderr


def test_what_is_printed_while_nobody_checks_is_left_alone(capsys):
    run(lambda x: 2 * x)
    print("mine")
    assert capsys.readouterr().out == "mine\n"


# -------------------------------------------------------------------------------------------- the panel


def test_plain_text_is_the_same_on_every_run_and_says_everything():
    assert repr(run(lambda x: 3 * x)) == (
        "Step 1: double: not passed yet\n  ✓ the shape is kept\n  ✗ each number is doubled\n    → Multiply "
        "by 2."
    )
    assert repr(run(lambda x: 2 * x)) == repr(run(lambda x: x + x))


def test_html_escapes_what_a_learner_brings():
    def wicked(x):
        print("<script>alert(1)</script>")
        raise ValueError("<img src=x onerror=alert(2)>")

    html = run(wicked)._repr_html_()
    assert "<script" not in html and "<img" not in html
    assert "&lt;script&gt;" in html and "&lt;img" in html


def test_html_sets_no_text_or_ground_colour_that_a_theme_would_clash_with():
    html = run(lambda x: 3 * x)._repr_html_()
    assert "background" not in html
    assert all(color in ("#2e9e6b", "#d9534f") for color in re.findall(r"color: (#\w+)", html))


def test_messages_follow_the_language():
    set_language("zh")
    result = run(unwritten)
    assert result.title == "第 1 步：加倍" and "还没有写" in remedy(result) and "还没有通过" in repr(result)


def test_a_check_without_items_has_not_passed():
    assert not Result("nothing", ()).passed
    assert Result("one", (Item(True, "so"),)).passed


# ------------------------------------------------------------------------------------------ strict mode


@pytest.mark.parametrize("variable", [("COURSE_CHECK_STRICT", "1"), ("NBGRADER_EXECUTION", "autograde")])
def test_a_failed_check_raises_in_strict_mode_and_under_nbgrader(variable, monkeypatch, capsys):
    monkeypatch.setenv(*variable)
    with pytest.raises(CheckFailed, match=r"^Step 1: double: Multiply by 2\.$"):
        run(lambda x: 3 * x)
    assert "✗ each number is doubled" in capsys.readouterr().out  # the panel is seen all the same
    assert run(lambda x: 2 * x).passed


def test_strict_mode_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("COURSE_CHECK_STRICT", "0")
    assert not run(lambda x: 3 * x).passed


def test_checks_do_not_know_the_world_they_are_tried_on():
    for path in Path(course_lib.checking.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.startswith("little_world") for name in names), path
