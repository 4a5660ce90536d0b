"""Where what is served listens: the option, the socket, and the address that is told."""

from __future__ import annotations

import errno
import socket
from typing import Any

from vlm_tsc.errors import InputError
from vlm_tsc.options import option


def host_option(group: str, may: str) -> Any:
    """`--host`: this machine alone, unless others `may` ask, look, …; there is no password."""
    description = f"Address to listen on; 0.0.0.0 lets other machines {may}, without a password."
    return option(group, "127.0.0.1", description, metavar="HOST")


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


def url_of(listener: socket.socket) -> str:
    """The address that a browser takes, without a path."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
