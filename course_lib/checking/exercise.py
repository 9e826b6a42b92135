"""The course's exercises, and where each stands in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Exercise:
    """An exercise: its notebook's name, the number of the lesson to do before it, and its title."""

    notebook: str
    lesson: str
    zh: str
    en: str

    def title(self, lang: str) -> str:
        return self.zh if lang == "zh" else self.en


# By the class that holds its checks: `ExerciseN` in the package `checking.exN`.
EXERCISES = {
    "Exercise1": Exercise(
        notebook="ex1_image_classifier",
        lesson="02",
        zh="练习 1：用 CLIP 做一个图像分类器",
        en="Exercise 1: build an image classifier with CLIP",
    ),
    "Exercise2": Exercise(
        notebook="ex2_batch_generator",
        lesson="04",
        zh="练习 2：批量画图工具",
        en="Exercise 2: a batch picture generator",
    ),
    "Exercise3": Exercise(
        notebook="ex3_search_and_qa_app",
        lesson="06",
        zh="练习 3：图文搜索与视觉问答应用",
        en="Exercise 3: an application that searches and answers",
    ),
}
