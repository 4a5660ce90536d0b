"""Answers of WITH_RATIONALE: what was measured of the series, then the class in a fixed place.

A whole answer is a lead and the class: "The series: rising by 1.8 std, no period, …\\nAnswer:" + " " + "B". The lead is
computed from the series alone, so it is the same whatever the class: it can give no label away, of whichever split, and
log p(lead) is one constant for all classes of a case. Which class's whole answer is the likeliest, is therefore decided
by log p(class | question, lead).
"""

from __future__ import annotations

import re

from vlm_tsc.conversation.answers import AnswerMap

CLOSING = "Answer:"  # without the space before the class: tokenizers count that to the class
_WHOLE = re.compile(rf"(.*\S\s*\n{CLOSING}) ([^\n]*)", re.DOTALL)


def lead_of(rationale: str) -> str:
    """How a whole answer begins: rationale, and the words before the class."""
    return f"{rationale}\n{CLOSING}"


def with_lead(lead: str, answer: str) -> str:
    """The whole answer; `answer` itself where there is no lead."""
    return f"{lead} {answer}" if lead else answer


def split_answer(text: str) -> tuple[str, str]:
    """Lead and class of a whole answer; no lead and all of the text where it does not have the format."""
    match = _WHOLE.fullmatch(text.strip())
    return (match[1], match[2]) if match else ("", text)


def named_label(answer_map: AnswerMap, text: str, explained: bool) -> str | None:
    """The class that a written answer names.

    Parameters
    ----------
    explained : bool
        Whether a rationale is part of the answer: then there must be one, and behind it "Answer:" and exactly one of
        the answers on the last line. Otherwise the text must be one of the answers and nothing else.
    """
    lead, answer = split_answer(text) if explained else ("", text)
    return answer_map.label_of(answer) if bool(lead) == explained else None
