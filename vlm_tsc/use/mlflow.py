"""MLflow's page of what was logged beside the runs: python -m vlm_tsc.use.mlflow [RUNS] [--host HOST] [--port N].

`mlflow ui` is not asked, because it looks for the files of a run where they lay when they were logged: in a folder that
was moved since, or mounted into a container, it shows none. MLflow's application is served here, and told where they
are now; the database stays as it is, and what is logged meanwhile appears.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from vlm_tsc.errors import InputError, exits_cleanly
from vlm_tsc.mlflow_store import ARTIFACTS, DATABASE, be_quiet, place_now
from vlm_tsc.options import model_from_cli, option
from vlm_tsc.settings import UserPath
from vlm_tsc.use.address import host_option, listening, url_of

PROG = "-m vlm_tsc.use.mlflow"
DESCRIPTION = (
    "MLflow's page of the curves, figures, files and registered models that --report-to mlflow and pre-training wrote "
    "into runs/mlflow.db, also after that folder was moved."
)
GRACE_SECONDS = 2  # for requests in progress after Ctrl-C


class MlflowOptions(BaseModel):
    """Of `python -m vlm_tsc.use.mlflow [RUNS]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runs: UserPath = option("page", Path("runs"), "The folder of all runs, which holds mlflow.db.", metavar="DIR")
    host: str = host_option("page", "look and change names")
    port: int = option("page", 5000, "Port to listen on; 0 takes a free one.", ge=0, le=65535)


@exits_cleanly
def main(argv: Sequence[str]) -> int:
    """Serve the page until Ctrl-C or SIGTERM."""
    options = model_from_cli(argv, MlflowOptions, prog=PROG, description=DESCRIPTION, positional="[RUNS]")
    if not (options.runs / DATABASE).is_file():
        fix = "train.py --report-to mlflow makes one; or name the folder of all runs that has it"
        raise InputError("nothing was logged to MLflow here", where=options.runs / DATABASE, fix=fix)
    runs = options.runs.resolve()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with listening(options.host, options.port) as listener:
        import uvicorn

        config = uvicorn.Config(make_app(runs), log_level="warning", timeout_graceful_shutdown=GRACE_SECONDS)
        print(f"MLflow's page of {runs} at {url_of(listener)} (Ctrl-C ends it)", flush=True)
        uvicorn.Server(config).run(sockets=[listener])
    return 0


def make_app(runs: Path) -> Any:
    """MLflow's own application on the store in `runs`, as `mlflow ui` sets it up for one process.

    Raises
    ------
    InputError
        When MLflow cannot read the database: it is none, or of another version of MLflow.
    """
    store = f"sqlite:///{runs / DATABASE}"
    from mlflow.server.constants import ARTIFACT_ROOT_ENV_VAR, BACKEND_STORE_URI_ENV_VAR, REGISTRY_STORE_URI_ENV_VAR

    os.environ[BACKEND_STORE_URI_ENV_VAR] = os.environ[REGISTRY_STORE_URI_ENV_VAR] = store
    os.environ[ARTIFACT_ROOT_ENV_VAR] = (runs / ARTIFACTS).as_uri()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports from Starlette
        from mlflow.server.fastapi_app import app
        from mlflow.server.handlers import initialize_backend_stores

    be_quiet()
    find_files_beside(runs)
    try:
        initialize_backend_stores(store, store, os.environ[ARTIFACT_ROOT_ENV_VAR])
    except Exception as error:  # of SQLAlchemy, or MLflow's own
        got = str(error).split("\n")[0][:300]
        raise InputError("MLflow cannot open this database", where=runs / DATABASE, got=got) from error
    return app


def find_files_beside(runs: Path) -> None:
    """From now on, let MLflow in this process take the files of a run from beside the database in `runs`."""
    from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    def repository(artifact_uri: str, **others: Any) -> LocalArtifactRepository:
        place = place_now(artifact_uri, runs)
        return LocalArtifactRepository(artifact_uri if place is None else place.as_uri(), **others)

    _artifact_repository_registry.register("file", repository)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
