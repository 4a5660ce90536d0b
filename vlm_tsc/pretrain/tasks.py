"""Captions and questions about synthetic series, with true answers computed from the series.

Questions come from the very PromptBuilder that fine-tuning uses, so the decoder learns to answer in that format before
it sees a first real dataset: read the list of classes, look at the plot, write one letter and the end token.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.cards import GENERIC_TASK, DatasetCard, card_names, load_card
from vlm_tsc.conversation.presentation import Presentation, Shown
from vlm_tsc.conversation.prompt import PromptBuilder
from vlm_tsc.pretrain.facts import facts
from vlm_tsc.pretrain.synthetic import episode
from vlm_tsc.pretrain.vision_stage import curve_of
from vlm_tsc.representation.downsampling import downsample
from vlm_tsc.representation.limits import case_limits
from vlm_tsc.representation.styles import Style
from vlm_tsc.representation.values import values_text


@dataclass(frozen=True)
class Example:
    """What is shown first, its answer, and further questions and answers about the same."""

    shown: Shown
    answer: str
    more: tuple[tuple[str, str], ...] = ()


_MODES, _MODE_SHARES = ("BASELINE", "WITH_STATS", "IMAGE_ONLY", "TEXT_ONLY"), (0.5, 0.15, 0.25, 0.1)
_TASKS = (
    GENERIC_TASK,
    "What does the sensor show?",
    "Describe the heart beat.",
    "Judge the shape of the outline.",
    "How does the demand develop over the day?",
    "Recognise the movement.",
)
MOST_VALUES = 32  # of all channels, so that a question stays within the base's context
_CARD_WEIGHT = 200  # a card's words are few beside thousands of questions, but stand in every prompt of its dataset
_THIRDS = ("early", "midway", "late")
_PLACES = "ABCDEFGHIJKLMNOP"  # the sixteenths of the time axis
_PEAKS = ("no peak", "one peak", "two peaks", "three peaks", "more peaks")


def caption_example(seed: int, index: int, image_size: int, style: Style = "line") -> Example:
    """A picture, and a conversation about it: four facts, or the curve read off point by point and two facts.

    Several short answers, because with one description per picture a fresh decoder learns how descriptions read and not
    to look. The curve, because every height sends it to another place: the letter before it says which, so that a
    token's own content is enough to find the patches it is about.
    """
    rng, case = _random_case(seed, index)
    channel = int(rng.integers(len(case)))
    of_channel = f" Channel {channel + 1}." if len(case) > 1 else ""
    fact = facts(case[channel : channel + 1])["channels"][0]
    named = {
        "Which trend?": fact["trend"],
        "How many peaks?": _PEAKS[min(4, fact["n_peaks"])],
        "Highest where?": _place(int(case[channel].argmax()), case.shape[1]),
        "Lowest where?": _place(int(case[channel].argmin()), case.shape[1]),
        "Where does it end?": fact["last_value"],
        "How rough?": fact["roughness"],
        "Which comes first?": _order(case[channel]),
        "How many cycles?": _cycles(fact["n_cycles"]),
    }
    limits = _limits(rng, case)
    asked = [str(question) for question in rng.permutation(list(named))]
    turns = [(question + of_channel, named[question]) for question in asked]
    opening = rng.random()
    if opening < 0.6:
        turns = [("Read the curve." + of_channel, heights(case, limits, channel)), *turns[:2]]
    elif opening < 0.65:
        turns = [("Describe the series.", describe(case))]
    builder = _builder(rng, case, ("x", "y"), "IMAGE_ONLY")
    (question, answer), more = turns[0], turns[1:4]
    return Example(_shown(builder, case, (image_size, style), limits, question), answer, tuple(more))


def heights(case: np.ndarray, limits: np.ndarray, channel: int) -> str:
    """A channel's mean height in the picture over each sixteenth of the time, 0 (bottom) to 9 (top): "A3 B4 …"."""
    curve = curve_of(case, limits)[channel].reshape(len(_PLACES), -1).mean(1)
    return " ".join(f"{place}{min(9, int(10 * height))}" for place, height in zip(_PLACES, curve, strict=True))


