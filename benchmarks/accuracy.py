"""The accuracies that README and model card report: python -m benchmarks.accuracy STUDY … --vlm-root FOLDER

Every run is a command as a person types it, with default settings but for what the study is about; what is finished is
not done again. Tables and diagrams are written to FOLDER/tables. Takes hours on two cores.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.series import ROOT, data_folder

THREE = ("TwoLeadECG", "ItalyPowerDemand", "GunPoint")
TARGETS = (*THREE, "PenDigits", "PhalangesOutlinesCorrect", "FreezerSmallTrain", "HandOutlines")
WHOLE = (
    "TwoLeadECG",
    "ItalyPowerDemand",
    "PenDigits",
    "PhalangesOutlinesCorrect",
)  # every case is here
FIVE = (*THREE, "ECG200", "Plane")
DEVELOPMENT = (
    *("TwoLeadECG", "ItalyPowerDemand", "PhalangesOutlinesCorrect", "PenDigits", "GunPoint", "CBF", "Trace", "Coffee"),
    *("ECG200", "ArrowHead", "OSULeaf", "Plane", "Beef", "Car", "Adiac", "DiatomSizeReduction", "Strawberry", "Wine"),
    *("BasicMotions", "JapaneseVowels"),
)
MODES = ("IMAGE_ONLY", "TEXT_ONLY", "BASELINE", "WITH_STATS")
PROBES = ("vision-probe", "decoder-probe")


@dataclass(frozen=True)
class Study:
    """Sets, seeds, and the commands that are run for each of them, without dataset and seed."""

    sets: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    commands: tuple[tuple[str, ...], ...] = (("train.py",),)


STUDIES = {
    "targets": Study(TARGETS, (0, 1, 2)),
    "development": Study(DEVELOPMENT),
    "pooled": Study(WHOLE, commands=(("train.py", "--split", "pooled"),)),
    "modes": Study(FIVE, commands=tuple(("train.py", "--data-repr", mode) for mode in MODES)),
    "probes": Study(DEVELOPMENT, commands=tuple(("eval/baselines.py", probe) for probe in PROBES)),
}


def main(argv: list[str]) -> int:
    """Run studies by name, and write the tables of all runs in the folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("studies", nargs="+", choices=STUDIES)
    parser.add_argument("--vlm-root", type=Path, required=True, metavar="FOLDER", help="folder that will hold runs/")
    parser.add_argument("--sets", help="only these, with commas between them")
    given = parser.parse_args(argv)
    failed = 0
    for name in given.studies:
        for command in commands_of(STUDIES[name], given.sets.split(",") if given.sets else None):
            failed += not _ran(command, given.vlm_root)
    from vlm_tsc.report import run_folders, write_tables

    for path in write_tables(run_folders([given.vlm_root / "runs"]), given.vlm_root / "tables"):
        print(path)
    return int(failed > 0)


def commands_of(study: Study, sets: list[str] | None = None) -> Iterator[list[str]]:
    """Program and options of every run; a set's runs follow each other."""
    for dataset in [name for name in study.sets if sets is None or name in sets]:
        for command in study.commands:
            for seed in study.seeds:
                yield [*command, "--dataset", dataset, "--seed", str(seed)]


def _ran(command: list[str], root: Path) -> bool:
    """Whether the run is finished now; what it said is in `<root>/logs`."""
    folder = data_folder(command[command.index("--dataset") + 1])
    more = ["--vlm-root", str(root), *(["--data-dir", str(folder)] if folder else [])]
    log = root / "logs" / f"{'_'.join(command).replace('/', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with log.open("w") as file:
        code = subprocess.run([sys.executable, *command, *more], cwd=ROOT, stdout=file, stderr=file).returncode
    done = "finished" if code == 0 else f"FAILED with {code}, see {log}"
    print(f"{' '.join(command)}: {done}, {time.monotonic() - start:.0f} s", flush=True)
    return code == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
