"""Every setting of a run: one flat, described model. The descriptions are the text of `--help`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from vlm_tsc.bases import Part
from vlm_tsc.errors import InputError
from vlm_tsc.options import option
from vlm_tsc.resources import find_file

GROUPS = ("data", "picture", "text", "model", "training", "answers", "run")
MAX_SEED = 2**32 - 1  # what numpy's seeding takes
BASE = "the base's"
USUAL_BASE = "plot-llava-mini"  # in the package
TRAINED_BASELINES = ("inception-time", "masked-transformer", "vision-probe", "decoder-probe")  # of this project
PLAIN_NAME = "a letter or digit, then letters, digits, spaces and . , _ - + = ( ), at most 200 bytes"


def is_plain_name(name: str) -> bool:
    """Whether `name` can be one folder's name, on any file system, and leads nowhere else."""
    plain = re.fullmatch(r"\w[\w .,+=()-]*", name) is not None and name[-1] not in " ."
    return plain and len(name.encode()) <= 200  # file systems stop at 255 bytes, and a seed may be added


def _plain_name(name: str) -> str:
    if not is_plain_name(name):
        raise ValueError("it must be one folder's name")
    return name


def _split(value: str) -> str:
    if not re.fullmatch(r"official|pooled|(resample|holdout):[0-9]{1,9}", value):
        raise ValueError("there is no such split")
    return value


