"""The command: ``python -m legoloop.board [DIR]``: the page of runs, live while they go on."""

from __future__ import annotations

import argparse
import json
import re
import socket
import sys
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from legoloop.core.errors import ArgumentError, UserError
from legoloop.results.page.document import document
from legoloop.results.page.live import LiveRuns

HOST = "127.0.0.1"
PORT = 8700
OTHER_PORTS = 20
"""So many further ones are tried, unless the user names one."""

OWN_NAMES = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)
"""What a browser on this machine, or at the other end of a tunnel, calls the server.

A name of another site that was made to lead here (DNS rebinding) is refused.
"""


SINCE = re.compile(r"since=(-?\d{1,15})")


class Board(ThreadingHTTPServer):
    """Serves the page of some runs to browsers on this machine alone; it writes nothing.

    Args:
        live: the runs.
        port: the port; 0: any that is free.

    Raises:
        OSError: if the port is taken.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, live: LiveRuns, port: int) -> None:
        self.live = live
        super().__init__((HOST, port), Answer)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/"


class Answer(BaseHTTPRequestHandler):
    """Answers ``GET /`` with the page and ``GET /changes?since=N`` with what changed since."""

    server: Board
    protocol_version = "HTTP/1.1"
    server_version = "legoloop"
    sys_version = ""
    timeout = 60

    def do_GET(self) -> None:
        """Answer; anything but these two is not there."""
        if not OWN_NAMES.fullmatch(self.headers.get("Host", "")):
            self._refuse(HTTPStatus.FORBIDDEN, f"open this page as {self.server.url}")
            return
        path, _, query = self.path.partition("?")
        try:
            if path == "/":
                self._send("text/html", document(self.server.live.content(), connects=True))
            elif path == "/changes":
                self._send_changes(query)
            else:
                self._refuse(HTTPStatus.NOT_FOUND, "there is only /")
        except UserError as error:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, str(error))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request."""

    def _send_changes(self, query: str) -> None:
        since = SINCE.fullmatch(query)
        if since is None:
            self._refuse(HTTPStatus.BAD_REQUEST, "write since=N, with a number")
            return
        changes = self.server.live.changes(int(since[1]))
        self._send("application/json", json.dumps(changes, separators=(",", ":")))

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True
        self._send("text/plain", f"{why}\n", status)

    def _send(self, kind: str, text: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()
        self.wfile.write(body)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the page until Ctrl-C; the exit status is 2 for a wrong argument."""
    asked = _parser().parse_args(arguments)
    try:
        board = opened(LiveRuns([Path(folder) for folder in asked.folders]), asked.port)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"{board.url}\nelsewhere: {_tunnel(board.server_port)}\nCtrl-C ends it", flush=True)
    with board:
        try:
            board.serve_forever()
        except KeyboardInterrupt:
            print()


def opened(live: LiveRuns, port: int | None) -> Board:
    """The board on this port; without one on the first that is free from 8700 on.

    Raises ArgumentError if there is none.
    """
    tried = range(PORT, PORT + OTHER_PORTS) if port is None else [port]
    for each in tried:
        try:
            return Board(live, each)
        except (OSError, OverflowError) as error:
            cause = getattr(error, "strerror", None) or error
    raise ArgumentError(f"--port {tried[-1]}: cannot be used ({cause}); give another")


def _tunnel(port: int) -> str:
    """The command that brings the page to another machine."""
    return f"ssh -L {port}:{HOST}:{port} {socket.gethostname()}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="legoloop-board",
        description="Show runs on a page, live while they go on, to this machine alone.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "folders",
        nargs="+",
        metavar="DIR",
        help="a run directory, or a folder with run directories inside, now or later",
    )
    parser.add_argument("--port", type=int, metavar="N", help=f"by default {PORT}, or the next")
    return parser


if __name__ == "__main__":
    main()
