"""Run one baseline: python eval/baselines.py 1nn-dtw --dataset NAME [--data-dir DIR] [--split SPLIT] [--seed N].

Any classifier of aeon is a baseline by its class name.
Also: python eval/baselines.py inception-time [train | predict] …, on a dataset or on tables; and
python eval/baselines.py masked-transformer …, from a pre-trained encoder.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from vlm_tsc import terminal
from vlm_tsc.archive.splits import Splits
from vlm_tsc.classify.classical import NAMES as CLASSICAL
from vlm_tsc.classify.classical import refuse_unknown
from vlm_tsc.config import Settings, settings_and_own_from_cli, settings_from_cli
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate import published, run_baseline
from vlm_tsc.evaluate.baseline import OPTIONS
from vlm_tsc.evaluate.classical_options import ClassicalOptions
from vlm_tsc.evaluate.trained import PROBES
from vlm_tsc.job import load_splits
from vlm_tsc.launcher import refuse_several
from vlm_tsc.report import collect, table
from vlm_tsc.run import shown_settings
from vlm_tsc.settings import TRAINED_BASELINES

PROG = "eval/baselines.py"
NAMES = (*CLASSICAL, *TRAINED_BASELINES)
DESCRIPTION = (
    f"Fit a BASELINE ({', '.join(NAMES)}, or any classifier of aeon by its class name), however long it takes, and "
    "show it beside the finished runs."
)
GROUPS = ("data", "run")


@terminal.speaks
def main(argv: list[str]) -> int:
    """`argv`: the baseline's name, then the options; without the program's name."""
    name, words = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else ("BASELINE", argv)
    if name == "inception-time":
        return _inception_time(words)
    if not {"-h", "--help"} & set(words):  # refused before anything is read
        refuse_unknown(name, TRAINED_BASELINES)
        refuse_several(f"{name} runs in one process", fix="start it without a launcher; inception-time shares its work")
    if name == "masked-transformer":
        return _masked_transformer(words)
    if name in PROBES:
        return _probe(name, words)
    settings, own = settings_and_own_from_cli(
        words, ClassicalOptions, prog=f"{PROG} {name}", description=DESCRIPTION, groups=GROUPS
    )
    _show(settings, *_classical(name, settings, own))
    return 0


def _classical(name: str, settings: Settings, own: ClassicalOptions) -> tuple[Splits, Any]:
    runs = settings.vlm_root / "runs"
    if own.search is None:
        if own.search_space is not None:
            raise InputError("how many settings are to be tried?", where="--search-space", fix="--search N")
        splits, given = _load(settings, own.seed)
        return splits, run_baseline(name, splits, runs, given=given, seed=own.seed, limit_s=None)
    from vlm_tsc.evaluate.search_classical import ClassicalSearch, run_searched
    from vlm_tsc.evaluate.search_space import space_of

    space_of(name, own.search_space)  # refused before anything is read
    splits, given = _load(settings, own.seed)
    search = ClassicalSearch(own.search, own.search_space)
    return splits, run_searched(name, splits, runs, search, given=given, seed=own.seed)


def _inception_time(words: Sequence[str]) -> int:
    from vlm_tsc.classify.inception_time import command
    from vlm_tsc.classify.inception_time.hyperparameters import PRESETS
    from vlm_tsc.classify.inception_time.options import DatasetOptions
    from vlm_tsc.evaluate.inception_time import run_inception_time
    from vlm_tsc.evaluate.search import INCEPTION_TIME
    from vlm_tsc.evaluate.search_table import choose_on_table
    from vlm_tsc.evaluate.trained import search_of

    if words and words[0] == "train":
        command.train(words[1:], choose_on_table)
        return 0
    if words and words[0] == "predict":
        command.predict(words[1:])
        return 0
    description = (
        "Train InceptionTime, answer the test split, and show it beside the finished runs. On tables of your own: "
        f"{PROG} inception-time train --help, {PROG} inception-time predict --help."
    )
    settings, options = settings_and_own_from_cli(
        words, DatasetOptions, prog=f"{PROG} inception-time", description=description, groups=GROUPS, presets=PRESETS
    )
    splits, given = _load(settings, options.seed)
    hyperparameters = options.hyperparameters()
    search = search_of(options.search, INCEPTION_TIME, options.model_fields_set)
    from vlm_tsc.classify.ranks import join_processes  # after the options are known to be right

    ranks = join_processes()
    runs = settings.vlm_root / "runs"
    how: dict[str, Any] = {"seed": options.seed, "given": given, "search": search}
    how |= {"start_from": options.start_from, "allow_seen": options.allow_seen}
    document = run_inception_time(splits, runs, hyperparameters, **how)
    if ranks.is_first:
        _show(settings, splits, document)
    return 0


def _masked_transformer(words: Sequence[str]) -> int:
    from vlm_tsc.classify.masked_transformer.options import RunOptions

    description = (
        "Train the masked transformer, end to end or its last layer alone, from a pre-trained encoder or fresh "
        "weights; answer the test split, and show it beside the finished runs."
    )
    settings, options = settings_and_own_from_cli(
        words,
        RunOptions,
        prog=f"{PROG} masked-transformer",
        description=description,
        groups=GROUPS,
        own_file="conf_file",
    )
    splits, given = _load(settings, options.seed)
    from vlm_tsc.classify.model_folder import use_gpu  # torch takes seconds
    from vlm_tsc.evaluate.masked import run_with_options

    use_gpu(options.gpu_id)
    _show(settings, splits, run_with_options(options, splits, settings.vlm_root / "runs", given))
    return 0


def _probe(name: str, words: Sequence[str]) -> int:
    from vlm_tsc.evaluate.probes import run_probe

    if any(word.partition("=")[0] == "--search" for word in words):
        got = "the one setting, the ridge's penalty, is always chosen, by leaving out one training case after the other"
        raise InputError("there is nothing to choose", where=f"{name} --search", got=got, fix="no --search")
    description = (
        "Fit a linear classifier on what a frozen base makes of each case, before its decoder (vision-probe) or after "
        "it (decoder-probe), answer the test split, and show it beside the finished runs."
    )
    groups = ("data", "picture", "text", "model", "run")
    settings = settings_from_cli(words, prog=f"{PROG} {name}", description=description, groups=groups)
    splits, given = _load(settings, settings.seed)
    runs = settings.vlm_root / "runs"
    _show(settings, splits, run_probe(name, splits, runs, settings.base, shown_settings(settings), given=given))
    return 0


def _load(settings: Settings, seed: int) -> tuple[Splits, Mapping[str, Any]]:
    if settings.dataset is None:  # the command line refuses it
        raise InputError("No dataset.", where="--dataset")
    return load_splits(settings, seed), {key: getattr(settings, key) for key in OPTIONS}


def _show(settings: Settings, splits: Splits, document: Any) -> None:
    """The table of all finished runs; as JSON, the run whose metrics.json says `document`."""
    folder = settings.vlm_root / "runs" / splits.test.name
    finished = collect(folder, splits.split)
    terminal.show(table(finished, published(splits.test.name, splits.split, splits.test.n_cases)))
    own = [run["run"] for run in finished if document.items() <= run.items()]
    runs = [{"folder": str(folder / name), "metrics": document} for name in own]
    terminal.answer(runs=runs, notes=[])


if __name__ == "__main__":
    sys.exit(main())
