"""Exercise 1: right answers pass, unsolved and wrong ones fail with the sentence that names the mistake."""

import math

import numpy as np
import pytest
import torch
from exercise_steps import assert_names_the_mistake, functions_of

from course_lib import CLIPService
from course_lib.checking import Exercise1
from course_lib.checking.ex1.mistakes_zero_shot import no_gain
from course_lib.settings import language, say, set_language
from little_world import draw, labels
from little_world.scenes import landscape, single

HEROES = {
    "Custard": ("cat", "yellow"),
    "Inky": ("cat", "black"),
    "Snowball": ("rabbit", "white"),
    "Mochi": ("dog", "white"),
    "Pea": ("duck", "green"),
    "The Grape": ("rocket", "purple"),
}
STEPS = ("similarity", "zero_shot", "prompts", "probe", "threshold")


def picture(seed, kind=None, **facts):
    rng = np.random.default_rng(seed)
    return draw(landscape(rng, **facts) if kind is None else single(rng, kind=kind, **facts))


@pytest.fixture(scope="module")
def clip():
    return CLIPService("mini-clip")


@pytest.fixture(params=["en", "zh"])
def lang(request):
    set_language(request.param)
    yield request.param
    set_language(None)


@pytest.fixture(scope="module")
def checks(clip):
    """One for each language: what a check draws is drawn once."""
    landscapes = {"zh": "风景", "en": "landscape"}
    return {
        lang: Exercise1(clip, picture, {**labels("kind", lang), None: landscapes[lang]})
        for lang in landscapes
    }


@pytest.fixture
def check(checks, lang, monkeypatch):
    monkeypatch.delenv("COURSE_CHECK_STRICT", raising=False)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    return checks[lang]


def functions(folder: str, clip, lang: str) -> dict:
    return functions_of(
        "ex1_image_classifier", folder, lang, {"np": np, "math": math, "clip": clip, "LANG": lang}
    )


def ask(check: Exercise1, step: str, f):
    """Run a step's check as the notebook does. `f` is the function, for step 3 (features, templates)."""
    if step == "prompts":
        return check.prompts(*f, labels("background", language()))
    return getattr(check, step)(f, HEROES) if step in ("probe", "threshold") else getattr(check, step)(f)


def of_notebook(defined: dict, step: str):
    names = {"probe": "fit_probe", "threshold": "choose_threshold"}
    if step == "prompts":
        return defined["prompt_features"], defined["templates"]
    return defined[names.get(step, step)]


@pytest.mark.parametrize("step", STEPS)
def test_the_solution_passes(step, check, clip, lang):
    result = ask(check, step, of_notebook(functions("solutions", clip, lang), step))
    assert result.passed, result


@pytest.mark.parametrize("step", STEPS)
def test_an_unsolved_step_fails(step, check, clip, lang):
    result = ask(check, step, of_notebook(functions("exercises", clip, lang), step))
    assert not result.passed
    assert {"en": "not written yet", "zh": "还没有写"}[lang] in result.failures[0].remedy


# ----------------------------------------------------------------------------------------- 1 similarity


def unit(x, axis=-1):
    return x / np.linalg.norm(x, axis=axis, keepdims=True)


def cosines_with_torch(a, b):
    a, b = torch.from_numpy(a), torch.from_numpy(b)
    return torch.nn.functional.cosine_similarity(a[:, None], b[None], dim=-1)


def cosines_with_loops(a, b):
    return [[float(x @ y) / math.sqrt(float(x @ x) * float(y @ y)) for y in b] for x in a]


def cosines_in_place(a, b):
    a /= np.linalg.norm(a, axis=-1, keepdims=True)
    return a @ unit(b).T


def softmax(x, axis=-1):
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


