"""The masked transformer as a run: from a pre-trained encoder or fresh weights, the epoch chosen on validation."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.classify.epochs import LOG_FILE
from vlm_tsc.classify.masked_transformer.encoder_folder import DEFAULT, FRESH, Pretrained, find_encoder, read_encoder
from vlm_tsc.classify.masked_transformer.hyperparameters import Hyperparameters
from vlm_tsc.classify.masked_transformer.model import Model, train_model
from vlm_tsc.classify.masked_transformer.options import RunOptions
from vlm_tsc.classify.trained_network import Labelled
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.baseline import Answered, baseline_folder
from vlm_tsc.evaluate.embedding import draw_embedding
from vlm_tsc.evaluate.search_masked import SEARCHED, search_masked
from vlm_tsc.evaluate.trained import Method, Search, answer, run_name, run_trained, search_of
from vlm_tsc.manifest import data_hash
from vlm_tsc.mlflow_store import Store
from vlm_tsc.run import RunFolder
from vlm_tsc.tracking.picture import write_matrix

if TYPE_CHECKING:
    from vlm_tsc.archive import Splits

NAME = "masked-transformer"
PICTURE = "embedding.png"


def run_masked_transformer(
    splits: Splits,
    runs: Path | str,
    hyperparameters: Hyperparameters,
    *,
    encoder: Pretrained | None = None,
    label: str | None = None,
    seed: int = 0,
    given: Mapping[str, Any] | None = None,
    allow_seen: bool = False,
    tsne: bool = True,
    search: Search | None = None,
) -> dict[str, Any]:
    """Train on the training cases, choose the epoch on the validation cases, answer the test part; see `run_trained`.

    Parameters
    ----------
    encoder : Pretrained, optional
        To begin with; default: fresh weights.
    label : str, optional
        What the run calls it; default its own label.
    allow_seen : bool
        Take an encoder that was pre-trained on this set, or on cases of its test part. metrics.json then says so, and
        so does the table.
    tsne : bool
        Draw the test cases' embeddings into the run's folder.
    search : Search, optional
        Choose some hyperparameters first, on cases held out of train; `search.json` in the run's folder tells of it.

    Raises
    ------
    InputError
        When the encoder has seen the set or cases of its test part, or does not fit the series.
    """
    label = label or (encoder.label if encoder else FRESH)
    facts, said = _seen(splits, encoder, label, allow_seen)
    facts |= {"encoder": label, "encoder_sets": encoder.sets if encoder else [], "linear": hyperparameters.linear}
    facts["encoder_task"] = encoder.facts["task"] if encoder else None
    note = [label, *(["linear"] if hyperparameters.linear else []), *said]
    run = _name(hyperparameters, seed, label, search)
    of_encoder = {"encoder": label, **({} if encoder is None else {"encoder_sha256": encoder.facts["sha256"]})}
    parameters, chosen, asked = {**of_encoder, "tsne": tsne}, hyperparameters, {}
    if search is not None:
        folder = baseline_folder(run, splits, runs).path
        chosen = search_from_encoder(folder, splits, hyperparameters, search, encoder, of_encoder, seed)
        asked = {"parameters": {**hyperparameters.model_dump(), **parameters}}
        asked |= {"search": {"trials": search.n_trials, "names": list(search.names)}}
        asked |= {"options": given["options"]} if given and "options" in given else {}

    def fit_and_answer(folder: RunFolder) -> Answered:
        model = _train(splits, chosen, encoder, seed, folder.path / "model")
        answered = answer(model, splits.test)
        if tsne:
            draw(folder.path / PICTURE, model, splits.test, seed)
        return answered

    method = Method(
        name=NAME,
        run=run,
        parameters={**chosen.model_dump(), **parameters},
        fit_and_answer=fit_and_answer,
        facts={**facts, "note": ", ".join(note)},
        pictures=[PICTURE] if tsne else [],
        validation=splits.validation,
        asked=asked,
    )
    return run_trained(method, splits, splits.train, runs, seed=seed, given=given)


def _seen(splits: Splits, encoder: Pretrained | None, label: str, allow_seen: bool) -> tuple[dict[str, Any], list[str]]:
    """What metrics.json and the table say of an encoder that has seen the set by its name, or cases of its test part.

    By their values too, because sets of different names share recordings; what train and test have in common anyway
    does not count. InputError unless that is allowed.
    """
    by_name = encoder is not None and encoder.has_seen(splits.test.name)
    n_cases = 0 if encoder is None else encoder.n_seen(splits.test.X, besides=splits.train.X)
    shared = f"pre-trained on {n_cases} of the {splits.test.n_cases} test cases"
    said = [*(["pre-trained on this set"] if by_name else []), *([shared] if n_cases else [])]
    if said and not allow_seen:
        what = (
            "this encoder was pre-trained on the set that it would be scored on"
            if by_name
            else f"this encoder was {shared}"
        )
        fix = "another encoder, or --allow-seen: the table then says so"
        raise InputError(what, where=splits.test.name, got=label, fix=fix)
    return {"encoder_saw_this_set": by_name, "encoder_seen_test_cases": n_cases}, said


def search_from_encoder(
    folder: Path,
    splits: Splits,
    hyperparameters: Hyperparameters,
    search: Search,
    encoder: Pretrained | None,
    of_encoder: Mapping[str, Any],
    seed: int,
) -> Hyperparameters:
    """The hyperparameters with the chosen ones in them."""
    return search_masked(
        folder,
        splits,
        hyperparameters,
        search,
        lambda parts, tried, place: _train(parts, tried, encoder, seed, place),
        determines={**hyperparameters.model_dump(), **of_encoder},
        seed=seed,
    )


def _name(hyperparameters: Hyperparameters, seed: int, label: str, search: Search | None) -> str:
    return run_name(hyperparameters, seed, f"{NAME}{'-search' if search else ''}-{label}")


def run_with_options(
    options: RunOptions, splits: Splits, runs: Path, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What `python eval/baselines.py masked-transformer` does once the series are loaded."""
    search = search_of(options.search, SEARCHED, options.model_dump(exclude_none=True))
    encoder, label = chosen_encoder(options, runs)
    given = {**(given or {}), "options": options_text(options)}
    document = run_masked_transformer(
        splits,
        runs,
        options.hyperparameters(),
        encoder=encoder,
        label=label,
        seed=options.seed,
        given=given,
        allow_seen=options.allow_seen,
        tsne=options.tsne,
        search=search,
    )
    if options.report_to == "mlflow":
        name = _name(options.hyperparameters(), options.seed, label, search)
        report(Store(runs), baseline_folder(name, splits, runs), document, options)
    return document


