"""setup.sh and vlm_tsc/install.py, run for real: in bash and zsh, with real environments, pip and failures.

Two kinds of environment. `ready` passes for an installed one without installing anything. `tiny` is a project of one
small package, so that making environments takes seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from vlm_tsc import install

ROOT = Path(__file__).resolve().parent.parent
NO_CONFIGURED_INDEX = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}

# A build backend in 20 lines: the tiny project's environment holds no setuptools.
BACKEND = """
import pathlib, zipfile

def wheel(folder, name, version, files):
    info = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    path = pathlib.Path(folder) / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in {**files, f"{info}/RECORD": "".join(f"{member},,\\n" for member in files)}.items():
            archive.writestr(member, text)
    return path.name

def build_editable(folder, config_settings=None, metadata_directory=None):
    return wheel(folder, "vlm_tsc", "0", {"vlm_tsc_here.pth": str(pathlib.Path.cwd())})
"""
wheel_names: dict = {}
exec(BACKEND, wheel_names)
make_wheel = wheel_names["wheel"]


def runner(name: str):
    """`run(script, cwd=…, **environment)` for a script in bash or zsh, without start-up files."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed on this machine")
    flags = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"]}[name]

    def run(script: str, cwd: Path = ROOT, **environment: str | Path) -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TERM", "TMPDIR") if name in os.environ}
        variables = {**kept, **{name: str(value) for name, value in environment.items()}}
        return subprocess.run([path, *flags, "-c", script], cwd=cwd, env=variables, capture_output=True, text=True)

    run.name = name
    return run


@pytest.fixture(params=["bash", "zsh"])
def shell(request):
    return runner(request.param)


@pytest.fixture
def bash():
    """For what happens in install.py, the same from every shell."""
    return runner("bash")


