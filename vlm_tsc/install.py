"""What setup.sh does outside the caller's shell: make the environment and fill it from requirements.lock.

Runs before anything is installed: the standard library only, started as a file, `python -I vlm_tsc/install.py VENV
[CHECKPOINTS]`, and imported by nothing in the package.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMP = "requirements.stamp"
UNFINISHED = "unfinished"  # there from pip's start to its good end; pip takes a package cut short for an installed one
GB = 10**9
NEEDED_GB = {"first": 3, "update": 1}  # measured with the CPU build of torch: 2.5 GB
CUDA_GB = 6
MADE_BY_VENV = {"bin", "include", "lib", "lib64", "share", "etc", "pyvenv.cfg", ".gitignore"}
# Variables that would lead pip, or the Python it runs on, away from the environment.
REDIRECTS = ("PIP_PREFIX", "PIP_ROOT", "PIP_TARGET", "PIP_USER", "PYTHONHOME", "PYTHONPATH")

# What pip and venv write when they fail, most telling first: pattern, what is wrong, what to do.
CAUSES = (
    (
        r"No space left on device|Errno 28|Disk quota exceeded",
        "the disk is full",
        "free some space, or put things elsewhere: VLM_TSC_VENV (the environment),\n"
        "           PIP_CACHE_DIR (pip's cache), TMPDIR (temporary files)",
    ),
    (
        r"Failed to establish a new connection|Name or service not known|name resolution|nodename nor servname"
        r"|Connection refused|Network is unreachable|ConnectTimeout|Read timed out|ProxyError|SSLError",
        "no network: pip cannot reach its package index",
        "connect, or name an index or a folder of wheels that can be reached:\n"
        "           PIP_INDEX_URL, PIP_FIND_LINKS. What was downloaded is kept",
    ),
    (
        r"No matching distribution found for .*",
        "a package is not in the index for this Python and platform",
        "check that the index is the right one (pip config list), or try another Python\n"
        "           (VLM_TSC_PYTHON); macOS must be version 14 or later, on an Apple processor",
    ),
    (
        r"ensurepip is not available|No module named '?(ensurepip|venv)",
        "this Python cannot make virtual environments",
        "Debian, Ubuntu: sudo apt install python3-venv",
    ),
    (r"Permission denied.*", "a folder cannot be written", "set VLM_TSC_VENV to a folder of yours"),
)


class SetupError(Exception):
    """The environment cannot be made; the text says why and what to do."""


def refusal(what: str, where: object, got: object, fix: str) -> SetupError:
    """The project's form of an error (vlm_tsc.errors is out of reach: nothing is installed yet)."""
    return SetupError(f"{what}\n  where:   {where}\n  got:     {got}\n  fix:     {fix}")


def stamp_of(venv: Path) -> str:
    """What the environment was made from; another value means that it has to be brought up to date."""
    pinned = b"".join((ROOT / name).read_bytes() for name in ("requirements.lock", "pyproject.toml"))
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"{hashlib.sha256(pinned).hexdigest()} {python} {ROOT} {venv}\n"


def is_ready(venv: Path) -> bool:
    """Whether an earlier install finished, here, from the same pins."""
    stamp = venv / STAMP
    return stamp.is_file() and stamp.read_text() == stamp_of(venv) and os.access(venv / "bin" / "python", os.X_OK)


def is_sound(venv: Path) -> bool:
    """Whether packages can be installed: same Python, pip works, the folder was neither moved nor left half-made."""
    if (venv / UNFINISHED).exists():
        return False
    try:
        if str(venv) not in (venv / "bin" / "activate").read_text():
            return False
        asked = [venv / "bin" / "python", "-I", "-c", "import pip, sys; print(*sys.version_info[:2])"]
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    except OSError:
        return False
    return answer.stdout.split() == [str(number) for number in sys.version_info[:2]]


def check_disk(venv: Path, needed_gb: float) -> None:
    """Refuse before a long download what cannot end well."""
    folder = next(parent for parent in (venv, *venv.parents) if parent.exists())
    free_gb = shutil.disk_usage(folder).free / GB
    if free_gb < needed_gb:
        got = f"{free_gb:.1f} GB free; the environment needs {needed_gb:g} GB ({CUDA_GB} GB with CUDA)"
        raise refusal("the disk is too full", venv, got, CAUSES[0][2])
    if needed_gb == NEEDED_GB["first"] and free_gb < CUDA_GB and sys.platform == "linux":
        print(f"note: {free_gb:.1f} GB free: enough for the CPU build of torch, not for CUDA ({CUDA_GB} GB)")


