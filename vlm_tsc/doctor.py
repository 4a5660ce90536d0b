"""The self-check: `python -m vlm_tsc.doctor` looks at what a run needs and says what is wrong, and the fix.

Versions, devices, free disk, checkpoints and data; a line per thing. Exit code 0 when the main job can run (notes
included), 1 when it cannot. Nothing but the standard library is imported here: it must run where nothing is installed.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Callable
from pathlib import Path

from vlm_tsc.errors import InputError, exits_cleanly, nearest
from vlm_tsc.found import Thing, checkpoint, checkpoints_in, checkpoints_in_cache, hub_cache, listed, sets_in

PACKAGE = Path(__file__).resolve().parent
LOCK = PACKAGE.parent / "requirements.lock"
BASE = PACKAGE / "checkpoints" / "plot-llava-mini"
LOW_GB = 1.0  # a run with its pictures and checkpoints is far smaller

OK, NOTE, FAIL = "ok", "note", "FAIL"
MAIN = ("vlm-tsc", "torch", "transformers", "peft", "accelerate", "deepspeed", "aeon", "numpy", "wandb", "mlflow")
USAGE = """\
usage: python -m vlm_tsc.doctor [--quick] [--json]

What a run needs, what is wrong with it and the fix, a line each: Python,
versions, packages, torch and its devices, compiler, disk, base, checkpoints,
data sets. Exit code 1 when the main job cannot run.

  --quick   Leave torch out, whose import takes seconds.
  --json    Print one JSON document, for scripts."""
WIDTH, MARGIN = 80, 19  # columns of a line, and of those before a finding's text
_GLUE = "\N{NO-BREAK SPACE}"  # keeps a name and its version on one line
Finding = tuple[str, str]  # OK, NOTE or FAIL; text


def python() -> Finding:
    """The interpreter, against the package's own metadata."""
    version = sys.version.split()[0]
    if not (3, 11) <= sys.version_info[:2] <= (3, 14):
        return FAIL, f"{version}; needed: 3.11 to 3.14; fix: VLM_TSC_PYTHON=/path/to/python3.12 and . setup.sh"
    return OK, f"{version} in {sys.prefix}"


def packages(lock: Path = LOCK) -> Finding:
    """The installed versions, against the lock file's lines that apply to this machine."""
    if not lock.is_file():
        return OK, "installed as a package, without the project's lock file: versions not compared"
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return FAIL, "nothing is installed; type  . setup.sh"
    lines = (line.split("#")[0].strip() for line in lock.read_text().splitlines())
    pins = [pin for pin in map(Requirement, filter(None, lines)) if pin.marker is None or pin.marker.evaluate()]
    found = {pin.name: _version(pin.name) or "" for pin in pins}
    missing = [pin.name for pin in pins if not found[pin.name]]
    if missing:
        return FAIL, f"missing: {', '.join(missing)}; remove {sys.prefix} and type  . setup.sh"
    # A local build such as 2.13.0+cpu satisfies ==2.13.0.
    other = [f"{pin.name} {found[pin.name]} ({pin.specifier})" for pin in pins if found[pin.name] not in pin.specifier]
    if other:
        return NOTE, f"not the tested version: {', '.join(other)}; fix: . setup.sh installs those"
    return OK, f"{len(pins)}, all as pinned"


def versions() -> Finding:
    """Of the project and the packages that decide how it answers."""
    found = {name: _version(name) for name in MAIN}
    told = ", ".join(f"{name}{_GLUE}{version}" for name, version in found.items() if version)
    lines = textwrap.wrap(told, WIDTH - MARGIN, break_on_hyphens=False)
    return OK, "\n".join(lines).replace(_GLUE, " ") or "nothing is installed"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def torch(quick: bool = False) -> Finding:
    """The build of torch and the device it computes on."""
    version = _version("torch")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()  # macOS has none
    if version is None:
        return FAIL, "not installed; fix: . setup.sh"
    driver = Path("/proc/driver/nvidia/version").exists()
    if quick:
        return OK, f"{version}, {'an NVIDIA driver is there' if driver else f'{cores} CPU cores'}"
    try:
        import torch as library
    except Exception as error:
        return FAIL, f"{version} does not import: {error}; fix: remove {sys.prefix} and type  . setup.sh"
    if library.cuda.is_available():
        devices = [library.cuda.get_device_properties(i) for i in range(library.cuda.device_count())]
        told = [f"GPU {i}: {one.name}, {one.total_memory / 1e9:.0f} GB" for i, one in enumerate(devices)]
        return OK, "\n".join([f"{version}, {cores} CPU cores{_memory()}", *told])
    if driver:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        fix = "unset CUDA_VISIBLE_DEVICES" if hidden is not None else "a CUDA build: pytorch.org/get-started/locally"
        return NOTE, f"{version} sees no GPU, yet there is an NVIDIA driver; {cores} CPU cores{_memory()}; fix: {fix}"
    return OK, f"{version}, no GPU, {cores} CPU cores{_memory()}"


def _memory() -> str:
    try:
        import psutil
    except ImportError:
        return ""
    memory = psutil.virtual_memory()
    return f", {memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB memory free"


def compiler() -> Finding:
    """What DeepSpeed needs to compile its CPU op at first use: without a GPU, or with the optimiser kept off it."""
    if sys.platform != "linux":
        return NOTE, "DeepSpeed and bitsandbytes are for Linux: --deepspeed and 4-bit loading are not available"
    command = next(filter(shutil.which, filter(None, (os.environ.get("CXX"), "c++", "g++"))), None)
    header = Path(sysconfig.get_path("include")) / "Python.h"
    missing = [name for name, there in (("g++", command), (str(header), header.is_file())) if not there]
    if missing:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return NOTE, f"missing for --deepspeed: {', '.join(missing)} (Debian: apt install g++ python{version}-dev)"
    ask = [str(command), "-dumpfullversion", "-dumpversion"]
    asked = subprocess.run(ask, capture_output=True, text=True, check=False)
    return OK, f"{command} {asked.stdout.strip()} and Python.h, for --deepspeed"


