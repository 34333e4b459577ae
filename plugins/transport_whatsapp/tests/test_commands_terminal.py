"""What the commands say and how they exit, where nothing has to be connected for that."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nanokimi_core import CommandError
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.settings import Settings
from nanokimi_transport_whatsapp.standing import AccountNote, Standing, named_process, write_note, write_standing
from nanokimi_transport_whatsapp.terminal.commands import app
from nanokimi_transport_whatsapp.terminal.holding import session_held
from nanokimi_transport_whatsapp.values import Who
from testbed.context import PluginContext

NOON = datetime(2020, 5, 1, 12, tzinfo=UTC)
RUNS = {"process": named_process(os.getpid())}
NOTE = AccountNote(number="own", me=Who(id="100@lid", alias="15550000001@s.whatsapp.net", name="Ann"), linked_at=NOON)


@dataclass
class Given:
    """What the core gives to a plugin's commands."""

    config: Settings
    context: PluginContext


@dataclass
class Said:
    code: int
    out: str
    error: str


Call = Callable[..., Said]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


@pytest.fixture
def call(places: Places) -> Call:
    def call(*arguments: str, **table: Any) -> Said:
        given = Given(Settings(**table), PluginContext(places.folder, "work"))
        result = CliRunner().invoke(app, list(arguments), obj=given)
        error = result.exception
        assert error is None or isinstance(error, SystemExit | CommandError), error
        code = error.exit_code if isinstance(error, CommandError) else result.exit_code
        return Said(code, result.stdout, str(error) if isinstance(error, CommandError) else result.stderr)

    return call


@contextmanager
def locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def stands(places: Places, state: str, **more: Any) -> None:
    write_standing(places, Standing(state=state, since=NOON, **more))


