"""Where the speed of scoring comes from: every way on or off alone, with the answers that stay the same beside it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import ways
from benchmarks.score import cases_of
from benchmarks.timing import Result, in_turn, own_clock, table

_HOW = (
    "The log-likelihoods of all answers to {cases} test cases of {dataset} and, in the last two rows, {n_uneven} of "
    "{uneven} with values in the text; base {base} without an adapter, {precision} on {device}, {threads} threads, "
    "batches of {batch}. Each row changes one thing; × is its speed against the row without a change above it. `same` "
    "is the share of the cases whose most likely answer stays what it is there, `Δp` the largest change of a "
    "probability. Fewer image tokens were never trained here: what they cost in accuracy stands in `finetune`. Medians "
    "of {rounds} rounds, each of which takes its share of the cases."
)
_PLAIN, _UNEVEN = "as it is", "unequal, as it is"


@dataclass(frozen=True)
class Way:
    """One change: of the loaded model, or of how it is asked."""

    score: str = "in_batches"
    change: Callable[[Any, Any], None] | None = None
    uneven: bool = False


WAYS: Mapping[str, Way] = {
    _PLAIN: Way(),
    "a pass for every class": Way("by_class"),
    "logits of every token": Way(change=ways.every_logit),
    "image tokens merged, 4 to 1": Way(change=ways.merged_tokens),
    "image tokens dropped, 3 of 4": Way(change=ways.dropped_tokens),
    "compiled": Way(change=ways.compiled),
    _UNEVEN: Way(uneven=True),
    "unequal, not grouped": Way("ungrouped", uneven=True),
}


@dataclass(frozen=True)
class Figures:
    """Of one way in one round: seconds a case, and probabilities `(n_cases, n_classes)`."""

    seconds: float
    probabilities: np.ndarray


def run(quick: bool = False) -> Result:
    """Measure on sets that aeon carries."""
    import torch

    from vlm_tsc.answer.model import be_quiet, choose_precision, device, load_model, use_all_cores
    from vlm_tsc.bases import load_base
    from vlm_tsc.conversation.processor import checkpoint_folder

    be_quiet()
    use_all_cores()
    base, precision, rounds = load_base(ways.BASE), choose_precision("auto"), 1 if quick else 3
    batch = 8 if quick else int(base.defaults["eval_batch_size"])
    folder = checkpoint_folder(base)
    _, processor = load_model(folder, precision)
    n_cases = 16 if quick else None
    sets = {
        False: cases_of({"dataset": "ItalyPowerDemand"}, base, processor, n_cases),
        True: cases_of(ways.UNEVEN, base, processor, n_cases),
    }

    def side(way: Way) -> Callable[[], Any]:
        model, own_processor = load_model(folder, precision)
        if way.change is not None:
            way.change(model, own_processor)
        model = model.to(device())
        cases, answers = sets[way.uneven]
        parts = iter([cases[i::rounds] for i in range(rounds)])
        score = _Scorer(model, own_processor, answers, batch, precision)
        ask: Callable[[list[Any]], np.ndarray] = getattr(score, way.score)

        def measure() -> Any:
            part = next(parts)
            # first calls choose kernels; a compiled model compiles for every shape of a batch, the last one's too
            ask(part if way.change is ways.compiled else part[:batch])
            clock = own_clock()
            start = clock()
            p = ask(part)
            return Figures((clock() - start) / len(part), p)

        if way.change is ways.compiled:
            return lambda: ways.why_not_compiled() or ways.attempted(measure)
        return measure

    found = in_turn({name: side(way) for name, way in WAYS.items()}, rounds)
    how = _HOW.format(
        cases=f"{len(sets[False][0]):,}",
        dataset="ItalyPowerDemand",
        n_uneven=len(sets[True][0]),
        uneven=ways.UNEVEN["dataset"],
        base=ways.BASE,
        precision=str(precision).removeprefix("torch."),
        device="GPU" if torch.cuda.is_available() else "CPU",
        threads=torch.get_num_threads(),
        batch=batch,
        rounds=rounds,
    )
    rows = tuple((name, one) for name, of_way in found.items() for one in of_way if isinstance(one, Figures))
    return Result("where the speed of scoring comes from", how, rows, shown(found))


class _Scorer:
    """Ways to ask a model for the probabilities of all classes; each takes shown cases."""

    def __init__(self, model: Any, processor: Any, answers: Sequence[str], batch: int, precision: Any):
        self.model, self.processor, self.answers = model, processor, answers
        self.batch, self.precision = batch, precision

    def in_batches(self, cases: list[Any]) -> np.ndarray:
        """As the product does."""
        from vlm_tsc.answer.ask import ask

        options = {"batch_size": self.batch, "precision": self.precision}
        return ask(self.model, self.processor, cases, self.answers, **options).probabilities

    def ungrouped(self, cases: list[Any]) -> np.ndarray:
        """The cases in their order."""
        from unittest.mock import patch

        with patch("vlm_tsc.answer.ask.by_length", lambda lengths: list(range(len(lengths)))):
            return self.in_batches(cases)

    def by_class(self, cases: list[Any]) -> np.ndarray:
        """Picture and prompt encoded anew for every class."""
        import torch

        from vlm_tsc.answer.batch import IGNORED, answer_trie, encode_examples, on_device

        found = []
        tokens = answer_trie(self.processor, cases[0].question, self.answers).answers
        narrow = self.precision == torch.bfloat16
        self.model.eval()
        with torch.no_grad(), torch.autocast(self.model.device.type, torch.bfloat16, enabled=narrow):
            for start in range(0, len(cases), self.batch):
                part, columns = cases[start : start + self.batch], []
                for ids in tokens:
                    inputs = on_device(self.model.device, encode_examples(self.processor, part, [ids] * len(part)))
                    labels = inputs.pop("labels")
                    logits = self.model(**inputs, logits_to_keep=labels.shape[1] + 1, use_cache=False).logits[:, :-1]
                    wanted = labels.masked_fill(labels == IGNORED, 0)
                    of_token = logits.float().log_softmax(-1).gather(2, wanted[..., None])[..., 0]
                    columns.append((of_token * (labels != IGNORED)).sum(1))
                found.append(torch.stack(columns, 1).softmax(1).double().cpu())
        return torch.cat(found).numpy()


def shown(found: Mapping[str, Sequence[Any]]) -> str:
    """The table; below it, why a way was not measured."""
    rows, missing = [], []
    for name, of_way in found.items():
        if any(isinstance(one, str) for one in of_way):
            missing.append(f"{name}: {of_way[0]}")
            continue
        plain = found[_UNEVEN if WAYS[name].uneven else _PLAIN]
        seconds, its = (statistics.median(one.seconds for one in figures) for figures in (plain, of_way))
        p, q = (np.concatenate([one.probabilities for one in figures]) for figures in (plain, of_way))
        same = (p.argmax(1) == q.argmax(1)).mean()
        rows.append((name, f"{1 / its:,.1f}", f"{seconds / its:.2f}x", f"{same:.0%}", f"{abs(p - q).max():.1g}"))
    return "\n".join([table(("scoring", "cases/s", "×", "same", "Δp"), rows), *missing])
