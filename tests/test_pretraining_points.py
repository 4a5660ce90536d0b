"""Accuracy against pre-training: what was saved is what is fine-tuned, alike at every point, and costs are counted."""

from __future__ import annotations

import csv
import json

import pytest
import torch
import yaml

from benchmarks import pretraining
from benchmarks.pretraining_compute import cost, operations_of_steps
from benchmarks.pretraining_points import NOTHING, Point, checkpoint_of, chosen, find_points, model_of
from benchmarks.pretraining_tables import summary
from tests.conftest import make_set
from tests.pretrain.test_stages import small_recipe
from vlm_tsc.errors import InputError
from vlm_tsc.files import write_json
from vlm_tsc.finetune.steps import choose_steps
from vlm_tsc.pretrain.episode_stage import LlavaWithHead
from vlm_tsc.pretrain.llava import STAGES, make_processor, model_around, tower_shape
from vlm_tsc.pretrain.loop import save_state
from vlm_tsc.pretrain.noted import note_pretraining
from vlm_tsc.pretrain.vision_stage import TowerWithHead

RECIPE = small_recipe(text_layers=2)  # the shapes of `tiny_base`


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """States of two stages, as the loop saves them, of weights that no seed of the recipe gives."""
    folder = tmp_path_factory.mktemp("work")
    torch.manual_seed(5)
    tower = TowerWithHead(tower_shape(RECIPE))
    save_state(folder / "vision-1.safetensors", tower, torch.optim.AdamW(tower.parameters()), 1)
    tokenizer = make_processor(RECIPE).tokenizer
    whole = LlavaWithHead(model_around(RECIPE, tokenizer, tower.tower.state_dict()))
    torch.nn.init.normal_(whole.llava.lm_head.weight)
    save_state(folder / "episodes" / "state.safetensors", whole, torch.optim.AdamW(whole.parameters()), 2)
    return folder, tokenizer, tower.tower.state_dict(), whole.llava.state_dict()


def test_points_are_in_the_order_of_the_recipe_and_hold_what_was_saved(work):
    folder, tokenizer, tower, whole = work
    nothing, vision, episodes = find_points([folder], RECIPE)
    assert [point.name for point in (nothing, vision, episodes)] == [NOTHING, "vision-1", "episodes-2"]
    models = {point: model_of(point, RECIPE, tokenizer).state_dict() for point in (nothing, vision, episodes)}
    name = "model.vision_tower."
    assert all(torch.equal(models[vision][name + key], value) for key, value in tower.items())
    assert all(torch.equal(models[episodes][key], value) for key, value in whole.items())
    assert not torch.equal(models[nothing]["lm_head.weight"], whole["lm_head.weight"])
    assert torch.equal(models[nothing]["lm_head.weight"], models[vision]["lm_head.weight"])
    weight = name + "embeddings.patch_embedding.weight"
    assert not torch.equal(models[nothing][weight], models[vision][weight])


def test_points_that_are_not_there_are_refused(work, tmp_path):
    folder, *_ = work
    with pytest.raises(InputError, match=r"no such point(.|\n)*vision-7(.|\n)*nothing, vision-1, episodes-2"):
        chosen(find_points([folder], RECIPE), "vision-1,vision-7")
    with pytest.raises(InputError, match="no state of a pre-training"):
        find_points([tmp_path], RECIPE)
    with pytest.raises(InputError, match=r"same points(.|\n)*episodes-2, vision-1"):
        find_points([folder, folder], RECIPE)


def test_a_copy_is_of_the_step_that_is_in_it_whatever_it_is_called(work, tmp_path):
    for name in ("vision-4", "vision-3"):
        (tmp_path / f"{name}.safetensors").write_bytes((work[0] / "vision-1.safetensors").read_bytes())
    points = find_points([tmp_path], RECIPE)
    assert [point.name for point in points] == [NOTHING, "vision-1"]
    assert chosen(points, "vision-4,vision-1,vision-3") == [points[1]]


def test_a_point_costs_the_stages_before_it_and_its_own_steps():
    recipe = small_recipe()  # every stage 2 steps of 8
    each = {"vision": 1.0, "captions": 10.0, "instructions": 100.0, "episodes": 1000.0}
    assert cost(Point(NOTHING, 0), recipe, each) == {"operations": 0, "examples": 0}
    assert cost(Point("vision", 1, None), recipe, each) == {"operations": 1.0, "examples": 8}
    assert cost(Point("episodes", 1, None), recipe, each) == {"operations": 1222.0, "examples": 6 * 8 + 8 + 8}


def test_a_shorter_pretraining_counts_its_own_steps_and_a_base_is_the_recipes_end(work, tiny_base, tmp_path):
    recipe = RECIPE.model_copy(
        update={name: stage.model_copy(update={"steps": 40, "warmup_steps": 6}) for name, stage in stages_of(RECIPE)}
    )
    short = recipe.shortened(0.05)
    assert {(stage.steps, stage.warmup_steps) for _, stage in stages_of(short)} == {(2, 1)}
    copy = tmp_path / "short" / "episodes" / "state.safetensors"
    copy.parent.mkdir(parents=True)
    copy.write_bytes((work[0] / "episodes" / "state.safetensors").read_bytes())
    note_pretraining(tmp_path / "short", short.model_dump(mode="json"))
    _, early, late = find_points([tmp_path / "short", tiny_base], recipe)
    assert (early.name, early.is_end, late.name, late.is_end) == ("episodes-2", True, "episodes-40", True)
    each = {"vision": 1.0, "captions": 10.0, "instructions": 100.0, "episodes": 1000.0}
    assert [cost(point, recipe, each)["operations"] for point in (early, late)] == [2222.0, 44440.0]
    same = checkpoint_of(late, recipe, "named", tmp_path / "base") / "model.safetensors"
    assert same.read_bytes() == (tiny_base / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match=r"another recipe(.|\n)*\['seed'\] differ"):
        find_points([tmp_path / "short"], recipe.model_copy(update={"seed": 3}))


