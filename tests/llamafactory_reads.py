"""What LLaMA-Factory's own loader makes of records: run by a Python that has it, as `RUN_FOLDER BASE_FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
from llamafactory.hparams import get_train_args
from llamafactory.model import load_tokenizer

run, base = map(Path, sys.argv[1:])
model_args, data_args, training_args, finetuning_args, _ = get_train_args(
    {
        "model_name_or_path": str(base),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "template": "llava",
        "dataset": "train",
        "dataset_dir": str(run / "sharegpt"),
        "media_dir": str(run),
        "output_dir": str(run / "llamafactory"),
        "cutoff_len": 4096,
        "overwrite_cache": True,
        "use_cpu": True,
        "report_to": "none",
    }
)
loaded = load_tokenizer(model_args)
template = get_template_and_fix_tokenizer(loaded["tokenizer"], data_args)
rows = get_dataset(template, model_args, data_args, training_args, stage="sft", **loaded)["train_dataset"]
tokenizer, image = loaded["tokenizer"], loaded["tokenizer"].convert_tokens_to_ids("<image>")
found = [
    {
        "pictures": row["images"],
        "picture_tokens": row["input_ids"].count(image),
        "text": tokenizer.decode([token for token in row["input_ids"] if token != image]),
        "learned": tokenizer.decode([token for token in row["labels"] if token >= 0]),
    }
    for row in rows
]
print(json.dumps(found))
