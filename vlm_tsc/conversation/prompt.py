"""The question about one case: one builder for training, evaluation and serving, so that they cannot differ."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass, field
from typing import Any

import jinja2
import numpy as np

from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.cards import DatasetCard
from vlm_tsc.conversation.rationale import lead_of
from vlm_tsc.errors import InputError, nearest
from vlm_tsc.representation.analysis import analysis_text
from vlm_tsc.representation.downsampling import downsample
from vlm_tsc.representation.statistics import statistics_text
from vlm_tsc.representation.values import values_text
from vlm_tsc.resources import resource_dir

IMAGE_MARKER = "<image>"

# Mode → its template in prompts/.
MODES = {
    "BASELINE": "baseline.j2",
    "WITH_STATS": "with_stats.j2",
    "WITH_SIGNAL_ANALYSIS": "with_signal_analysis.j2",
    "WITH_RATIONALE": "with_rationale.j2",
    "IMAGE_ONLY": "image_only.j2",
    "TEXT_ONLY": "text_only.j2",
}

_RATIONALE = "rationale.j2"  # of the answer, not of the question

# What the prompt says about values of which some were dropped.
_REDUCED = {
    "mean": "means of every {} points",
    "adaptive": "1 of {} points, more where it moves",
    "lttb": "1 of {} points",
}


@dataclass(frozen=True)
class PromptBuilder:
    """Makes the human turn of a case, and what its answer says before the class. It is never given a label.

    Attributes
    ----------
    answer_map : AnswerMap
        Classes and answers.
    card : DatasetCard
        Task, and class names where documented.
    mode : {"BASELINE", "WITH_STATS", "WITH_SIGNAL_ANALYSIS", "WITH_RATIONALE", "IMAGE_ONLY", "TEXT_ONLY"}
        Picture and values; these and statistics; these and a signal analysis; picture and values, and an answer that
        explains before it names the class; picture alone; values alone.
    n_pictures : int
        Pictures per case, at least 1; always 0 in TEXT_ONLY.
    round_to : int
        Decimals of values and statistics, 0 to 10.
    factor, method : int, str
        Downsampling of the values, see `representation.downsample`. Statistics and analysis are of the whole series.
    """

    answer_map: AnswerMap
    card: DatasetCard = field(default_factory=DatasetCard)
    mode: str = "BASELINE"
    n_pictures: int = 1
    round_to: int = 2
    factor: int = 1
    method: str = "mean"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            close = nearest(str(self.mode), MODES, n=1)
            fix = f"did you mean {close[0]}?" if close else None
            raise InputError("Unknown representation.", where="--data-repr", got=self.mode, allowed=MODES, fix=fix)
        if not 0 <= self.round_to <= 10:
            raise InputError("Impossible rounding.", where="--round_to", got=self.round_to, allowed="0 to 10")
        if self.mode == "TEXT_ONLY":
            object.__setattr__(self, "n_pictures", 0)
        elif self.n_pictures < 1:
            raise InputError(f"{self.mode} needs a picture.", where="--pictures", got=self.n_pictures)
        for text in (self.card.task, self.classes):
            if IMAGE_MARKER in text:  # it would be taken for a picture
                raise InputError(f"Task and class names must not contain {IMAGE_MARKER}.", got=text)

    @property
    def has_values(self) -> bool:
        """Whether the question's length depends on the downsampling factor."""
        return self.mode != "IMAGE_ONLY"

    @property
    def is_explained(self) -> bool:
        """Whether answers begin with a rationale."""
        return self.mode == "WITH_RATIONALE"

    @functools.cached_property
    def classes(self) -> str:
        """ "A = walking, B = running" where labels are words or the card names them, else only "A or B" or "A to J"."""
        labels, answers = self.answer_map.class_names, self.answer_map.answers
        names = self.card.class_names or {}
        if not all(label in names for label in labels):
            if all(_is_number(label) for label in labels):
                return f"{answers[0]} {'or' if len(answers) == 2 else 'to'} {answers[-1]}"
            names = {label: " ".join(label.split()) for label in labels}
        return ", ".join(f"{answer} = {names[label]}" for answer, label in zip(answers, labels, strict=True))

    def question(self, case: np.ndarray) -> str:
        """The human turn for a case `(n_channels, n_timepoints)`, beginning with one `<image>` line per picture."""
        words = {
            "n_pictures": self.n_pictures,
            "n_channels": len(case),
            "task": self.card.task,
            "classes": self.classes,
            "n_letters": len(self.answer_map.answers[-1]),
        }
        if self.has_values:
            words["values"] = values_text(downsample(case, self.factor, self.method), self.round_to)
            words["reduced"] = _REDUCED[self.method].format(self.factor) if self.factor > 1 else ""
        if self.mode == "WITH_STATS":
            words["statistics"] = statistics_text(case, self.round_to)
        if self.mode == "WITH_SIGNAL_ANALYSIS":
            words["analysis"] = analysis_text(case)
        return _template(MODES[self.mode]).render(words)

    def lead(self, case: np.ndarray) -> str:
        """What the answer to a case says before the class: measured facts in WITH_RATIONALE, else nothing."""
        if not self.is_explained:
            return ""
        return lead_of(_template(_RATIONALE).render(n_channels=len(case), analysis=analysis_text(case)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` gives an equal builder back."""
        return {**asdict(self), "answer_map": list(self.answer_map.class_names)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PromptBuilder:
        """The builder that `to_dict` described."""
        others = {key: value for key, value in values.items() if key not in ("answer_map", "card")}
        return cls(AnswerMap(values["answer_map"]), DatasetCard(**values["card"]), **others)


@functools.cache
def _template(name: str) -> jinja2.Template:
    # StrictUndefined: a template that asks for what it was not given fails instead of writing nothing
    loader = jinja2.FileSystemLoader(resource_dir("prompts"))
    return jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, auto_reload=False).get_template(name)


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True