def seeing_our_packages(venv: Path) -> Path:
    """An environment made in no time, with the packages of the Python that runs the tests."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    packages = Path(sysconfig.get_path("purelib", scheme="venv", vars={"base": str(venv), "platbase": str(venv)}))
    (packages / "as_running.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    return venv


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Path:
    """An environment that setup.sh takes for installed."""
    venv = seeing_our_packages(tmp_path_factory.mktemp("ready") / "venv")
    (venv / install.STAMP).write_text(install.stamp_of(venv))
    return venv


@pytest.fixture
def tiny(tmp_path) -> Path:
    """A project with setup.sh, the installer, a self-check of one line, and a lock of one package."""
    project = tmp_path / "tiny project"  # the space is meant
    (project / "vlm_tsc").mkdir(parents=True)
    (project / "wheels").mkdir()
    shutil.copy(ROOT / "setup.sh", project)
    shutil.copy(ROOT / "vlm_tsc" / "install.py", project / "vlm_tsc")
    (project / "vlm_tsc" / "__init__.py").touch()
    (project / "vlm_tsc" / "doctor.py").write_text("import grain; print('self-check with grain', grain.VERSION)\n")
    (project / "backend.py").write_text(BACKEND)
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (project / "pyproject.toml").write_text(system + '[project]\nname = "vlm_tsc"\nversion = "0"\n')
    pin(project, "1.0")
    return project


def pin(project: Path, version: str, offered: bool = True) -> None:
    (project / "requirements.lock").write_text(f"grain=={version}  # the only one\n")
    if offered:
        make_wheel(project / "wheels", "grain", version, {"grain.py": f"VERSION = '{version}'\n"})


def offline(project: Path) -> dict[str, str]:
    # A file URL, because pip splits a list of paths at spaces.
    return {**NO_CONFIGURED_INDEX, "PIP_FIND_LINKS": (project / "wheels").as_uri()}


# --- in the caller's shell ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["", "set -eu", "set -eux -o noclobber"])
def test_leaves_nothing_behind_but_the_environment(shell, ready, tmp_path, options):
    leaked = "{ set | grep -i ^_vlm_tsc || true; }"
    state = {
        "bash": f"set +o; shopt -p || true; trap -p; pwd; printf '%s,' \"$@\"; compgen -A function; {leaked}",
        "zsh": f"setopt; trap; pwd; printf '%s,' \"$@\"; print -l ${{(ok)functions}}; {leaked}",
    }[shell.name]
    # Written to files: in a command substitution bash turns errexit off.
    source = f'{options}\nset -- one "two words"; a_function() {{ :; }}\n{{ {state}; }} >before\n. "{ROOT}/setup.sh"\n'
    twice = f'. "{ROOT}/setup.sh"\n{{ {state}; }} >after\nprintf "%s\\n" "$VIRTUAL_ENV" "$PATH" >environment'
    done = shell(source + twice, cwd=tmp_path, VLM_TSC_VENV=ready)
    assert done.returncode == 0, done.stderr
    before, after = ((tmp_path / name).read_text() for name in ("before", "after"))
    assert after.replace("deactivate\n", "") == before
    active, path = (tmp_path / "environment").read_text().splitlines()
    assert active == str(ready)
    assert path.split(":").count(f"{ready}/bin") == 1 and path.startswith(f"{ready}/bin:")


def test_runs_the_self_check_and_says_what_comes_next(shell, ready, tmp_path):
    here = shell("source setup.sh && python -c 'import sys; print(sys.prefix)'", VLM_TSC_VENV=ready)
    assert here.returncode == 0, here.stdout + here.stderr
    assert re.search(r"^  ok   python +3\.", here.stdout, re.M)
    assert "ready; next:  python train.py --dataset ItalyPowerDemand\n" in here.stdout
    assert here.stdout.endswith(f"{ready}\n")
    elsewhere = shell(f'. "{ROOT}/setup.sh"', cwd=tmp_path, VLM_TSC_VENV=ready)
    assert f"ready; next:  cd {ROOT} && python train.py" in elsewhere.stdout


def test_bash_reads_the_readme_line_as_written(ready):
    done = runner("bash")(". setup.sh && echo yes", VLM_TSC_VENV=ready)
    assert done.stdout.endswith("\nyes\n")


def test_replaces_another_active_environment(shell, ready, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "other"], check=True)
    script = f'. other/bin/activate; . "{ROOT}/setup.sh" >output; echo $VIRTUAL_ENV; deactivate; command -v python3'
    done = shell(script, cwd=tmp_path, VLM_TSC_VENV=ready)
    assert done.stdout.splitlines()[0] == str(ready)
    assert "other" not in done.stdout.splitlines()[1]


def test_remembers_a_folder_of_checkpoints(shell, ready, tmp_path):
    (tmp_path / "my checkpoints").mkdir()
    folder, say = str(tmp_path / "my checkpoints"), 'echo "=$VLM_TSC_LLAVA_ROOT="'
    named = shell(f'. "{ROOT}/setup.sh" "my checkpoints"; {say}', cwd=tmp_path, VLM_TSC_VENV=ready)
    assert f"={folder}=" in named.stdout
    told = " ".join(named.stdout.split())  # a long path with a space in it takes two lines
    assert re.search(r"(ok|note) checkpoints " + re.escape(folder), told)
    later = shell(f'. "{ROOT}/setup.sh"; {say}', VLM_TSC_VENV=ready)
    assert f"={folder}=" in later.stdout
    own = shell(f'. "{ROOT}/setup.sh"; {say}', VLM_TSC_VENV=ready, VLM_TSC_LLAVA_ROOT="/my/own")
    assert "=/my/own=" in own.stdout
    (ready / "llava_root").unlink()


@pytest.mark.parametrize(("inherited", "noted"), [("build", False), ("--flag=a/b", False), ("/code/LLaVA", True)])
def test_ignores_an_argument_that_is_no_folder(shell, ready, tmp_path, inherited, noted):
    script = f'set -- {inherited}; . "{ROOT}/setup.sh"; echo "=${{VLM_TSC_LLAVA_ROOT-unset}}=$1"'
    done = shell(script, cwd=tmp_path, VLM_TSC_VENV=ready)
    assert done.stdout.endswith(f"=unset={inherited}\n")
    assert (f"note: {inherited} is no folder of checkpoints" in done.stdout) is noted


def test_refuses_an_unsupported_python(shell, tmp_path):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho 3.8\n")
    old.chmod(0o755)
    script = f'. "{ROOT}/setup.sh" && echo never; echo "still here"'
    done = shell(script, VLM_TSC_PYTHON=old, VLM_TSC_VENV=tmp_path / "venv")
    assert done.stdout == "still here\n"
    assert "error: VLM-TSC needs Python 3.11" in done.stderr and f"{old} is 3.8" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_says_how_to_use_it_when_run_instead_of_sourced(shell):
    done = subprocess.run([shell.name, "setup.sh"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "must be sourced" in done.stderr


def test_every_place_names_the_same_pythons():
    supported = ["3.11", "3.12", "3.13", "3.14"]
    assert 'requires-python = ">=3.11,<3.15"' in (ROOT / "pyproject.toml").read_text()
    assert f"case $_vlm_tsc_version in {' | '.join(supported)})" in (ROOT / "setup.sh").read_text()
    assert "(3, 11) <= sys.version_info[:2] <= (3, 14)" in (ROOT / "vlm_tsc" / "doctor.py").read_text()


# --- installing --------------------------------------------------------------------------------------------------


def test_installs_once_and_again_when_the_pins_change(bash, tiny):
    script = ". ./setup.sh && python -c 'import sys; print(sys.prefix)'"
    first = bash(script, cwd=tiny, **offline(tiny))
    assert first.returncode == 0, first.stdout + first.stderr
    assert "installing 1 pinned packages" in first.stdout and "self-check with grain 1.0" in first.stdout

    started = time.monotonic()
    second = bash(script, cwd=tiny, **offline(tiny))
    assert "installing" not in second.stdout and time.monotonic() - started < 5

    pin(tiny, "2.0")
    third = bash(script, cwd=tiny, **offline(tiny))
    assert "making" not in third.stdout and "self-check with grain 2.0" in third.stdout


def test_repairs_a_half_made_environment_says_what_stops_it_and_goes_on_later(bash, tiny):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tiny / ".venv"], check=True)
    script = 'here=$PWD; . ./setup.sh && echo never; echo "still here $((1 + 1))"; [ "$PWD" = "$here" ]'
    nobody_listens = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}
    no_network = bash(script, cwd=tiny, **nobody_listens)
    assert no_network.stdout.endswith("still here 2\n") and "never" not in no_network.stdout
    assert "error: no network" in no_network.stderr and "PIP_INDEX_URL" in no_network.stderr

    pin(tiny, "3.0", offered=False)
    not_offered = bash(script, cwd=tiny, **offline(tiny))
    assert not_offered.stdout.endswith("still here 2\n") and "never" not in not_offered.stdout
    assert "No matching distribution found for grain==3.0" in not_offered.stderr

    pin(tiny, "3.0")
    later = bash(". ./setup.sh", cwd=tiny, **offline(tiny))
    assert later.returncode == 0, later.stderr
    assert "making" not in later.stdout and "self-check with grain 3.0" in later.stdout


def test_what_was_killed_or_moved_is_made_anew(tmp_path):
    venv = seeing_our_packages(tmp_path / "venv")
    assert install.is_sound(venv)
    (venv / install.UNFINISHED).touch()  # pip was killed while it wrote packages
    assert not install.is_sound(venv)
    (venv / install.UNFINISHED).unlink()
    assert not install.is_sound(venv.rename(tmp_path / "moved"))


def test_never_clears_a_folder_that_is_no_environment(bash, tiny):
    (tiny / "mine").mkdir()
    (tiny / "mine" / "thesis.tex").touch()
    done = bash(". ./setup.sh", cwd=tiny, VLM_TSC_VENV="mine", **offline(tiny))
    assert done.returncode == 1 and "will not clear" in done.stderr
    assert (tiny / "mine" / "thesis.tex").exists()


def on_small_disk(folder: Path, megabytes: int, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run `command` with a disk of that size mounted at `folder`, seen by the command alone."""
    mount = f'mount -t tmpfs -o size={megabytes}m small "{folder}" && shift && exec "$@"'
    private = ["unshare", "--user", "--map-root-user", "--mount"]
    if sys.platform != "linux" or shutil.which("unshare") is None:
        pytest.skip("mounting a small disk needs Linux and unshare")
    if subprocess.run([*private, "sh", "-c", mount, "sh", "_", "true"], capture_output=True).returncode:
        pytest.skip("mounting a small disk is not allowed on this machine")
    return subprocess.run([*private, "sh", "-c", mount, "sh", "_", *command], capture_output=True, text=True)


