#!/usr/bin/env python3
"""The course's one command (standard library only).

    python3 course.py              make .venv, install, open JupyterLab on the first lesson
    python3 course.py test         everything the tests need, then all of them
    python3 course.py run          run every notebook without a browser, with a table of seconds
    python3 course.py doctor       what is installed, what is missing, and the remedy
    python3 course.py build        lessons/*.py to notebooks
    python3 course.py bench        the benchmarks
    python3 course.py classroom    a class with nbgrader: hand out, collect, grade
    python3 course.py bundle       one archive that sets up a room without internet
    python3 course.py book         the course as a site to read
    python3 course.py app          search pictures and ask about them, as a web page

Everything is installed into .venv beside this file and nowhere else. The file must parse on Python 3.8, so
that an old Python gets a sentence rather than a syntax error.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import locale
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import unicodedata
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "course-stamp.json"
LOG = VENV / "course-install.log"
WHEELS = ROOT / "wheels"  # in a bundle alone: everything that an install needs
MANIFEST = WHEELS / "manifest.json"
OLDEST, NEWEST = (3, 10), (3, 13)
NEEDED_DISK = 3 * 1024**3  # bytes: the installed packages and pip's downloads beside them
FIRST_LESSON = "00_start_here.ipynb"

_language = "en"


def say(zh: str, en: str) -> str:
    """The text in the reader's language."""
    return zh if _language == "zh" else en


class Problem(Exception):
    """A step failed; the message says in a sentence what to do, `kind` what sort of failure it was."""

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


# ------------------------------------------------------------------------------------------- surroundings


def choose_language(asked: Optional[str], environment: Dict[str, str]) -> str:
    """`--lang`, else COURSE_LANG, else the locale, else English."""
    if asked:
        return asked
    names = [environment.get(key, "") for key in ("COURSE_LANG", "LC_ALL", "LC_MESSAGES", "LANG")]
    if os.name == "nt":  # Windows keeps its language elsewhere ("Chinese (Simplified)_China")
        names.append(locale.getlocale()[0] or "")
    for name in names:
        if name:
            return "zh" if name.lower().startswith(("zh", "chinese")) else "en"
    return "en"