def disk(folder: Path | None = None) -> Finding:
    """Free space where runs/ is kept by default."""
    free_gb = shutil.disk_usage(folder or Path.cwd()).free / 1e9
    told = f"{free_gb:.1f} GB free in {folder or Path.cwd()}"
    return (OK, told) if free_gb >= LOW_GB else (NOTE, f"{told}; fix: make room, or --vlm-root DIR on another disk")


def base() -> Finding:
    """The bundled base, without which the main job needs `--base`."""
    weights = BASE / "model.safetensors"
    if not weights.is_file():
        return NOTE, f"{BASE.name} is not in the package; fix: get the project anew, or train.py --base"
    seen = checkpoint(BASE, fetch="get the project anew, or train.py --base")
    if seen.problem:
        return NOTE, str(seen)
    return OK, f"{BASE.name}, {weights.stat().st_size / 1e6:.0f} MB, bundled"


def checkpoints() -> Finding:
    """Those of the folder that `--llava-root` uses when not given, and of the Hugging Face cache."""
    root = os.environ.get("VLM_TSC_LLAVA_ROOT")
    if root and not Path(root).is_dir():
        return NOTE, f"{root} is not there; fix: . setup.sh FOLDER names another one"
    found = (checkpoints_in(Path(root)) if root else []) + checkpoints_in_cache(hub_cache())
    if not found and root:
        return NOTE, f"{root} holds none; fix: hf download OWNER/NAME --local-dir {root}/NAME"
    if not found:
        return OK, "none local  ( . setup.sh FOLDER  names a folder)"
    told = f"{root or hub_cache()}\n{listed(found)}"
    return (NOTE if any(one.problem for one in found) else OK), told


def data() -> Finding:
    """The sets of the folder that `--data-dir` is when not given, those downloaded before, and those inside aeon."""
    from vlm_tsc.archive.download import cache_dir
    from vlm_tsc.archive.sources import inside_aeon

    others = [(sets_in(folder) if folder.is_dir() else []) for folder in (cache_dir(), *inside_aeon()[:1])]
    kinds = zip(others, ("downloaded", "inside aeon"), strict=False)
    also = ", ".join(f"{sum(one.problem is None for one in sets)} {where}" for sets, where in kinds)
    root = os.environ.get("VLM_TSC_DATA")
    if not root:
        return OK, f"{also}; no folder of your own  (VLM_TSC_DATA or --data-dir names one)"
    if not Path(root).is_dir():
        return NOTE, f"{root} is not there; fix: export VLM_TSC_DATA=FOLDER, with FOLDER/NAME/NAME_TRAIN.*\n{also}"
    found = sets_in(Path(root))
    broken = [one for one in found if one.problem]
    told = f"{len(found) - len(broken)} sets in {root}, {also}"
    if not found:
        broken = [Thing(root, "", f"no sets; fix: put them there as {root}/NAME/NAME_TRAIN.*")]
    return (NOTE, f"{told}\n{listed(broken)}") if broken else (OK, told)


@exits_cleanly
def main(argv: list[str]) -> int:
    """Print every finding; 1 when one of them stops the main job."""
    if {"-h", "--help"} & set(argv):
        print(USAGE)
        sys.exit(0)
    unknown = [word for word in argv if word not in ("--quick", "--json")]
    if unknown:
        close = nearest(unknown[0], ("--quick", "--json"), n=1)
        fix = f"did you mean {close[0]}?" if close else "--help says what it takes"
        what = "the self-check takes no such word"
        raise InputError(what, where="command line", got=unknown, allowed="--quick, --json", fix=fix)
    found = findings("--quick" in argv, _told if "--json" not in argv else lambda *_: None)
    if "--json" in argv:
        document = [{"name": name, "level": level, "text": text} for name, (level, text) in found.items()]
        print(json.dumps({"findings": document}, indent=1, ensure_ascii=False))
    return int(FAIL in [level for level, _ in found.values()])


def findings(quick: bool, tell: Callable[[str, Finding], None]) -> dict[str, Finding]:
    """What is found of each thing; `tell` is called as soon as it is known."""
    checks: dict[str, Callable[[], Finding]] = {
        "python": python,
        "versions": versions,
        "packages": packages,
        "torch": lambda: torch(quick),
        "compiler": compiler,
        "disk": disk,
        "base": base,
        "checkpoints": checkpoints,
        "data": data,
    }
    found = {}
    for name, check in checks.items():
        try:
            found[name] = check()
        except (ImportError, OSError) as error:  # `packages` says what to install; a folder may not be readable
            found[name] = NOTE, f"cannot be looked at: {error}"
        tell(name, found[name])
    return found


def _told(name: str, finding: Finding) -> None:
    level, text = finding
    lines = [line for told in text.split("\n") for line in _fitted(told)]
    print(f"  {level:<5}{name:<12}{lines[0]}", *lines[1:], sep="\n" + " " * MARGIN)


def _fitted(text: str) -> list[str]:
    """A line of a finding in as many as a terminal needs; a path or an option stays whole, to be copied."""
    return textwrap.wrap(
        text, WIDTH - MARGIN, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    ) or [""]


if __name__ == "__main__":
    sys.exit(main())
