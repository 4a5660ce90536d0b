"""metrics.json: how good the answers are. Everything scikit-learn has is computed by scikit-learn."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.predictions import Prediction

UNPARSED = -1  # index of a generated answer that names no class: always wrong
REQUIRED = ("accuracy", "dataset", "split", "seed", "base", "classifier", "n_cases", "n_train", "commit", "class_names")
LEAD = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "auroc", "ece", "unparsed_rate", "generated_accuracy")
ONE_ANSWER = 0.95  # a share of one answer from which a person should look at the model


def metrics(predictions: Sequence[Prediction], class_names: Sequence[str], answers: str = "score") -> dict[str, Any]:
    """Everything that is said about one set of answers, ready for JSON.

    Parameters
    ----------
    predictions : sequence of Prediction
    class_names : sequence of str
        Every class of the dataset, in its order.
    answers : {"score", "generate"}
        The default answer mode: whose labels `accuracy`, `balanced_accuracy`, `macro_f1`, `confusion_matrix`,
        `prediction_histogram` and `warnings` describe. An unparsed text is wrong and belongs to no class.

    Returns
    -------
    dict
        `log_loss` (natural logarithm, probabilities clipped by scikit-learn), `auroc` (one against the rest, mean over
        the classes that the cases contain) and `ece` (15 bins) describe the probabilities, whatever `answers` is.
        `unparsed_rate`, `generated_accuracy` and `agreement` (of generated and scored) are None when nothing was
        generated. A figure that cannot be computed is None, with its reason in `undefined`.
        `confusion_matrix[i][j]`: cases of class i answered j.

    Raises
    ------
    InputError
        No predictions, a label that is no class, or `answers="generate"` without a generated answer for every case.
    """
    _check(predictions, class_names, answers)
    index = {name: i for i, name in enumerate(class_names)}
    true = np.array([index[row.true] for row in predictions])
    scored = np.array([index[row.predicted] for row in predictions])
    parsed = np.array([UNPARSED if row.parsed is None else index[row.parsed] for row in predictions])
    probabilities = np.array([[row.probabilities[name] for name in class_names] for row in predictions])
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)  # exact again after rounding in the file
    figures = _label_figures(true, scored if answers == "score" else parsed, class_names)
    figures |= _probability_figures(true, scored, probabilities)
    figures |= {"scored_accuracy": float(np.mean(scored == true))}
    figures |= _generated_figures(true, scored, parsed, all(row.generated is not None for row in predictions))
    return figures | {"n_cases": len(predictions)}


def _check(predictions: Sequence[Prediction], class_names: Sequence[str], answers: str) -> None:
    if answers not in ("score", "generate"):
        raise InputError("Unknown answer mode.", got=answers, allowed=("score", "generate"))
    if not predictions:
        raise InputError("There are no predictions to measure.")
    for row in predictions:
        named = {row.true, row.predicted, *row.probabilities} | ({row.parsed} - {None})
        if not named <= set(class_names) or len(row.probabilities) != len(class_names):
            raise InputError("The classes are not the dataset's.", where=row.id, got=named, allowed=class_names)
        if answers == "generate" and row.generated is None:
            raise InputError("Nothing was generated for this case.", where=row.id, fix="--answers generate")


def _label_figures(true: np.ndarray, answered: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """What depends on the answered labels alone. Both arrays (n_cases,) int; UNPARSED may occur in `answered`."""
    from sklearn.metrics import confusion_matrix, f1_score, recall_score

    present = np.unique(true)
    named = np.union1d(present, answered[answered != UNPARSED])
    histogram = {name: int(np.sum(answered == i)) for i, name in enumerate(class_names)}
    return {
        "accuracy": float(np.mean(answered == true)),
        # balanced accuracy is the mean recall over the classes there are; scikit-learn's own function of that name
        # warns about every answered class that the cases lack
        "balanced_accuracy": float(recall_score(true, answered, labels=present, average="macro")),
        "macro_f1": float(f1_score(true, answered, labels=named, average="macro")),
        "confusion_matrix": confusion_matrix(true, answered, labels=range(len(class_names))).tolist(),
        "class_names": list(class_names),
        "prediction_histogram": histogram,
        "warnings": _one_answer(histogram, Counter(true.tolist()).most_common(1)[0][1], len(true)),
    }


def _one_answer(histogram: dict[str, int], majority: int, n_cases: int) -> list[str]:
    """A warning when nearly every case gets the same answer, more often than the commonest class occurs."""
    answer, count = max(histogram.items(), key=lambda item: item[1])
    if count < ONE_ANSWER * n_cases or count <= majority:
        return []
    share, most = 100 * count / n_cases, 100 * majority / n_cases
    return [f"{share:.1f} % of the answers are {answer!r}; the commonest class has {most:.1f} % of the cases"]


def _probability_figures(true: np.ndarray, scored: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """log_loss, auroc and ece; `probabilities` (n_cases, n_classes)."""
    from sklearn.metrics import log_loss, roc_auc_score

    labels = np.arange(probabilities.shape[1])
    present = np.unique(true)
    undefined = {}
    if len(present) > 1:  # a class is ranked against the rest, so both must occur
        auroc = float(np.mean([float(roc_auc_score(true == i, probabilities[:, i])) for i in present]))
    else:
        auroc = None
        undefined["auroc"] = "all cases are of one class"
    return {
        "log_loss": float(log_loss(true, probabilities, labels=labels)),
        "auroc": auroc,
        "ece": expected_calibration_error(probabilities.max(axis=1), scored == true),
        "undefined": undefined,
    }


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, n_bins: int = 15) -> float:
    """Mean distance of confidence and accuracy over bins of confidence, weighted by their cases.

    Parameters
    ----------
    confidence : ndarray (n_cases,) float in [0, 1]
        Probability of the answered class.
    correct : ndarray (n_cases,) bool
    n_bins : int
        Equal-width bins ((m - 1) / n_bins, m / n_bins].

    References
    ----------
    Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks, ICML 2017, equation 3.
    """
    n, mean_confidence, accuracy = calibration_bins(confidence, correct, n_bins)
    return float(np.sum(n * np.abs(accuracy - mean_confidence)) / len(confidence))


def calibration_bins(
    confidence: np.ndarray, correct: np.ndarray, n_bins: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cases, mean confidence and accuracy of each bin of `expected_calibration_error`, all (n_bins,); 0 where empty."""
    bins = np.digitize(confidence, np.linspace(0, 1, n_bins + 1)[1:-1], right=True)
    n = np.bincount(bins, minlength=n_bins)
    mean_confidence, accuracy = (
        np.bincount(bins, weights=np.asarray(values, dtype=float), minlength=n_bins) / np.maximum(n, 1)
        for values in (confidence, correct)
    )
    return n, mean_confidence, accuracy


