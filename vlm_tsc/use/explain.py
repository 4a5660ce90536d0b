"""What mattered: by how much an answer becomes less likely when a window of the series is not there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

from vlm_tsc import terminal
from vlm_tsc.errors import InputError
from vlm_tsc.options import model_from_cli, option
from vlm_tsc.run import RunFolder
from vlm_tsc.settings import UserPath
from vlm_tsc.terminal import shows_progress
from vlm_tsc.use.beside import refuse_replacing
from vlm_tsc.use.machine import MachineOptions
from vlm_tsc.use.map_plot import check_format
from vlm_tsc.use.occlusion import Fill

PROG = "-m vlm_tsc.use.explain"
DESCRIPTION = (
    "Show what mattered to a vision-language run. A window of the series is covered, picture and text are made again "
    "as the run makes them, and the log-likelihood of the true class's answer falls: by how much is drawn under the "
    "series, averaged over windows of several lengths. A case is taken as recorded, without further views. Written to "
    "RUN/explain/, with the numbers as .csv and .json."
)


class ExplainOptions(MachineOptions):
    """Of `python -m vlm_tsc.use.explain RUN`."""

    run: UserPath = option("what", Path(), "The folder of a finished run.", metavar="RUN", unset="needed")
    case: str | None = option("what", None, "One case, its id as in predictions.jsonl.", metavar="ID", unset="none")
    per_class: bool = option("what", False, "The mean over many cases of every class.")
    part: Literal["test", "validation", "train"] = option("what", "test", "Whose cases --per-class takes.")
    limit: int = option("what", 20, "Cases of each class that --per-class takes, at most.", ge=1)
    windows: int = option("map", 3, "Lengths of windows: a quarter of the series, an eighth and so on.", ge=1, le=8)
    fill: Fill = option("map", "interpolate", "What covers a window: a straight line, or its mean.")
    output: UserPath | None = option(
        "map",
        None,
        "Where the figure goes, .svg, .png or .pdf; the numbers go beside it.",
        metavar="FILE",
        unset="RUN/explain/",
    )


@terminal.speaks
def main(argv: list[str]) -> int:
    """python -m vlm_tsc.use.explain RUN --case ID | --per-class"""
    options = model_from_cli(argv, ExplainOptions, prog=PROG, description=DESCRIPTION, positional="RUN")
    if (options.case is None) is not options.per_class:
        allowed = "--case ID for one case, or --per-class for the mean of many"
        raise InputError("say what to explain", where=PROG, allowed=allowed)
    if options.output is not None:
        check_format(options.output)
        refuse_replacing(options.output)
    explain = explain_classes if options.per_class else explain_case
    said, written = explain(RunFolder(options.run), options)
    terminal.show(said)
    terminal.say("written to\n" + "\n".join(f"  {path}" for path in written))
    terminal.answer(written=written)
    return 0


def explain_case(run: RunFolder, options: ExplainOptions) -> tuple[str, list[Path]]:
    """The map of one case: what to say of it, and the files."""
    from vlm_tsc.archive.store import read_splits
    from vlm_tsc.use.case_map import find_case, map_case, write_case_map
    from vlm_tsc.use.scorer import check_run, open_scorer

    assert options.case is not None  # `main` has looked
    check_run(run)
    splits = read_splits(run.series)
    case, true = find_case(splits, options.case)
    scorer = open_scorer(run, **options.given())
    made = map_case(scorer, options.case, case, true, options.windows, options.fill, shows_progress())
    path = options.output or run.explanations / f"{options.case}.svg"
    written = write_case_map(made, path, splits.test.name, {"fill": options.fill})
    channel, timepoint = (i + 1 for i in made.map.peak)
    where = f"timepoint {timepoint}" + f" of channel {channel}" * (len(case) > 1)
    said = (
        f"{options.case}: class {true}, answered {made.answered} with probability {made.probability:.2f}\n"
        f"what mattered most lies around {where}: without it {made.map.importance.max():.2g} nats less likely\n"
        f"{len(made.map.windows)} windows in {made.seconds:.1f} s"
    )
    return said, written


def explain_classes(run: RunFolder, options: ExplainOptions) -> tuple[str, list[Path]]:
    """The mean map of every class: what to say of it, and the files."""
    from vlm_tsc.archive.store import read_splits
    from vlm_tsc.classify.saved import find_saved, run_digest
    from vlm_tsc.use.class_maps import averaged_maps, chosen_cases, make_maps, maps_file, write_class_maps
    from vlm_tsc.use.scorer import check_run, open_scorer

    check_run(run)
    part = getattr(read_splits(run.series), options.part)
    if part is None:
        raise InputError("the run has no such part", where="--part", got=options.part, allowed="test, train")
    how = {"part": options.part, "windows": options.windows, "fill": options.fill}
    digest = run_digest(find_saved(run.path))
    file = maps_file(run.explanations, run=digest, precision=str(options.precision), **how)
    cases = chosen_cases(part, options.limit)
    scorer = open_scorer(run, **options.given())
    maps = make_maps(scorer, part, cases, file, options.windows, options.fill, shows_progress())
    made = averaged_maps(part, cases, maps)
    path = options.output or run.explanations / f"classes-{options.part}.svg"
    title = f"{part.name} · what mattered in {len(cases)} {options.part} cases · mean ± standard deviation"
    written = write_class_maps(made, path, title, {"dataset": part.name, "limit": options.limit, **how})
    said = "\n".join(f"class {one.label}: {one.n_cases} cases, most at {_peak(one)} of the length" for one in made)
    return said, [*written, file]


def _peak(one: Any) -> str:
    return f"{int(one.drop.max(axis=0).argmax())} %"


if __name__ == "__main__":
    sys.exit(main())
