"""What pyproject.toml says, for the tools that need it."""

from __future__ import annotations

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # comes with jupyterlab

ROOT = Path(__file__).resolve().parents[1]
BRANCH = "main"


def project(root: Path = ROOT) -> dict:
    """The `[project]` table."""
    with open(root / "pyproject.toml", "rb") as file:
        return tomllib.load(file)["project"]


def repository(root: Path = ROOT) -> str:
    """The repository's address; `[project.urls]` holds it."""
    return project(root)["urls"]["Repository"].rstrip("/")
