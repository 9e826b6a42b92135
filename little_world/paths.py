"""Where the course's data lies: beside the packages in a checkout, inside the package when installed from a wheel."""

from pathlib import Path

_HERE = Path(__file__).resolve().parent

DATA = (_HERE.parent if (_HERE.parent / "pyproject.toml").is_file() else _HERE) / "data"
MODELS = DATA / "models"
WORLD = DATA / "world"