def check_python(version: Sequence[int]) -> Optional[str]:
    """A sentence for a Python newer than the tested ones; raises `Problem` for one that is too old."""
    shown = "{}.{}".format(*version[:2])
    tested = "{}.{}-{}.{}".format(*OLDEST, *NEWEST)
    if tuple(version[:2]) < OLDEST:
        names = ["python3.{}".format(minor) for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
        other = next((name for name in names if shutil.which(name)), None)
        if other:
            raise Problem(
                say(
                    "这个 Python 是 {}，课程需要 {}；本机上有合适的版本，请运行：{} course.py",
                    "This is Python {}; the course needs {}. There is one on this machine: run {} course.py",
                ).format(shown, tested, other)
            )
        raise Problem(
            say(
                "这个 Python 是 {}，课程需要 {}；请安装 Python 3.12，再用它运行 course.py。",
                "This is Python {}; the course needs {}. Install Python 3.12 and run course.py with it.",
            ).format(shown, tested)
        )
    if tuple(version[:2]) > NEWEST:
        return say(
            "提示：课程在 Python {1} 上测试过，这里是 {0}；如果安装失败，请改用 Python 3.12。",
            "Note: the course is tested on Python {1}, this is {0}; if the install fails, use Python 3.12.",
        ).format(shown, tested)
    return None


def child_environment() -> Dict[str, str]:
    """The environment for child processes: nothing that would lead them to another Python's packages."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "CONDA")) and key not in ("VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    }
    for key in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"):
        kept.pop(key, None)
    kept.update(PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
    kept.update(PYTHONNOUSERSITE="1", PYTHONUTF8="1", JUPYTER_PREFER_ENV_PATH="1")
    return kept


def has_nvidia() -> bool:
    """Whether an NVIDIA driver is installed."""
    marks = ("/proc/driver/nvidia/version", "/usr/lib/wsl/lib/nvidia-smi")
    return bool(shutil.which("nvidia-smi")) or any(Path(mark).exists() for mark in marks)


def cpu_count() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# --------------------------------------------------------------------------------------------- installing


def venv_python() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def fingerprint() -> str:
    """Hash of what an install depends on: ranges, constraints, the Python in .venv, and the folder."""
    digest = hashlib.sha256(str(ROOT).encode())
    for path in (ROOT / "pyproject.toml", ROOT / "constraints.txt", VENV / "pyvenv.cfg"):
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()


def installed_extras() -> List[str]:
    """The extras that .venv holds, if it was installed from what is here now; otherwise none."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    current = stamp.get("fingerprint") == fingerprint() and venv_python().exists()
    return list(stamp.get("extras", [])) if current else []


def ensure(extras: Sequence[str], args: argparse.Namespace) -> None:
    """Make .venv and install the course with `extras` into it, unless that was done already."""
    have = installed_extras()
    if set(extras) <= set(have):
        return
    note = check_python(sys.version_info)
    if note:
        print(note)
    free = shutil.disk_usage(str(ROOT)).free
    if not have and not VENV.exists() and free < NEEDED_DISK:
        raise Problem(
            say(
                "磁盘只剩 {:.1f} GB，安装大约需要 {:.0f} GB；请先清理出空间，再运行一次。",
                "Only {:.1f} GB of disk are free, the install needs about {:.0f} GB: make room, try again.",
            ).format(free / 1024**3, NEEDED_DISK / 1024**3)
        )
    wanted = sorted(set(extras) | set(have))
    offline = from_bundle(wanted)
    make_venv()
    install_torch(args.torch_index, args.allow_cuda, offline)
    target = "{}[{}]".format(ROOT, ",".join(wanted))
    command = [
        "-m",
        "pip",
        "install",
        "--progress-bar",
        "off",
        "-c",
        str(ROOT / "constraints.txt"),
        "-e",
        target,
    ] + offline
    step(say("安装课程和它的依赖", "Installing the course and what it needs"), command)
    quiet_jupyterlab()
    write_atomically(STAMP, json.dumps({"fingerprint": fingerprint(), "extras": wanted}))


def from_bundle(extras: Sequence[str]) -> List[str]:
    """pip's options to install from a bundle's wheels and nothing else; none where this is no bundle.

    Raises `Problem` where the bundle is another machine's, or a wheel was damaged on the way.
    """
    try:
        manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if not set(extras) <= set(manifest["extras"]):
        return []  # what only a network can give
    here = bundle_platform()
    if manifest["platform"] != here:
        raise Problem(
            say(
                "这个离线包是为 {} 做的，这里是 {}：请换用那个版本的 Python，或在同样的机器上另做一个离线包。",
                "This bundle was made for {}, this is {}: use that Python, or make a bundle on a machine like this.",
            ).format(" ".join(manifest["platform"]), " ".join(here))
        )
    print(say("检查离线包", "Checking the bundle"), flush=True)
    for name, digest in manifest["wheels"].items():
        if sha256(WHEELS / name) != digest:
            raise Problem(
                say(
                    "离线包里的 {} 缺失或损坏：请重新复制一份离线包，再解压一次。",
                    "{} in the bundle is missing or damaged: copy the bundle once more and unpack it again.",
                ).format(name)
            )
    return ["--no-index", "--find-links", str(WHEELS)]


def bundle_platform() -> List[str]:
    """What wheels depend on: system, processor, Python."""
    return [platform.system(), platform.machine(), "Python {}.{}".format(*sys.version_info[:2])]


def sha256(path: Path) -> str:
    """Hash of a file's content, "" where there is none."""
    digest = hashlib.sha256()
    try:
        with open(str(path), "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def make_venv() -> None:
    """Make .venv, or make it anew where its Python is gone or too old."""
    version = re.search(r"^version\S*\s*=\s*(\d+)\.(\d+)", read_text(VENV / "pyvenv.cfg"), re.MULTILINE)
    usable = venv_python().exists() and version and (int(version[1]), int(version[2])) >= OLDEST
    if usable and installed("pip"):
        return
    title = say("创建虚拟环境 .venv", "Making the virtual environment .venv")
    step(title, ["-m", "venv", "--clear", str(VENV)], python=sys.executable, log=False)


def installed(pattern: str) -> bool:
    """Whether .venv's site-packages hold something of this name."""
    places = ("Lib/site-packages/", "lib/python3*/site-packages/")
    return any(next(VENV.glob(place + pattern), None) for place in places)


def torch_attempts(
    version: str, system: str, nvidia: bool, index: Optional[str], allow_cuda: bool = False
) -> List[Tuple[str, List[str]]]:
    """The ways to install torch, in the order to try them: `("pip" or "uv", arguments)`.

    Only on Linux do the ordinary wheels bring gigabytes of CUDA. There, without an NVIDIA driver, every way
    asks for the CPU build by name, so that none of them can end in CUDA: first from wherever pip is set to
    look, then through uv, which knows PyTorch's own index. With a driver, uv picks the build that suits it.
    Only who asks for it (`allow_cuda`) gets the ordinary wheels where neither way works.
    (Asking pip what it would install is no way to find out: without separate metadata on the index, which few
    mirrors have, `pip install --dry-run` downloads every wheel.)
    """
    if index:  # both kinds of mirror: a package index, or a page of links
        where = ["--extra-index-url", index, "--find-links", index]
        cpu_only = system == "Linux" and not nvidia
        return [("pip", where + ["torch=={}{}".format(version, "+cpu" if cpu_only else "")])]
    if nvidia and system in ("Linux", "Windows"):
        return [
            ("uv", ["--torch-backend", "auto", "--no-deps", "torch=={}".format(version)]),
            ("pip", ["torch=={}".format(version)]),
        ]
    ordinary = ("pip", ["torch=={}".format(version)])
    if system != "Linux":
        return [ordinary]
    cpu_only = [
        ("pip", ["torch=={}+cpu".format(version)]),
        ("uv", ["--torch-backend", "cpu", "--no-deps", "torch=={}".format(version)]),
    ]
    return cpu_only + [ordinary] if allow_cuda else cpu_only


def torch_version() -> str:
    return re.search(r"^torch==([^\s;]+)", read_text(ROOT / "constraints.txt"), re.MULTILINE)[1]


def install_torch(index: Optional[str], allow_cuda: bool, offline: Sequence[str] = ()) -> None:
    """Install the torch version of constraints.txt, the CPU build where there is no NVIDIA driver.

    `offline` holds pip's options for a bundle, whose one torch it is then.
    """
    version = torch_version()
    if installed("torch-{}*.dist-info".format(version)):
        return
    if offline:
        title = say("安装 PyTorch {}", "Installing PyTorch {}").format(version)
        step(title, ["-m", "pip", "install", "--progress-bar", "off", "torch==" + version] + list(offline))
        return
    nvidia = has_nvidia()
    attempts = torch_attempts(version, platform.system(), nvidia, index, allow_cuda)
    title = say("安装 PyTorch {}", "Installing PyTorch {}").format(version)
    if not nvidia:
        title += say("（CPU 版）", " (for the CPU)")
    for number, (tool, arguments) in enumerate(attempts, 1):
        try:
            if tool == "pip":
                step(title, ["-m", "pip", "install", "--progress-bar", "off"] + arguments)
            else:
                step(say("安装 uv", "Installing uv"), ["-m", "pip", "install", "uv>=0.7,<1"])
                step(title, ["-m", "uv", "pip", "install", "--python", str(venv_python())] + arguments)
            return
        except Problem as problem:
            if problem.kind not in ("network", "certificate", "version"):
                raise  # a full disk is full for every source
            if number < len(attempts):
                print("  " + say("换一个来源再试。", "Trying another source."), flush=True)
                continue
            if sys.platform == "darwin" and problem.kind == "version":
                raise Problem(
                    say(
                        "PyTorch {} 没有适合这台 Mac 的版本（需要 Apple 芯片和较新的 macOS）："
                        "请在 Colab 或 Binder 上学习，链接在 README 中。",
                        "PyTorch {} has no build for this Mac (it wants Apple silicon and a recent macOS): "
                        "use Colab or Binder, the links are in the README.",
                    ).format(version),
                    problem.kind,
                ) from problem
            raise Problem(
                say(
                    "下载不到 PyTorch：请检查网络后再试，或用 --torch-index 镜像网址 指定镜像，"
                    "或用 --allow-cuda 接受几 GB 的普通版。",
                    "PyTorch could not be fetched: check the network and try again, or name a mirror with "
                    "--torch-index URL, or accept the ordinary build of several GB with --allow-cuda.",
                ),
                problem.kind,
            ) from problem


def diagnose(output: str) -> Problem:
    """What a failed step's output means and what to do about it."""
    for kind, pattern, zh, en in _REMEDIES:
        if re.search(pattern, output, re.IGNORECASE):
            return Problem(say(zh, en), kind)
    return Problem(say("原因见上面几行和日志 {}。", "The lines above and the log {} say why.").format(LOG))


_REMEDIES = (
    (
        "disk",
        r"No space left on device|Errno 28|WinError 112|not enough space",
        "磁盘满了：请清理出约 3 GB 空间，再运行一次。",
        "The disk is full: make about 3 GB of room and run this again.",
    ),
    (
        "venv",
        r"ensurepip\s+is\s+not\s+available|No module named '?(venv|ensurepip)",
        "这个 Python 缺少 venv 模块：在 Debian 或 Ubuntu 上运行 sudo apt install python3-venv，再运行一次。",
        "This Python lacks the venv module: on Debian or Ubuntu, sudo apt install python3-venv; try again.",
    ),
    (
        "network",
        r"getaddrinfo|name resolution|Name or service not known|nodename nor servname|dns error|unreachable"
        r"|NewConnectionError|Max retries exceeded|ConnectTimeout|ReadTimeout|Connection refused"
        r"|Connection reset|RemoteDisconnected|ProxyError|Temporary failure|error sending request|timed out",
        "网络不通：请检查网络或代理后再试；在国内可以先设镜像：pip config set global.index-url 镜像网址",
        "The network is out of reach: check it (or the proxy) and try again; where the package index is slow "
        "or blocked, name a mirror first: pip config set global.index-url URL-OF-A-MIRROR",
    ),
    (
        "certificate",
        r"CERTIFICATE_VERIFY_FAILED|SSLError|certificate verify failed",
        "无法验证服务器证书：请检查系统时间和代理；公司网络请向管理员索取证书，并设置 PIP_CERT。",
        "The server's certificate could not be verified: check the clock and the proxy; on a company network "
        "ask for its certificate and set PIP_CERT to it.",
    ),
    (
        "version",
        # The last is what pip says of a version it cannot find while a constraint of the user's own names the package.
        r"No matching distribution found|Could not find a version|No solution found|no wheels? (with|for)|ResolutionImpossible",
        "软件源里没有适合这台机器的版本：请换用 Python 3.12，或换一个更完整的镜像，再运行一次。",
        "The package index has no version for this machine: use Python 3.12, or a more complete mirror, and "
        "try again.",
    ),
    (
        "compiler",
        r"Microsoft Visual C\+\+|command '.*(gcc|cc|clang)' failed|Failed (to build|building wheel)",
        "有一个包没有现成的安装文件，需要编译：请改用 Python 3.12，删除 .venv 后再运行一次。",
        "A package has no ready-made wheel and would have to be compiled: remove .venv and use Python 3.12.",
    ),
    (
        "permission",
        r"Permission denied|Errno 13|WinError 5\b|Access is denied|Read-only file system",
        "没有写入权限：请把课程放到你自己的文件夹里，关闭正在使用 .venv 的程序，再运行一次。",
        "No permission to write: put the course into a folder of your own, close what uses .venv, run again.",
    ),
    (
        "memory",
        r"MemoryError|exit status -9|Killed",
        "内存不够：请关闭其他程序后再运行一次。",
        "Memory ran out: close other programs and run this again.",
    ),
)


def step(title: str, arguments: Sequence[str], python: Optional[str] = None, log: bool = True) -> None:
    """Run `python arguments...` as one step of the install: its title, what it is doing, its seconds.

    The output goes to the log. Raises `Problem` with the remedy where the step fails.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        [python or str(venv_python())] + list(arguments),
        cwd=str(ROOT),
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    lines = []  # type: List[str]
    done = threading.Event()
    ticker = threading.Thread(target=show_progress, args=(title, lines, started, done), daemon=True)
    ticker.start()
    try:
        for line in process.stdout:
            lines.append(line.rstrip())
        code = process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    finally:
        done.set()
        ticker.join()
    if log and VENV.exists():
        with open(str(LOG), "a", encoding="utf-8") as file:
            file.write("\n".join(["== " + title] + lines + [""]))
    seconds = time.monotonic() - started
    if code:
        print("{}: {}".format(title, say("失败", "failed")), flush=True)
        for line in [line for line in lines if line.strip()][-6:]:
            print("  | " + line[:200], flush=True)
        raise diagnose("\n".join(lines) + "\nexit status {}".format(code))
    print("{}: {:.0f} s".format(title, seconds), flush=True)


def show_progress(title: str, lines: List[str], started: float, done: threading.Event) -> None:
    """On a terminal, one line that shows the seconds and what the step is at; it is wiped at the end."""
    if not sys.stdout.isatty():
        return
    width = shutil.get_terminal_size().columns - 1
    while not done.wait(0.5):
        text = "{} [{:.0f} s] {}".format(
            title, time.monotonic() - started, lines[-1].strip() if lines else ""
        )
        text = text[:width]  # pip's last line may have thousands of letters
        while columns(text) > width:
            text = text[:-1]
        print("\r" + text + " " * (width - columns(text)), end="", flush=True)
    print("\r" + " " * width + "\r", end="", flush=True)


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes; a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def quiet_jupyterlab() -> None:
    """Let JupyterLab start without asking about its news, which needs a network."""
    settings = {
        "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}
    }
    folder = VENV / "share" / "jupyter" / "lab" / "settings"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "overrides.json", json.dumps(settings))


def write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(str(temporary), str(path))


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


# ----------------------------------------------------------------------------------------------- commands


def in_venv(*arguments: str) -> int:
    """Run .venv's Python in the course's folder and hand back its exit status.

    Ctrl-C reaches the child as well, and it is the child that answers: a second try ends what the first one left.
    """
    command = [str(venv_python())] + list(arguments)
    process = subprocess.Popen(command, cwd=str(ROOT), env=child_environment())
    interrupted = False
    while True:
        try:
            code = process.wait()
            return 130 if interrupted else code
        except KeyboardInterrupt:
            interrupted = True


def port_is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name != "nt":  # on Windows this option would let two servers share a port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def command_lab(args: argparse.Namespace, _rest: List[str]) -> int:
    """Open JupyterLab on the first lesson."""
    if args.port and not port_is_free(args.port):
        raise Problem(
            say(
                "端口 {0} 已被占用：请换一个，例如 --port {1}，或不写 --port，让程序自己找。",
                "Port {0} is in use: choose another, such as --port {1}, or leave --port out altogether.",
            ).format(args.port, args.port + 1)
        )
    ensure(["lab"], args)
    lesson = Path("notebooks", _language, FIRST_LESSON)
    url = "/lab/tree/" + lesson.as_posix() if (ROOT / lesson).exists() else "/lab"
    command = [
        "-m",
        "jupyterlab",
        "--ServerApp.root_dir={}".format(ROOT),
        "--LabApp.default_url={}".format(url),
        # What an upload may weigh; of more than Tornado's own 10 MB, two photographs, the notebook loses its kernel.
        "--ServerApp.tornado_settings={{'websocket_max_message_size': {}}}".format(100 * 1024**2),
    ]
    command.append("--log-level=WARN")  # leaves the address to open
    if args.port:
        command += ["--ServerApp.port={}".format(args.port), "--ServerApp.port_retries=0"]
    if args.no_browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # it listens on loopback only
    print(
        say(
            "正在启动 JupyterLab；按两次 Ctrl+C 结束。", "Starting JupyterLab; press Ctrl+C twice to end it."
        ),
        flush=True,
    )
    return replace_process(command)


def replace_process(arguments: List[str]) -> int:
    """Hand over to .venv's Python, so that signals reach it alone (Windows has no such hand-over)."""
    if os.name == "nt":
        return in_venv(*arguments)
    os.chdir(str(ROOT))
    os.execve(str(venv_python()), [str(venv_python())] + arguments, child_environment())
    return 1  # not reached


def command_test(args: argparse.Namespace, rest: List[str]) -> int:
    """Run the unit tests and every notebook and solution, outputs compared."""
    ensure(["lab", "test"], args)
    given = [argument for argument in rest if not argument.startswith("-")]
    places = (
        []
        if any((ROOT / name.split("::")[0]).exists() for name in given)
        else ["tests", "notebooks", "solutions"]
    )
    places = [name for name in places if (ROOT / name).is_dir()]
    # One worker a core, one thread a worker; a notebook's cells stay together on one worker, in order.
    workers = min(cpu_count(), 4)
    command = [
        "-m",
        "pytest",
        "--nbval",
        "--nbval-current-env",
        "--nbval-sanitize-with=tests/nbval_sanitize.cfg",
    ]
    # In the order of conftest.py, the longest first; xdist's own, by the number of tests, ends with one long file on one core.
    command += ["-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"] if workers > 1 else []
    return in_venv(*command, *places, *rest)


def command_build(args: argparse.Namespace, rest: List[str]) -> int:
    """Build the notebooks from lessons/."""
    ensure(["lab", "test"], args)
    return in_venv("-m", "tools.build_lessons", *rest)


def command_classroom(args: argparse.Namespace, rest: List[str]) -> int:
    """Make a class, sort in what learners handed in, grade it."""
    ensure(["lab", "teach"], args)
    return in_venv("-m", "tools.classroom", "--lang", _language, *absolute(rest))


def command_bundle(args: argparse.Namespace, rest: List[str]) -> int:
    """Make an archive that sets up a room without internet."""
    ensure(["lab"], args)
    index = ["--torch-index", args.torch_index] if args.torch_index else []
    return in_venv("-m", "tools.bundle", "--lang", _language, *index, *absolute(rest))


def command_book(args: argparse.Namespace, rest: List[str]) -> int:
    """Make the site that reads without running."""
    ensure(["lab", "book"], args)
    return in_venv("-m", "tools.book", *absolute(rest))


def absolute(arguments: Sequence[str]) -> List[str]:
    """Arguments with their paths made absolute: what a tool is told is meant from the reader's own folder."""
    found = []
    for argument in arguments:
        option, equals, value = argument.partition("=") if argument.startswith("-") else ("", "", argument)
        is_path = value and (equals or not option)
        found.append(option + equals + os.path.abspath(value) if is_path else argument)
    return found


def command_run(args: argparse.Namespace, rest: List[str]) -> int:
    """Run every notebook without a browser."""
    ensure(["lab"], args)
    languages = ["--lang", args.lang] if args.lang else []
    return in_venv("-m", "tools.run_notebooks", *languages, *rest)


def command_bench(args: argparse.Namespace, rest: List[str]) -> int:
    """Run benchmarks/*.py, or those that are named."""
    ensure(["lab"], args)
    scripts = [path for path in sorted((ROOT / "benchmarks").glob("*.py")) if not path.name.startswith("_")]
    if rest:
        missing = sorted(set(rest) - {path.stem for path in scripts})
        if missing:
            sentence = say(
                "benchmarks/ 中没有这样的脚本：{}。", "There is no such script in benchmarks/: {}."
            )
            raise Problem(sentence.format(", ".join(missing)))
        scripts = [path for path in scripts if path.stem in rest]
    worst = 0
    for script in scripts:
        print("== {}".format(script.stem), flush=True)
        worst = max(worst, abs(in_venv(str(script))))
    return worst


def command_app(args: argparse.Namespace, rest: List[str]) -> int:
    """Serve the search-and-ask app over a folder of pictures, or over the course's own."""
    ensure(["app"], args)
    if not rest or rest[0].startswith("-"):
        rest = [str(ROOT / "data" / "world" / "scenes")] + rest
    else:
        rest = [str(Path(rest[0]).expanduser().resolve())] + rest[1:]
    options = ["--lang", _language]
    options += ["--port", str(args.port)] if args.port else []
    options += ["--no-browser"] if args.no_browser else []
    return in_venv("-m", "course_lib.app", *rest, *options)


def command_doctor(_args: argparse.Namespace, _rest: List[str]) -> int:
    """Say what is installed, what is missing, and the remedy."""
    report = Report()
    report.line(say("Python", "Python"), "{} ({})".format(platform.python_version(), sys.executable))
    try:
        note = check_python(sys.version_info)
        if note:
            report.warn(note)
    except Problem as problem:
        report.fail(str(problem))
    report.line(say("系统", "System"), "{} {}".format(platform.platform(), platform.machine()))
    free = shutil.disk_usage(str(ROOT)).free
    report.line(say("磁盘剩余", "Free disk"), gigabytes(free))
    facts = {}  # type: Dict[str, object]
    if not venv_python().exists():
        report.fail(say("还没有安装：请运行 python3 course.py", "Not installed yet: run python3 course.py"))
        if free < NEEDED_DISK:
            report.fail(
                say(
                    "磁盘空间不够安装：请清理出约 3 GB。",
                    "Too little disk to install: make about 3 GB of room.",
                )
            )
    else:
        if not installed_extras():
            sentence = say(
                "安装不完整或已过时：请运行 python3 course.py",
                "The install is incomplete or out of date: run python3 course.py",
            )
            report.fail(sentence)
        result = subprocess.run(
            [str(venv_python()), "-m", "tools.doctor", _language],
            cwd=str(ROOT),
            env=child_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        try:
            facts = json.loads(result.stdout)
        except ValueError:
            tail = (result.stderr.strip().splitlines() or [""])[-1]
            sentence = say(
                ".venv 已损坏（{}）：请删除 .venv，再运行 python3 course.py",
                ".venv is broken ({}): remove .venv and run python3 course.py",
            )
            report.fail(sentence.format(tail))
    report_facts(report, facts)
    for name in ("notebooks", "exercises", "solutions"):
        count = len(list((ROOT / name).glob("*/*.ipynb")))
        report.line(name, str(count))
    report.end()
    return 1 if report.failures else 0


def report_facts(report: "Report", facts: Dict) -> None:
    """The part of the report that only the installed packages can tell (see `tools/doctor.py`)."""
    if not facts:
        return
    if facts.get("memory_available"):
        shown = "{} / {}".format(gigabytes(facts["memory_available"]), gigabytes(facts["memory_total"]))
        report.line(say("内存（可用 / 全部）", "Memory (free / all)"), shown)
        if facts["memory_available"] < 2 * 1024**3:
            report.warn(
                say(
                    "可用内存不到 2 GB：请关闭其他程序。",
                    "Less than 2 GB of memory are free: close other programs.",
                )
            )
    for package in facts["packages"]:
        shown = package["version"] or say("没有安装", "not installed")
        report.line(package["name"], "{}  ({})".format(shown, package["range"]))
        if not package["ok"]:
            sentence = say(
                "{} 不符合要求：请运行 python3 course.py", "{} is not as required: run python3 course.py"
            )
            report.fail(sentence.format(package["name"]))
    if facts.get("torch"):
        report.line(say("PyTorch 的设备", "PyTorch's device"), facts["torch"])
    for setting in facts["settings"]:
        name, _, value = setting.partition(" = ")
        report.line(name, value)
    for sentence in facts["problems"]:
        report.fail(sentence)


class Report:
    """Aligned lines on the terminal, and at the end what has to be done."""

    def __init__(self) -> None:
        self.failures = []  # type: List[str]
        self.warnings = []  # type: List[str]

    def line(self, name: str, value: str) -> None:
        print("{}{} {}".format(name, " " * (24 - columns(name)), value))

    def fail(self, sentence: str) -> None:
        self.failures.append(sentence)

    def warn(self, sentence: str) -> None:
        self.warnings.append(sentence)

    def end(self) -> None:
        print()
        for sentence in self.failures:
            print("[x] " + sentence)
        for sentence in self.warnings:
            print("[!] " + sentence)
        if not self.failures:
            print(say("一切就绪。", "All is well."))


def gigabytes(count: float) -> str:
    return "{:.1f} GB".format(count / 1024**3)


COMMANDS = {
    "lab": (command_lab, "打开 JupyterLab（默认）", "open JupyterLab (the default)"),
    "test": (
        command_test,
        "运行全部测试；其余参数传给 pytest",
        "run all tests; further arguments go to pytest",
    ),
    "build": (command_build, "由 lessons/ 生成笔记本", "build the notebooks from lessons/"),
    "run": (command_run, "不开浏览器运行全部笔记本", "run every notebook without a browser"),
    "doctor": (command_doctor, "检查安装，给出补救办法", "check the install and name the remedies"),
    "bench": (command_bench, "运行性能测试", "run the benchmarks"),
    "classroom": (
        command_classroom,
        "一个班：classroom 文件夹 [--collect 作业文件夹 | --grade]",
        "a class with nbgrader: classroom FOLDER [--collect HANDED_IN | --grade]",
    ),
    "bundle": (
        command_bundle,
        "做一个离线包，给没有网络的教室用",
        "an archive that sets up a room without internet",
    ),
    "book": (command_book, "生成只读不运行的网站", "make a site to read without running anything"),
    "app": (
        command_app,
        "图文搜索与问答的网页；可给出图片文件夹",
        "search and ask as a web page; takes a folder",
    ),
}


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="course.py",
        allow_abbrev=False,
        description=say("多模态课程的唯一入口。", "The multimodal course's one command."),
        epilog="\n".join("  {:10}{}".format(name, say(zh, en)) for name, (_, zh, en) in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", default="lab", choices=list(COMMANDS), metavar="COMMAND")
    parser.add_argument(
        "--lang", choices=["zh", "en"], help=say("界面和课程的语言", "language of messages and lessons")
    )
    parser.add_argument(
        "--no-browser", action="store_true", help=say("不打开浏览器", "do not open a browser")
    )
    parser.add_argument(
        "--port", type=int, help=say("JupyterLab 或网页的端口", "port for JupyterLab, or for the page")
    )
    parser.add_argument(
        "--torch-index",
        metavar="URL",
        default=os.environ.get("COURSE_TORCH_INDEX"),
        help=say(
            "PyTorch 安装包的镜像（或设置 COURSE_TORCH_INDEX）",
            "a mirror of PyTorch's wheels (or COURSE_TORCH_INDEX)",
        ),
    )
    parser.add_argument(
        "--allow-cuda",
        action="store_true",
        default=bool(os.environ.get("COURSE_ALLOW_CUDA")),
        help=say(
            "找不到 CPU 版 PyTorch 时，接受几 GB 的 CUDA 版",
            "without a CPU build, accept the gigabytes of CUDA",
        ),
    )
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    global _language
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # an old console must not stop the course over a character
            stream.reconfigure(errors="replace")
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--lang", choices=["zh", "en"])
    _language = choose_language(early.parse_known_args(arguments)[0].lang, dict(os.environ))
    parser = make_parser()
    args, rest = parser.parse_known_args(arguments)
    if rest and args.command in ("lab", "doctor"):
        parser.error(say("{} 没有这个参数：{}", "{} has no argument {}").format(args.command, " ".join(rest)))
    try:
        if args.command != "doctor":
            check_python(sys.version_info)
        return COMMANDS[args.command][0](args, rest)
    except Problem as problem:
        print("\n{}".format(problem), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