def _generated_figures(true: np.ndarray, scored: np.ndarray, parsed: np.ndarray, generated: bool) -> dict[str, Any]:
    """How often the generated texts name a class, the right class, and the scored class."""
    if not generated:
        return {"unparsed_rate": None, "generated_accuracy": None, "agreement": None}
    return {
        "unparsed_rate": float(np.mean(parsed == UNPARSED)),
        "generated_accuracy": float(np.mean(parsed == true)),
        "agreement": float(np.mean(parsed == scored)),
    }


def metrics_document(
    predictions: Sequence[Prediction],
    class_names: Sequence[str],
    *,
    classifier: str,
    dataset: str,
    split: str,
    seed: int,
    commit: str | None,
    n_train: int,
    n_validation: int = 0,
    base: str | None = None,
    data_repr: str | None = None,
    answers: str = "score",
    views: int | None = None,
    ensemble: int | None = None,
    blank: Sequence[Prediction] | None = None,
    train_seconds: float | None = None,
    predict_seconds: float | None = None,
    peak_memory_mb: float | None = None,
    peak_gpu_memory_mb: float | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """The content of metrics.json: what was run, and every figure of `metrics`.

    Parameters
    ----------
    predictions, class_names, answers
        As `metrics` takes them.
    classifier : str
        "llava", or the name of a baseline, e.g. "1nn-dtw".
    dataset, split, seed, commit
        Without which no accuracy may be reported.
    n_train, n_validation : int
        Cases that were trained on, and cases that were held out of training to choose a checkpoint.
    base, data_repr, views, ensemble : optional
        Of a vision-language model only.
    blank : sequence of Prediction, optional
        The answers to the same cases with every picture blanked, for `accuracy_blank_image`; the scored answers count
        where nothing was generated for them.
    train_seconds, predict_seconds, peak_memory_mb, peak_gpu_memory_mb : float, optional
        Wall time of training and of answering; largest resident memory of the process, and what it held of a GPU, in MB
        of 10^6 bytes.
    device : str, optional
        What the model ran on.
    """
    figures = metrics(predictions, class_names, answers)
    document = {key: figures.pop(key) for key in LEAD}
    document["accuracy_blank_image"] = None if blank is None else _accuracy_blank(blank, class_names, answers)
    document |= {"n_cases": figures.pop("n_cases"), "dataset": dataset, "split": split, "seed": seed, "base": base}
    document |= {"classifier": classifier, "train_seconds": train_seconds, "peak_memory_mb": peak_memory_mb}
    document |= {"commit": commit, "data_repr": data_repr, "answers": answers, "views": views}
    document |= {"ensemble": ensemble, "device": device, "peak_gpu_memory_mb": peak_gpu_memory_mb}
    document |= {"predict_seconds": predict_seconds, "n_train": n_train, "n_validation": n_validation}
    return document | figures


def _accuracy_blank(blank: Sequence[Prediction], class_names: Sequence[str], answers: str) -> float:
    generated = all(row.generated is not None for row in blank)
    return metrics(blank, class_names, answers if generated else "score")["accuracy"]


def read_metrics(path: Path | str) -> dict[str, Any]:
    """The content of a metrics.json.

    Raises
    ------
    InputError
        When it is not there, is no JSON (with the line), or lacks what an accuracy may not be shown without.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        fix = "python eval/score.py RUN writes it"
        raise InputError("There is no such metrics.json.", where=path, fix=fix) from None
    except json.JSONDecodeError as error:
        raise InputError("This metrics.json is no JSON.", where=f"{path}, line {error.lineno}", got=error.msg) from None
    lacking = [key for key in REQUIRED if not isinstance(document, dict) or key not in document]
    if lacking:
        raise InputError("This metrics.json is incomplete.", where=path, got=f"no {', '.join(lacking)}")
    return document