# --------------------------------------------------------------------- link
@pytest.mark.parametrize(
    ("arguments", "table", "words", "code"),
    [
        ([], {}, "nobody is there to say whose number it is; add --number own or --number bot", 1),
        (["--number", "hers"], {}, '"own" (yours) or "bot"', 2),
        (["--number", "own"], {"number": "bot"}, '[plugins.work] says number = "bot", and --number "own"', 2),
        (["--number", "own", "--phone", "0151 23"], {}, '"0151 23" is no phone number', 1),
        (["--number", "own", "--phone", "+15550000001", "--png", "x"], {}, "leave out one of them", 2),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_started(
    call: Call, places: Places, arguments: list[str], table: dict[str, Any], words: str, code: int
) -> None:
    said = call("link", *arguments, **table)
    assert (said.code, words in said.error) == (code, True), said
    assert list(places.folder.iterdir()) == []


def test_a_linked_account_is_named_with_the_way_to_unlink_it(call: Call, places: Places) -> None:
    write_note(places, NOTE)
    with locked(places.command_lock):  # it doesn't ask for the session, which a running transport would have to give up
        said = call("link", "--number", "own")
    assert said.code == 1
    assert said.error == (
        "work is linked already: Ann (+15550000001), since 2020-05-01; "
        "to link another account, first: nanokimi work unlink"
    )


def test_two_commands_are_not_at_work_at_once(call: Call, places: Places) -> None:
    with locked(places.command_lock):
        assert "another nanokimi work command is at work" in call("link", "--number", "own").error


def test_the_transports_look_at_the_lock_does_not_count_as_another_command(places: Places) -> None:
    looking = os.open(places.command_lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(looking, fcntl.LOCK_SH)
    over = threading.Timer(0.1, os.close, [looking])
    over.start()
    with session_held(places, "work") as held:
        assert not held.by_transport()
    over.join()


# --------------------------------------------------------------------- unlink
def test_what_is_not_linked_is_not_unlinked(call: Call) -> None:
    assert call("unlink", "--yes").error == "work is not linked; to link it: nanokimi work link"


def test_nothing_is_unlinked_unless_somebody_agrees(call: Call, places: Places) -> None:
    write_note(places, NOTE)
    assert call("unlink").error == "nobody is there to agree to unlink work; add --yes"
    assert places.account.exists()


def test_a_note_without_a_login_is_removed_without_asking_the_server(call: Call, places: Places) -> None:
    write_note(places, NOTE)
    stands(places, "logged_out")
    said = call("unlink", "--yes")
    assert said.out == "work is no longer linked (Ann (+15550000001)); its login is removed from this machine.\n"
    assert not places.account.exists()
    assert not places.standing.exists()


# --------------------------------------------------------------------- reconnect
def test_what_a_transport_noticed_long_ago_counts_for_nothing(places: Places) -> None:
    stands(places, "held")
    with session_held(places, "work") as held:
        assert not held.by_transport(0.2)


def test_a_transport_that_notices_the_command_is_said_to_connect_anew(call: Call, places: Places) -> None:
    write_note(places, NOTE)
    write_standing(places, Standing(state="held", since=datetime.now(UTC) + timedelta(seconds=60)))
    assert "The running nanokimi connects work anew" in call("reconnect").out


def test_what_is_not_linked_is_not_connected_anew(call: Call) -> None:
    assert call("reconnect").error == "work is not linked; to link it: nanokimi work link"


def test_before_a_bans_end_nobody_connects_unless_they_insist(call: Call, places: Places) -> None:
    write_note(places, NOTE)
    stands(places, "banned", until=datetime.now(UTC) + timedelta(hours=1))
    with locked(places.command_lock):  # who asks for the session reads that another command is at work
        for command in (["reconnect"], ["unlink", "--yes"]):
            said = call(*command)
            assert (said.code, said.error.startswith("work is banned until 20")) == (1, True)
        assert "another nanokimi work command" in call("reconnect", "--anyway").error
        stands(places, "banned", until=datetime.now(UTC) - timedelta(seconds=1))
        assert "another nanokimi work command" in call("reconnect").error


def test_a_login_that_is_removed_during_a_ban_is_not_connected_for_that(call: Call, places: Places) -> None:
    write_note(places, NOTE)
    stands(places, "banned", until=datetime.now(UTC) + timedelta(hours=1))
    places.session.parent.mkdir()
    places.session.touch()
    said = call("unlink", "--yes", "--force")
    assert "WhatsApp could not be told (work is banned until 20" in said.out
    assert not places.account.exists()
    assert not places.session.exists()
    assert not places.log.exists()  # which a child would have begun


# --------------------------------------------------------------------- status
@pytest.mark.parametrize(
    ("state", "in_use", "more", "words", "code"),
    [
        ("connected", True, {}, "connected, since 2020-05-01", 0),
        ("away", True, {}, "has lost the connection", 1),
        ("waiting", False, {}, "nothing is connected now; start it with: nanokimi run; last seen: waiting", 0),
        ("connected", False, {}, "nothing is connected now", 0),
        ("waiting", False, RUNS | {"said": "no host"}, "waits to connect again: no host", 1),
        ("connected", False, RUNS, "state: waiting", 1),
        ("waiting", False, {"process": f"{os.getpid()}/1"}, "nothing is connected now", 0),
        ("waiting", False, {"process": "0/1"}, "nothing is connected now", 0),
        ("replaced", False, {}, "stop it, then: nanokimi work reconnect", 1),
        ("banned", False, {"until": NOON + timedelta(days=1)}, "until: 2020-05-02", 1),
        ("outdated", True, {}, "pip install -U", 1),
        ("connected", True, {"spooled": 7}, "waiting to be taken: 7", 0),
        ("connected", True, {"resent": 2, "held": 3}, "sent again, perhaps seen twice: 2", 0),
    ],
)
def test_the_status_says_how_it_stands_and_what_to_do(
    call: Call, places: Places, state: str, in_use: bool, more: dict[str, Any], words: str, code: int
) -> None:
    write_note(places, NOTE)
    stands(places, state, **more)
    places.child_lock.touch()
    with locked(places.child_lock if in_use else places.folder / "other"):
        said = call("status")
    assert "account: Ann (+15550000001), your own number" in said.out
    assert words in said.out
    assert said.code == code


def test_the_status_says_nothing_twice(call: Call, places: Places) -> None:
    write_note(places, NOTE)
    stands(places, "connecting", **RUNS)
    said = call("status")
    assert said.out.splitlines()[-1] == f"state: connecting, since {NOON.astimezone():%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (None, "not linked; link it with: nanokimi work link"),
        ("", "not linked; link it with: nanokimi work link"),
        ("CREATE TABLE whatsmeow_device (jid TEXT)", "not linked; link it with: nanokimi work link"),
        ("CREATE TABLE whatsmeow_device AS SELECT '1555:3@s.whatsapp.net' AS jid", "that was not finished"),
    ],
    ids=["nothing", "an empty file", "nobody scanned", "accepted"],
)
def test_what_is_not_linked_says_so_and_exits_with_1(call: Call, places: Places, left: str | None, words: str) -> None:
    if left is not None:
        places.session.parent.mkdir()
        with closing(sqlite3.connect(places.session)) as database:
            database.execute(left or "VACUUM")
    said = call("status")
    assert (said.code, words in said.out) == (1, True)


def test_the_toml_says_whose_number_it_is_before_the_note_does(call: Call, places: Places) -> None:
    write_note(places, NOTE)
    assert "the assistant's number" in call("status", number="bot").out


def test_the_status_for_programs_has_all_of_it(call: Call, places: Places) -> None:
    write_note(places, NOTE)
    stands(places, "banned", until=NOON, spooled=1, held=2, resent=3)
    said = call("status", "--json")
    assert said.code == 1
    assert json.loads(said.out) == {
        "instance": "work",
        "state": "banned",
        "connected": False,
        "in_use": False,
        "process": None,
        "account": {"name": "Ann", "phone": "+15550000001", "id": "100@lid"},
        "number": "own",
        "linked_at": NOON.isoformat(),
        "since": NOON.isoformat(),
        "until": NOON.isoformat(),
        "said": "WhatsApp has banned this account until 2020-05-01 12:00; it is tried again then",
        "spooled": 1,
        "held": 2,
        "resent": 3,
    }
