"""`course.py`: what it installs and when, what it says when something is wrong, in both languages.

Nothing here needs a network: the command runs in a copy of the repository that depends on nothing but a
stand-in for torch, which pip finds in a folder.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
VERSION = "9.9.9"  # of the stand-in for torch

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "small"
version = "1"
optional-dependencies = { lab = [], test = [] }
"""
# A build backend of a dozen lines, so that an editable install needs nothing from an index.
BACKEND = '''\
import pathlib, zipfile

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name = "small-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w") as wheel:
        wheel.writestr("small.pth", str(pathlib.Path.cwd()))
        wheel.writestr("small-1.dist-info/METADATA", """Metadata-Version: 2.1
Name: small
Version: 1
Requires-Dist: torch>=1
Provides-Extra: lab
Provides-Extra: test
""")
        tags = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr("small-1.dist-info/WHEEL", tags)
        wheel.writestr("small-1.dist-info/RECORD", "")
    return name
'''


def load(root: Path = ROOT):
    """`course.py` of a folder as a module of its own."""
    spec = importlib.util.spec_from_file_location("course_under_test", root / "course.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fake_torch(folder: Path, version: str) -> None:
    """A wheel called torch that holds one line."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"torch-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("torch.py", f"__version__ = {version!r}\n")
        info = f"torch-{version}.dist-info"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def copy(tmp_path) -> Path:
    """A folder with course.py and the least it can install; its path has a space and Chinese characters."""
    root = tmp_path / "课程 copy"
    (root / "benchmarks").mkdir(parents=True)
    shutil.copy(ROOT / "course.py", root)
    (root / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (root / "backend.py").write_text(BACKEND, encoding="utf-8")
    (root / "constraints.txt").write_text(f"torch=={VERSION}\n", encoding="utf-8")
    (root / "benchmarks" / "where.py").write_text(
        "import json, os, sys, torch\npython = {k: v for k, v in os.environ.items() if "
        "k.startswith('PYTHON')}\nprint(json.dumps([sys.prefix, torch.__version__, python]))\n",
        encoding="utf-8",
    )
    return root


@pytest.fixture
def bare(copy, tmp_path) -> dict[str, str]:
    """As little environment as a new machine has; pip may look into one folder and nowhere else."""
    (tmp_path / "home").mkdir()
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    environment = {
        "PATH": os.defpath,
        "HOME": str(tmp_path / "home"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": wheels.as_uri(),
        "PIP_CONFIG_FILE": os.devnull,
    }
    return environment | {k: os.environ[k] for k in ("SYSTEMROOT", "TEMP", "TMP") if k in os.environ}


def course(root: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "course.py", *arguments]
    return subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=300
    )


# ------------------------------------------------------------------------------------------- the file itself


def test_the_file_parses_on_python_3_8_and_imports_the_standard_library_alone():
    tree = ast.parse((ROOT / "course.py").read_text(encoding="utf-8"), feature_version=(3, 8))
    imports = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    imports |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imports} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize(("lang", "word"), [("zh", "检查安装"), ("en", "check the install")])
def test_help_needs_no_install_and_speaks_both_languages(copy, bare, lang, word):
    result = course(copy, bare, "--help", "--lang", lang)
    assert result.returncode == 0
    assert word in result.stdout
    assert not (copy / ".venv").exists()


def test_ci_runs_the_readme_s_command():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "course.py" in line] == [
        "COURSE_ALLOW_CUDA=1 exec python3 course.py test"
    ]


# ------------------------------------------------------------------------------- language and Python version


@pytest.mark.parametrize(
    ("asked", "environment", "expected"),
    [
        ("zh", {"LANG": "en_US.UTF-8"}, "zh"),
        ("en", {"COURSE_LANG": "zh"}, "en"),
        (None, {"COURSE_LANG": "zh", "LANG": "en_US.UTF-8"}, "zh"),
        (None, {"LANG": "zh_CN.UTF-8"}, "zh"),
        (None, {"LANG": "zh_TW.UTF-8", "LC_ALL": "en_GB.UTF-8"}, "en"),
        (None, {"LC_ALL": "", "LANG": "zh_CN.UTF-8"}, "zh"),
        (None, {"LANG": "de_DE.UTF-8"}, "en"),
        (None, {"LANG": "C"}, "en"),
        (None, {}, "en"),
    ],
)
def test_the_language_is_asked_for_or_the_locale_s(asked, environment, expected):
    assert load().choose_language(asked, environment) == expected


@pytest.mark.parametrize(
    ("lang", "word"), [("zh", "课程需要 3.10-3.13"), ("en", "the course needs 3.10-3.13")]
)
@pytest.mark.parametrize("there", [None, "python3.12"])
def test_an_old_python_gets_a_sentence_with_the_remedy(monkeypatch, lang, word, there):
    module = load()
    module._language = lang
    monkeypatch.setattr(module.shutil, "which", lambda name: name if name == there else None)
    with pytest.raises(module.Problem) as caught:
        module.check_python((3, 9, 6))
    assert word in str(caught.value) and "3.9" in str(caught.value)
    assert ("python3.12 course.py" if there else "Python 3.12") in str(caught.value)


def test_a_tested_python_is_silent_and_a_newer_one_is_told():
    module = load()
    assert [module.check_python((3, minor, 0)) for minor in (10, 11, 12, 13)] == [None] * 4
    assert "3.14" in module.check_python((3, 14, 0))


# ------------------------------------------------------------------------------------------ which PyTorch


@pytest.mark.parametrize("index", [None, "http://127.0.0.1/wheels"])
def test_without_a_driver_on_linux_every_way_asks_for_the_cpu_build(index):
    attempts = load().torch_attempts("2.13.0", "Linux", nvidia=False, index=index)
    for tool, arguments in attempts:
        if tool == "pip":
            assert arguments[-1] == "torch==2.13.0+cpu"  # a CUDA build never satisfies this
        else:
            assert arguments[arguments.index("--torch-backend") + 1] == "cpu"
    assert [tool for tool, _ in attempts] == (["pip"] if index else ["pip", "uv"])


def test_cuda_comes_last_and_only_to_who_accepts_it():
    module = load()
    refused = module.torch_attempts("2.13.0", "Linux", nvidia=False, index=None)
    accepted = module.torch_attempts("2.13.0", "Linux", nvidia=False, index=None, allow_cuda=True)
    assert accepted == [*refused, ("pip", ["torch==2.13.0"])]


@pytest.mark.parametrize("system", ["Darwin", "Windows"])
def test_where_ordinary_wheels_have_no_cuda_pip_installs_them(system):
    attempts = load().torch_attempts("2.13.0", system, nvidia=False, index=None)
    assert attempts == [("pip", ["torch==2.13.0"])]


def test_with_a_driver_uv_picks_the_build_and_pip_stands_by():
    attempts = load().torch_attempts("2.13.0", "Linux", nvidia=True, index=None)
    assert [tool for tool, _ in attempts] == ["uv", "pip"]
    assert attempts[0][1][:2] == ["--torch-backend", "auto"]


@pytest.mark.parametrize("backend", ["cpu", "auto"])
def test_uv_understands_the_arguments(backend, tmp_path):
    """uv fails for want of a network (told to stay offline), not over an argument it does not know."""
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "install",
        "--offline",
        "--no-cache",
        "--dry-run",
        "--python",
    ]
    command += [sys.executable, "--torch-backend", backend, "--no-deps", "torch==1.0"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1, result.stderr
    assert "offline" in result.stderr or "disabled" in result.stderr, result.stderr


def test_pip_takes_the_labelled_build_and_nothing_else(tmp_path):
    """What the first attempt rests on: `==2.13.0+cpu` is met by that build alone, `==2.13.0` by either."""
    base = [sys.executable, "-m", "pip", "download", "--no-index", "--no-deps", "-d", str(tmp_path / "got")]
    base += ["--find-links", str(tmp_path / "wheels"), "--isolated", "--disable-pip-version-check"]
    fake_torch(tmp_path / "wheels", "2.13.0")
    refused = subprocess.run([*base, "torch==2.13.0+cpu"], capture_output=True, text=True)
    assert refused.returncode == 1
    assert load().diagnose(refused.stdout + refused.stderr).kind == "version"
    fake_torch(tmp_path / "wheels", "2.13.0+cpu")
    subprocess.run([*base, "torch==2.13.0+cpu"], check=True, capture_output=True)
    assert [path.name for path in (tmp_path / "got").iterdir()] == ["torch-2.13.0+cpu-py3-none-any.whl"]
    fake_torch(tmp_path / "wheels", "2.14.0")
    command = [*base[:-2], "-c", str(tmp_path / "constraints.txt"), "--isolated", "torch>=2.6"]
    (tmp_path / "constraints.txt").write_text("torch==2.13.0\n")
    result = subprocess.run(command, capture_output=True, text=True)
    assert "torch-2.13.0+cpu" in result.stdout, result.stderr


# ------------------------------------------------------------------------------------------- what went wrong

# Outputs as pip 23-26, uv 0.13, Python 3.11 and Debian 12 print them, shortened.
FAILURES = {
    "network": [
        "WARNING: Retrying (Retry(total=4, connect=None, read=None)) after connection broken by "
        "'NewConnectionError('<HTTPSConnection object at 0x7f>: Failed to establish a new connection: "
        "[Errno -3] Temporary failure in name resolution')': /simple/torch/\n"
        "ERROR: Could not find a version that satisfies the requirement torch (from versions: none)\n"
        "ERROR: No matching distribution found for torch",
        "error: Request failed after 3 retries in 6.9s\n  cause: dns error\n  cause: error resolving DNS",
        "pip._vendor.urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool(...): Read timed out.",
    ],
    "version": [
        "ERROR: Could not find a version that satisfies the requirement torch==2.13.0+cpu (from versions: "
        "2.12.0, 2.13.0)\nERROR: No matching distribution found for torch==2.13.0+cpu",
        "ERROR: Cannot install torch==2.13.0+cpu because these package versions have conflicting dependencies.\n"
        "The conflict is caused by:\n    The user requested torch==2.13.0+cpu\n    The user requested (constraint) "
        "torch<=2.14.1\nERROR: ResolutionImpossible: for help visit the documentation",
    ],
    "disk": ["ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"],
    "venv": [
        "The virtual environment was not created successfully because ensurepip is not\navailable.  On "
        "Debian/Ubuntu systems, you need to install the python3-venv\npackage using the following command.",
        "/usr/bin/python3: No module named venv",
    ],
    "permission": ["ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: 'x'"],
    "certificate": [
        "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify"
    ],
    "compiler": [
        "error: Microsoft Visual C++ 14.0 or greater is required.\nERROR: Failed building wheel for x"
    ],
    "memory": ["Installing collected packages: torch\nexit status -9"],
    "": ["something nobody has seen before"],
}


@pytest.mark.parametrize(
    ("kind", "output"), [(kind, output) for kind, outputs in FAILURES.items() for output in outputs]
)
def test_a_failure_is_told_apart_and_answered_in_both_languages(kind, output):
    module = load()
    sentences = {}
    for module._language in ("zh", "en"):
        problem = module.diagnose(output)
        assert problem.kind == kind
        sentences[module._language] = str(problem)
    assert sentences["zh"] != sentences["en"]
    assert any("\u4e00" <= letter <= "\u9fff" for letter in sentences["zh"])
    if not kind:
        assert all(str(module.LOG) in sentence for sentence in sentences.values())


def test_a_full_disk_is_not_answered_with_another_download(copy, monkeypatch):
    module = load(copy)
    tried = []

    def step(title, arguments, **_):
        tried.append(arguments)
        raise module.diagnose("[Errno 28] No space left on device")

    monkeypatch.setattr(module, "step", step)
    monkeypatch.setattr(module, "has_nvidia", lambda: False)
    monkeypatch.setattr(module.platform, "system", lambda: "Linux")
    with pytest.raises(module.Problem, match="disk is full"):
        module.install_torch(None, False)
    assert len(tried) == 1


def test_a_mac_without_a_build_is_sent_to_colab(copy, monkeypatch):
    module = load(copy)

    def step(title, arguments, **_):
        raise module.diagnose(FAILURES["version"][0])

    monkeypatch.setattr(module, "step", step)
    monkeypatch.setattr(module, "has_nvidia", lambda: False)
    monkeypatch.setattr(module.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(module.sys, "platform", "darwin")
    with pytest.raises(module.Problem, match="Apple silicon.*use Colab or Binder"):
        module.install_torch(None, False)


# --------------------------------------------------------------------------------------- the installation


def test_installs_once_again_after_a_change_and_keeps_the_extras(copy, monkeypatch):
    module = load(copy)
    steps = []
    monkeypatch.setattr(module, "install_torch", lambda *_: steps.append("torch"))
    monkeypatch.setattr(module, "step", lambda title, arguments, **_: steps.append(arguments[-1]))
    args = module.make_parser().parse_args([])

    def make_venv():
        module.venv_python().parent.mkdir(parents=True, exist_ok=True)
        module.venv_python().touch()

    monkeypatch.setattr(module, "make_venv", make_venv)
    module.ensure(["lab"], args)
    assert steps == ["torch", f"{copy}[lab]"]
    assert module.installed_extras() == ["lab"]
    module.ensure(["lab"], args)
    assert len(steps) == 2  # a second start does nothing
    module.ensure(["lab", "test"], args)
    assert steps[3:] == [f"{copy}[lab,test]"]
    (copy / "constraints.txt").write_text(f"torch=={VERSION}\nnumpy==2.0.0\n", encoding="utf-8")
    assert module.installed_extras() == []
    module.ensure(["lab"], args)
    assert steps[5:] == [f"{copy}[lab]"]
    module.STAMP.write_text("{", encoding="utf-8")  # a stamp cut off is no stamp
    assert module.installed_extras() == []


def test_an_install_that_fails_leaves_no_stamp(copy, monkeypatch):
    module = load(copy)
    monkeypatch.setattr(module, "make_venv", lambda: None)
    monkeypatch.setattr(module, "install_torch", lambda *_: None)

    def step(title, arguments, **_):
        raise module.Problem("no")

    monkeypatch.setattr(module, "step", step)
    with pytest.raises(module.Problem):
        module.ensure(["lab"], module.make_parser().parse_args([]))
    assert not module.STAMP.exists()


def test_a_full_disk_is_seen_before_the_install(copy, monkeypatch):
    module = load(copy)
    usage = shutil.disk_usage(copy)._replace(free=10**9)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(module.Problem, match="make room"):
        module.ensure(["lab"], module.make_parser().parse_args([]))
    assert not module.VENV.exists()


def test_the_environment_of_children_leads_to_no_other_python(monkeypatch):
    module = load()
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX", "PIP_TARGET"):
        monkeypatch.setenv(name, "/elsewhere")
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1/simple")
    child = module.child_environment()
    assert "/elsewhere" not in child.values()
    assert child["PIP_USER"] == "0"
    assert child["PIP_INDEX_URL"] == "http://127.0.0.1/simple"  # a learner's mirror is respected


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for Python is a shell script")
def test_a_python_without_venv_gets_debian_s_remedy(copy, tmp_path, monkeypatch, capsys):
    module = load(copy)
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\necho '{FAILURES['venv'][0]}'\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(python))
    with pytest.raises(module.Problem, match="apt install python3-venv"):
        module.make_venv()
    assert "ensurepip" in capsys.readouterr().out


def test_from_nothing_to_a_command_that_runs_in_the_new_environment(copy, bare, tmp_path):
    """The real thing, with real venv and pip: `bench` runs a script in .venv, all from a folder of wheels."""
    fake_torch(tmp_path / "wheels", f"{VERSION}+cpu")
    fake_torch(tmp_path / "wheels", VERSION)
    leaking = bare | {"PYTHONPATH": "/elsewhere", "PYTHONWARNINGS": "error"}
    first = course(copy, leaking, "bench", "where")
    assert first.returncode == 0, first.stdout + first.stderr
    prefix, version, python = json.loads(first.stdout.splitlines()[-1])
    assert Path(prefix) == copy / ".venv"
    expected = f"{VERSION}+cpu" if sys.platform == "linux" and not load().has_nvidia() else VERSION
    assert version.startswith(expected)
    assert python == {"PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1"}
    second = course(copy, bare | {"PIP_FIND_LINKS": "/nowhere"}, "bench", "where")
    # nothing was installed again
    assert second.stdout.splitlines() == ["== where", first.stdout.splitlines()[-1]]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the ordinary wheels have no CUDA")
def test_a_cuda_build_is_not_taken_for_want_of_a_cpu_build(copy, bare, tmp_path):
    if load().has_nvidia():
        pytest.skip("an NVIDIA driver is installed")
    fake_torch(tmp_path / "wheels", VERSION)  # what an index without CPU builds offers
    for lang, word in (("zh", "--torch-index 镜像网址"), ("en", "--torch-index URL")):
        result = course(copy, bare, "bench", "--lang", lang)
        assert result.returncode == 1
        assert word in result.stderr and "--allow-cuda" in result.stderr
    assert not list((copy / ".venv").rglob("torch.py"))
    accepted = course(copy, bare, "bench", "--allow-cuda")
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr


# ------------------------------------------------------------------------------------------- the commands


def test_a_port_in_use_is_told_before_anything_is_installed(copy, bare):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = course(copy, bare, "--port", str(port), "--no-browser", "--lang", "en")
    assert result.returncode == 1
    assert result.stderr.strip() == (
        f"Port {port} is in use: choose another, such as --port {port + 1}, or leave --port out altogether."
    )
    assert not (copy / ".venv").exists()


@pytest.mark.parametrize("arguments", [["--no-brwoser"], ["doctor", "extra"], ["rnu"], ["--lang", "fr"]])
def test_a_slip_of_the_keyboard_is_refused(copy, bare, arguments):
    result = course(copy, bare, *arguments)
    assert result.returncode == 2
    assert not (copy / ".venv").exists()


def test_a_path_is_meant_from_where_the_reader_stands(monkeypatch, tmp_path):
    module, ran = load(), []
    monkeypatch.setattr(module, "ensure", lambda extras, args: ran.append(extras))
    monkeypatch.setattr(module, "in_venv", lambda *arguments: ran.append(arguments) or 0)
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path)
    assert module.main(["classroom", "my class", "--collect=in", "--lang", "zh"]) == 0
    command = ("-m", "tools.classroom", "--lang", "zh", os.path.join(here, "my class"))
    assert ran == [["lab", "teach"], (*command, "--collect=" + os.path.join(here, "in"))]


def test_bench_knows_its_scripts(copy, monkeypatch):
    module = load(copy)
    monkeypatch.setattr(module, "ensure", lambda *_: None)
    with pytest.raises(module.Problem):
        module.command_bench(None, ["nothing"])


def test_doctor_before_the_install_names_the_remedy(copy, bare):
    for lang, remedy in (
        ("zh", "还没有安装：请运行 python3 course.py"),
        ("en", "Not installed yet: run python3 course.py"),
    ):
        result = course(copy, bare, "doctor", "--lang", lang)
        assert result.returncode == 1
        assert f"[x] {remedy}" in result.stdout.splitlines()
        assert "GB" in result.stdout


def test_doctor_reads_the_facts_of_the_installed_packages(capsys):
    module = load()
    module._language = "en"
    facts = json.loads(
        subprocess.run(
            [sys.executable, "-m", "tools.doctor", "en"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout
    )
    report = module.Report()
    module.report_facts(report, facts)
    report.end()
    lines = dict(
        line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.startswith("COURSE_")
    )
    assert lines["COURSE_CLIP_MODEL"] == "mini-clip (default)"
    names = {package["name"] for package in facts["packages"]}
    assert {"torch", "transformers", "jupyterlab"} <= names
    wanting = [package["name"] for package in facts["packages"] if not package["ok"]]
    assert [failure.split()[0] for failure in report.failures[: len(wanting)]] == wanting


def test_doctor_finds_a_wrong_version_and_a_model_that_is_not_there(monkeypatch):
    module = load()
    environment = os.environ | {"COURSE_CLIP_MODEL": "mini-nothing"}
    facts = json.loads(
        subprocess.run(
            [sys.executable, "-m", "tools.doctor", "en"],
            cwd=ROOT,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )
    assert any("mini-nothing" in problem for problem in facts["problems"])
    facts["packages"] = [{"name": "torch", "version": "1.0", "range": ">=2.6", "ok": False}]
    facts["memory_available"] = 10**9
    report = module.Report()
    module.report_facts(report, facts)
    assert report.failures[0] == "torch is not as required: run python3 course.py"
    assert any("memory" in warning for warning in report.warnings)


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("内存", 4), ("内存 GB", 7)])
def test_columns_counts_a_chinese_character_as_two(text, width):
    assert load().columns(text) == width


@pytest.mark.parametrize(
    ("given", "folder", "rest"),
    [
        ([], ROOT / "data" / "world" / "scenes", []),
        (["--theme", "dark"], ROOT / "data" / "world" / "scenes", ["--theme", "dark"]),
        (["pictures", "--theme", "dark"], Path.cwd() / "pictures", ["--theme", "dark"]),
    ],
)
def test_app_serves_the_folder_that_is_named_or_the_courses_own(given, folder, rest, monkeypatch):
    module, called = load(), []
    monkeypatch.setattr(module, "ensure", lambda extras, args: called.append(extras))
    monkeypatch.setattr(module, "in_venv", lambda *arguments: called.append(list(arguments)) or 0)
    assert module.main(["app", *given, "--port", "8899", "--no-browser", "--lang", "zh"]) == 0
    extras, line = called
    assert extras == ["app"] and line[:3] == ["-m", "course_lib.app", str(folder)]
    assert line[3:] == [*rest, "--lang", "zh", "--port", "8899", "--no-browser"]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_is_the_childs_to_answer(tmp_path):
    child = (
        "import pathlib, time\n"
        "try: print('there', flush=True); time.sleep(60)\n"
        f"except KeyboardInterrupt: time.sleep(1); pathlib.Path({str(tmp_path / 'tidy')!r}).touch()\n"
    )
    parent = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "import pathlib, course\n"
        "course.venv_python = lambda: pathlib.Path(sys.executable)\n"
        f"sys.exit(course.in_venv('-c', {child!r}))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, start_new_session=True, text=True
    )
    assert process.stdout.readline() == "there\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == 130 and (tmp_path / "tidy").exists()
