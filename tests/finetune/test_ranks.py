"""The steps of a training stay what they were, however many processes go on with it."""

from __future__ import annotations

import pytest

from tests.conftest import make_set
from vlm_tsc.bases import load_base
from vlm_tsc.config import settings_from
from vlm_tsc.errors import InputError
from vlm_tsc.finetune.plan import choose_batches, zero_stage
from vlm_tsc.finetune.ranks import Batches, begun_with, largest_part, note_batches, share
from vlm_tsc.resources import find_file


@pytest.fixture
def adapter(tmp_path):
    """Where an adapter will be, with one whole checkpoint of a training of 32 cases a step beside it."""
    whole = tmp_path / "checkpoints" / "checkpoint-10"
    whole.mkdir(parents=True)
    (whole / "trainer_state.json").write_text('{"global_step": 10}')
    note_batches(tmp_path / "checkpoints", Batches(cases=32, steps=50))
    return tmp_path / "adapter"


def chosen(adapter_folder, **changes):
    settings = settings_from({"dataset": "GunPoint", "batch_size": 8, "gradient_accumulation": 1, **changes})
    return choose_batches(settings, load_base(settings.base), make_set(50, 0).n_cases, adapter_folder)


def test_a_new_training_multiplies_the_batch_by_the_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert chosen(tmp_path / "adapter", num_epochs=10) == Batches(cases=32, steps=16)  # 500 cases by 32


@pytest.mark.parametrize("ranks", ["1", "2", "8"])
def test_one_that_goes_on_keeps_its_steps(adapter, monkeypatch, ranks):
    monkeypatch.setenv("WORLD_SIZE", ranks)
    assert chosen(adapter, num_epochs=10) == Batches(cases=32, steps=50)


def test_without_a_whole_checkpoint_nothing_is_kept(adapter, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    (adapter.parent / "checkpoints" / "checkpoint-10" / "trainer_state.json").unlink()
    assert begun_with(adapter.parent / "checkpoints") == Batches(32, 50)
    assert chosen(adapter, num_epochs=10) == Batches(cases=8, steps=63)


@pytest.mark.parametrize(("before", "after"), [(None, "zero2"), ("zero2", None), ("zero3", "zero2")])
def test_checkpoints_of_another_kind_are_refused(adapter, monkeypatch, before, after):
    monkeypatch.setenv("WORLD_SIZE", "1")
    files = {name: find_file(f"configs/deepspeed/{name}.json") for name in ("zero2", "zero3")} | {None: None}
    begun = Batches(32, 50, zero_stage(files[before]) if before else None)
    note_batches(adapter.parent / "checkpoints", begun)
    with pytest.raises(InputError, match=r"--deepspeed(.|\n)*--no-resume"):
        chosen(adapter, deepspeed=files[after])
    assert chosen(adapter, deepspeed=files[before]) == begun


def test_unequal_shares_are_refused():
    assert share(32, 4) == 8
    with pytest.raises(InputError, match="3, for 32 cases a step"):
        share(32, 3)


@pytest.mark.parametrize(("cases", "at_most", "part"), [(8, 8, 8), (16, 8, 8), (4, 8, 4), (6, 4, 3), (7, 4, 1)])
def test_the_largest_part_makes_up_the_whole(cases, at_most, part):
    assert largest_part(cases, at_most) == part
