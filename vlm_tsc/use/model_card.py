"""The model card of an exported run, from its own files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlm_tsc.bases import BaseConfig
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.rationale import CLOSING

_LICENCES = {"Apache-2.0": "apache-2.0", "Llama 2 Community License": "llama2"}  # as the hub writes them
_RATIONALE = 256  # tokens to leave for an answer that explains
_FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log-loss",
    "auroc": "AUROC",
    "ece": "expected calibration error",
    "generated_accuracy": "accuracy of free generation",
    "unparsed_rate": "share of generated answers that name no class",
    "accuracy_blank_image": "accuracy with the picture blanked",
}
_LOADING = {
    True: """from transformers import AutoModelForImageTextToText, AutoProcessor

processor = AutoProcessor.from_pretrained(FOLDER)
model = AutoModelForImageTextToText.from_pretrained(FOLDER)
""",
    False: """from peft import PeftModel
from transformers import AutoModelForImageTextToText, AutoProcessor

processor = AutoProcessor.from_pretrained(BASE)
model = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(BASE), FOLDER)
""",
}
_MEMBER = {
    True: 'other_{k} = AutoModelForImageTextToText.from_pretrained(FOLDER, subfolder="member-{k}")\n',
    False: 'model.load_adapter(FOLDER, "member-{k}", subfolder="member-{k}")  # set_adapter chooses one\n',
}
_ASKING = """messages = [{{"role": "user", "content": [{images}{{"type": "text", "text": QUESTION}}]}}]
prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
inputs = processor(text=prompt, images=PICTURES, return_tensors="pt")
answer = model.generate(**inputs, max_new_tokens={tokens})
"""


def model_card(
    base: BaseConfig,
    facts: dict[str, Any],
    metrics: dict[str, Any],
    presentation: Presentation,
    question: str,
    *,
    merged: str | None,
) -> str:
    """Markdown with the hub's YAML heading.

    Parameters
    ----------
    facts, metrics : dict
        The adapter's `base.json`, and the run's `metrics.json`.
    question : str
        The question of a test case, markers of pictures included.
    merged : str or None
        What the comparison after merging found; None for an adapter that was not merged.
    """
    name = f"{metrics['dataset']}, classified by {base.name}"
    parts = [_heading(base, metrics), f"# {name}", _training(base, facts, metrics, merged), _figures(metrics)]
    whole = merged is not None or facts["method"] == "full"
    parts += [_prompting(base, presentation, question, whole, _members(metrics))]
    return "\n\n".join(parts) + "\n"


def _heading(base: BaseConfig, metrics: dict[str, Any]) -> str:
    licence = _LICENCES.get(base.licence or "", "other")
    lines = [f"license: {licence}"] + ([f"license_name: {base.licence or 'unknown'}"] if licence == "other" else [])
    lines += [f"base_model: {base.repository}"] if _source(base) == base.repository else []
    lines += ["library_name: transformers", "pipeline_tag: image-text-to-text", "tags:"]
    return "\n".join(["---", *lines, "- time-series-classification", "- vlm-tsc", "---"])


def _training(base: BaseConfig, facts: dict[str, Any], metrics: dict[str, Any], merged: str | None) -> str:
    kind = "whole model" if facts["method"] == "full" else "adapter, without its base"
    weights = "The adapter is merged into the base" if merged else f"One {kind}"
    if n := _members(metrics):
        weights = f"An ensemble: {kind}, in this folder and in {_folders(n)}"
    rows = {
        "base": f"{base.name} ({base.licence or 'licence unknown'})",
        "method": _method(facts, metrics),
        "weights": f"{weights}: {merged}" if merged else weights,
        "data": f"{metrics['dataset']}, {metrics['n_train']} training cases",
        "split": metrics["split"],
        "seed": metrics["seed"],
        "commit of VLM-TSC": metrics["commit"],
    }
    return _table(("what", "value"), rows)


def _figures(metrics: dict[str, Any]) -> str:
    rows = {label: f"{metrics[key]:.4f}" for key, label in _FIGURES.items() if metrics.get(key) is not None}
    about = f"On the {metrics['n_cases']} test cases of the {metrics['split']} split, seed {metrics['seed']}:"
    text = f"{about}\n\n{_table(('figure', 'value'), rows)}"
    return f"{text}\n\n{_asked(metrics)}" if _members(metrics) or metrics.get("views", 1) > 1 else text


def _members(metrics: dict[str, Any]) -> int:
    """Adapters beyond the first."""
    return (metrics.get("ensemble") or 1) - 1


def _folders(n: int) -> str:
    return ", ".join(f"`member-{k}`" for k in range(1, n + 1))


def _method(facts: dict[str, Any], metrics: dict[str, Any]) -> str:
    """How it was trained; of an ensemble the seconds are those of all its trainings."""
    each = " for each adapter" if _members(metrics) else ""
    seconds = metrics["train_seconds"] if each else facts["seconds"]
    return f"{facts['method']}, {facts['steps']} steps{each}, {seconds:.0f} s"


def _asked(metrics: dict[str, Any]) -> str:
    """What the figures are of, where that is more than one model asked once."""
    views, n = metrics.get("views") or 1, _members(metrics) + 1
    means = [f"{n} models"] * (n > 1) + [f"{views} views of a case, as recorded and slightly changed"] * (views > 1)
    said = " and ".join(means)
    return f"These are of the mean probabilities of {said}. One model asked once, as below, answers otherwise."


def _prompting(base: BaseConfig, presentation: Presentation, question: str, whole: bool, members: int) -> str:
    answers = presentation.builder.answer_map
    meaning = _table(("answer", "class"), dict(zip(answers.answers, answers.class_names, strict=True)))
    n, explained = presentation.builder.n_pictures, presentation.builder.is_explained
    width, height = presentation.size
    text = question.replace("<image>\n", "")
    pictures = f"{n} picture{'s' * (n > 1)} of {width} × {height} pixels"
    shown = f"each case as {pictures} and a question" if n else "a question"
    asking = _ASKING.format(images='{"type": "image"}, ' * n, tokens=_RATIONALE if explained else 4)
    others = "".join(_MEMBER[whole].format(k=k) for k in range(1, members + 1))
    code = _LOADING[whole].replace("BASE", repr(_source(base))) + others + asking
    answer = f"what it sees in the series, then on a line of its own `{CLOSING}` and " if explained else ""
    how = "pictures and question as `vlm_tsc.conversation.presentation` makes them (`presentation.json` says how)"
    return (
        f"## Asking\n\nThe model was shown {shown}, and answers with {answer}one of these, and its end token:\n\n"
        f"{meaning}\n\n"
        f"A question of the test split:\n\n```\n{text}\n```\n\n```python\n{code}```\n\nIt was trained on {how}."
    )


def _source(base: BaseConfig) -> str:
    """Where others find the base: its repository; a folder of this machine is a name to them."""
    return base.name if Path(base.repository).is_absolute() or Path(base.repository).is_dir() else base.repository


def _table(heading: tuple[str, str], rows: dict[str, Any]) -> str:
    lines = [f"| {heading[0]} | {heading[1]} |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {_cell(value)} |" for name, value in rows.items())])


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