def options_text(options: RunOptions) -> str:
    """The options that were given and change the figures, as they are typed, for the report; without the seed, in which
    runs of one experiment differ."""
    words = []
    for name, field in RunOptions.model_fields.items():
        value = getattr(options, name)
        if name in ("conf_file", "seed", "gpu_id", "report_to") or value == field.default:
            continue
        option = name.replace("_", "-")
        words += (
            [f"--{option}" if value else f"--no-{option}"] if isinstance(value, bool) else [f"--{option}", str(value)]
        )
    return shlex.join(words)


def chosen_encoder(options: RunOptions, runs: Path) -> tuple[Pretrained | None, str]:
    """The encoder that the options name, and what to call it.

    Raises
    ------
    InputError
        When they name two, or one that is not there.
    """
    versions = {options.enc_ver, options.enc_version} - {None}
    if len(versions) > 1:
        raise InputError(
            "two versions of the encoder", where="--enc-ver, --enc-version", got=sorted(map(str, versions))
        )
    if options.enc_name is None:
        if versions:
            raise InputError("a version of which encoder?", where="--enc-ver", got=versions, fix="--enc-name NAME")
        encoder = find_encoder(options.encoder)
        shipped = encoder is not None and options.encoder == DEFAULT
        return encoder, "shipped" if shipped else encoder.label if encoder else FRESH
    if options.encoder != DEFAULT:
        got = [options.encoder, options.enc_name]
        raise InputError("two encoders", where="--encoder, --enc-name", got=got, fix="name one of them")
    folder, version = Store(runs).encoder_folder(options.enc_name, versions.pop() if versions else None)
    return read_encoder(folder), f"{options.enc_name}-v{version}"


def _train(
    splits: Splits, hyperparameters: Hyperparameters, encoder: Pretrained | None, seed: int, folder: Path
) -> Model:
    classes = np.unique(splits.train.y).tolist()
    X, codes = _labelled(splits.train, classes)
    validation = None if splits.validation is None else _labelled(splits.validation, classes)
    return train_model(
        X,
        codes,
        classes,
        hyperparameters,
        random_state=seed,
        encoder=encoder,
        validation=validation if validation and len(validation[1]) else None,
        folder=folder,
    )


def _labelled(part: SeriesSet, classes: list[str]) -> Labelled:
    """Cases and codes; without the cases of a class that training lacks, which no epoch could answer."""
    known = [i for i, label in enumerate(part.y) if label in classes]
    return [np.asarray(part.X[i], dtype=np.float64) for i in known], np.array([classes.index(part.y[i]) for i in known])


def draw(path: Path, model: Model, test: SeriesSet, seed: int) -> None:
    """The picture of the test cases' embeddings."""
    title = f"{test.name}, test cases, encoder {model.origin}"
    draw_embedding(path, model.embed(list(test.X)), test.y, test.class_names, title=title, seed=seed)


def report(store: Store, folder: RunFolder, document: Mapping[str, Any], options: RunOptions) -> str:
    """Log a finished run under MLflow's experiment `finetune`: curves, figures, confusion matrix, pictures; its id.

    One that is logged already is not logged again.
    """
    key = data_hash({"run": folder.path.name, **document})
    if (logged := store.logged("finetune", key)) is not None:
        return logged
    lines = (folder.path / "model" / LOG_FILE).read_text(encoding="utf-8").splitlines()
    figures = {key: value for key, value in document.items() if isinstance(value, float)}
    named = {key: document[key] for key in ("dataset", "split", "encoder", "commit", "encoder_saw_this_set")}
    with tempfile.TemporaryDirectory() as place:
        _, *matrix = write_matrix(Path(place), document)  # as `train.py --report-to mlflow` has it
        return store.log_run(
            "finetune",
            f"{document['dataset']}-{folder.path.name}",
            parameters={**named, **options.model_dump(exclude={"conf_file"}, exclude_none=True, mode="json")},
            curves=map(json.loads, lines),
            metrics=figures,
            files=[folder.metrics, folder.config, folder.path / PICTURE, *matrix],
            key=key,
        )
