"""The board: what it answers, to whom, and that its page follows the runs."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from legoloop import board as command
from legoloop.board import Board, main, opened
from legoloop.core.errors import ArgumentError
from legoloop.results.page import live as live_module
from legoloop.results.page.live import LiveRuns
from tests.results.page.shown_runs import shown_sweep


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """A board of nine runs that looks at its folder at each request."""
    monkeypatch.setattr(live_module, "MIN_SECONDS", 0.0)
    with Board(LiveRuns([shown_sweep(tmp_path / "sweep")]), port=0) as board:
        thread = threading.Thread(target=board.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield board
        board.shutdown()
        thread.join()


def answer(
    board: Board, path: str, method: str = "GET", host: str | None = None
) -> tuple[int, dict[str, str], str]:
    """Status, headers and text."""
    connection = http.client.HTTPConnection("127.0.0.1", board.server_port, timeout=20)
    headers = {"Host": f"127.0.0.1:{board.server_port}" if host is None else host}
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, dict(response.getheaders()), text


def changes(board: Board, since: int) -> dict[str, Any]:
    """What the board says has changed."""
    found: dict[str, Any] = json.loads(answer(board, f"/changes?since={since}")[2])
    return found


def test_the_page_may_ask_its_own_server_alone(served: Board) -> None:
    status, headers, page = answer(served, "/")
    assert status == 200
    assert "default-src 'none'" in page
    assert "connect-src 'self'" in page
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert not any(name.startswith("Access-Control") for name in headers)


def test_it_listens_on_this_machine_alone(served: Board) -> None:
    assert served.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("host", ["localhost:9000", "LOCALHOST", "127.0.0.1", "[::1]:8700"])
def test_a_tunnel_may_have_another_port(served: Board, host: str) -> None:
    assert answer(served, "/changes?since=0", host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.com",
        "evil.com:8700",
        "127.0.0.1.evil.com",
        "localhost.evil.com:80",
        "evil.com#127.0.0.1",
        "",
        "127.0.0.1:8700:1",
        "0.0.0.0",
    ],
)
def test_a_name_of_another_site_is_refused(served: Board, host: str) -> None:
    for path in ("/", "/changes?since=0"):
        status, _, text = answer(served, path, host=host)
        assert (status, "open this page as http://127.0.0.1" in text) == (403, True)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/../run.json", "/0/run.json", "/%2e%2e/", "http://[", "/changes/", "/.", "*"],
)
def test_no_file_is_served(served: Board, path: str) -> None:
    assert answer(served, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
def test_there_is_only_get(served: Board, method: str) -> None:
    assert answer(served, "/", method=method)[0] == 501


@pytest.mark.parametrize("query", ["", "since=x", "since=1&since=2", "since=" + "9" * 5000])
def test_a_wrong_question_is_one_sentence(served: Board, query: str) -> None:
    status, _, text = answer(served, f"/changes?{query}")
    assert (status, text) == (400, "write since=N, with a number\n")


def test_a_folder_that_went_away_is_said(served: Board) -> None:
    folder = served.live.folders[0]
    folder.rename(folder.with_name("gone"))
    status, _, text = answer(served, "/changes?since=0")
    assert (status, text) == (503, f"{folder}: there is no such folder\n")
    folder.with_name("gone").rename(folder)
    assert answer(served, "/")[0] == 200


def test_only_what_changed_is_sent(served: Board) -> None:
    version = changes(served, -1)["version"]
    assert changes(served, version) == {"version": version}
    directory = served.live.folders[0] / "3"
    text = (directory / "metrics.csv").read_text()
    (directory / "metrics.csv").write_text(text + "60,6,0.9,0.001\n")
    update = changes(served, version)
    assert [row[0] for row in update["changed"]] == ["3"]
    assert "rows" not in update
    assert "samples" not in update
    (part,) = update["parts"]
    assert part["runs"] == ["3"]
    assert part["curves"]["val/accuracy"]["points"] == [6]
    assert changes(served, update["version"]) == {"version": update["version"]}


def test_a_page_of_an_earlier_board_gets_everything(served: Board) -> None:
    version = changes(served, -1)["version"]
    update = changes(served, version - 50)
    assert len(update["rows"]) == len(update["parts"][0]["runs"]) == 9


def test_a_run_is_read_again_only_when_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = live_module.read_run

    def counted(directory: Path, name: str) -> Any:
        read.append(name)
        return real(directory, name)

    monkeypatch.setattr(live_module, "read_run", counted)
    live = LiveRuns([shown_sweep(tmp_path)])
    live.content(now=10.0)
    assert len(read) == 9
    live.changes(0, now=20.0)
    assert len(read) == 9
    record = tmp_path / "4" / "run.json"
    record.write_text(record.read_text().replace("COMPLETED", "INTERRUPTED"))
    live.changes(0, now=20.5)  # too early to look again
    assert len(read) == 9
    live.changes(0, now=30.0)
    assert read[9:] == ["4"]


def test_a_run_that_was_killed_is_noticed(tmp_path: Path) -> None:
    from legoloop.state.run_record import RunRecord

    live = LiveRuns([tmp_path])
    record = RunRecord.start(tmp_path / "0", seed=0, overrides=["seed=0"])
    content = live.content(now=10.0)
    assert content["rows"][0][1] == "RUNNING"
    record._lock.release()  # as the end of its process does
    assert live.changes(content["version"], now=20.0)["changed"][0][1] == "KILLED"


def test_a_folder_without_runs_is_an_empty_page(tmp_path: Path) -> None:
    live = LiveRuns([tmp_path])
    content = live.content(now=10.0)
    assert content["rows"] == []
    shown_sweep(tmp_path)
    update = live.changes(content["version"], now=20.0)
    assert len(update["rows"]) == 9


def test_predictions_are_read_again_only_when_one_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[int] = []
    real = live_module.samples_content
    monkeypatch.setattr(
        live_module, "samples_content", lambda runs: packed.append(len(runs)) or real(runs)
    )
    live = LiveRuns([shown_sweep(tmp_path)])
    version = live.content(now=10.0)["version"]
    os.utime(tmp_path / "3" / "metrics.csv", (1, 1))
    version = live.changes(version, now=20.0)["version"]
    assert packed == [9]
    os.utime(tmp_path / "3" / "predicts.csv", (1, 1))
    assert live.changes(version, now=30.0)["samples"]
    assert packed == [9, 9]


def test_wrong_arguments_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for arguments, message in (
            ([str(tmp_path / "gone")], "gone: there is no such folder"),
            ([str(tmp_path), "--port", str(port)], f"--port {port}: cannot be used"),
            ([str(tmp_path), "--port", "99999"], "--port 99999: cannot be used"),
        ):
            with pytest.raises(SystemExit) as ended:
                main(arguments)
            assert ended.value.code == 2
            printed = capsys.readouterr()
            assert re.fullmatch(rf"error: .*{re.escape(message)}.*\n", printed.err)


def test_without_a_port_the_next_free_one_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(LiveRuns([tmp_path]), port=0) as first:
        monkeypatch.setattr(command, "PORT", first.server_port)
        monkeypatch.setattr(command, "OTHER_PORTS", 50)
        with opened(LiveRuns([tmp_path]), port=None) as second:
            assert first.server_port < second.server_port <= first.server_port + 50
        monkeypatch.setattr(command, "OTHER_PORTS", 1)
        with pytest.raises(ArgumentError, match="give another"):
            opened(LiveRuns([tmp_path]), port=None)


def test_it_says_where_it_is_and_ends_with_ctrl_c(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(board: Board) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Board, "serve_forever", interrupted)
    main([str(tmp_path), "--port", "0"])
    first, second, *_ = capsys.readouterr().out.splitlines()
    (port,) = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/", first).groups()  # type: ignore[union-attr]
    assert second.startswith(f"elsewhere: ssh -L {port}:127.0.0.1:{port} ")
