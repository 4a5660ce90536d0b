from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from vlm_tsc.archive import load
from vlm_tsc.archive.sources import find
from vlm_tsc.errors import InputError

ROWS = "a,1,2,3\nb,3,4,5\na,1,2,2\nb,5,4,5\n"


def put(folder: Path, name: str, *files: str) -> Path:
    (folder / name).mkdir(parents=True, exist_ok=True)
    for file in files:
        content = ROWS.replace(",", "\t" if ".tsv" in file else ",").encode()
        (folder / name / f"{name}_{file}").write_bytes(gzip.compress(content) if file.endswith(".gz") else content)
    return folder


def test_a_set_inside_aeon_needs_no_folder_and_no_network():
    found = find("BasicMotions")
    assert found.train.name == "BasicMotions_TRAIN.ts" and found.test.name == "BasicMotions_TEST.ts"
    assert load("BasicMotions").train.class_names == ("Badminton", "Running", "Standing", "Walking")


def test_the_data_folder_comes_before_aeon_and_the_option_before_the_environment(tmp_path, monkeypatch):
    here, there = (
        put(tmp_path / "here", "GunPoint", "TRAIN.csv", "TEST.csv"),
        put(tmp_path / "there", "GunPoint", "TRAIN.csv"),
    )
    monkeypatch.setenv("VLM_TSC_DATA", str(there))
    assert find("GunPoint").train.parent.parent == there
    assert find("GunPoint", here).train.parent.parent == here
    assert find("ArrowHead", here).train.name == "ArrowHead_TRAIN.ts"  # not in the folder: on to aeon


def test_the_cache_is_looked_in(tmp_path):
    put(tmp_path / "cache" / "vlm-tsc" / "sets", "Nameless", "TRAIN.csv", "TEST.csv")
    assert load("Nameless").train.n_cases == 4


def test_parts_may_differ_in_format_and_compression(tmp_path):
    put(tmp_path, "Mixed", "TRAIN.csv", "TEST.tsv.gz")
    splits = load("Mixed", data_dir=tmp_path)
    assert splits.train.X.tolist() == splits.test.X.tolist() and splits.split == "official"


def test_one_format_for_both_parts_is_preferred(tmp_path):
    put(tmp_path, "Many", "TRAIN.tsv", "TRAIN.csv.gz", "TEST.csv")
    found = find("Many", tmp_path)
    assert (found.train.name, found.test.name) == ("Many_TRAIN.csv.gz", "Many_TEST.csv")


def test_own_file_without_a_folder_and_in_the_home_folder(tmp_path, monkeypatch):
    (tmp_path / "steps.v2.csv").write_text(ROWS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find("steps.v2.csv").name == find("~/steps.v2.csv").name == "steps.v2"
    assert find("./steps.v2.csv").one_file


def test_a_missing_test_part(tmp_path):
    put(tmp_path, "Half", "TRAIN.csv")
    with pytest.raises(InputError, match=r"(?s)Half has no test part.*Half_TEST\.\*.*holdout:0"):
        load("Half", data_dir=tmp_path)
    splits = load("Half", data_dir=tmp_path, split="holdout:0")
    assert splits.split == "holdout:0" and splits.test.n_cases == 2
    put(tmp_path, "Other", "TEST.csv")
    with pytest.raises(InputError, match=r"(?s)no train part.*Other_TEST\.csv.*Other_TRAIN"):
        load("Other", data_dir=tmp_path)


def test_an_unknown_name_answers_with_the_nearest_and_where_it_looked(tmp_path):
    put(tmp_path, "GunPiont", "TRAIN.csv")
    with pytest.raises(InputError) as error:
        find("gunpoin", tmp_path)
    message = str(error.value)
    for words in (
        "unknown set",
        str(tmp_path),
        "aeon",
        str(Path("vlm-tsc", "sets")),
        "gunpoin",
        "GunPoint",
        "GunPiont",
    ):
        assert words in message


@pytest.mark.parametrize(
    "dataset", ["../GunPoint", "../../no/such", "/etc/nothing", "a/../b", "..\\GunPoint", "nothing.csv", "x/y\0z"]
)
def test_a_path_that_is_no_file_is_refused(dataset):
    with pytest.raises(InputError, match=r"(?s)no such file.*--dataset.*the bare name of a set"):
        find(dataset)


@pytest.mark.parametrize("dataset", ["..", ".", "", " ", "Gun Point", "-x", "Gun\0", "*"])
def test_what_can_be_no_name_is_refused(dataset):
    with pytest.raises(InputError, match=r"(?s)not the name of a set.*--dataset"):
        find(dataset)


def test_a_folder_as_dataset_is_answered_with_the_options_to_type(tmp_path):
    put(tmp_path, "Mine", "TRAIN.csv")
    with pytest.raises(InputError, match=rf"--data-dir {tmp_path} --dataset Mine"):
        find(str(tmp_path / "Mine"))


def test_a_missing_file_is_answered_with_the_nearest(tmp_path, own_file):
    own_file("steps.csv", ROWS)
    with pytest.raises(InputError, match=r"(?s)no such file.*stpes\.csv.*near: steps\.csv"):
        find(str(tmp_path / "stpes.csv"))
    with pytest.raises(InputError, match=r"(?s)no such file.*--test"):
        find(str(tmp_path / "steps.csv"), test=tmp_path / "tset.csv")


def test_a_test_file_is_for_a_file_of_your_own(own_file):
    with pytest.raises(InputError, match=r"(?s)--test.*GunPoint"):
        find("GunPoint", test=own_file("t.csv", ROWS))


def test_a_foreign_file_is_answered_with_the_formats(own_file):
    with pytest.raises(InputError, match=r"(?s)no known format.*\.docx.*\.ts, \.tsv, \.txt, \.arff, \.npz, \.csv"):
        load(own_file("t.docx", b"PK"))


def test_a_data_folder_that_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"(?s)no such folder.*--data-dir"):
        find("GunPoint", tmp_path / "nowhere")
    monkeypatch.setenv("VLM_TSC_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="VLM_TSC_DATA"):
        find("GunPoint")


def test_nothing_heavy_is_imported():
    heavy = "{'torch', 'transformers', 'aeon', 'sklearn', 'pandas', 'matplotlib'}"
    code = f"import sys, vlm_tsc.archive as a; a.load('GunPoint'); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