def test_full_disk_is_refused_before_anything_is_downloaded(tiny, tmp_path):
    (tmp_path / "disk").mkdir()
    script = f'export VLM_TSC_VENV="{tmp_path}/disk/venv"; . "{tiny}/setup.sh"; echo "still here"'
    done = on_small_disk(tmp_path / "disk", 8, ["bash", "-c", script])
    assert done.stdout == "still here\n"
    assert "error: the disk is too full" in done.stderr and "needs 3 GB" in done.stderr


def test_a_disk_that_fills_during_the_install_is_explained(tmp_path):
    make_wheel(tmp_path, "big", "1", {"big.bin": "0" * 3_000_000})
    (tmp_path / "disk").mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", f"{tmp_path}/disk/x"]
    done = on_small_disk(tmp_path / "disk", 1, [*pip, str(tmp_path / "big-1-py3-none-any.whl")])
    assert done.returncode
    told = str(install.explain((done.stdout + done.stderr).splitlines(), tmp_path / "log"))
    assert told.startswith("the disk is full") and "TMPDIR" in told and "No space left on device" in told


def test_other_failures_show_the_end_of_the_log(tmp_path):
    told = str(install.explain(["fine", "error: something new"], tmp_path / "install.log"))
    assert "something new" in told and "install.log" in told
