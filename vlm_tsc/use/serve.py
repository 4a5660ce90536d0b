"""Answer requests with a saved classifier: python -m vlm_tsc.use.serve FOLDER [--host HOST] [--port N]."""

from __future__ import annotations

import errno
import signal
import socket
import sys
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from vlm_tsc.classify.saved import find_saved, load_classifier
from vlm_tsc.errors import InputError, exits_cleanly
from vlm_tsc.options import model_from_cli, option
from vlm_tsc.settings import UserPath
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
    host: str = option(
        "endpoint",
        "127.0.0.1",
        "Address to listen on; 0.0.0.0 lets other machines ask, without a password.",
        metavar="HOST",
    )
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
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"{saved.kind} from {options.folder} at http://{shown}:{port}", flush=True)
        server.run(sockets=[listener])
    if worker.failure is not None:
        raise worker.failure
    return 0


def listening(host: str, port: int) -> socket.socket:
    """A socket on the address, before anything is loaded.

    Raises
    ------
    InputError
        When the port is taken or not allowed, or the address is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise InputError("there is no such address", where="--host", got=host, allowed=error.strerror) from None
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just given up may be taken
    try:
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        reasons = {
            errno.EADDRINUSE: ("the port is taken", "--port", port, f"end what listens there, or --port {port + 1}"),
            errno.EACCES: ("this port is not allowed", "--port", port, "--port 8080"),
            errno.EADDRNOTAVAIL: ("this machine has no such address", "--host", host, "--host 127.0.0.1"),
        }
        if error.errno not in reasons:
            raise
        what, where, got, fix = reasons[error.errno]
        raise InputError(what, where=where, got=got, fix=fix) from None
    return listener


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
