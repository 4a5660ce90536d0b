"""The entry of the Docker image: python -m vlm_tsc.use.container train | serve | mlflow, by SageMaker's layout.

Below /opt/ml, or $VLM_TSC_ML: input/config/hyperparameters.json, input/data/<channel>/, model/, output/failure.
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.archive.formats import SUFFIXES, read
from vlm_tsc.archive.policies import without_missing
from vlm_tsc.classify.llava_settings import refuse_unused
from vlm_tsc.config import settings_from
from vlm_tsc.errors import InputError, exits_cleanly, nearest
from vlm_tsc.files import write_text
from vlm_tsc.options import model_from_cli
from vlm_tsc.settings import USUAL_BASE
from vlm_tsc.use import mlflow, serve

LAYOUT = "VLM_TSC_ML"
CLASSIFIERS = ("inception-time", "masked-transformer", "llava")
FAILURE_LENGTH = 1024  # characters of output/failure that SageMaker shows
OURS = ("training", "validation", "model_dir", "start_from", "dataset", "test", "vlm_root")  # what the layout says


@exits_cleanly
def main(argv: Sequence[str]) -> int:
    """`argv`: what to do, then options of `serve` or `mlflow`."""
    commands = {"train": _train_or_say_why, "serve": _serve, "mlflow": _mlflow}
    name, words = (argv[0], argv[1:]) if argv else ("nothing", [])
    if name not in commands:
        close = nearest(name, commands, n=1)
        fix = f"did you mean {close[0]}?" if close else None
        raise InputError("this image has no such command", got=name, allowed=commands, fix=fix)
    return commands[name](Path(os.environ.get(LAYOUT, "/opt/ml")), words)


def _train_or_say_why(root: Path, words: Sequence[str]) -> int:
    failure = root / "output" / "failure"
    failure.unlink(missing_ok=True)  # that of an earlier job
    if words:
        raise InputError("train takes no options", got=words, allowed=_hyperparameter_file(root))
    try:
        train(root)
    except Exception as error:  # SageMaker shows this file, and nobody reads the log of a job
        write_text(failure, str(error)[:FAILURE_LENGTH])
        raise
    return 0


def train(root: Path) -> None:
    """Hyperparameters and channels below `root` → `root/model`, which `serve` opens.

    The hyperparameter `classifier` is inception-time (default), masked-transformer or llava; the others are those of
    `eval/baselines.py inception-time train`, those of the masked transformer's training, or a LLaVA's settings.
    Channels: training; for InceptionTime also validation; for both networks also model with an earlier job's model,
    plain or as model.tar.gz, to go on from.

    Raises
    ------
    InputError
        For every way in which hyperparameters or channels can be wrong.
    """
    hyperparameters = read_hyperparameters(_hyperparameter_file(root))
    classifier = hyperparameters.pop("classifier", CLASSIFIERS[0])
    if classifier not in CLASSIFIERS:
        where = "hyperparameter classifier"
        raise InputError("there is no such classifier", where=where, got=classifier, allowed=CLASSIFIERS)
    training, validation = (table_of(root, channel) for channel in ("training", "validation"))
    if training is None:
        raise InputError("there is no training table", where=_channel(root, "training"), allowed=", ".join(SUFFIXES))
    if classifier == "llava":
        refuse_unused(hyperparameters, _hyperparameter_file(root))
        _train_llava(root, hyperparameters, training)
        return
    if classifier == "masked-transformer":
        _refuse_channels(root, ["validation"], "masked transformer")
        with _earlier_model(_channel(root, "model")) as start:
            _train_masked_transformer(root / "model", hyperparameters, training, start)
        return
    files = {"training": training, "validation": validation, "model_dir": root / "model"}
    with _earlier_model(_channel(root, "model")) as start:
        _train_inception_time(hyperparameters, {**files, "start_from": start})


def read_hyperparameters(path: Path) -> dict[str, str]:
    """Name → text, words of a name joined by `_`; what SageMaker's own tools add is left out. {} without the file.

    Raises
    ------
    InputError
        When the file is no JSON object, or holds what the layout decides.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError("the hyperparameters are no JSON", where=path, got=error) from error
    if not isinstance(content, dict):
        raise InputError("the hyperparameters are no JSON object", where=path, got=type(content).__name__)
    named = {name.replace("-", "_"): str(value).strip('"') for name, value in content.items()}
    found = {name: value for name, value in named.items() if not name.startswith(("sagemaker_", "_"))}
    taken = [name for name in found if name in OURS]
    if taken:
        raise InputError("the folders decide this", where=path, got=taken, fix="remove it")
    return found


