"""Who may talk to the explorer: pages of its own, by the name that it was bound to.

It runs a model and reads files for whoever asks, and a browser asks for any page that it shows. So three things are
checked: the Host header (a name that somebody pointed at this machine is refused: DNS rebinding), where a request that
runs the model comes from (Origin, and a token that only our pages hold: cross-site request forgery), and what our
pages may load (a content security policy: labels and generated texts are anybody's).
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_HEADER = "x-explorer-token"
_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def host_is_ours(header: str, host: str, port: int) -> bool:
    """Whether a Host header names the address that the explorer listens on.

    Parameters
    ----------
    header : str
        Such as "127.0.0.1:8000" or "[::1]:8000".
    host, port : str, int
        Bound address. Where it is every address of the machine, any address is right, but of names only the machine's.
    """
    name, given = _name_and_port(header)
    if given != port:
        return False
    if name == host.lower():
        return True
    bound, asked = _address(host), _address(name)
    if bound is not None and bound.is_unspecified:
        return asked is not None or name in ("localhost", socket.gethostname().lower(), socket.getfqdn().lower())
    if host == "localhost" or (bound is not None and bound.is_loopback):
        return name == "localhost" or (asked is not None and asked.is_loopback)
    return False


def _name_and_port(header: str) -> tuple[str, int | None]:
    name, _, port = header.rpartition(":") if not header.endswith("]") else (header, "", "80")
    if not name:
        name, port = header, "80"
    return name.strip("[]").lower(), int(port) if port.isascii() and port.isdigit() and len(port) < 6 else None


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


class Guard:
    """Middleware around the pages."""

    def __init__(self, app: ASGIApp, host: str, port: int, token: str):
        self._app, self._host, self._port, self._token = app, host, port, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._refusal(scope["method"], Headers(scope=scope))
        if refused:
            await PlainTextResponse(refused + "\n", 403, _HEADERS)(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, send_guarded)

    def _refusal(self, method: str, headers: Any) -> str:
        """Why a request is refused; "" when it is not."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not host_is_ours(hosts[0], self._host, self._port):
            return "refused: this is not the address that the explorer was started with"
        if method in ("GET", "HEAD"):
            return ""
        if headers.get("origin", f"http://{hosts[0]}") != f"http://{hosts[0]}":
            return "refused: the request comes from another page"
        given = headers.get(TOKEN_HEADER, "")
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            return "refused: this page is of an earlier start of the explorer, or of somebody else; load it again"
        return ""
