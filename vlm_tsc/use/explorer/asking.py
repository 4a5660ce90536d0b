"""What is done with an open model: a case is asked again or otherwise, cut into tokens; new series are classified."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.classify.saved import find_saved, load_classifier
from vlm_tsc.conversation.presentation import Presentation, Shown
from vlm_tsc.conversation.prompt import IMAGE_MARKER, MODES
from vlm_tsc.conversation.rationale import named_label
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.predictions import Prediction, predictions_of
from vlm_tsc.representation.styles import STYLES
from vlm_tsc.representation.styles import Style as Picture
from vlm_tsc.use.payload import CSV, Expected, read_payload, refuse_unanswered
from vlm_tsc.use.scorer import Scorer
from vlm_tsc.use.trained import trained_on

LIMITS = {"run": "as in the run", "case": "of the case alone", "train": "of the training part"}
CHANNELS = ("auto", "colours", "multiples")
MOST_CASES = 20  # new series classified at once
_LONGEST = 20_000  # characters of a question


@dataclass(frozen=True)
class Model:
    """A classifier, what it takes, and for a vision-language model also the scorer that shares its weights."""

    classifier: Any
    expected: Expected
    scorer: Scorer | None

    def asked(self) -> Scorer:
        """The scorer; InputError where the model reads series and no questions."""
        if self.scorer is None:
            raise InputError("this model reads the series itself: there is no question to ask")
        return self.scorer


def open_model(run: Path, machine: Mapping[str, Any]) -> Model:
    """The model of a run.

    Parameters
    ----------
    machine : mapping
        Settings that win over the run's own: `llava_root`, `precision`, `eval_batch_size`; without those not given.
    """
    from vlm_tsc.answer.model import be_quiet, choose_precision, use_all_cores

    be_quiet()
    use_all_cores()
    saved = find_saved(run)
    expected = Expected.of(trained_on(saved))
    if saved.kind != "llava":
        return Model(load_classifier(run), expected, None)
    classifier = load_classifier(run, machine)
    settings = {**saved.settings, **machine}
    precision = choose_precision(settings.get("precision") or "auto")
    size = settings.get("eval_batch_size") or 8
    opened = (classifier.model_, classifier.processor_, classifier.presentation_)
    return Model(classifier, expected, Scorer(*opened, size, precision))


@dataclass(frozen=True)
class Style:
    """How a case is shown instead.

    Attributes
    ----------
    mode : str
        What a question made anew says, and whether there is a picture: a key of `conversation.prompt.MODES`.
    pictures : tuple of str
        How each picture is drawn, at least one of `representation.styles.STYLES`.
    limits : {"run", "case", "train"}
        Value axis of the picture.
    channels : str
        See `representation.line.draw`.
    factor : int
        Downsampling of the values, and of the picture where `downsampled`.
    """

    mode: str
    pictures: tuple[Picture, ...]
    limits: str
    channels: str
    factor: int
    downsampled: bool

    @classmethod
    def read(cls, given: Mapping[str, Any], own: Presentation) -> Style:
        """From a form; InputError for what it cannot have sent."""
        mode, limits = given.get("mode", own.builder.mode), given.get("limits", "run")
        channels, factor = given.get("channels", own.channels), str(given.get("factor", own.builder.factor))
        for name, value, allowed in (
            ("mode", mode, MODES),
            ("limits", limits, LIMITS),
            ("channels", channels, CHANNELS),
        ):
            if value not in allowed:
                raise InputError(f"there is no such {name}", got=str(value)[:40], allowed=allowed)
        pictures = tuple(given.get("pictures", ",".join(own.styles)).split(","))
        if not set(pictures) <= set(STYLES) or len(set(pictures)) < len(pictures):
            allowed = f"{', '.join(STYLES)}, each once"
            raise InputError("there is no such picture", got=",".join(pictures)[:80], allowed=allowed)
        if not (factor.isascii() and factor.isdigit() and 1 <= int(factor[:9]) <= 100_000):
            raise InputError("Impossible downsampling factor.", got=factor[:40], allowed="1, 2, 3, … 100000")
        return cls(mode, pictures, limits, channels, int(factor), given.get("downsampled") == "on")

    def applied(self, own: Presentation, series: Path) -> Presentation:
        """The run's presentation with this style."""
        builder = replace(own.builder, mode=self.mode, n_pictures=len(self.pictures), factor=self.factor)
        if self.limits == "train":
            from vlm_tsc.archive.store import read_splits
            from vlm_tsc.representation.limits import train_limits

            found = train_limits(list(read_splits(series).train.X))
            limits = tuple((float(low), float(high)) for low, high in found)
        else:
            limits = None if self.limits == "case" else own.limits
        drawn = {"styles": self.pictures, "channels": self.channels, "plot_downsampled": self.downsampled}
        return replace(own, builder=builder, limits=limits, **drawn)


