"""The self-check: `python -m vlm_tsc.doctor [--quick]` looks at what a run needs and says what is missing.

Prints one line per thing; exit code 0 when the main job can run (notes included), 1 when it cannot. `--quick` does not
import torch, which takes seconds.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
LOCK = PACKAGE.parent / "requirements.lock"
BASE = PACKAGE / "checkpoints" / "plot-llava-mini"
LOW_GB = 1.0  # a run with its pictures and checkpoints is far smaller

OK, NOTE, FAIL = "ok", "note", "FAIL"
Finding = tuple[str, str]  # OK, NOTE or FAIL; text


def python() -> Finding:
    """The interpreter, against the package's own metadata."""
    version = sys.version.split()[0]
    if not (3, 11) <= sys.version_info[:2] <= (3, 14):
        return FAIL, f"{version}; needed: 3.11 to 3.14"
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
        return NOTE, f"not the tested version: {', '.join(other)}"
    return OK, f"{len(pins)}, all as pinned"


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
        return FAIL, "not installed"
    driver = Path("/proc/driver/nvidia/version").exists()
    if quick:
        return OK, f"{version}, {'an NVIDIA driver is there' if driver else f'{cores} CPU cores'}"
    try:
        import torch as library
    except Exception as error:
        return FAIL, f"{version} does not import: {error}"
    if library.cuda.is_available():
        return OK, f"{version}, {library.cuda.device_count()} × {library.cuda.get_device_name(0)}"
    if driver:
        return NOTE, f"{version} does not see the NVIDIA GPU of this machine; computing on {cores} CPU cores"
    return OK, f"{version}, no GPU, {cores} CPU cores"


def compiler() -> Finding:
    """What DeepSpeed needs to compile its CPU op at first use; only `--deepspeed` without a GPU needs it."""
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
    return (OK if free_gb >= LOW_GB else NOTE), f"{free_gb:.1f} GB free in {folder or Path.cwd()}"


def base() -> Finding:
    """The bundled base, without which the main job needs `--base`."""
    weights = BASE / "model.safetensors"
    if not weights.is_file():
        return NOTE, f"{BASE.name} is not in the package: train.py needs --base"
    return OK, f"{BASE.name}, {weights.stat().st_size / 1e6:.0f} MB, bundled"


def checkpoints() -> Finding:
    """The folder that `--llava-root` uses when not given."""
    root = os.environ.get("VLM_TSC_LLAVA_ROOT")
    if not root:
        return OK, "none local  ( . setup.sh FOLDER  names a folder)"
    return (OK if Path(root).is_dir() else NOTE), root if Path(root).is_dir() else f"{root} is not there"


def main(argv: list[str] | None = None) -> int:
    """Print every finding; 1 when one of them stops the main job."""
    quick = "--quick" in (sys.argv[1:] if argv is None else argv)
    checks: dict[str, Callable[[], Finding]] = {
        "python": python,
        "packages": packages,
        "torch": lambda: torch(quick),
        "compiler": compiler,
        "disk": disk,
        "base": base,
        "checkpoints": checkpoints,
    }
    levels = []
    for name, check in checks.items():
        level, text = check()
        levels.append(level)
        print(f"  {level:<5}{name:<12}{text}")
    return int(FAIL in levels)


if __name__ == "__main__":
    sys.exit(main())
