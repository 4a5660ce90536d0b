"""The studies of `benchmarks.accuracy`: which commands, on which sets, with which seeds, and what is read off them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import study_tables

THREE = ("TwoLeadECG", "ItalyPowerDemand", "GunPoint")
TARGETS = (*THREE, "PenDigits", "PhalangesOutlinesCorrect", "FreezerSmallTrain", "HandOutlines")
WHOLE = ("TwoLeadECG", "ItalyPowerDemand", "PenDigits", "PhalangesOutlinesCorrect")  # every case is here
FIVE = (*THREE, "ECG200", "Plane")
DEVELOPMENT = (
    *("TwoLeadECG", "ItalyPowerDemand", "PhalangesOutlinesCorrect", "PenDigits", "GunPoint", "CBF", "Trace", "Coffee"),
    *("ECG200", "ArrowHead", "OSULeaf", "Plane", "Beef", "Car", "Adiac", "DiatomSizeReduction", "Strawberry", "Wine"),
    *("BasicMotions", "JapaneseVowels"),
)
MODES = ("IMAGE_ONLY", "TEXT_ONLY", "BASELINE", "WITH_STATS")
PROBES = ("vision-probe", "decoder-probe")
PARITY = ("Coffee", "GunPoint", "ItalyPowerDemand", "TwoLeadECG", "ECG200", "ArrowHead", "CBF", "Plane")
UNSEEN = (*PARITY, "Beef", "Car", "Trace", "OSULeaf")  # the encoder of `masked` is not pre-trained on these …
KIN = ("GunPointAgeSpan", "GunPointMaleVersusFemale", "GunPointOldVersusYoung")  # … nor on others of their recordings

Words = tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """Sets, seeds, and the commands that are run for each of them, without dataset and seed.

    Attributes
    ----------
    before : tuple of words
        Commands that come first; once for every seed where they name it, else once. In all commands {root} is the
        folder that holds runs/, {seed} the seed.
    shows : callable, optional
        (folder that holds runs/, sets) → the study's own table.
    """

    sets: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    commands: tuple[Words, ...] = (("train.py",),)
    before: tuple[Words, ...] = ()
    shows: Callable[[Path, tuple[str, ...]], str] | None = None


PRETRAIN = ("-m", "vlm_tsc.pretrain", "masked", "--conf-file")
TRANSFORMER = ("eval/baselines.py", "masked-transformer", "--no-tsne")
ALL_OTHERS = ("--datasets", "all", "--exclude", ",".join((*UNSEEN, *KIN)))
LINEAR = ("--conf-file", "configs/baselines/masked-transformer-linear.yaml")

STUDIES = {
    "targets": Study(TARGETS, (0, 1, 2)),
    "development": Study(DEVELOPMENT),
    "pooled": Study(WHOLE, commands=(("train.py", "--split", "pooled"),)),
    "modes": Study(FIVE, commands=tuple(("train.py", "--data-repr", mode) for mode in MODES)),
    "probes": Study(DEVELOPMENT, commands=tuple(("eval/baselines.py", probe) for probe in PROBES)),
    # InceptionTime against its published self: 1,500 epochs, five members
    "parity": Study(PARITY, commands=(("eval/baselines.py", "inception-time"),), shows=study_tables.parity),
    # TiMERT's protocol: masked pre-training on training parts of many sets, then fine-tuning on others, pooled 60/20/20
    "masked": Study(
        UNSEEN,
        (0, 1, 2),
        commands=(
            (*TRANSFORMER, "--encoder", "{root}/runs/pretrain/mae-sets/encoder", "--split", "pooled"),
            (*TRANSFORMER, "--encoder", "fresh", "--split", "pooled"),
            ("eval/baselines.py", "1nn-dtw", "--split", "pooled"),
        ),
        before=((*PRETRAIN, "configs/pretrain/mae.yaml", "--name", "mae-sets", *ALL_OTHERS),),
        shows=study_tables.masked,
    ),
    # TimeMAE's: pre-training on HAR's training cases without labels, a linear layer on the frozen encoder
    "har": Study(
        ("HAR",),
        (0, 1, 2),
        commands=((*TRANSFORMER, "--encoder", "{root}/runs/pretrain/timemae-{seed}/encoder", "--allow-seen", *LINEAR),),
        before=((*PRETRAIN, "configs/pretrain/timemae.yaml", "--name", "timemae-{seed}", "--seed", "{seed}"),),
        shows=study_tables.har,
    ),
}


def commands_of(study: Study, sets: list[str] | None = None) -> Iterator[list[str]]:
    """Program and options of every run; a set's runs follow each other."""
    for dataset in [name for name in study.sets if sets is None or name in sets]:
        for command in study.commands:
            for seed in study.seeds:
                yield [*_with_seed(command, seed), "--dataset", dataset, "--seed", str(seed)]


def before_of(study: Study) -> list[list[str]]:
    """The commands that come before those of `commands_of`, each once."""
    found = (tuple(_with_seed(command, seed)) for seed in study.seeds for command in study.before)
    return [list(words) for words in dict.fromkeys(found)]


def _with_seed(command: Words, seed: int) -> list[str]:
    return [word.replace("{seed}", str(seed)) for word in command]
