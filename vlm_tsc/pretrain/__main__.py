"""How this project's pre-trained weights are made.

`python -m vlm_tsc.pretrain llava --conf-file configs/pretrain/plot-llava-mini.yaml` makes the bundled base anew;
`python -m vlm_tsc.pretrain masked --conf-file configs/pretrain/mae.yaml` an encoder of the masked transformer.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from vlm_tsc.errors import InputError, exits_cleanly

log = logging.getLogger(__name__)


@exits_cleanly
def main(argv: list[str]) -> int:
    """Parse, read the configuration, run or resume."""
    parser = argparse.ArgumentParser(
        prog="python -m vlm_tsc.pretrain", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    llava = commands.add_parser("llava", help="the bundled base, plot-llava-mini, from synthetic series alone")
    llava.add_argument("--conf-file", required=True, type=Path, help="YAML with the shapes and stages")
    llava.add_argument("--budget", type=float, default=1.0, help="share of every stage's steps, for a cheaper base")
    llava.add_argument("--work-dir", type=Path, default=Path("runs/pretrain/plot-llava-mini"), help="checkpoints, logs")
    llava.add_argument("--out", type=Path, help="where to write the checkpoint (default: WORK_DIR/checkpoint)")
    llava.add_argument("--workers", type=int, default=1, help="processes that draw plots (default: 1)")
    llava.add_argument("--debug", action="store_true", help="show the traceback of an input error")
    _add_masked(commands)
    options = parser.parse_args(argv)
    if options.workers < 0:
        what, allowed = "a number of processes below 0", "0 (none beside this one) or more"
        raise InputError(what, where="--workers", got=options.workers, allowed=allowed)
    return _masked(options) if options.command == "masked" else _llava(options)


def _add_masked(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    masked = commands.add_parser("masked", help="an encoder of the masked transformer, from series without labels")
    masked.add_argument("--conf-file", required=True, type=Path, help="YAML with the task, the sets and the sizes")
    masked.add_argument("--datasets", help="sets, as A,B,C; all of the data folder; or synthetic (default: the YAML's)")
    masked.add_argument("--exclude", help="sets that `all` leaves out, as A,B,C: those to be scored on")
    masked.add_argument("--data-dir", type=Path, help="folder with one folder per set (default: $VLM_TSC_DATA)")
    masked.add_argument("--name", help="name of the encoder (default: the YAML's)")
    masked.add_argument("--seed", type=int, help="seed of everything random (default: the YAML's)")
    masked.add_argument("--steps", type=int, help="optimizer steps (default: the YAML's)")
    masked.add_argument("--gpu-id", type=int, help="GPU to compute on (default: the first)")
    masked.add_argument("--register", action="store_true", help="enter it in MLflow's registry, runs/mlflow.db")
    masked.add_argument("--vlm-root", type=Path, default=Path("."), help="folder that holds runs/ (default: here)")
    masked.add_argument("--work-dir", type=Path, help="checkpoints, log, encoder (default: runs/pretrain/NAME)")
    masked.add_argument("--out", type=Path, help="write the encoder's folder here too")
    masked.add_argument("--workers", type=int, default=1, help="processes that draw series (default: 1)")
    masked.add_argument("--debug", action="store_true", help="show the traceback of an input error")


def _llava(options: argparse.Namespace) -> int:
    from vlm_tsc.pretrain.llava import pretrain_llava, read_config

    if not 0 < options.budget <= 1:
        what = "a share of the steps that is none"
        raise InputError(what, where="--budget", got=options.budget, allowed="above 0, at most 1")
    out = options.out or options.work_dir / "checkpoint"
    recipe = read_config(options.conf_file).shortened(options.budget)
    pretrain_llava(recipe, options.work_dir, out, options.workers)
    print(f"wrote {out}")
    return 0


def _masked(options: argparse.Namespace) -> int:
    from vlm_tsc.pretrain.masked.config import read_pretraining

    names = ("datasets", "exclude", "name", "seed", "steps")
    config = read_pretraining(options.conf_file, {name: getattr(options, name) for name in names})
    runs = options.vlm_root / "runs"
    work = options.work_dir or runs / "pretrain" / config.name
    from vlm_tsc.classify.model_folder import read_folder, use_gpu, write_folder  # torch takes seconds
    from vlm_tsc.pretrain.masked.run import log_pretraining, pretrain_masked, register

    use_gpu(options.gpu_id)
    found = pretrain_masked(config, work, data_dir=options.data_dir, workers=options.workers)
    seen = f"{len(found.sets)} sets" if found.sets else "synthetic series"
    print(f"wrote {work / 'encoder'}: {found.label}, pre-trained on {seen}")
    if options.out:
        write_folder(options.out, read_folder(work / "encoder"))
    try:
        run = log_pretraining(found, work, runs)
    except Exception as error:  # of MLflow or its database; the encoder is there, and needs neither
        got = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}".split("\n")[0][:300]
        what, fix = "the pre-training could not be logged to MLflow", "the same command again: only this is left"
        problem = InputError(what, where=work, got=got, fix=fix)
        if options.register:
            raise problem from error
        log.warning("%s", problem)
        return 0
    if options.register:
        version = register(found, run, runs)
        print(f"registered: --enc-name {config.name} --enc-ver {version}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