def table_of(root: Path, channel: str) -> Path | None:
    """The one table of a channel; None without the channel.

    Raises
    ------
    InputError
        When there are several.
    """
    folder = _channel(root, channel)
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name.lower().endswith(SUFFIXES)]
    if len(found) > 1:
        got = [str(path.relative_to(folder)) for path in found]
        raise InputError("a channel must hold one table", where=folder, got=got)
    return found[0] if found else None


def _hyperparameter_file(root: Path) -> Path:
    return root / "input" / "config" / "hyperparameters.json"


def _channel(root: Path, name: str) -> Path:
    return root / "input" / "data" / name


@contextmanager
def _earlier_model(channel: Path) -> Iterator[Path | None]:
    archive = channel / "model.tar.gz"
    if not archive.is_file():
        yield channel if channel.is_dir() else None
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with tarfile.open(archive) as file:
                _unpack(file, Path(folder))
        except (tarfile.TarError, EOFError, OSError) as error:
            raise InputError("the earlier model cannot be unpacked", where=archive, got=error) from error
        yield Path(folder)


def _unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """The plain files of an archive, none outside the folder; tarfile's own filter came with Python 3.11.4 only."""
    for member in archive:
        path = (folder / member.name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise tarfile.TarError(f"{member.name} would lie outside")
        content = archive.extractfile(member) if member.isfile() else None
        if content is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())


def _train_inception_time(hyperparameters: Mapping[str, str], files: Mapping[str, Path | None]) -> None:
    from vlm_tsc.classify.epochs import LOG_FILE
    from vlm_tsc.classify.inception_time import command
    from vlm_tsc.evaluate.search_table import choose_on_table

    given = {**hyperparameters, **{name: path for name, path in files.items() if path is not None}}
    command.train([f"--{name}={value}" for name, value in given.items()], choose_on_table)
    assert files["model_dir"] is not None
    _print_log(files["model_dir"] / LOG_FILE)


def _print_log(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():  # SageMaker reads metrics off what is printed
        print("; ".join(f"{name}={value:g}" for name, value in json.loads(line).items()))


def _train_masked_transformer(folder: Path, given: Mapping[str, str], table: Path, start: Path | None) -> None:
    from vlm_tsc.classify.masked_transformer.options import TrainOptions

    words = [f"--{name}={value}" for name, value in given.items()]
    options = model_from_cli(words, TrainOptions, prog="train", description=train.__doc__ or "")
    if options.search and start is not None:
        what, fix = "a search begins anew", "leave one of them out"
        raise InputError(what, where="hyperparameter search, channel model", fix=fix)
    part = read(table)
    X = without_missing(part, "error")
    from vlm_tsc.classify.epochs import LOG_FILE
    from vlm_tsc.classify.masked_transformer.classifier import MaskedTransformerClassifier

    hyperparameters = options.hyperparameters()
    if options.search:
        from vlm_tsc.evaluate.search_table import choose_masked_on_table

        hyperparameters = choose_masked_on_table(options, folder, part)
    how = {"random_state": options.seed, "model_dir": str(folder), "start_from": start and str(start)}
    classifier = MaskedTransformerClassifier(encoder=options.encoder, **hyperparameters.model_dump(), **how)
    classifier.fit(X, np.array(part.labels))
    _print_log(folder / LOG_FILE)


def _refuse_channels(root: Path, names: Sequence[str], title: str) -> None:
    extra = [name for name in names if _channel(root, name).exists()]
    if extra:
        fix = f"leave it out: a {title} holds a fifth of the training cases out itself, where there are enough"
        raise InputError(f"a {title} takes no such channel", where=_channel(root, ""), got=extra, fix=fix)


def _train_llava(root: Path, hyperparameters: Mapping[str, str], table: Path) -> None:
    _refuse_channels(root, ["validation", "model"], "LLaVA")
    settings: dict[str, Any] = dict(hyperparameters)
    seed = settings_from(settings).seed  # which also chooses the cases that are held out
    part = read(table)
    X = without_missing(part, "error")
    from vlm_tsc.answer.model import be_quiet

    be_quiet()
    from vlm_tsc.classify.llava import LlavaClassifier

    base = settings.pop("base", USUAL_BASE)
    classifier = LlavaClassifier(base, random_state=seed, settings=settings)
    classifier.fit(X, np.array(part.labels))
    classifier.save(root / "model" / "adapter")  # not model/ itself: a mount point cannot be replaced by a rename


def _serve(root: Path, words: Sequence[str]) -> int:
    port = os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")
    return serve.main([str(root / "model"), "--host", "0.0.0.0", "--port", port, *words])


def _mlflow(root: Path, words: Sequence[str]) -> int:
    return mlflow.main([str(root / "output" / "runs"), "--host", "0.0.0.0", *words])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
