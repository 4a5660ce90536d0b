"""MLflow beside the runs: a SQLite store for losses, figures and pictures, and the registry of pre-trained encoders."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from vlm_tsc.errors import InputError

ENCODER = "encoder"  # folder of a registered encoder among its run's artifacts
DATABASE, ARTIFACTS = "mlflow.db", "mlflow-artifacts"  # in the folder of all runs
_BATCH = 1000  # figures that MLflow takes at once
_HASH = "sha256"
_KEY = "of"  # tag of a run: hash of what was logged
log = logging.getLogger(__name__)


class Store:
    """The store in the folder of all runs: `mlflow.db`, and the artifacts in `mlflow-artifacts/` beside it.

    Where MLFLOW_TRACKING_URI is set, that one is used instead, and keeps its artifacts where it wants.
    """

    def __init__(self, runs: Path):
        self.runs = runs.resolve()
        self.uri = os.environ.get("MLFLOW_TRACKING_URI")

    @cached_property
    def client(self) -> Any:
        """MLflow's client (typed Any: importing MLflow takes seconds).

        Raises
        ------
        InputError
            When the store is broken, or nobody answers.
        """
        self.runs.mkdir(parents=True, exist_ok=True)
        uri = self.uri or f"sqlite:///{self.runs / DATABASE}"
        return _opened(uri, "MLFLOW_TRACKING_URI" if self.uri else self.runs / DATABASE)

    def log_run(
        self,
        experiment: str,
        name: str,
        *,
        parameters: Mapping[str, Any],
        curves: Iterable[Mapping[str, float]] = (),
        metrics: Mapping[str, float] | None = None,
        files: Iterable[Path] = (),
        key: str | None = None,
    ) -> str:
        """Log a finished run under `experiment` ("pretrain", "finetune"); its id.

        Parameters
        ----------
        curves : iterable of mapping
            Lines of a log.jsonl, each with its `step` or `epoch`.
        files : iterable of Path
            Files and folders to keep as artifacts.
        key : str, optional
            Hash of what is logged; see `logged`.
        """
        from mlflow.entities import Metric, Param

        tags = None if key is None else {_KEY: key}
        run = self.client.create_run(self.experiment(experiment), run_name=name, tags=tags).info.run_id
        now = int(time.time() * 1000)
        figures = [Metric(key, float(value), now, 0) for key, value in (metrics or {}).items()]
        for line in curves:
            at = int(line.get("step", line.get("epoch", 0)))
            figures += [Metric(key, float(value), now, at) for key, value in line.items() if key not in _AXES]
        self.client.log_batch(run, params=[Param(key, str(value)[:6000]) for key, value in parameters.items()])
        for start in range(0, len(figures), _BATCH):
            self.client.log_batch(run, metrics=figures[start : start + _BATCH])
        for path in files:
            if path.is_dir():
                self.client.log_artifacts(run, str(path), path.name)
            elif path.is_file():
                self.client.log_artifact(run, str(path))
        self.client.set_terminated(run)
        return run

    def logged(self, experiment: str, key: str) -> str | None:
        """Id of the run that was logged, to its end, with this `key`, if there is one."""
        wanted = f"tags.{_KEY} = '{key}' and attributes.status = 'FINISHED'"
        found = self.client.search_runs([self.experiment(experiment)], wanted, max_results=1)
        return found[0].info.run_id if found else None

    def experiment(self, name: str) -> str:
        """Id of the experiment, which is made where there is none.

        One that was deleted is restored, because MLflow keeps its name. One from before the runs' folder was moved is
        renamed: MLflow keeps paths as absolute ones, and would go on writing to the old place.
        """
        artifacts = None if self.uri else (self.runs / ARTIFACTS / name).as_uri()
        found = self.client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "deleted":
            log.warning("MLflow's experiment %s had been deleted; it is restored", name)
            self.client.restore_experiment(found.experiment_id)
        if found is not None and self._is_elsewhere(found.artifact_location):
            renamed = f"{name}, moved {found.experiment_id}"
            log.warning(
                "MLflow's experiment %s keeps its files in %s: it is now %s", name, found.artifact_location, renamed
            )
            self.client.rename_experiment(found.experiment_id, renamed)
            found = None
        if found is not None:
            return found.experiment_id
        return self.client.create_experiment(name, artifact_location=artifacts)

    def _is_elsewhere(self, location: str) -> bool:
        """Whether these artifacts are of our own store when it was in another folder."""
        return not self.uri and f"/{ARTIFACTS}/" in location and not location.startswith(self.runs.as_uri() + "/")

    def registered(self, name: str, sha256: str) -> int | None:
        """The version of `name` that holds exactly these weights, if there is one."""
        same = [version for version in self._versions(name) if version.tags.get(_HASH) == sha256]
        return max((int(version.version) for version in same), default=None)

    def register(self, name: str, run: str, sha256: str) -> int:
        """Enter the encoder among the artifacts of `run` as the next version of `name`."""
        if not self.client.search_registered_models(f"name = '{name}'"):
            self.client.create_registered_model(name)
        source = f"{self.client.get_run(run).info.artifact_uri}/{ENCODER}"
        return int(self.client.create_model_version(name, source, run, tags={_HASH: sha256}).version)

    def encoder_folder(self, name: str, version: int | None = None) -> tuple[Path, int]:
        """Folder of a registered encoder, and its version: the newest, unless one is wanted.

        Raises
        ------
        InputError
            When nothing is registered under the name, or not this version.
        """
        fix = "python -m vlm_tsc.pretrain masked --conf-file … --register enters one"
        if not self.uri and not (self.runs / DATABASE).is_file():
            raise InputError("there is no registry of encoders", where=self.runs / DATABASE, got=name, fix=fix)
        known = {int(one.version): one for one in self._versions(name)}
        if not known:
            names = sorted(model.name for model in self.client.search_registered_models())
            raise InputError("no encoder of this name is registered", where="--enc-name", got=name, allowed=names)
        chosen = max(known) if version is None else version
        if chosen not in known:
            raise InputError(f"{name} has no such version", where="--enc-ver", got=chosen, allowed=sorted(known))
        return self._files_of(known[chosen]), chosen

    def _files_of(self, version: Any) -> Path:
        """Folder of a registered encoder's files: those beside the database, wherever it has been moved to."""
        from mlflow.exceptions import MlflowException

        if not self.uri and (folder := place_now(version.source, self.runs)) is not None:
            return folder
        try:
            return Path(self.client.download_artifacts(version.run_id, ENCODER))
        except (MlflowException, OSError) as error:
            what, where = "the files of this encoder are gone", f"{version.name}, version {version.version}"
            fix = "another version, or register it anew"
            raise InputError(what, where=where, got=version.source, fix=fix) from error

    def _versions(self, name: str) -> list[Any]:
        return list(self.client.search_model_versions(f"name = '{name}'")) if "'" not in name else []


