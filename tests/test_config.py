"""Settings from the command line, YAML, scenario and base: what wins, what is refused, and how it is said."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pydantic
import pytest
import yaml

from vlm_tsc import config
from vlm_tsc.bases import GENERIC_DEFAULTS, load_base
from vlm_tsc.config import (
    GROUPS,
    Settings,
    load_settings,
    resolved_yaml,
    run_and_settings_from_cli,
    settings_from,
    settings_from_cli,
)
from vlm_tsc.errors import InputError, exits_cleanly
from vlm_tsc.options import options_of

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("VLM_TSC_LLAVA_ROOT", raising=False)


def cli(*argv: str, **details) -> Settings:
    return settings_from_cli(argv, prog="train.py", description="Train.", **details)


def refused(*argv: str, **details) -> str:
    with pytest.raises(InputError) as caught:
        cli(*argv, **details)
    return str(caught.value)


def written(folder: Path, text: str, name: str = "config.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


# --- the command line


def test_the_line_of_the_main_seed_works_as_written():
    line = (
        "--downsample 2 --round_to 2 --dataset TwoLeadECG --vlm-root . --llava-root /path/LLaVA "
        "--num-epochs 2 --context-length 2048 --data-repr WITH_STATS"
    )
    settings = cli(*line.split())
    assert (settings.downsample, settings.round_to, settings.dataset) == (2, 2, "TwoLeadECG")
    assert (settings.num_epochs, settings.context_length, settings.data_repr) == (2.0, 2048, "WITH_STATS")
    assert settings.llava_root == Path("/path/LLaVA"), "an absent folder of checkpoints is no error"


@pytest.mark.parametrize(
    "words", [["--num-epochs", "3"], ["--num_epochs", "3"], ["--num-epochs=3"], ["--num_epochs=3"]]
)
def test_dash_and_underscore_are_the_same(words):
    assert cli("--dataset", "GunPoint", *words).num_epochs == 3


def test_lists_and_flags():
    settings = cli("--dataset", "X", "--seeds", "0,1, 2", "--trainable", "vision", "--resume", "--baselines", "none")
    assert settings.seeds == (0, 1, 2)
    assert settings.trainable == ("vision",)
    assert settings.resume
    assert settings.baselines == ()
    assert not cli("--dataset", "X", "--resume", "--no-resume").resume
    assert cli("--dataset", "X", "--debug=true").debug


def test_baselines_may_be_trained_ones_and_aeons_classes():
    names = ("quant", "inception-time", "WEASEL_V2")
    assert cli("--dataset", "X", "--baselines", ",".join(names)).baselines == names
    with pytest.raises(InputError) as caught:
        cli("--dataset", "X", "--baselines", "majority,inceptiontime")
    assert "there is no baseline inceptiontime; did you mean inception-time?" in str(caught.value)


def test_augment_is_a_strength_or_none():
    assert cli("--dataset", "X", "--augment", "none").augment == 0
    assert cli("--dataset", "X", "--augment", "0.5").augment == 0.5


def test_the_deepspeed_launcher_may_add_its_word():
    assert cli("--local_rank=1", "--dataset", "X") == cli("--dataset", "X")


def test_config_may_stand_after_the_options():
    settings = cli("--seed", "3", "--resume", "configs/llava_config.yaml")
    assert (settings.seed, settings.dataset) == (3, "ItalyPowerDemand")


def test_names_may_not_be_shortened():
    assert "no option --data" in refused("--data", "X", "--dataset", "X")


def test_unknown_option_names_the_nearest():
    message = refused("--dataset", "X", "--rond-to", "2")
    assert "train.py has no option --rond-to" in message
    assert "did you mean --round-to" in message
    assert "no option -d" in refused("-d", "X", "--dataset", "X")


def test_wrong_value_says_option_received_and_allowed():
    message = refused("--dataset", "X", "--round_to", "two")
    assert message.splitlines() == [
        "the value of --round_to cannot be used",
        "  where:   command line",
        "  got:     'two'",
        "  allowed: a whole number of at least 0 and at most 10",
    ]


def test_all_problems_are_told_at_once(tmp_path):
    file = written(tmp_path, "rond_to: 2\nseed: x\n")
    message = refused(
        file, "--bacth-size", "4", "--downsample", "0", "--lengths", "cut", "--base", "plot-lava-mini", "--test"
    )
    assert message.startswith("8 problems with the settings of train.py\n")
    for part in (
        "rond_to",
        "--bacth-size",
        "seed",
        "--downsample",
        "--lengths",
        "plot-lava-mini",
        "--test needs a value",
    ):
        assert part in message
    assert "--dataset is missing" in message


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--data-repr", "PLOT"], "BASELINE, WITH_STATS, WITH_SIGNAL_ANALYSIS, WITH_RATIONALE, IMAGE_ONLY, TEXT_ONLY"),
        (["--split", "resample:x"], "official, pooled, resample:K, holdout:SEED"),
        (["--seeds", "0,0"], "an item is there twice"),
        (["--seeds", "0,-1"], "different whole numbers"),
        (["--seeds", ""], "it is empty"),
        (["--trainable", "language,eyes"], "got:     'eyes'"),
        (["--learning-rate", "nan"], "a number above 0"),
        (["--learning-rate", "-1"], "got:     '-1'"),
        (["--round-to", "2.5"], "got:     '2.5'"),
        (["--augment", "some"], "none, or a number"),
        (["--run-name", "../elsewhere"], "it must be one folder's name"),
        (["--run-name", ".."], "it must be one folder's name"),
        (["--resume=perhaps"], "true or false"),
        (["--scenario", "nobodys"], "there is no scenario nobodys"),
        (["--scenario", "../llava_config"], "there is no scenario"),
        (["--deepspeed", "nowhere.json"], "the path of --deepspeed does not exist"),
        (["--data-dir", "/nowhere/at/all"], "the path of --data-dir does not exist"),
        (["a.yaml", "b.yaml"], "only one CONFIG.yaml"),
        (["--dataset"], "--dataset needs a value"),
        (["--base", "/nowhere/at/all"], "where:   command line (--base)"),
    ],
)
def test_refused(words, part):
    assert part in refused("--dataset", "X", *words)


def test_missing_dataset_is_said_with_what_to_type():
    message = refused()
    assert "--dataset is missing" in message
    assert "--dataset NAME" in message
    assert cli(required=()).dataset is None


def test_a_dataset_in_the_place_of_the_config_is_understood():
    assert "fix:     --dataset ItalyPowerDemand" in refused("ItalyPowerDemand")


def test_a_program_may_take_some_groups_only():
    assert cli("--dataset", "X", "--workers", "1", groups=("data", "run")).workers == 1
    assert "has no option --lora-r" in refused("--dataset", "X", "--lora-r", "4", groups=("data", "run"))


def test_exit_code_two_and_no_traceback(capsys):
    main = exits_cleanly(lambda argv: cli(*argv) and 0)
    assert main(["--nothing"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert "Traceback" not in shown.err
    with pytest.raises(InputError):
        main(["--debug", "--nothing"])


# --- help


def test_help_reads_well(capsys):
    with pytest.raises(SystemExit) as done:
        cli("--help", "--nonsense")
    text = capsys.readouterr().out
    assert done.value.code == 0
    assert max(len(line) for line in text.splitlines()) <= 80
    assert re.findall(r"^(\w+):$", text, re.M) == list(GROUPS)
    for option in options_of(Settings).values():
        assert re.search(rf"^  {option.word}( [A-Z,]+)?( |$)", text, re.M), option.word
    assert "None" not in text
    assert "[official]" in text
    assert "[the base's]" in text


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from vlm_tsc.config import settings_from_cli\n"
        "try:\n    settings_from_cli(['--help'], prog='train.py', description='Train.')\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'peft', 'matplotlib', 'aeon', 'deepspeed', 'pandas', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: python train.py [CONFIG.yaml]")


def test_every_field_has_a_description_and_a_group():
    options = options_of(Settings)
    assert list(options) == list(Settings.model_fields)
    assert all(option.help.endswith(".") for option in options.values())
    assert list(dict.fromkeys(option.group for option in options.values())) == list(GROUPS)


# --- YAML


def test_layout_of_the_main_seed(tmp_path, caplog):
    text = (
        "dataset:\n  name: PenDigits\nimage_path: data/images\ndata_path: data\nmodel: 'llava'\n"
        "options:\n  padded: true\n  round_to: 3\n  downsample_to: 4\n  context_length: 1024\n"
        "  data_repr: WITH_STATS\n  use_adaptive_downsampling: true\n  plot_downsampled_graph: true\n"
    )
    with caplog.at_level(logging.WARNING):
        settings = load_settings(written(tmp_path, text))
    assert settings.dataset == "PenDigits"
    assert settings.base == "plot-llava-mini"
    assert (settings.lengths, settings.round_to, settings.downsample) == ("pad", 3, 4)
    assert (settings.context_length, settings.data_repr, settings.downsampling) == (1024, "WITH_STATS", "adaptive")
    assert settings.plot_downsampled_graph
    (notice,) = caplog.messages
    assert "image_path and data_path not used: everything is written into the run folder" in notice


def test_the_seeds_no_means_the_default(tmp_path):
    text = "dataset: GunPoint\noptions:\n  padded: false\n  downsample_to: null\n  use_adaptive_downsampling: false\n"
    settings = load_settings(written(tmp_path, text))
    assert (settings.dataset, settings.lengths, settings.downsample, settings.downsampling) == (
        "GunPoint",
        "keep",
        None,
        "mean",
    )


def test_model_may_name_a_base(tmp_path):
    assert load_settings(written(tmp_path, "model: llava-1.5-7b\n")).base == "llava-1.5-7b"
    with pytest.raises(
        InputError, match=r"there is no base llava-1\.5-8b\n  where:   .*config\.yaml, line 1 \(model\)"
    ):
        load_settings(written(tmp_path, "model: llava-1.5-8b\n"))


def test_flat_keys_with_dashes_and_exponents(tmp_path):
    file = written(
        tmp_path, "learning-rate: 2e-4\nseeds: 0,1\nbaselines: [majority]\nsplit: resample:3\naugment: none\n"
    )
    assert yaml.safe_load(Path(file).read_text())["learning-rate"] == "2e-4", "PyYAML no longer reads it as a text"
    settings = load_settings(file)
    assert settings.learning_rate == 2e-4
    assert (settings.seeds, settings.baselines, settings.split) == ((0, 1), ("majority",), "resample:3")
    assert settings.augment == 0
    assert load_settings(written(tmp_path, "seeds: 3\n")).seeds == (3,)


def test_unknown_key_names_line_and_nearest(tmp_path):
    file = written(tmp_path, "# a comment\ndataset:\n  name: X\noptions:\n  rond_to: 2\n")
    with pytest.raises(InputError) as caught:
        load_settings(file)
    assert str(caught.value).splitlines()[:3] == [
        "there is no setting rond_to",
        f"  where:   {file}, line 5",
        "  fix:     did you mean round_to?",
    ]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("- a\n- b\n", "no `option: value` lines"),
        ("just words", "no `option: value` lines"),
        ("a: 1\nb: [1, 2\nc: 3\n", "line 3, column 2"),
        ("a: 'x\n", "the YAML cannot be read"),
        ("seed: 1\nseed: 2\n", "seed is there twice\n  where:   "),
        ("dataset: !!python/object/apply:os.system ['true']\n", "the YAML cannot be read"),
        ("when: 2024-13-45\n", "the YAML cannot be read"),
        ("a: &a {b: *a}\n", "there is no setting a"),
        ("[" * 5000, "the YAML cannot be read"),
        ("a: \x01\n", "the YAML cannot be read"),
        ("dataset:\n  nam: X\n", "line 2"),
        ("dataset: no\n", "put quotes around"),
        ("seed: yes\n", "a yes or no is not wanted here"),
        ("seeds: [true, 2]\n", "a yes or no is not wanted here"),
        ("padded: 3\n", "allowed: true or false"),
        ("dataset: [1]\n", "allowed: a text"),
        ("options: 3\n", "options"),
        ("downsample: 2\noptions: {downsample_to: 3}\n", "downsample_to and downsample say the same"),
        ("num_epochs: 0\n", "a number above 0"),
        ("1: 2\n", "there is no setting 1"),
    ],
)
def test_bad_yaml(tmp_path, text, part):
    with pytest.raises(InputError) as caught:
        load_settings(written(tmp_path, text))
    assert part in str(caught.value)
    assert "config.yaml" in str(caught.value)


def test_a_yaml_that_is_no_text_or_not_there(tmp_path):
    (tmp_path / "config.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(InputError, match="not UTF-8"):
        load_settings(tmp_path / "config.yaml")
    with pytest.raises(InputError, match=r"there is no such file\n.*\n  fix:     did you mean .*config\.yaml\?"):
        load_settings(tmp_path / "confg.yaml")
    with pytest.raises(InputError, match="not a folder"):
        load_settings(tmp_path)


def test_a_config_that_cannot_be_read_hides_what_it_may_have_said():
    message = refused("configs/llava_confg.yaml", "--seed", "x")
    assert message.startswith("2 problems")
    assert "did you mean configs/llava_config.yaml?" in message


# --- what wins


def test_precedence(tmp_path, monkeypatch):
    scenarios = tmp_path / "scenarios"
    scenarios.mkdir()
    written(scenarios, "lora_r: 5\nlora_alpha: 5\nbatch_size: 5\n", "quick.yaml")
    monkeypatch.setattr(config, "resource_dir", lambda name: tmp_path)
    file = written(tmp_path, "dataset: X\nscenario: quick\nlora_alpha: 6\nbatch_size: 6\n")
    settings = cli(file, "--batch-size", "7")
    assert settings.gradient_accumulation == 1, "the default"
    assert settings.round_to == 1, "the base"
    assert settings.lora_r == 5, "the scenario"
    assert settings.lora_alpha == 6, "the file"
    assert settings.batch_size == 7, "the command line"


def test_checkpoints_of_the_environment(monkeypatch, tmp_path):
    (tmp_path / "my-llava").mkdir()
    monkeypatch.setenv("VLM_TSC_LLAVA_ROOT", str(tmp_path))
    settings = cli("--dataset", "X", "--base", "my-llava")
    assert settings.llava_root == tmp_path
    assert settings.round_to == GENERIC_DEFAULTS["round_to"], "a base that we do not know gets what suits its relatives"
    assert cli("--dataset", "X", "--llava-root", "/other").llava_root == Path("/other")


def test_settings_from_values():
    assert settings_from({"dataset": "X"}).lora_r == load_base("plot-llava-mini").defaults["lora_r"]
    with pytest.raises(InputError, match=r"there is no setting lora\n.*\n  fix:     did you mean lora_r"):
        settings_from({"lora": 3})
    with pytest.raises(pydantic.ValidationError):
        Settings.model_validate({"lora": 3})
    with pytest.raises(pydantic.ValidationError):
        settings_from({}).seed = 1  # type: ignore[misc]


def test_resolved_yaml_comes_back_equal(tmp_path):
    line = "--dataset Ä --seeds 0,1 --learning-rate 2e-5 --augment none --baselines none --vlm-root /x --seed 4"
    settings = cli(*line.split())
    assert load_settings(written(tmp_path, resolved_yaml(settings))) == settings
    assert "None" not in resolved_yaml(settings)


def test_a_runs_own_settings_and_options_on_top(tmp_path):
    written(tmp_path, resolved_yaml(settings_from({"dataset": "X", "test": "/gone/test.csv"})))
    folder, settings = run_and_settings_from_cli(
        [str(tmp_path), "--answers", "generate"], prog="eval/score.py", description="Score.", groups=("answers", "run")
    )
    assert folder == tmp_path
    assert (settings.dataset, settings.answers) == ("X", "generate")
    for words in ([], [str(tmp_path / "nothing")], ["a", "b"], ["--anwers", "score"]):
        with pytest.raises(InputError, match="name one run folder"):
            run_and_settings_from_cli(words, prog="eval/score.py", description="Score.")
