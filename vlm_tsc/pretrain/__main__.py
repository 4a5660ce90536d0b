"""`python -m vlm_tsc.pretrain llava --conf-file configs/pretrain/plot-llava-mini.yaml`: make the bundled base anew."""

from __future__ import annotations

import argparse
from pathlib import Path

from vlm_tsc.errors import exits_cleanly


@exits_cleanly
def main(argv: list[str]) -> int:
    """Parse, read the configuration, run or resume the stages."""
    parser = argparse.ArgumentParser(prog="python -m vlm_tsc.pretrain", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    llava = commands.add_parser("llava", help="the bundled base, plot-llava-mini, from synthetic series alone")
    llava.add_argument("--conf-file", required=True, type=Path, help="YAML with the shapes and stages")
    llava.add_argument("--work-dir", type=Path, default=Path("runs/pretrain/plot-llava-mini"), help="checkpoints, logs")
    llava.add_argument("--out", type=Path, help="where to write the checkpoint (default: WORK_DIR/checkpoint)")
    llava.add_argument("--workers", type=int, default=1, help="processes that draw plots (default: 1)")
    llava.add_argument("--debug", action="store_true", help="show the traceback of an input error")
    options = parser.parse_args(argv)

    from vlm_tsc.pretrain.llava import pretrain_llava, read_config

    out = options.out or options.work_dir / "checkpoint"
    pretrain_llava(read_config(options.conf_file), options.work_dir, out, options.workers)
    print(f"wrote {out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