def _items(value: Any) -> Any:
    """A comma list of the command line, or the single item of a YAML line, as a list."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",")] if value != "none" else []
    return [value] if isinstance(value, int) else value


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError("an item is there twice")
    return values


def _strength(value: Any) -> Any:
    return 0.0 if value == "none" else value


def _home(path: Path) -> Path:
    return Path(os.path.expanduser(path))  # pathlib's own raises for an unknown ~user


def _baseline(name: str) -> str:
    from vlm_tsc.classify.classical import refuse_unknown  # only when it is asked for: it takes what aeon has

    try:
        refuse_unknown(name, TRAINED_BASELINES)
    except InputError as error:
        close = [line.split("fix:")[1].strip() for line in str(error).splitlines() if "fix:" in line]
        raise ValueError(" ".join([f"there is no baseline {name};", *close]).rstrip(";")) from None
    return name


Items = (BeforeValidator(_items), AfterValidator(_each_once))
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Tracker = Literal["wandb", "mlflow", "tensorboard"]
UserPath = Annotated[Path, AfterValidator(_home)]
ShippedPath = Annotated[Path, AfterValidator(lambda path: find_file(path) or _home(path))]


class Settings(BaseModel):
    """Settings of one run. What is still None is computed by the stage that needs it.

    Raises
    ------
    pydantic.ValidationError
        Built directly, with every wrong or unknown field. The functions of `vlm_tsc.config` raise InputError instead.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    dataset: str | None = option(
        "data",
        None,
        "A UCR/UEA set by name, or a path to your own file (.ts .tsv .txt .arff .npz .csv, also .gz).",
        metavar="NAME",
        unset="required",
    )
    data_dir: UserPath | None = option(
        "data", None, "Folder with one folder per set.", metavar="DIR", unset="$VLM_TSC_DATA"
    )
    test: UserPath | None = option(
        "data", None, "Test part of your own file.", metavar="FILE", unset="split from the file itself"
    )
    split: Annotated[str, AfterValidator(_split)] = option(
        "data",
        "official",
        "Which cases train and which test: official, pooled (60/20/20 of all), resample:K, holdout:SEED.",
        metavar="SPLIT",
        allowed="official, pooled, resample:K, holdout:SEED",
    )
    missing: Literal["error", "interpolate"] = option("data", "error", "What to do about missing values.")
    lengths: Literal["keep", "pad", "resample"] = option("data", "keep", "What to do about unequal lengths.")

    pictures: (
        Annotated[
            tuple[Literal["line", "differences", "stack", "gasf", "recurrence", "spectrogram"], ...],
            *Items,
        ]
        | None
    ) = option("picture", None, "Pictures of each case, one or several.", unset=BASE, min_length=1)
    channels: Literal["auto", "colours", "multiples"] = option(
        "picture", "auto", "Several channels as coloured lines or as small multiples."
    )
    limits: Literal["auto", "case", "train"] = option(
        "picture", "auto", "Value axis of each case alone, or of the training part."
    )
    plot_downsampled_graph: bool = option("picture", False, "Draw the downsampled series.")

    data_repr: Literal[
        "BASELINE", "WITH_STATS", "WITH_SIGNAL_ANALYSIS", "WITH_RATIONALE", "IMAGE_ONLY", "TEXT_ONLY"
    ] = option(
        "text",
        "BASELINE",
        "Picture and values; these and statistics, or a signal analysis; an answer that explains; one of both alone.",
        metavar="MODE",
        unset=BASE,
    )
    downsample: int | None = option(
        "text", None, "Keep one value in N; refused where they do not fit.", unset="the smallest that fits", ge=1
    )
    downsampling: Literal["mean", "adaptive", "lttb", "none"] = option("text", "mean", "How values are reduced.")
    round_to: int | None = option("text", None, "Decimals of a value, 0 to 10.", unset=BASE, ge=0, le=10)
    context_length: int | None = option(
        "text", None, "Tokens that a whole conversation may take, picture and answer included.", unset=BASE, ge=1
    )

    base: str = option(
        "model",
        USUAL_BASE,
        "Checkpoint to start from: a name in configs/bases/, a repository id, or a folder.",
        metavar="NAME",
    )
    llava_root: UserPath | None = option(
        "model",
        None,
        "Folder of local checkpoints, searched before anything is downloaded.",
        metavar="DIR",
        unset="$VLM_TSC_LLAVA_ROOT",
    )

    method: Literal["lora", "dora", "qlora", "qlora8", "full"] = option(
        "training",
        "lora",
        "Train low-rank adapters (dora: with magnitudes; qlora: on a base in 4 bits; qlora8: in 8), or all weights.",
    )
    trainable: Annotated[tuple[Part, ...], *Items, Field(min_length=1)] | None = option(
        "training", None, "Parts that are trained.", unset=BASE
    )
    lora_r: int | None = option("training", None, "Rank of the adapters.", unset=BASE, ge=1)
    lora_alpha: int | None = option("training", None, "Scale of the adapters.", unset=BASE, ge=1)
    lora_dropout: float | None = option("training", None, "Dropout before the adapters.", unset=BASE, ge=0, lt=1)
    learning_rate: float | None = option("training", None, "Peak learning rate.", unset=BASE, gt=0)
    projector_learning_rate: float | None = option(
        "training", None, "Peak learning rate of the projector.", unset="the learning rate", gt=0
    )
    batch_size: int | None = option("training", None, "Cases per step and device.", unset=BASE, ge=1)
    micro_batch: int | None = option(
        "training",
        None,
        "Cases of a batch on the device at once: the rest of it is accumulated.",
        unset="as many as fit a GPU",
        ge=1,
    )
    gradient_accumulation: int = option("training", 1, "Batches per optimiser step.", ge=1)
    gradient_checkpointing: bool = option(
        "training", False, "Compute activations again in the backward pass: less memory, more time."
    )
    num_epochs: float | None = option(
        "training", None, "Passes over the training part.", unset="from the number of cases", gt=0
    )
    warmup_ratio: float = option("training", 0.03, "Part of the steps that warms up.", ge=0, lt=1)
    augment: Annotated[float, BeforeValidator(_strength), Field(ge=0, le=10)] | None = option(
        "training",
        None,
        "Strength of the augmentation, or none; on few passes less, where the base says so.",
        unset=BASE,
        allowed="none, or a number of at least 0 and at most 10",
    )
    mixup: Annotated[float, BeforeValidator(_strength), Field(ge=0, le=10)] | None = option(
        "training",
        None,
        "Mix two cases in every other draw, shares from Beta(N, N); none, or with --augment none, in no draw.",
        unset=BASE,
        allowed="none, or a number of at least 0 and at most 10",
    )
    teacher: Literal["none", "tower"] | None = option(
        "training",
        None,
        "Train half on the labels and half on the answers of a linear classifier on the untrained base's vision tower.",
        unset=BASE,
    )
    label_smoothing: float = option("training", 0.0, "Label smoothing.", ge=0, lt=1)
    precision: Literal["auto", "fp32", "bf16"] = option("training", "auto", "Number format of the computation.")
    deepspeed: ShippedPath | None = option(
        "training",
        None,
        "DeepSpeed's settings, such as configs/deepspeed/zero2.json.",
        metavar="FILE",
        unset="without DeepSpeed",
    )
    report_to: Annotated[tuple[Tracker, ...], *Items] = option(
        "training",
        (),
        "Where runs are logged too: curves, figures, adapter, report.",
        unset="none",
        allowed="none, or a list of wandb, mlflow, tensorboard",
    )
    resume: bool = option("training", True, "Go on from the newest checkpoint of an interrupted run.")
    checkpoint_steps: int | None = option(
        "training", None, "Steps between checkpoints.", unset="from the number of steps", ge=1
    )
    seed: int = option("training", 0, "Seed of everything random.", ge=0, le=MAX_SEED)
    ensemble: int = option(
        "training", 1, "Adapters to train, each from a seed of its own; their scores are averaged.", ge=1
    )
    search: int | None = option(
        "training",
        None,
        "Choose learning_rate, augment and label_smoothing among N settings, on cases held out of train.",
        unset="none",
        ge=1,
    )
    seeds: Annotated[tuple[Seed, ...], *Items, Field(min_length=1)] | None = option(
        "training",
        None,
        "One run per seed, such as 0,1,2, and their mean.",
        metavar="N,N",
        unset="--seed alone",
        allowed=f"a list of different whole numbers from 0 to {MAX_SEED}",
    )

    answers: Literal["score", "generate"] = option(
        "answers", "score", "Score every class's answer, or generate and parse one."
    )
    eval_batch_size: int | None = option("answers", None, "Cases answered at once.", unset=BASE, ge=1)
    views: int | None = option(
        "answers",
        None,
        "Views of a case to ask about: as recorded, and N - 1 augmented; the mean score and the commonest class count.",
        unset=BASE,
        ge=1,
    )
    baselines: Annotated[tuple[Annotated[str, AfterValidator(_baseline)], ...], *Items] = option(
        "answers",
        ("majority", "1nn-ed", "1nn-dtw"),
        "Classifiers beside it in the table, or none. Also multirocket-hydra, quant, inception-time, "
        "masked-transformer, and any classifier of aeon by its class name: these may take long.",
        allowed="none, or a list of majority, 1nn-ed, 1nn-dtw, multirocket-hydra, quant, inception-time, "
        "masked-transformer, or names of aeon's classes",
    )

    vlm_root: UserPath = option("run", Path("."), "Folder that holds runs/.", metavar="DIR")
    run_name: Annotated[str, AfterValidator(_plain_name)] | None = option(
        "run", None, "Name of the run's folder.", metavar="NAME", unset="from the settings", allowed=PLAIN_NAME
    )
    scenario: str | None = option(
        "run", None, "Take the settings of configs/scenarios/NAME.yaml.", metavar="NAME", unset="none"
    )
    workers: int | None = option("run", None, "Processes that prepare the data.", unset="one per core", ge=1)
    formats: Annotated[tuple[Literal["vicuna", "qwen", "sharegpt", "messages"], ...], *Items] = option(
        "run",
        (),
        "The records also as other trainers read them.",
        unset="none",
        allowed="none, or a list of vicuna, qwen, sharegpt, messages",
    )
    debug: bool = option("run", False, "Show the traceback of an error.")

    @field_validator("*", mode="before")
    @classmethod
    def _plain_value(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what Pydantic would bend: true as the number 1, an empty text as the path "."."""
        item = value[0] if isinstance(value, list | tuple) and value else value
        if isinstance(item, bool) and cls.model_fields[info.field_name or ""].annotation is not bool:
            raise ValueError("a yes or no is not wanted here (in YAML, put quotes around a text such as on or no)")
        if isinstance(value, str) and not (value and value.isprintable()):
            raise ValueError("it is empty, or holds characters that cannot be printed")
        return value
