"""The wheel, built offline and installed elsewhere, holds all that the package needs; the lock is whole."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = [line.split("#")[0].strip() for line in (ROOT / "requirements.lock").read_text().splitlines()]
LOCK = {canonicalize_name(pin.name): pin for pin in map(Requirement, filter(None, PINS))}
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the wheel installed in it; built from a copy, because a build leaves files in the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    unneeded = shutil.ignore_patterns("__pycache__", "*.safetensors")  # the weights are large; see `weights` below
    for name in ("vlm_tsc", "configs", "prompts"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=unneeded)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    for weights in (ROOT / "vlm_tsc" / "checkpoints").rglob("*.safetensors"):
        (folder / "source" / weights.relative_to(ROOT)).write_bytes(b"stands for the weights")
    build = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder / "dist", folder / "source"]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    target = [*PIP, "install", "--no-deps", "--no-index", "--target", folder / "site", wheel]
    subprocess.run(target, check=True, capture_output=True, text=True)
    return folder / "site"


def run_there(installed: Path, code: str, cwd: Path) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_installed_wheel_finds_its_configs_and_prompts(installed, tmp_path):
    code = (
        "import vlm_tsc; from vlm_tsc.resources import resource_dir\n"
        "print(vlm_tsc.__file__, vlm_tsc.__version__, resource_dir('configs'), resource_dir('prompts'), sep='\\n')"
    )
    package, version, configs, prompts = run_there(installed, code, tmp_path)
    assert Path(package) == installed / "vlm_tsc" / "__init__.py"
    assert version == next(installed.glob("vlm_tsc-*.dist-info")).name.split("-")[1].removesuffix(".dist")
    assert (Path(configs), Path(prompts)) == (installed / "vlm_tsc" / "configs", installed / "vlm_tsc" / "prompts")


def test_the_wheel_holds_every_file_of_the_tree(installed):
    for name, inside in (("vlm_tsc", ""), ("configs", "configs"), ("prompts", "prompts")):
        ours = {path.relative_to(ROOT / name) for path in (ROOT / name).rglob("*") if path.is_file()}
        ours = {path for path in ours if "__pycache__" not in path.parts}
        missing = [str(path) for path in sorted(ours) if not (installed / "vlm_tsc" / inside / path).is_file()]
        assert not missing, f"not in the wheel, from {name}: {missing}; see [tool.setuptools] in pyproject.toml"
    assert (installed / "vlm_tsc" / "checkpoints" / "plot-llava-mini" / "model.safetensors").is_file()


def test_the_wheel_installs_nothing_outside_the_package(installed):
    top = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert top == {"vlm_tsc"}


def test_every_package_of_the_tree_is_listed():
    folders = {path.parent for path in (ROOT / "vlm_tsc").rglob("*.py")}
    tree = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == tree | {"vlm_tsc.configs", "vlm_tsc.prompts"}


def test_the_self_check_works_without_the_checkout(installed, tmp_path):
    code = "import sys; from vlm_tsc import doctor; print(doctor.packages()); print(doctor.base())"
    packages, base = run_there(installed, code, tmp_path)
    assert "installed as a package" in packages and "plot-llava-mini" in base


def test_the_lock_satisfies_the_projects_own_ranges():
    groups = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    for wanted in (Requirement(line) for group in groups for line in group):
        pin = LOCK[canonicalize_name(wanted.name)]
        (version,) = [specifier.version for specifier in pin.specifier]
        assert version in wanted.specifier, f"{pin} is outside {wanted}; run .ci/lock"
        assert str(pin.marker) == str(wanted.marker), f"{pin} and {wanted} apply to different machines"


def test_the_lock_pins_exactly_names_no_host_and_leaves_cuda_to_torch():
    for pin in LOCK.values():
        assert [specifier.operator for specifier in pin.specifier] == ["=="] and pin.url is None
    assert not [name for name in LOCK if re.match(r"nvidia-|cuda-|triton$", name)]
    assert "://" not in "\n".join(PINS) and not [line for line in PINS if line.startswith("-")]


def test_the_lock_is_closed():
    """Everything that an installed pinned package asks for on this machine is pinned too (CUDA's parts excepted)."""
    unpinned = set()
    for name in LOCK:
        try:
            asked = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # of another platform
        for wanted in map(Requirement, asked):
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                unpinned |= {canonicalize_name(wanted.name)} - set(LOCK)
    assert not {name for name in unpinned if not re.match(r"nvidia-|cuda-|triton$", name)}
