"""The self-check tells what is there from what is missing."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

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
    level, told = doctor.checkpoints()
    assert level == doctor.NOTE and told.startswith(f"{tmp_path / 'gone'} is not there; fix: ")


def a_checkpoint(folder):
    """Whole, with weights of 4 bytes."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "llava"}')
    (folder / "tokenizer.json").write_text("{}")
    save_file({"x": np.zeros(1, np.float32)}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: None, None),
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json cannot be read"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "model.bin"), "are pickles"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights"),
        (lambda folder: os.truncate(folder / "model.safetensors", 50), "is cut short: 50 of"),
        (lambda folder: (folder / "model.safetensors").write_text("version https://git-lfs"), "cut short"),
        (
            lambda folder: (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "part-2"}}'),
            "lacks 1 of 1 weight files, such as part-2",
        ),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_said_with_the_fix(tmp_path, monkeypatch, spoil, told):
    spoil(a_checkpoint(tmp_path / "llava-1.5-7b-hf"))
    monkeypatch.setenv("VLM_TSC_LLAVA_ROOT", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "none"))
    level, text = doctor.checkpoints()
    assert "llava-1.5-7b-hf: " in text and level == (doctor.NOTE if told else doctor.OK)
    assert (told in text and "fix: hf download" in text) if told else "llava, 0.00 GB" in text


def test_checkpoints_of_the_hugging_face_cache_are_found(tmp_path, monkeypatch):
    a_checkpoint(tmp_path / "models--owner--name" / "snapshots" / "0123")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("VLM_TSC_LLAVA_ROOT", raising=False)
    assert "owner/name: llava" in doctor.checkpoints()[1]


def test_data_are_counted_and_what_is_wrong_is_named_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.setenv("VLM_TSC_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert "no sets; fix: " in doctor.data()[1]
    for name, files in {
        "Good": ("Good_TRAIN.tsv", "Good_TEST.tsv"),
        "Half": ("Half_TRAIN.tsv",),
        "Other": ("Other_TEST.tsv",),
        "Foreign": ("readme.md",),
    }.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text("a\t1\t2\n")
    level, told = doctor.data()
    assert level == doctor.NOTE and "1 sets in" in told and " inside aeon" in told
    for line in (
        "Half: no test part; fix: put",
        "Other: the set has no train part; fix:",
        "Foreign: no such files; fix:",
    ):
        assert line in told
    (tmp_path / "Good" / "Good_TEST.tsv").write_text("")
    assert "Good_TEST.tsv is empty" in doctor.data()[1]
    monkeypatch.setenv("VLM_TSC_DATA", str(tmp_path / "gone"))
    assert "gone is not there; fix: export VLM_TSC_DATA" in doctor.data()[1]


def test_a_full_disk_is_a_note_with_the_fix(monkeypatch):
    monkeypatch.setattr(doctor, "LOW_GB", 1e9)
    level, told = doctor.disk()
    assert level == doctor.NOTE and "--vlm-root" in told


def test_versions_are_those_installed():
    assert f"numpy {np.__version__}" in doctor.versions()[1]


def test_versions_fit_a_terminal_each_beside_its_name(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "_version", lambda name: "12.34.56+build")
    doctor.main(["--quick"])
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if line[7:].startswith("versions"))
    end = next(i for i, line in enumerate(lines) if line[7:].startswith("packages"))
    assert all(len(line) <= 80 for line in lines[start:end]) and end - start > 1
    told = [one for line in lines[start:end] for one in line[19:].strip(",").split(", ")]
    assert told == [f"{name} 12.34.56+build" for name in doctor.MAIN]


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


def test_help_helps_and_a_word_that_is_none_is_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        doctor.main(["--help"])
    assert not stopped.value.code
    assert "usage: python -m vlm_tsc.doctor" in capsys.readouterr().out
    assert doctor.main(["--quik"]) == 2
    assert "did you mean --quick?" in capsys.readouterr().err


def test_findings_are_one_document_for_a_script(capsys):
    doctor.main(["--quick", "--json"])
    found = json.loads(capsys.readouterr().out)["findings"]
    assert [one["name"] for one in found][:2] == ["python", "versions"]
    assert {one["level"] for one in found} <= {doctor.OK, doctor.NOTE, doctor.FAIL}


def test_a_long_finding_fits_a_terminal_and_its_paths_stay_whole(capsys):
    path = "/" + "folder/" * 12 + "of-sets"
    told = f"2 sets\nincomplete: no such files; fix: put incomplete_TRAIN.* and incomplete_TEST.* into {path}"
    doctor._told("data", (doctor.NOTE, told))
    first, *others = capsys.readouterr().out.splitlines()
    assert first == "  note data        2 sets" and path in others[-1]
    assert [line for line in others if len(line) > doctor.WIDTH and path not in line] == []
    assert others[0].startswith(" " * doctor.MARGIN + "incomplete") and others[1].startswith(" " * doctor.MARGIN + "  ")