SIMILARITY_WRONG = [
    (lambda a, b: a @ b.T, "The rows do not have length 1: divide by the length along the last axis"),
    (lambda a, b: unit(a) @ b.T, "The rows of the text features do not have length 1"),
    (lambda a, b: a @ unit(b).T, "The rows of the image features do not have length 1"),
    (
        lambda a, b: a / np.linalg.norm(a) @ (b / np.linalg.norm(b)).T,
        "The whole matrix was divided by one length",
    ),
    (lambda a, b: unit(a, 0) @ unit(b, 0).T, "The columns were normalised, not the rows"),
    (
        lambda a, b: a / abs(a).sum(-1, keepdims=True) @ (b / abs(b).sum(-1, keepdims=True)).T,
        "absolute values (L1)",
    ),
    (lambda a, b: (unit(a) @ unit(b).T).squeeze(), "a squeeze(), [0] or float() threw an axis away"),
    (lambda a, b: unit(b) @ unit(a).T, "rows and columns are swapped"),
    (lambda a, b: unit(a) @ unit(b), "transpose the text features"),
    (lambda a, b: a / np.linalg.norm(a, axis=-1) @ b.T, "axis=-1, keepdims=True"),
    (lambda a, b: (unit(a)[:3] * unit(b)).sum(-1), "use the matrix product @"),
    (lambda a, b: softmax(unit(a) @ unit(b).T), "a softmax was applied"),
    (lambda a, b: 1 - unit(a) @ unit(b).T, "the cosine distance"),
    (lambda a, b: (unit(a) @ unit(b).T).clip(0), "The negative cosines are gone"),
    (lambda a, b: 100 * unit(a) @ unit(b).T, "These are the cosines times 100"),
    (lambda a, b: (unit(a) @ unit(b).T).astype(np.float16), "not in half precision"),
    (lambda a, b: torch.nn.functional.normalize(a), "not torch tensors"),
    (cosines_in_place, "The function changes the arrays it is given"),
]


@pytest.mark.parametrize("right", [cosines_with_torch, cosines_with_loops])
def test_other_right_similarities_pass(right, check):
    result = check.similarity(right)
    assert result.passed, result


@pytest.mark.parametrize(("wrong", "phrase"), SIMILARITY_WRONG)
def test_wrong_similarities_are_named(wrong, phrase, check, lang):
    assert_names_the_mistake(check.similarity(wrong), phrase, lang)


# ------------------------------------------------------------------------------------------ 2 zero-shot


def zero_shot_with_torch(clip):
    def zero_shot(pictures, labels):
        logits = clip.logit_scale * torch.tensor(clip.encode_image(pictures) @ clip.encode_text(labels).T)
        return torch.softmax(logits, dim=-1)

    return zero_shot


def one_picture_at_a_time(clip):
    return lambda pictures, labels: [list(clip.zero_shot_classify(p, labels).values()) for p in pictures]


def preallocated(clip):
    def zero_shot(pictures, labels):
        found = np.zeros((40, len(labels)))
        found[: len(pictures)] = zero_shot_with_torch(clip)(pictures, labels)
        return found

    return zero_shot


def over_everything(x):
    powers = np.exp(x)
    return powers / powers.sum()


# From the cosines `c` and the model's scale `s` to what the wrong function returns.
ZERO_SHOT_WRONG = [
    (lambda c, s: softmax(100 * c), "You used a fixed scale of 100; this model has learned another"),
    (lambda c, s: softmax(c), "The cosines were not scaled"),
    (lambda c, s: softmax(math.log(s) * c), "stored as a logarithm"),
    (lambda c, s: softmax(c / s), "You divided by the scale"),
    (lambda c, s: softmax(s * s * c), "most likely applied twice"),
    (lambda c, s: softmax(s * c, axis=0), "across the pictures"),
    (lambda c, s: s * c, "these are still logits"),
    (lambda c, s: 1 / (1 + np.exp(-s * c)), "rather than a sigmoid"),
    (lambda c, s: over_everything(s * c), "The whole matrix adds up to 1"),
    (lambda c, s: np.exp(c) / np.exp(c).max(axis=-1, keepdims=True), "instead of 1"),
    (lambda c, s: softmax(s * c).squeeze(), "threw an axis away"),
    (lambda c, s: softmax(s * c).max(-1), "one row a picture, one column a text"),
    (lambda c, s: [{"cat": p[0]} for p in softmax(s * c)], "return an array of numbers"),
    (lambda c, s: np.full(c.shape, 1 / c.shape[1]), "These are not softmax(scale x cosine)"),
    (lambda c, s: softmax(s * c) * np.nan, "subtract each row's maximum"),
]