def stages_of(recipe):
    return [(name, getattr(recipe, name)) for name in STAGES]


def test_operations_of_the_tower_are_those_of_its_matrices(tmp_path):
    batches = {"vision": 1, "captions": 1}
    found = operations_of_steps(RECIPE, tmp_path / "operations.json", batches)
    width, tokens, patches, layers = 32, 17, 16, 2
    layer = tokens * (4 * width**2 + 2 * width * 4 * width) + 2 * tokens**2 * width
    heads = patches * width * 32 + (patches * 32 + width) * 512 + 512 * 128 + patches * 32 * 512 + 512 * 96
    per_plot = 3 * (layers * layer + heads) + 2 * patches * (3 * 8 * 8) * width  # pixels need no gradient
    contrast = 3 * 8 * 8 * 128
    assert found["vision"] == pytest.approx(2 * (8 * per_plot + contrast), rel=0.01)
    assert found["captions"] > 0
    path = tmp_path / "operations.json"
    write_json(path, json.loads(path.read_text()) | {"operations": {"vision": 7}})
    assert operations_of_steps(RECIPE, path, batches) == {"vision": 7}  # counted once …
    assert operations_of_steps(RECIPE, path, {"vision": 1}) == {"vision": found["vision"]}  # … of the same


def test_the_mean_is_over_sets_and_a_sets_over_its_cases():
    def fit(dataset, accuracy, n):
        facts = {"log_loss": 1.0, "seconds": 2.0, "commit": "abc"}
        return {"dataset": dataset, "accuracy": accuracy, "n_held_out": n, **facts}

    found = summary([fit("A", 1.0, 3), fit("A", 0.5, 1), fit("B", 0.2, 9), fit("B", 0.2, 9)], ["A", "B"])
    assert found["sets"]["A"]["accuracy"] == 0.875 and found["accuracy"] == pytest.approx((0.875 + 0.2) / 2)
    assert found["accuracy_error"] == pytest.approx((0.125 / 2) ** 0.5 / 2) and found["log_loss_error"] == 0
    assert found["seconds"] == 8.0 and found["commits"] == ["abc"]


@pytest.fixture
def words(work, tiny_base, tmp_path, monkeypatch):
    """The command on a set of 14 training cases."""
    for part, n_cases in (("TRAIN", 14), ("TEST", 2)):
        cases = make_set(n_cases, 0)
        lines = ["\t".join(map(str, [label, *case[0]])) for case, label in zip(cases.X, cases.y == "up", strict=True)]
        path = tmp_path / "data" / "Slopes" / f"Slopes_{part}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines).replace("True", "1").replace("False", "2") + "\n")
    monkeypatch.setenv("VLM_TSC_DATA", str(tmp_path / "data"))
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE.model_dump(mode="json")))
    command = (
        f"{work[0]} --vlm-root {tmp_path} --sets Slopes --folds 2 --recipe {tmp_path}/recipe.yaml --base {tiny_base}"
    )
    return command.split()


def test_points_are_fine_tuned_judged_and_drawn_and_never_twice(words, tmp_path, capsys):
    for name in ("vision-1", "episodes-2"):
        assert pretraining.main([*words, "--steps", "1", "--only", name]) == 0
        assert f"{name}  Slopes  fold 2 of 2: accuracy" in capsys.readouterr().out
    tables = tmp_path / "tables"
    document = json.loads((tables / "pretraining.json").read_text())
    assert [point["point"] for point in document["points"]] == ["vision-1", "episodes-2"]
    assert [point["examples"] for point in document["points"]] == [8, 6 * 8 + 2 * (8 + 8)]
    assert [point["is_end"] for point in document["points"]] == [False, True]
    assert document["points"][0]["operations"] == document["operations_of_a_step"]["vision"]
    (first, _) = csv.DictReader((tables / "pretraining.csv").read_text().splitlines())
    assert float(first["accuracy Slopes"]) == document["points"][0]["accuracy"]
    assert (tables / "pretraining.png").read_bytes()[:4] == b"\x89PNG"
    before = (tmp_path / "pretraining" / "points" / "vision-1.json").read_bytes()
    assert pretraining.main([*words, "--steps", "1", "--only", "vision-1"]) == 0
    assert "fold" not in capsys.readouterr().out
    assert (tmp_path / "pretraining" / "points" / "vision-1.json").read_bytes() == before
    assert pretraining.main([*words, "--steps", "2", "--only", "vision-1"]) == 2
    assert "['steps'] differ" in capsys.readouterr().err


def test_every_fold_takes_the_steps_that_are_asked_for(words, tiny_base):
    for folds, steps in ((2, 300), (3, 300), (3, 7)):
        protocol = pretraining.Protocol(("Slopes",), folds, steps, 0)
        for k in range(folds):
            settings, (others, held_out) = pretraining._fold("Slopes", k, protocol, tiny_base)
            schedule = {"epochs": 1.0, "min_steps": 1, "max_steps": 9}
            n = len(others.y)  # too few for a part that chooses the checkpoint
            assert choose_steps(n, settings.batch_size, num_epochs=settings.num_epochs, **schedule) == steps
            assert n + len(held_out.y) == 14
