"""Look at runs case by case: python -m vlm_tsc.use.explore runs/ [--host HOST] [--port N].

Pages are made by the server from templates, with a little plain JavaScript, and not by Gradio: FastAPI and Jinja are
here already, a page of 24 cases of 50,000 needs no component that holds them, and every request can be checked.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from vlm_tsc.errors import exits_cleanly
from vlm_tsc.options import model_from_cli, option
from vlm_tsc.settings import UserPath
from vlm_tsc.use.address import host_option, listening, url_of
from vlm_tsc.use.explorer.paths import checked_root
from vlm_tsc.use.machine import MachineOptions

PROG = "-m vlm_tsc.use.explore"
DESCRIPTION = (
    "A local page to look at runs case by case: filter, page through pictures, open a case with its prompt, tokens, "
    "probabilities, answer and what mattered; ask about it otherwise; classify new series; compare two runs. It shows "
    "nothing from outside the folder of runs, and writes nothing."
)
GRACE_SECONDS = 2  # for requests in progress after Ctrl-C


class ExploreOptions(MachineOptions):
    """Of `python -m vlm_tsc.use.explore RUNS`."""

    runs: UserPath = option("page", "runs", "A folder of runs.", metavar="DIR", unset="needed")
    host: str = host_option("page", "look and ask")
    port: int = option("page", 8000, "Port to listen on; 0 takes a free one.", ge=0, le=65535)


@exits_cleanly
def main(argv: Sequence[str]) -> int:
    """Serve the pages until Ctrl-C or SIGTERM."""
    options = model_from_cli(argv, ExploreOptions, prog=PROG, description=DESCRIPTION, positional="RUNS")
    root = checked_root(options.runs)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with listening(options.host, options.port) as listener:
        import uvicorn

        from vlm_tsc.use.explorer.app import make_app
        from vlm_tsc.use.explorer.asking import open_model
        from vlm_tsc.use.explorer.model_thread import ModelThread

        port = listener.getsockname()[1]
        app = make_app(root, ModelThread(lambda run: open_model(run, options.given())), options.host, port)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_SECONDS, server_header=False
        )
        print(f"runs in {root} at {url_of(listener)} (Ctrl-C ends it)", flush=True)
        uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