def be_quiet() -> None:
    """Leave warnings and errors of MLflow and of what makes its tables; importing MLflow sets other levels."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def place_now(location: str, runs: Path) -> Path | None:
    """The folder in `runs`, resolved, of artifacts that the store in it recorded at `location`.

    MLflow records absolute paths, which are wrong once the runs were moved, copied, or mounted elsewhere. None for what
    is not there, or was never kept beside a database.
    """
    _, found, inside = location.rpartition(f"/{ARTIFACTS}/")
    folder = (runs / ARTIFACTS / unquote(inside)).resolve()
    return folder if found and folder.is_dir() and folder.is_relative_to(runs) else None


def _opened(uri: str, where: Path | str) -> Any:
    """MLflow's client of a store that has answered once."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    be_quiet()
    try:
        with _impatient():
            client = MlflowClient(uri, registry_uri=uri)  # opens a database
            client.search_experiments(max_results=1)  # asks a server
    except (MlflowException, SQLAlchemyError) as error:
        got = re.sub("//[^/@ ]*@", "//…@", str(error).split("\n")[0])[:300]  # without a password
        fix = "start that server, or unset it" if isinstance(where, str) else "move it away: a new one will be made"
        raise InputError("MLflow's store cannot be opened", where=where, got=got, fix=fix) from error
    return client


@contextmanager
def _impatient() -> Iterator[None]:
    """Within, MLflow asks a silent server twice for ten seconds, not eight times for two minutes.

    Not where the environment says how long; and not after the store was opened: a server that begins anew during a
    training is worth waiting for.
    """
    usual = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
    ours = {name: value for name, value in usual.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


_AXES = ("step", "epoch")
