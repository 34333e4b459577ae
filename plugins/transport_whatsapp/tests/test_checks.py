"""Lines for the doctor: what is seen, and the exact words that mend it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nanokimi_core import Check
from nanokimi_transport_whatsapp import nanokimi_transports
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.settings import Settings
from nanokimi_transport_whatsapp.standing import AccountNote, Standing, write_note, write_standing
from nanokimi_transport_whatsapp.terminal.checks import account_checks, check
from nanokimi_transport_whatsapp.values import Who
from testbed.context import PluginContext

NOTE = AccountNote(
    number="own",
    me=Who(id="100@lid", alias="15550000001@s.whatsapp.net", name="Ann"),
    linked_at=datetime(2020, 5, 1, tzinfo=UTC),
)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def checked(places: Places, **table: Any) -> dict[str, Check]:
    """Give the doctor's lines of an account by what they are about."""
    lines = account_checks(Settings(**table), PluginContext(places.folder, "work"))
    assert all(line.name.startswith("work: ") for line in lines)
    assert all(line.remedy for line in lines if line.outcome != "ok")
    return {line.name.removeprefix("work: "): line for line in lines}


def stands(places: Places, state: str, **more: Any) -> None:
    write_standing(places, Standing(state=state, since=NOTE.linked_at, **more))


def test_what_is_not_linked_fails_with_the_command_that_links_it(places: Places) -> None:
    lines = checked(places)
    assert (lines["account"].outcome, lines["account"].remedy) == ("failed", "nanokimi work link")
    assert lines["folder"].outcome == "ok"
    assert "login" not in lines


def test_a_linked_account_whose_login_is_private_is_well(places: Places) -> None:
    write_note(places, NOTE)
    places.session.parent.mkdir(mode=0o700)
    places.session.touch(0o600)
    lines = checked(places)
    assert (lines["account"].outcome, lines["account"].cause) == ("ok", "Ann (+15550000001), the owner's own number")
    assert lines["login"].outcome == "ok"


def test_a_login_that_others_can_read_fails_with_the_commands_that_mend_it(places: Places) -> None:
    places.session.parent.mkdir(mode=0o750)
    places.session.touch(0o640)
    line = checked(places)["login"]
    assert line.outcome == "failed"
    subprocess.run(line.remedy, shell=True, check=True)  # noqa: S602  # it is what a person would type
    assert checked(places)["login"].outcome == "ok"


@pytest.mark.parametrize(
    ("state", "cause", "remedy"),
    [
        ("logged_out", "the phone has unlinked this device", "nanokimi work link"),
        ("banned", "WhatsApp has banned this account until 2020-05-01", "it is tried again then"),
        ("outdated", "WhatsApp takes this version no longer", "pip install -U"),
        ("refused", "WhatsApp refuses the connection: 400", "nanokimi work reconnect"),
    ],
)
def test_what_has_ended_for_good_fails_with_what_to_do(places: Places, state: str, cause: str, remedy: str) -> None:
    write_note(places, NOTE)
    stands(places, state, said="400" if state == "refused" else "", until=NOTE.linked_at if state == "banned" else None)
    line = checked(places)["account"]
    assert line.outcome == "failed"
    assert line.cause.startswith(cause)
    assert remedy in line.remedy


def test_a_table_that_silences_the_owners_phone_is_warned_of(places: Places) -> None:
    table: dict[str, Any] = {"presence": "available", "read_receipts": True}
    lines = checked(places, number="own", **table)
    assert {lines["presence"].outcome, lines["read receipts"].outcome} == {"warning"}
    assert not {"presence", "read receipts"} & set(checked(places, number="bot", **table))


@pytest.mark.parametrize(("command", "missing"), [("no-such-program", True), (sys.executable, False)])
def test_a_transcriber_that_is_not_there_is_warned_of(places: Places, command: str, missing: bool) -> None:
    lines = checked(places, transcribe=[command, "{file}"])
    assert ("transcribe" in lines) is missing


def test_a_folder_that_cannot_be_written_fails(places: Places) -> None:
    line = (checked(Places(places.folder / "gone")))["folder"]
    assert line.outcome == "failed"
    assert line.remedy.endswith(f"chmod 700 {places.folder / 'gone'}")


async def library(places: Places) -> Check:
    return (await check(Settings(), PluginContext(places.folder, "work")))[0]


@pytest.mark.whatsapp
@pytest.mark.anyio
async def test_a_library_that_can_be_loaded_is_well(places: Places) -> None:
    assert (await library(places)).outcome == "ok"


@pytest.mark.anyio
async def test_a_library_that_ends_its_process_fails_with_what_to_do(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "path" / "neonize"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import os\nos.write(2, b'SIGABRT: abort\\n')\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    line = await library(places)
    assert line.outcome == "failed"
    assert "pip install" in line.remedy or "apt install" in line.remedy
    if "ends its process" in line.cause:  # where the real one is whole
        assert "SIGABRT: abort" in line.cause


def test_the_doctor_gets_these_lines() -> None:
    (spec,) = nanokimi_transports()
    assert spec.check is check