# From the labels that were asked for to those that are used.
LABELS_WRONG = [
    sorted,
    lambda labels: say(zh="猫 狗 汽车 飞机 风景", en="cat dog car airplane landscape").split(),
]


@pytest.mark.parametrize("right", [zero_shot_with_torch, one_picture_at_a_time])
def test_other_right_classifiers_pass(right, check, clip):
    result = check.zero_shot(right(clip))
    assert result.passed, result


@pytest.mark.parametrize(("wrong", "phrase"), ZERO_SHOT_WRONG)
def test_wrong_classifiers_are_named(wrong, phrase, check, clip, lang):
    def zero_shot(pictures, labels):
        return wrong(clip.encode_image(pictures) @ clip.encode_text(labels).T, clip.logit_scale)

    assert_names_the_mistake(check.zero_shot(zero_shot), phrase, lang)


@pytest.mark.parametrize("labels_of", LABELS_WRONG)
def test_labels_of_ones_own_are_named(labels_of, check, clip, lang):
    result = check.zero_shot(lambda pictures, labels: zero_shot_with_torch(clip)(pictures, labels_of(labels)))
    assert_names_the_mistake(result, "neither fixed nor sorted", lang)


def test_a_fixed_number_of_pictures_is_named(check, clip, lang):
    assert_names_the_mistake(check.zero_shot(preallocated(clip)), "(40, 5) where (6, 5) was asked for", lang)


# -------------------------------------------------------------------------------------------- 3 prompts


@pytest.fixture
def solved(clip, lang):
    return functions("solutions", clip, lang)


def label_by_label(clip):
    def prompt_features(labels, templates):
        rows = [clip.encode_text([t.replace("{}", label) for t in templates]).sum(axis=0) for label in labels]
        return unit(np.stack(rows))

    return prompt_features


def template_by_template(clip):
    def prompt_features(labels, templates):
        total = sum(clip.encode_text([t.replace("{}", label) for label in labels]) for t in templates)
        return torch.nn.functional.normalize(torch.from_numpy(total), dim=-1)

    return prompt_features


def by_label(clip, labels, templates):
    """Features `(labels, templates, d)`."""
    return np.stack([clip.encode_text([t.replace("{}", label) for t in templates]) for label in labels])


def mixed_up(f):
    """The axes of a reshape in the wrong order."""
    return unit(f.transpose(1, 0, 2).reshape(f.shape).mean(axis=1))


# From features (labels, templates, d) to what the wrong function returns.
PROMPTS_WRONG = [
    (lambda f: f.mean(axis=1), "normalise once more"),
    (lambda f: f.sum(axis=1), "normalise once more"),
    (lambda f: f, "nothing was averaged yet"),
    (lambda f: f.reshape(-1, f.shape[-1]), "nothing was averaged yet"),
    (lambda f: unit(f.mean(axis=0)), "the mean went the wrong way"),
    (lambda f: unit(f.mean(axis=(0, 1))), "all labels were averaged into one"),
    (lambda f: f[:, 0], "Only the first template is used"),
    (lambda f: f[:, -1], "Only the last template is used"),
    (mixed_up, "Features of different labels are mixed"),
]

TEMPLATES_WRONG = [
    (lambda lang: "a picture of a {}", "Return a list of strings"),
    (lambda lang: [], "Return a list of strings"),
    (lambda lang: ["a picture of a cat"], "needs exactly one {}"),
    (lambda lang: [None], "needs exactly one {}"),
    (lambda lang: ["a {}", "a {}"], "stands in the list twice"),
    (lambda lang: ["{}"], "is the bare label"),
    (lambda lang: {"zh": ["a cat in the {}"], "en": ["{}里的一只猫"]}[lang], "use one language"),
    (lambda lang: {"zh": ["沙漠里的{}"], "en": ["{} in the desert"]}[lang], "no better than bare labels"),
]


@pytest.mark.parametrize("right", [label_by_label, template_by_template])
def test_other_right_prompt_features_pass(right, check, clip, solved):
    result = ask(check, "prompts", (right(clip), solved["templates"]))
    assert result.passed, result


@pytest.mark.parametrize(("wrong", "phrase"), PROMPTS_WRONG)
def test_wrong_prompt_features_are_named(wrong, phrase, check, clip, lang, solved):
    features = lambda labels, templates: wrong(by_label(clip, labels, templates))  # noqa: E731
    assert_names_the_mistake(ask(check, "prompts", (features, solved["templates"])), phrase, lang)