def with_markers(text: str, n_pictures: int) -> str:
    """The human turn of a text that somebody typed: an `<image>` line per picture before it.

    Raises
    ------
    InputError
        When it is empty, too long, or holds a marker itself.
    """
    text = text.replace("\r\n", "\n").strip("\n")
    if IMAGE_MARKER in text:
        raise InputError(f"write the question without {IMAGE_MARKER}: it is put before it", got=IMAGE_MARKER)
    if not text.strip() or len(text) > _LONGEST:
        got = f"{len(text)} characters"
        raise InputError("this is no question", got=got, allowed=f"1 to {_LONGEST:,} characters")
    return f"{IMAGE_MARKER}\n" * n_pictures + text


@dataclass(frozen=True)
class Reply:
    """What a model answered to one question.

    Attributes
    ----------
    prediction : Prediction
        With every class's probability, the text it wrote and the class that names.
    log_likelihoods : dict of str to float
        Of every class's whole answer, in nats.
    n_tokens : int
        Of picture and question.
    """

    prediction: Prediction
    log_likelihoods: dict[str, float]
    n_tokens: int


def ask_once(model: Model, shown: Shown, case_id: str, true: str, context_length: int | None) -> Reply:
    """Score, behind the lead where there is one, and generate for one question, one view.

    Raises
    ------
    InputError
        When picture and question take more tokens than the run's context.
    """
    from vlm_tsc.answer.ask import ask
    from vlm_tsc.answer.batch import encode_prompts

    scorer = model.asked()
    n_tokens = int(encode_prompts(scorer.processor, [shown])["input_ids"].shape[1])
    if context_length and n_tokens > context_length:
        got = f"{n_tokens} tokens, without the answer"
        raise InputError("picture and question do not fit the run's context", got=got, allowed=context_length)
    answer_map = scorer.presentation.builder.answer_map
    options = {"batch_size": 1, "generate": True, "precision": scorer.precision}
    asked = ask(scorer.model, scorer.processor, [shown], answer_map.answers, **options)
    assert asked.generated is not None and asked.log_likelihoods is not None  # as of a single view that generates
    (scored,) = predictions_of([case_id], [true], asked.probabilities, answer_map.class_names)
    text = asked.generated[0]
    found = dict(zip(answer_map.class_names, asked.log_likelihoods[0].tolist(), strict=True))
    parsed = named_label(answer_map, text, explained=bool(shown.lead))
    return Reply(replace(scored, generated=text, parsed=parsed), found, n_tokens)


@dataclass(frozen=True)
class Token:
    """A token of the prompt as text, and how many of it stand in a row."""

    text: str
    n: int
    is_picture: bool


def tokens_of(model: Model, shown: Shown) -> list[Token]:
    """The prompt as the model reads it, template included; tokens of a picture are counted."""
    from vlm_tsc.answer.batch import encode_prompts

    processor = model.asked().processor
    ids = encode_prompts(processor, [shown])["input_ids"][0].tolist()
    picture = getattr(processor, "image_token_id", None)
    found = []
    for id_, group in itertools.groupby(ids):
        n, text = len(list(group)), processor.tokenizer.decode([id_])
        found += [Token(text, n, True)] if id_ == picture else [Token(text, 1, False)] * n
    return found


@dataclass(frozen=True)
class Classified:
    """A new series, its answer, and how the model was shown it; `shown` is None for a model that reads series."""

    case: np.ndarray
    prediction: Prediction
    shown: Shown | None


def classify_table(model: Model, text: str) -> list[Classified]:
    """Classify the rows of a CSV text, as `python -m vlm_tsc.use.predict` would, with the run's views.

    Raises
    ------
    InputError
        When the text cannot be read, or its series are not of the kind that the model takes.
    """
    classifier = model.classifier
    cases = read_payload(text.encode(), CSV, model.expected).cases
    if len(cases) > MOST_CASES:
        fix = "python -m vlm_tsc.use.predict RUN --input FILE takes any number"
        raise InputError("too many cases for a page", got=len(cases), allowed=f"at most {MOST_CASES}", fix=fix)
    equal = len({case.shape for case in cases}) == 1
    probabilities = np.asarray(classifier.predict_proba(np.stack(cases) if equal else cases))
    refuse_unanswered(probabilities)
    names = tuple(str(label) for label in classifier.classes_)
    rows = predictions_of([str(i) for i in range(1, len(cases) + 1)], [""] * len(cases), probabilities, names)
    shows = model.scorer.presentation.show if model.scorer else lambda case: None
    return [Classified(case, row, shows(case)) for case, row in zip(cases, rows, strict=True)]
