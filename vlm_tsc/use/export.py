"""A finished run as a folder that others can open: python -m vlm_tsc.use.export RUN --merge [--output FOLDER]"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from vlm_tsc import terminal
from vlm_tsc.bases import BaseConfig, load_base
from vlm_tsc.config import load_settings
from vlm_tsc.errors import InputError
from vlm_tsc.files import full_disk_named, write_json, write_text
from vlm_tsc.options import model_from_cli, option
from vlm_tsc.run import RunFolder
from vlm_tsc.settings import UserPath

PROG = "-m vlm_tsc.use.export"
DESCRIPTION = (
    "Write a finished run as a folder with its model card: its adapter alone, or with --merge a whole checkpoint that "
    "from_pretrained opens, after a check on test cases that it answers as before."
)


class ExportOptions(BaseModel):
    """Of `python -m vlm_tsc.use.export RUN`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: UserPath = option("export", Path(), "The folder of a finished run.", metavar="RUN", unset="needed")
    merge: bool = option("export", False, "Merge the adapter into its base.")
    dequantise: bool = option("export", False, "Merge also into a base that was quantised: its weights are unpacked.")
    precision: Literal["base", "fp32", "bf16", "fp16"] = option(
        "export", "base", "Number format of the merged weights.", unset="the base's; fp32 where that changes answers"
    )
    cases: int = option("export", 32, "Test cases on which the merged model is compared.", ge=1)
    output: UserPath | None = option("export", None, "Folder to write.", metavar="DIR", unset="RUN/export")
    push: str | None = option(
        "export", None, "Upload it to this Hugging Face repository, made private.", metavar="OWNER/NAME", unset="no"
    )
    llava_root: UserPath | None = option(
        "export", None, "Folder of local checkpoints.", metavar="DIR", unset="the run's"
    )
    debug: bool = option("export", False, "Show the traceback of an error.")


@terminal.speaks
def main(argv: list[str]) -> int:
    """Export, and upload if asked."""
    options = model_from_cli(argv, ExportOptions, prog=PROG, description=DESCRIPTION, positional="RUN")
    run = _run_folder(options.run)
    output = options.output or run.path / "export"
    if options.push:
        _check_login()
    if output.exists():
        raise InputError(
            "This folder is there already.", where="--output", got=output, fix="remove it, or name another"
        )
    from vlm_tsc.answer.model import be_quiet, use_all_cores

    be_quiet()
    use_all_cores()
    terminal.show(export(run, output, options))
    terminal.answer(output=output)
    if options.push:
        address = _push(output, options.push)
        terminal.say(f"uploaded to {address}")
        terminal.answer(uploaded=address)
    return 0


