"""Answer requests with a saved classifier: python -m vlm_tsc.use.serve FOLDER [--host HOST] [--port N]."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from vlm_tsc.classify.saved import find_saved, load_classifier
from vlm_tsc.errors import exits_cleanly
from vlm_tsc.options import model_from_cli, option
from vlm_tsc.settings import UserPath
from vlm_tsc.use.address import host_option, listening, url_of
from vlm_tsc.use.payload import Expected
from vlm_tsc.use.trained import trained_on

PROG = "-m vlm_tsc.use.serve"
DESCRIPTION = (
    "Answer requests with a saved classifier, by SageMaker's contract: GET /ping says 200 when the model is loaded, "
    "POST /invocations takes series as text/csv or application/json and answers with labels or probabilities."
)
GRACE_SECONDS = 20  # for requests in progress after SIGTERM; SageMaker kills 30 seconds after it


class ServeOptions(BaseModel):
    """Of `python -m vlm_tsc.use.serve`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: UserPath = option(
        "endpoint", ".", "Folder of a finished run, or of its model.", metavar="DIR", unset="needed"
    )
    host: str = host_option("endpoint", "ask")
    port: int = option("endpoint", 8080, "Port to listen on; 0 takes a free one.", ge=0, le=65535)


@exits_cleanly
def main(argv: Sequence[str]) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    options = model_from_cli(argv, ServeOptions, prog=PROG, description=DESCRIPTION, positional="FOLDER")
    saved = find_saved(options.folder)
    expected = Expected.of(trained_on(saved))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # an end that was asked for, also while the model is loaded
    with listening(options.host, options.port) as listener:
        import uvicorn

        from vlm_tsc.use.endpoint import make_app
        from vlm_tsc.use.worker import Worker

        def end() -> None:
            server.should_exit = True

        worker = Worker(lambda: load_classifier(options.folder), end)
        config = uvicorn.Config(
            make_app(worker, expected), log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_SECONDS
        )
        server = uvicorn.Server(config)
        print(f"{saved.kind} from {options.folder} at {url_of(listener)}", flush=True)
        server.run(sockets=[listener])
    if worker.failure is not None:
        raise worker.failure
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