@pytest.mark.parametrize(
    "used",
    [
        lambda labels, templates, places: (places, templates),
        lambda labels, templates, places: (labels, templates[:2]),
        lambda labels, templates, places: (sorted(labels, key=places.index), templates),
    ],
)
def test_parameters_that_are_not_used_are_named(used, check, clip, lang, solved):
    places = list(labels("background", lang).values())
    features = lambda *given: label_by_label(clip)(*used(*given, places))  # noqa: E731
    result = ask(check, "prompts", (features, solved["templates"]))
    assert_names_the_mistake(result, "use the parameters labels and templates", lang)


@pytest.mark.parametrize(("wrong", "phrase"), TEMPLATES_WRONG)
def test_wrong_templates_are_named(wrong, phrase, check, lang, solved):
    assert_names_the_mistake(
        ask(check, "prompts", (solved["prompt_features"], lambda: wrong(lang))), phrase, lang
    )


def test_a_small_gain_is_told_from_none(lang):
    gained, not_gained = (no_gain(["a picture of a {}"], gained=gained) for gained in (True, False))
    assert gained != not_gained
    assert {"en": "take the mean over several templates", "zh": "取平均"}[lang] in gained


# ---------------------------------------------------------------------------------------------- 4 probe


def logistic_regression(features, targets):
    torch.manual_seed(0)
    layer = torch.nn.Linear(features.shape[1], int(targets.max()) + 1)
    inputs, wanted = torch.from_numpy(features), torch.from_numpy(targets)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05, weight_decay=1e-3)
    for _ in range(200):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(layer(inputs), wanted).backward()
        optimizer.step()
    return layer.weight.T, layer.bias


def class_means(features, targets):
    means = np.stack([features[targets == k].mean(axis=0) for k in range(targets.max() + 1)])
    return means.T, -(means**2).sum(axis=1) / 2


def ridge(features, onehot, strength=0.1):
    inputs = np.column_stack([features, np.ones(len(features))])
    return np.linalg.solve(inputs.T @ inputs + strength * np.eye(inputs.shape[1]), inputs.T @ onehot)


def fitted(features, targets, count=None, strength=0.1):
    solved = ridge(features, np.eye(count or targets.max() + 1)[targets], strength)
    return solved[:-1], solved[-1]


def turned(features, targets):
    weights, bias = fitted(features, targets)
    return np.roll(weights, 1, axis=1), np.roll(bias, 1)


PROBE_WRONG = [
    (lambda x, y: fitted(x, y)[0], "Return two arrays"),
    (lambda x, y: (fitted(x, y)[0].T, fitted(x, y)[1]), "transpose them"),
    (lambda x, y: (ridge(x, y.astype(float))[:-1], 0.0), "one-hot rows, a column a class"),
    (lambda x, y: (ridge(x, np.eye(y.max() + 1)[y]), 0 * y[: y.max() + 1]), "split off the last row"),
    (lambda x, y: fitted(x, y, count=6), "fix no number"),
    (lambda x, y: fitted(np.column_stack([x, np.zeros(len(x))]), y, strength=0), "add 0.1 * np.eye"),
    (lambda x, y: fitted(x, np.sort(y)), "It is right only where samples come sorted by class"),
    (turned, "the columns are in another order"),
    (lambda x, y: (np.zeros((x.shape[1], y.max() + 1)), np.zeros(y.max() + 1)), "It always answers class 0"),
    (lambda x, y: (np.random.default_rng(0).normal(size=(x.shape[1], y.max() + 1)), np.zeros(y.max() + 1)),
     "does not even fit its labelled pictures"),
    (lambda x, y: (lambda new: y[0]), "Return two arrays"),
    (lambda x, y: (fitted(x, y)[0], None), "One of the things returned is None"),
]  # fmt: skip


def learned_by_heart(features, targets):
    """The labelled pictures right, new ones at random: random weights, bent to fit the 24 exactly."""
    onehot = np.eye(targets.max() + 1)[targets]
    noise = np.random.default_rng(1).normal(size=(features.shape[1], onehot.shape[1])) * 30
    inverse = np.linalg.pinv(features)
    return noise - inverse @ (features @ noise) + inverse @ onehot, np.zeros(onehot.shape[1])


