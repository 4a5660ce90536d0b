"""Answers of many classes: one token for each, with rows of its own in the tables."""

from __future__ import annotations

import re

import torch
from torch.nn.functional import normalize
from transformers import AutoModelForImageTextToText

from vlm_tsc.bases import load_base
from vlm_tsc.conversation.processor import checkpoint_folder, load_processor
from vlm_tsc.pretrain.base_model import build_model, train_tokenizer, vision_config
from vlm_tsc.pretrain.letters import N_ANSWERS, answer_words, spread_answers
from vlm_tsc.pretrain.tasks import example_texts


def test_whole_words_are_tokens_and_all_else_is_cut_as_before():
    texts = example_texts(0, 100)
    before, after = train_tokenizer(texts, 400), train_tokenizer(texts, 400, answer_words())
    assert [len(ids) for ids in after(answer_words())["input_ids"]] == [1] * N_ANSWERS
    assert max(after.get_vocab().values()) == len(after) - 1
    words = set(answer_words())
    cut = [text for text in texts if not words & {f" {word}" for word in re.findall("[A-Za-z]+", text)}]
    assert len(cut) > 20 and all(before(text)["input_ids"] == after(text)["input_ids"] for text in cut)
    assert after.decode(after(" Quiet AAA ABAB Q-AB")["input_ids"]) == " Quiet AAA ABAB Q-AB"


def test_rows_of_letters_that_were_never_written_tell_them_apart():
    tokenizer = train_tokenizer(example_texts(0, 100), 400, answer_words())
    model = build_model(tokenizer, vision_config(16, 8, 32, 1), width=64, layers=1, intermediate=64, feature_layer=-1)
    ids = [one for (one,) in tokenizer(answer_words())["input_ids"]]
    others = sorted(set(range(len(tokenizer))) - set(ids[16:]))
    tables = [model.get_input_embeddings().weight, model.get_output_embeddings().weight]
    with torch.no_grad():
        for table in tables:
            table[ids] = 3.0  # pushed alike
            table[ids[:16]] += torch.eye(16, 64)
    kept = [table[others].clone() for table in tables]
    spread_answers(model, tokenizer, 0)
    for table, before in zip(tables, kept, strict=True):
        assert torch.equal(table[others], before)
        rows = table[ids].detach() - table[ids[:16]].detach().mean(0)
        cosines = normalize(rows, dim=1) @ normalize(rows, dim=1).T
        assert cosines.fill_diagonal_(0).abs().max() < 0.6
        torch.testing.assert_close(rows[16:].norm(dim=1), rows[:16].norm(dim=1).mean().expand(84))


def test_the_bundled_bases_answers_are_one_token_each():
    base = load_base("plot-llava-mini", None)
    folder = checkpoint_folder(base, None)
    tokenizer = load_processor(folder).tokenizer
    assert [len(ids) for ids in tokenizer(answer_words(), add_special_tokens=False)["input_ids"]] == [1] * N_ANSWERS
    rows = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).get_output_embeddings().weight
    ids = [one for (one,) in tokenizer(answer_words(), add_special_tokens=False)["input_ids"]]
    rows = normalize(rows[ids].detach(), dim=1)
    cosines = (rows @ rows.T).fill_diagonal_(0)
    assert cosines.max() < 0.9  # pre-training alone left .99
