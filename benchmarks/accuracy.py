"""The accuracies that README and model card report: python -m benchmarks.accuracy STUDY … --vlm-root FOLDER

Every run is a command as a person types it, with default settings but for what the study is about; what is finished is
not done again. Tables and diagrams are written to FOLDER/tables. Takes hours on two cores; where there are more, or a
GPU that one small network does not fill, --jobs N runs N commands side by side, each on its share of the cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from benchmarks.series import ROOT, data_folder
from benchmarks.studies import STUDIES, Study, before_of, commands_of
from vlm_tsc.files import write_text


def main(argv: list[str]) -> int:
    """Run studies by name, and write the tables of all runs in the folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("studies", nargs="+", choices=STUDIES)
    parser.add_argument("--vlm-root", type=Path, required=True, metavar="FOLDER", help="folder that will hold runs/")
    parser.add_argument("--sets", help="only these, with commas between them")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="commands side by side; default: 1")
    given = parser.parse_args(argv)
    if given.jobs < 1:
        parser.error("--jobs must be at least 1")
    root = given.vlm_root.resolve()  # the commands run in the project's folder
    sets = given.sets.split(",") if given.sets else None
    failed = sum(_run(STUDIES[name], sets, root, given.jobs) for name in given.studies)
    from vlm_tsc.report import run_folders, write_tables

    for path in write_tables(run_folders([root / "runs"]), root / "tables"):
        print(path)
    for name in given.studies:
        _show(name, STUDIES[name], root)
    return int(failed > 0)


def _run(study: Study, sets: list[str] | None, root: Path, jobs: int = 1) -> int:
    """How many commands failed; where one that comes before the others did, these are not run."""
    before = _failed([[(command, study.sets[0])] for command in before_of(study)], root, jobs)
    if before:
        return before
    groups: dict[str, list[tuple[list[str], str]]] = {}
    for command in commands_of(study, sets):
        dataset = command[command.index("--dataset") + 1]
        # two of one set at once would both write the baselines that train.py runs
        key = dataset if command[0] == "train.py" else " ".join(command)
        groups.setdefault(key, []).append((command, dataset))
    return _failed(list(groups.values()), root, jobs)


def _failed(groups: Sequence[Sequence[tuple[list[str], str]]], root: Path, jobs: int) -> int:
    """How many commands failed of groups that are run side by side; those of a group are run in turn."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    shares: SimpleQueue[list[int]] = SimpleQueue()
    for i in range(jobs):
        shares.put(cores[i::jobs])

    def take_share() -> None:
        if share := shares.get():  # none where there are fewer cores than jobs, or the system cannot tell
            os.sched_setaffinity(0, share)  # of this thread, from which its commands inherit it

    with ThreadPoolExecutor(jobs, initializer=take_share) as pool:
        return sum(pool.map(lambda group: sum(not _ran(*one, root) for one in group), groups))


def _show(name: str, study: Study, root: Path) -> None:
    if study.shows is not None:
        text = study.shows(root, study.sets)
        write_text(root / "tables" / f"{name}.txt", text + "\n")
        print(f"\n{name}\n\n{text}")


def _ran(command: list[str], dataset: str, root: Path) -> bool:
    """Whether the run is finished now; what it said is in `<root>/logs`."""
    folder = data_folder(dataset)
    words = [word.replace("{root}", str(root)) for word in command]
    more = ["--vlm-root", str(root), *(["--data-dir", str(folder)] if folder else [])]
    log = root / "logs" / f"{'_'.join(command).replace('/', '-')[-150:]}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with log.open("w") as file:
        code = subprocess.run([sys.executable, *words, *more], cwd=ROOT, stdout=file, stderr=file).returncode
    done = "finished" if code == 0 else f"FAILED with {code}, see {log}"
    print(f"{' '.join(command)}: {done}, {time.monotonic() - start:.0f} s", flush=True)
    return code == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
