"""Pictures and text as LLaVA records within a token budget, and in the formats of other trainers.

AnswerMap, DatasetCard, PromptBuilder   which question a case gets, and which answer a class
split_answer, with_lead                 an answer that explains first
choose_factor, TokenCounter             what fits into the context
record, read_records, write_records     conversations on disk
write_as                                … for other trainers
"""

from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.budget import Budget, TokenCounter, choose_factor
from vlm_tsc.conversation.cards import DatasetCard, load_card
from vlm_tsc.conversation.prompt import MODES, PromptBuilder
from vlm_tsc.conversation.rationale import split_answer, with_lead
from vlm_tsc.conversation.records import messages_of, question_messages, read_records, record, write_records
from vlm_tsc.conversation.writers import WRITERS, write_as

__all__ = [
    "MODES",
    "WRITERS",
    "AnswerMap",
    "Budget",
    "DatasetCard",
    "PromptBuilder",
    "TokenCounter",
    "choose_factor",
    "load_card",
    "messages_of",
    "question_messages",
    "read_records",
    "record",
    "split_answer",
    "with_lead",
    "write_as",
    "write_records",
]