@pytest.mark.parametrize("right", [logistic_regression, class_means])
def test_other_right_probes_pass(right, check):
    result = check.probe(right, HEROES)
    assert result.passed, result


@pytest.mark.parametrize(("wrong", "phrase"), [*PROBE_WRONG, (learned_by_heart, "(overfitting)")])
def test_wrong_probes_are_named(wrong, phrase, check, lang):
    assert_names_the_mistake(check.probe(wrong, HEROES), phrase, lang)


# ------------------------------------------------------------------------------------------ 5 threshold


def accuracies(confidence, right):
    levels = np.unique(confidence)
    return levels, np.array([right[confidence >= t].mean() for t in levels])


def from_sorted_sums(confidence, right, target):
    order = np.argsort(-confidence)
    sums = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    last_of_ties = np.append(np.diff(confidence[order]) != 0, True)
    enough = np.flatnonzero((sums >= target) & last_of_ties)
    return confidence[order][enough[-1]] if len(enough) else math.inf


def from_all_levels(confidence, right, target):
    levels, shares = accuracies(confidence, right)
    return torch.tensor(levels[shares >= target].min()) if (shares >= target).any() else 2.0


def stops_at_the_first_miss(confidence, right, target):
    best = math.inf
    for t in np.unique(confidence)[::-1]:
        if right[confidence >= t].mean() < target:
            break
        best = t
    return best


def forgets_ties(confidence, right, target):
    order = np.argsort(-confidence, kind="stable")
    sums = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(sums >= target)
    return confidence[order][enough[-1]] if len(enough) else math.inf


def counts_silence_as_right(confidence, right, target):
    for t in np.unique(confidence):
        if (right | (confidence < t)).mean() >= target:
            return t
    return math.inf


def divides_by_all(confidence, right, target):
    for t in np.unique(confidence):
        if (right & (confidence >= t)).mean() >= target:
            return t
    return math.inf


def position(confidence, right, target):
    shares = accuracies(confidence, right)[1]
    return int(np.argmax(shares >= target)) + 2


def never_gives_up(confidence, right, target):
    levels, shares = accuracies(confidence, right)
    return levels[shares >= target].min() if (shares >= target).any() else confidence.max()


def strictly_above(confidence, right, target):
    for t in [0.0, *np.unique(confidence)]:
        if (confidence > t).any() and right[confidence > t].mean() >= target:
            return t
    return math.inf


THRESHOLD_WRONG = [
    (lambda c, r, t: t, "You returned the target 0.8 itself"),
    (stops_at_the_first_miss, "Too careful: "),
    (forgets_ties, "equal ones included"),
    (counts_silence_as_right, "the unanswered do not count as right"),
    (divides_by_all, "the accuracy is taken among the answered"),
    (position, "looks like a position"),
    (never_gives_up, "return math.inf"),
    (strictly_above, "equal ones included"),
    (lambda c, r, t: c.max(), "Too careful: "),
    (lambda c, r, t: accuracies(c, r)[0], "return one number"),
    (lambda c, r, t: c >= 0.5, "return one number"),
    (lambda c, r, t: from_all_levels(c, r, t) if r.any() else math.nan, "return math.inf"),
]


@pytest.mark.parametrize("right", [from_sorted_sums, from_all_levels])
def test_other_right_thresholds_pass(right, check):
    result = check.threshold(right, HEROES)
    assert result.passed, result


@pytest.mark.parametrize(("wrong", "phrase"), THRESHOLD_WRONG)
def test_wrong_thresholds_are_named(wrong, phrase, check, lang):
    assert_names_the_mistake(check.threshold(wrong, HEROES), phrase, lang)


# ----------------------------------------------------------------------------------------- the pictures


def test_what_the_checks_draw_is_new_and_always_the_same(check):
    wanted = [{"kind": "cat", "color": "white"}, {"background": "snow"}]
    first, again, other = (check.draw(part, wanted) for part in (1, 1, 2))
    assert [p.tobytes() for p in first] == [p.tobytes() for p in again]
    assert not {p.tobytes() for p in first} & {p.tobytes() for p in other}