def export(run: RunFolder, output: Path, options: ExportOptions) -> str:
    """Write `output` in one rename; returns what to tell.

    Raises
    ------
    InputError
        When the run is not finished, its base is not here, or the merged model answers otherwise.
    """
    from vlm_tsc.conversation.processor import checkpoint_folder
    from vlm_tsc.conversation.records import read_records
    from vlm_tsc.evaluate.evaluation import RecordedCases
    from vlm_tsc.evaluate.metrics import read_metrics
    from vlm_tsc.finetune.adapter import read_adapter_facts
    from vlm_tsc.use.model_card import model_card

    settings = load_settings(run.config)
    metrics = read_metrics(run.metrics)
    presentation, facts = read_adapter_facts(run.adapter)
    base = load_base(settings.base, root := options.llava_root or settings.llava_root)
    records = read_records(run.test, images_in=run.path)
    part = output.with_name(output.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    merged = None
    with full_disk_named(output.parent):
        if options.merge:
            cases = RecordedCases(_spread(records, options.cases), run.path)
            merged = _write_merged(run, part, checkpoint_folder(base, root), base, cases, options)
        else:
            shutil.copytree(run.adapter, part)
        question = records[0]["conversations"][0]["value"]
        write_text(part / "README.md", model_card(base, facts, metrics, presentation, question, merged=merged))
        os.replace(part, output)
    return f"{merged}\nwritten to {output}" if merged else f"written to {output}"


def _write_merged(
    run: RunFolder, part: Path, base_folder: Path, base: BaseConfig, cases: Sequence[Any], options: ExportOptions
) -> str:
    """Merge, check, and write weights, processor, and how cases are shown; says what the check found."""
    from vlm_tsc.finetune.adapter import read_adapter_facts, write_adapter_facts

    model, processor, found = _merged(run, base_folder, cases, options)
    model.save_pretrained(part)
    _write_processor(processor, base_folder, part)
    presentation, facts = read_adapter_facts(run.adapter)
    own = {key: value for key, value in facts.items() if key not in ("name", "hash", "quantised")}
    write_adapter_facts(part, presentation, facts["name"], base_folder, **{**own, "method": "full"})
    return str(found)


def _merged(run: RunFolder, base_folder: Path, cases: Sequence[Any], options: ExportOptions) -> tuple[Any, Any, Any]:
    """Model, processor and difference, in the first format that answers as the adapter does."""
    from vlm_tsc.use.merge import AnswersDiffer, merge

    *rounded, last = _formats(options.precision, base_folder)
    for dtype in rounded:
        try:
            return merge(run.adapter, base_folder, dtype, cases, dequantise=options.dequantise)
        except AnswersDiffer as problem:
            terminal.say(f"in {str(dtype).removeprefix('torch.')} {problem.difference}: written in fp32 instead")
    return merge(run.adapter, base_folder, last, cases, dequantise=options.dequantise)


def _write_processor(processor: Any, base_folder: Path, part: Path) -> None:
    """Write it as transformers does, and beside it what others look for.

    transformers 5 keeps the settings of the pictures inside `processor_config.json`. Version 4, and servers that were
    built on it, ask for a file of their own and for a class whose name does not say "Pil". The part for videos is left
    out here, see `load_processor`; where torchvision is, `from_pretrained` asks for its file.
    """
    processor.save_pretrained(part)
    values = processor.image_processor.to_dict()
    kind = str(values.get("image_processor_type", type(processor.image_processor).__name__)).removesuffix("Pil")
    values |= {"image_processor_type": kind, "processor_class": type(processor).__name__}
    write_json(part / "preprocessor_config.json", values)
    videos = base_folder / "video_preprocessor_config.json"
    if videos.is_file():
        shutil.copyfile(videos, part / videos.name)


def _formats(precision: str, base_folder: Path) -> tuple[Any, ...]:
    """The format asked for; else the base's own where it is one of these, and then the widest."""
    import torch
    from transformers import AutoConfig

    formats = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if precision in formats:
        return (formats[precision],)
    own = AutoConfig.from_pretrained(base_folder).dtype
    return tuple(dict.fromkeys((own if own in formats.values() else torch.float32, torch.float32)))


def _spread(records: Sequence[Any], n: int) -> list[Any]:
    """`n` of the records, evenly over all."""
    n = min(n, len(records))
    return [records[i * len(records) // n] for i in range(n)]


def _check_login() -> None:
    from huggingface_hub import get_token

    if not get_token():
        raise InputError(
            "An upload needs a Hugging Face account, and nobody is logged in here.",
            where="--push",
            fix="hf auth login, or HF_TOKEN in the environment; without --push the folder is only written",
        )


def _push(folder: Path, repository: str) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        HfApi().create_repo(repository, private=True, exist_ok=True)
        HfApi().upload_folder(folder_path=folder, repo_id=repository)
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise InputError(
            "The upload failed; the folder is whole.",
            where=f"--push {repository}",
            got=str(error).split("\n")[0],
            fix=f"hf upload {repository} {folder}",
        ) from None
    return f"https://huggingface.co/{repository}"


def _run_folder(folder: Path) -> RunFolder:
    if not (folder / "config.yaml").is_file():
        allowed = "the folder of a finished run"
        raise InputError("this is no run", where="RUN", got=folder, allowed=allowed)
    return RunFolder(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
