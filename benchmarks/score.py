"""Scoring every class's answer in batches, against one-by-one `model.generate` on the same prompts."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.series import source_of
from benchmarks.timing import Result, Row, in_turn, medians, table, timed

BASE = "plot-llava-mini"
_PEER_CASES = 60
_HOW = (
    "{cases} test cases of {source}, prompts and pictures built before; base {base} in {precision} on {device}, "
    "{threads} threads. Ours: the log-likelihood of all {classes} answers, batches of {batch}. Peer: processor and "
    "model.generate case by case (greedy, at most {tokens} new tokens: an answer and its end), timed on {peer} of the "
    "cases drawn at random. Medians of {rounds} rounds, each of which takes its share of the cases. What limits ours "
    "is one forward pass of the encoded prompts in the same batches."
)


def run(quick: bool = False) -> Result:
    """Measure on the real TwoLeadECG where it is at hand, else on random walks of its shape."""
    import torch

    from vlm_tsc.answer.model import be_quiet, choose_precision, device, load_model, use_all_cores
    from vlm_tsc.bases import load_base
    from vlm_tsc.conversation.processor import checkpoint_folder

    be_quiet()
    use_all_cores()
    base = load_base(BASE)
    precision = choose_precision("auto")
    rounds = 1 if quick else 3
    model, processor = load_model(checkpoint_folder(base), precision)
    shown, answers, source = _cases(base, processor, quick)
    batch = int(base.defaults["eval_batch_size"])
    model = model.to(device())
    row, tokens, n_peer = against_generate(model, processor, shown, answers, batch, precision, rounds, 10.0)
    how = _HOW.format(
        cases=f"{len(shown):,}",
        source=source,
        base=BASE,
        precision=str(precision).removeprefix("torch."),
        device=model.device.type,
        threads=torch.get_num_threads(),
        classes=len(answers),
        batch=batch,
        tokens=tokens,
        peer=n_peer,
        rounds=rounds,
    )
    return Result("score", how, (row,), comparison(row))


def _cases(base: Any, processor: Any, quick: bool) -> tuple[list[Any], tuple[str, ...], str]:
    """Shown test cases, the classes' answers, and the set's description."""
    with tempfile.TemporaryDirectory() as folder:
        source = source_of("TwoLeadECG", Path(folder))
        given = {source.options[0][2:].replace("-", "_"): source.options[1], "dataset": source.dataset}
        cases, answers = cases_of(given, base, processor, 128 if quick else None)
    return cases, answers, source.description


def cases_of(
    given: Mapping[str, Any], base: Any, processor: Any, n_cases: int | None
) -> tuple[list[Any], tuple[str, ...]]:
    """Shown test cases of the set that is `given` in settings, the first `n_cases`, and the classes' answers."""
    from vlm_tsc.config import settings_from
    from vlm_tsc.conversation.cards import load_card
    from vlm_tsc.conversation.prepare import choose_presentation
    from vlm_tsc.job import load_splits
    from vlm_tsc.run import presentation_settings

    settings = settings_from({**given, "base": BASE})
    splits = load_splits(settings, settings.seed)
    presentation = choose_presentation(
        splits, processor, base, load_card(splits.train.name), **presentation_settings(settings)
    ).presentation
    return [presentation.show(case) for case in splits.test.X[:n_cases]], presentation.builder.answer_map.answers


def against_generate(
    model: Any,
    processor: Any,
    shown: list[Any],
    answers: tuple[str, ...],
    batch: int,
    precision: Any,
    rounds: int,
    target: float,
) -> tuple[Row, int, int]:
    """Seconds a case of both sides and of the passes alone; the peer's new tokens; the cases it was timed on."""
    sides, tokens, n_peer = _sides(model, processor, shown, answers, batch, precision, rounds)
    found = medians(in_turn(sides, rounds))
    return Row(f"{len(shown):,} cases", found["ours"], found["peer"], found["limit"], target), tokens, n_peer


def _sides(
    model: Any, processor: Any, shown: list[Any], answers: tuple[str, ...], batch: int, precision: Any, rounds: int
) -> tuple[dict[str, Any], int, int]:
    from contextlib import nullcontext

    import torch

    from vlm_tsc.answer.ask import ask
    from vlm_tsc.answer.batch import answer_trie, encode_prompts
    from vlm_tsc.conversation.encoding import end_token_id

    def on_device(cases: list[Any]) -> dict[str, Any]:
        return {key: value.to(model.device) for key, value in encode_prompts(processor, cases).items()}

    def autocast() -> Any:
        return nullcontext() if precision == torch.float32 else torch.autocast(model.device.type, precision)

    def in_batches(cases: list[Any]) -> None:
        ask(model, processor, cases, answers, batch_size=batch, precision=precision)

    def one_by_one(cases: list[Any]) -> None:
        with torch.no_grad(), autocast():
            for case in cases:
                model.generate(**on_device([case]), **options)

    def prompts_alone(encoded: list[dict[str, Any]]) -> None:
        with torch.no_grad(), autocast():
            for inputs in encoded:
                model(**inputs, use_cache=True, logits_to_keep=1)

    tokens = answer_trie(processor, shown[0].question, answers).longest
    options = {"max_new_tokens": tokens, "do_sample": False, "eos_token_id": end_token_id(processor)}
    options["pad_token_id"] = processor.tokenizer.pad_token_id
    few = [shown[i] for i in np.random.default_rng(0).permutation(len(shown))[:_PEER_CASES]]
    parts = [shown[i::rounds] for i in range(rounds)]
    encoded = [[on_device(part[i : i + batch]) for i in range(0, len(part), batch)] for part in parts]
    in_batches(shown[:batch])  # first calls choose kernels
    one_by_one(few[:1])

    def clock() -> float:
        if model.device.type == "cuda":  # which computes on after a call has returned
            torch.cuda.synchronize()
        return time.perf_counter()

    sides = {
        "ours": timed(in_batches, parts, clock=clock),
        "peer": timed(one_by_one, [few[i::rounds] for i in range(rounds)], clock=clock),
        "limit": timed(prompts_alone, encoded, lambda part: sum(len(inputs["input_ids"]) for inputs in part), clock),
    }
    return sides, tokens, len(few)


def comparison(row: Row) -> str:
    """Cases per second of all sides."""
    headings = ("cases per second", "ours", "one-by-one generate", "ratio", "limit", "of our time")
    rates = [f"{1 / seconds:,.1f}" for seconds in (row.ours, row.peer, row.limit)]
    return table(headings, [(row.what, rates[0], rates[1], row.verdict(), rates[2], f"{row.limit_share:.0%}")])