def explain(lines: list[str], log: Path) -> SetupError:
    """Turn the output of pip or venv into one message; where no cause is recognised, its last lines."""
    text = "\n".join(lines)
    for pattern, what, fix in CAUSES:
        if re.search(pattern, text):
            told = [line.strip() for line in lines if re.search(pattern, line)][-1]
            return refusal(what, log, told, f"{fix}; then type the same line again")
    return refusal("the installation failed", log, "\n    ".join(["", *lines[-15:]]), "see the log; then try again")


def run(title: str, command: list[str | Path], log: Path) -> None:
    """Run one step with its output in `log`, showing the title, on a terminal also the line it is at, and the time."""
    started, lines, live = time.monotonic(), [], sys.stdout.isatty()
    print(title, end=" " if live else "\n", flush=True)
    environment = {name: value for name, value in os.environ.items() if name not in REDIRECTS}
    with subprocess.Popen(
        command, env=environment, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            if live:
                at = f"{title} {time.monotonic() - started:.0f} s: {line.strip()}"
                print(f"\r\033[K{at[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)
    if live:
        print(f"\r\033[K{title} {time.monotonic() - started:.0f} s")
    with contextlib.suppress(OSError), log.open("a") as file:  # on a full disk the message matters more than the log
        file.write("\n".join([title, *lines, ""]))
    if process.returncode:
        raise explain(lines, log)


def install(venv: Path) -> None:
    """Make or repair the environment at `venv`; the stamp is written last, so an interrupted install is seen."""
    (venv / STAMP).unlink(missing_ok=True)
    log = venv / "install.log"
    if is_sound(venv):
        check_disk(venv, NEEDED_GB["update"])
        log.unlink(missing_ok=True)
    else:
        known = {path.name for path in venv.iterdir()} if venv.is_dir() else set()
        if venv.exists() and "pyvenv.cfg" not in known and not known <= MADE_BY_VENV | {log.name}:
            raise refusal("will not clear a folder that is no virtual environment", venv, "other files", "move it away")
        check_disk(venv, NEEDED_GB["first"])
        base = getattr(sys, "_base_executable", sys.executable)  # not the environment that is about to be cleared
        run(f"making {venv} with Python {sys.version.split()[0]}", [base, "-I", "-m", "venv", "--clear", venv], log)
    pip = [venv / "bin" / "python", "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    pip += ["--progress-bar", "off"]
    pins = sum("==" in line for line in (ROOT / "requirements.lock").read_text().splitlines())
    (venv / UNFINISHED).touch()
    try:
        run(f"installing {pins} pinned packages (a few minutes)", [*pip, "-r", ROOT / "requirements.lock"], log)
        # Built with the pinned setuptools, not with one downloaded for the occasion.
        run("installing vlm_tsc itself", [*pip, "--no-deps", "--no-build-isolation", "-e", ROOT], log)
    except SetupError:
        if log.is_file() and "Installing collected packages" not in log.read_text():
            (venv / UNFINISHED).unlink()  # pip stopped before it wrote anything, so what was installed still works
        raise
    (venv / UNFINISHED).unlink()
    (venv / STAMP).write_text(stamp_of(venv))


def remember(venv: Path, argument: str) -> str | None:
    """Keep a folder of local checkpoints for this and later sourcings; returns the one that holds now.

    Sourced without arguments, a script sees those of its caller: only a folder that exists counts, and only what can
    have been meant as one (a path, but no option and no file) is worth a word.
    """
    kept = venv / "llava_root"
    if os.path.isdir(argument):
        kept.write_text(os.path.abspath(argument) + "\n")
        return os.path.abspath(argument)
    if "/" in argument and not argument.startswith("-") and not os.path.exists(argument):
        print(f"note: {argument} is no folder of checkpoints; ignored")
    remembered = kept.read_text().strip() if kept.is_file() else None
    return os.environ.get("VLM_TSC_LLAVA_ROOT") or remembered


def main(argv: list[str]) -> int:
    """`argv`: the environment's folder and the caller's first argument, which may be empty."""
    venv, fresh = Path(os.path.abspath(argv[0])), False
    try:
        if not is_ready(venv):
            fresh = True
            install(venv)
        checkpoints = remember(venv, argv[1] if len(argv) > 1 else "")
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.strerror}\n  where:   {error.filename or venv}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; type the same line again to go on from here", file=sys.stderr)
        return 1
    doctor = [venv / "bin" / "python", "-P", "-m", "vlm_tsc.doctor", *([] if fresh else ["--quick"])]
    sys.stdout.flush()  # so that our lines come before the self-check's, also in a file
    environment = {**os.environ, **({"VLM_TSC_LLAVA_ROOT": checkpoints} if checkpoints else {})}
    if subprocess.run(doctor, check=False, env=environment).returncode:
        return 1
    there = "" if Path.cwd() == ROOT else f"cd {ROOT} && "
    print(f"ready; next:  {there}python train.py --dataset ItalyPowerDemand")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