def _place(index: int, n_timepoints: int) -> str:
    return _PLACES[len(_PLACES) * index // n_timepoints]


def describe(case: np.ndarray) -> str:
    """One line of facts per channel, channels separated by semicolons."""
    parts = []
    for i, fact in enumerate(facts(case)["channels"]):
        cycles = f", {fact['n_cycles']} cycles" if fact["n_cycles"] else ""
        name = f"channel {i + 1}: " if len(case) > 1 else ""
        parts.append(
            f"{name}{fact['trend']}, {_PEAKS[min(4, fact['n_peaks'])]}{cycles}, highest at {fact['max_tenth']}, "
            f"lowest at {fact['min_tenth']}, end {fact['last_value']}, {fact['roughness']}"
        )
    return "; ".join(parts)


def question_example(seed: int, index: int, image_size: int, style: Style = "line") -> Example:
    """A question about a series: mostly one that a letter answers, sometimes a value to read."""
    rng, case = _random_case(seed, index)
    if rng.random() < 0.15:
        return _value_question(rng, case, (image_size, style))
    fact = facts(case)["channels"][0]
    kinds = {
        "trend": (("rising", "falling", "flat"), fact["trend"]),
        "peaks": (_PEAKS, _PEAKS[min(4, fact["n_peaks"])]),
        "highest": _named("highest", _THIRDS, _THIRDS[fact["max_tenth"] * 3 // 10]),
        "lowest": _named("lowest", _THIRDS, _THIRDS[fact["min_tenth"] * 3 // 10]),
        "end": _named("end", ("lower", "equal", "higher"), fact["last_value"]),
        "surface": (("smooth", "medium", "rough"), fact["roughness"]),
        "order": (("high before low", "low before high"), _order(case[0])),
    }
    kind = rng.choice(list(kinds))
    names, truth = kinds[kind]
    labels = tuple(rng.permutation(names).tolist())  # the letters mean something else in every question
    builder = _builder(rng, case, labels, str(rng.choice(_MODES, p=_MODE_SHARES)))
    return Example(_shown(builder, case, (image_size, style), _limits(rng, case)), builder.answer_map.answer_of(truth))


def _named(subject: str, words: tuple[str, ...], truth: str) -> tuple[tuple[str, ...], str]:
    """Class names that say what is asked, such as "highest early": the question itself does not."""
    return tuple(f"{subject} {word}" for word in words), f"{subject} {truth}"


def _cycles(n_cycles: int | None) -> str:
    return "none" if n_cycles is None else "many" if n_cycles > 9 else str(n_cycles)


def _order(values: np.ndarray) -> str:
    return "high before low" if values.argmax() < values.argmin() else "low before high"


def _value_question(rng: np.random.Generator, case: np.ndarray, view: tuple[int, Style]) -> Example:
    """Which of the values in the text is the first, last, smallest or largest: numbers must mean something."""
    builder = _builder(rng, case[:1], ("x", "y"), "BASELINE")
    values = [float(word) for word in values_text(downsample(case[:1], builder.factor), builder.round_to).split()]
    what, answer = {
        0: ("first", values[0]),
        1: ("last", values[-1]),
        2: ("largest", max(values)),
        3: ("smallest", min(values)),
    }[int(rng.integers(4))]
    text = " ".join(f"{value:.{builder.round_to}f}" for value in values)
    question = f"Values: {text}\nWhich value is {what}?"
    shown = _shown(builder, case[:1], view, _limits(rng, case[:1]), question)
    return Example(shown, f"{answer:.{builder.round_to}f}")


def _random_case(seed: int, index: int) -> tuple[np.random.Generator, np.ndarray]:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index, 1])))
    case = episode(seed, index, n_cases=4).X[0]
    return rng, case


def draw_card(rng: np.random.Generator) -> DatasetCard:
    """A task in one of a few wordings."""
    return DatasetCard(task=str(rng.choice(_TASKS)))


def _builder(rng: np.random.Generator, case: np.ndarray, labels: tuple[str, ...], mode: str) -> PromptBuilder:
    return PromptBuilder(
        answer_map=AnswerMap(labels),
        card=draw_card(rng),
        mode=mode,
        round_to=int(rng.choice([1, 2], p=[0.8, 0.2])),
        factor=-(-case.size // MOST_VALUES),
        method="mean",
    )


def _limits(rng: np.random.Generator, case: np.ndarray) -> np.ndarray:
    """The case's own value range, now and then wider: as under limits shared with other cases."""
    low, high = case_limits(case).T
    spare = rng.uniform(0, 0.5, 2) * (rng.random() < 0.3)
    return np.stack([low - spare[0] * (high - low), high + spare[1] * (high - low)], axis=1)


def _shown(
    builder: PromptBuilder, case: np.ndarray, view: tuple[int, Style], limits: np.ndarray, question: str | None = None
) -> Shown:
    ranges = tuple((low, high) for low, high in limits.tolist())
    image_size, style = view
    shown = Presentation(builder, (image_size, image_size), ranges, (style,)).show(case)
    return shown if question is None else Shown(shown.pictures, "<image>\n" * len(shown.pictures) + question)


def example_texts(seed: int, n: int) -> list[str]:
    """What the tokenizer learns from: questions and answers of `n` captions and `n` questions, words of the cards."""
    made = [make(seed, i, 8) for make in (caption_example, question_example) for i in range(n)]
    cards = [load_card(name) for name in card_names()]
    words = [" ".join([card.task, *(card.class_names or {}).values()]) for card in cards]
    turns = [turn for one in made for turn in ((one.shown.question, one.answer), *one.more)]
    return [f"{question} ASSISTANT: {answer}" for question, answer in turns] + words * _CARD_WEIGHT
