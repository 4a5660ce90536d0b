"""Captions and questions about synthetic series, with true answers computed from the series.

Questions come from the very PromptBuilder that fine-tuning uses, so the decoder learns to answer in that format before
it sees a first real dataset: read the list of classes, look at the plot, write one letter and the end token.
"""

from __future__ import annotations

import numpy as np

from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.cards import GENERIC_TASK, DatasetCard, card_names, load_card
from vlm_tsc.conversation.presentation import Presentation, Shown
from vlm_tsc.conversation.prompt import PromptBuilder
from vlm_tsc.pretrain.facts import facts
from vlm_tsc.pretrain.synthetic import episode
from vlm_tsc.representation.downsampling import downsample
from vlm_tsc.representation.limits import case_limits
from vlm_tsc.representation.values import values_text

Example = tuple[Shown, str]

_MODES, _MODE_SHARES = ("BASELINE", "WITH_STATS", "IMAGE_ONLY", "TEXT_ONLY"), (0.5, 0.2, 0.2, 0.1)
_TASKS = (
    GENERIC_TASK,
    "What does the sensor show?",
    "Describe the heart beat.",
    "Judge the shape of the outline.",
    "How does the demand develop over the day?",
    "Recognise the movement.",
)
_MOST_VALUES = 48  # of all channels, so that a question stays within the base's context
_CARD_WEIGHT = 200  # a card's words are few beside thousands of questions, but stand in every prompt of its dataset
_THIRDS = ("early", "midway", "late")
_PEAKS = ("no peak", "one peak", "two peaks", "three peaks", "more peaks")


def caption_example(seed: int, index: int, image_size: int) -> Example:
    """A picture, and either one fact about it or its description in one line.

    Mostly one fact: with whole descriptions alone a fresh decoder learns how descriptions read, and not to look.
    """
    rng, case = _random_case(seed, index)
    question, answer = "Describe the series.", ""
    if rng.random() < 0.9:
        fact = facts(case)["channels"][0]
        named = {
            "Which trend?": fact["trend"],
            "How many peaks?": _PEAKS[min(4, fact["n_peaks"])],
            "Highest where?": str(fact["max_tenth"]),
            "Lowest where?": str(fact["min_tenth"]),
            "Where does it end?": fact["last_value"],
            "How rough?": fact["roughness"],
            "Which comes first?": _order(case[0]),
        }
        question = str(rng.choice(list(named)))
        answer = named[question]
    builder = _builder(rng, case, ("x", "y"), "IMAGE_ONLY")
    return _shown(builder, case, image_size, rng, question), answer or describe(case)


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


def question_example(seed: int, index: int, image_size: int) -> Example:
    """A question about a series: mostly one that a letter answers, sometimes a value to read."""
    rng, case = _random_case(seed, index)
    if rng.random() < 0.15:
        return _value_question(rng, case, image_size)
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
    return _shown(builder, case, image_size, rng), builder.answer_map.answer_of(truth)


def _named(subject: str, words: tuple[str, ...], truth: str) -> tuple[tuple[str, ...], str]:
    """Class names that say what is asked, such as "highest early": the question itself does not."""
    return tuple(f"{subject} {word}" for word in words), f"{subject} {truth}"


def _order(values: np.ndarray) -> str:
    return "high before low" if values.argmax() < values.argmin() else "low before high"


def _value_question(rng: np.random.Generator, case: np.ndarray, image_size: int) -> Example:
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
    return _shown(builder, case[:1], image_size, rng, question), f"{answer:.{builder.round_to}f}"


def _random_case(seed: int, index: int) -> tuple[np.random.Generator, np.ndarray]:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index, 1])))
    case = episode(seed, index, n_cases=4).X[0]
    return rng, case


def _builder(rng: np.random.Generator, case: np.ndarray, labels: tuple[str, ...], mode: str) -> PromptBuilder:
    return PromptBuilder(
        answer_map=AnswerMap(labels),
        card=DatasetCard(task=str(rng.choice(_TASKS))),
        mode=mode,
        round_to=int(rng.choice([1, 2], p=[0.8, 0.2])),
        factor=-(-case.size // _MOST_VALUES),
        method="mean",
    )


def _shown(
    builder: PromptBuilder, case: np.ndarray, image_size: int, rng: np.random.Generator, question: str | None = None
) -> Shown:
    low, high = case_limits(case).T
    spare = rng.uniform(0, 0.5, 2) * (rng.random() < 0.3)  # as under limits shared with other cases
    limits = tuple(
        zip((low - spare[0] * (high - low)).tolist(), (high + spare[1] * (high - low)).tolist(), strict=True)
    )
    shown = Presentation(builder, (image_size, image_size), limits).show(case)
    return shown if question is None else Shown(shown.pictures, "<image>\n" * len(shown.pictures) + question)


def example_texts(seed: int, n: int) -> list[str]:
    """What the tokenizer learns from: questions and answers of `n` captions and `n` questions, words of the cards."""
    made = [make(seed, i, 8) for make in (caption_example, question_example) for i in range(n)]
    cards = [load_card(name) for name in card_names()]
    words = [" ".join([card.task, *(card.class_names or {}).values()]) for card in cards]
    return [f"{shown.question} ASSISTANT: {answer}" for shown, answer in made] + words * _CARD_WEIGHT
