"""Classes and their answers: letter codes, so that every class is one short word that no label can resemble."""

from __future__ import annotations

import functools
import string
from dataclasses import dataclass
from typing import Any

from vlm_tsc.errors import InputError


@dataclass(frozen=True)
class AnswerMap:
    """The bijection between class labels and answers.

    Letters instead of the labels themselves: "0", "-1" and "1.0" are cut into tokens differently by every tokenizer,
    and a model knows "A" to "Z" as names of choices.

    Attributes
    ----------
    class_names : tuple of str
        Labels as written in the source, in the dataset's order; at least two, none twice.
    """

    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))  # a list, when it comes from JSON
        if len(self.class_names) < 2:
            raise InputError("One class is nothing to classify.", got=self.class_names, allowed="two classes or more")
        if len(set(self.class_names)) < len(self.class_names):
            raise InputError("A class is named twice.", got=self.class_names)

    @functools.cached_property
    def answers(self) -> tuple[str, ...]:
        """One per class, in the order of `class_names`; A, B, … Z, AA, AB, …"""
        return tuple(letter_code(i) for i in range(len(self.class_names)))

    def answer_of(self, label: str) -> str:
        """The answer for a class; InputError for an unknown label."""
        if label not in self.class_names:
            raise InputError("Unknown class.", got=label, allowed=self.class_names)
        return letter_code(self.class_names.index(label))

    def label_of(self, text: str) -> str | None:
        """The class that `text` names; None unless it is exactly one answer, white space around it aside."""
        answers = self.answers
        return self.class_names[answers.index(text.strip())] if text.strip() in answers else None

    def check_tokenised(self, tokenizer: Any) -> None:
        """Refuse a tokenizer that gives two answers the same tokens, or an answer its unknown token.

        Raises
        ------
        InputError
            Naming the answers at fault.
        """
        for space in ("", " "):  # templates differ in whether a space stands before the answer
            tokens = tokenizer([space + answer for answer in self.answers], add_special_tokens=False)["input_ids"]
            seen: dict[tuple[int, ...], str] = {}
            for answer, ids in zip(self.answers, map(tuple, tokens), strict=True):
                if not ids or tokenizer.unk_token_id in ids:
                    raise InputError("The tokenizer cannot write an answer.", got=answer, fix="choose another --base")
                if ids in seen:
                    raise InputError("Two answers have the same tokens.", got=f"{seen[ids]} and {answer}: {ids}")
                seen[ids] = answer


def letter_code(index: int) -> str:
    """0 → "A", 25 → "Z", 26 → "AA": counting in letters, as the columns of a spreadsheet."""
    code, index = "", index + 1
    while index:
        index, letter = divmod(index - 1, 26)
        code = string.ascii_uppercase[letter] + code
    return code
