"""The self-check tells what is there from what is missing."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

from vlm_tsc import doctor


@pytest.mark.parametrize(
    ("line", "level", "told"),
    [
        (f"pytest=={importlib.metadata.version('pytest')}  # via us", doctor.OK, "1, all as pinned"),
        ("pytest==1.0", doctor.NOTE, "not the tested version: pytest"),
        ("no-such-package==1.0", doctor.FAIL, "missing: no-such-package"),
        ("no-such-package==1.0 ; sys_platform == 'amiga'", doctor.OK, "0, all as pinned"),
    ],
)
def test_packages_are_compared_with_the_lock(tmp_path, line, level, told):
    (tmp_path / "lock").write_text(f"# a comment\n{line}\n")
    assert doctor.packages(tmp_path / "lock")[0] == level
    assert told in doctor.packages(tmp_path / "lock")[1]


def test_the_cpu_build_of_torch_is_the_pinned_torch(tmp_path):
    version = importlib.metadata.version("torch").split("+")[0]
    (tmp_path / "lock").write_text(f"torch=={version}\n")
    assert doctor.packages(tmp_path / "lock")[0] == doctor.OK


@pytest.mark.skipif(sys.platform != "linux", reason="DeepSpeed is for Linux")
def test_a_missing_compiler_is_a_note_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    level, told = doctor.compiler()
    assert level == doctor.NOTE and "g++" in told and "apt install" in told


@pytest.mark.skipif(sys.platform != "linux", reason="DeepSpeed is for Linux")
def test_missing_headers_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.sysconfig, "get_path", lambda name: str(tmp_path))
    level, told = doctor.compiler()
    assert level == doctor.NOTE and str(tmp_path / "Python.h") in told


def test_a_folder_of_checkpoints_that_went_away_is_a_note(tmp_path, monkeypatch):
    monkeypatch.setenv("VLM_TSC_LLAVA_ROOT", str(tmp_path / "gone"))
    assert doctor.checkpoints() == (doctor.NOTE, f"{tmp_path / 'gone'} is not there")


def test_the_quick_check_does_not_import_torch():
    code = "import sys; from vlm_tsc import doctor; doctor.main(['--quick']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_the_exit_code_follows_the_worst_finding(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "disk", lambda: (doctor.NOTE, "nearly full"))
    monkeypatch.setattr(doctor, "packages", lambda: (doctor.OK, "fine"))
    assert doctor.main(["--quick"]) == 0
    monkeypatch.setattr(doctor, "packages", lambda: (doctor.FAIL, "missing: all"))
    assert doctor.main(["--quick"]) == 1
    assert "  FAIL packages    missing: all\n" in capsys.readouterr().out
