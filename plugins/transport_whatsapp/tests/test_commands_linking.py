"""Following a link to its end, with a child that says what a test has written down for it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from nanokimi_core import CommandError
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.settings import Settings
from nanokimi_transport_whatsapp.supervision import ChildProcess
from nanokimi_transport_whatsapp.terminal.linking import ROUNDS, Linking, log_out
from nanokimi_transport_whatsapp.values import Answer, Link, Value, Who

pytestmark = pytest.mark.anyio

# Plays one list of the script after another, one for each process, the last one for all that come later.
CHILD = """
import json, os, sys
folder = json.loads(sys.stdin.readline())["folder"]
runs = json.load(open(os.path.join(folder, "script.json")))
with open(os.path.join(folder, "starts"), "a+") as file:
    file.write("x")
    file.seek(0)
    number = len(file.read()) - 1
for step in runs[min(number, len(runs) - 1)]:
    if "exit" in step:
        sys.exit(step["exit"])
    if "answers" in step:
        asked = json.loads(sys.stdin.readline())
        with open(os.path.join(folder, "asked"), "a") as file:
            file.write(json.dumps(asked) + chr(10))
        step = step["answers"] | {"request": asked["request"]}
    print(json.dumps(step), flush=True)
sys.stdin.read()
"""

ANN = Who(id="100@lid", alias="15550000001@s.whatsapp.net")
CODES = [Link(state="code", said=f"https://wa.me/#{n}", seconds=60 if n == 1 else 20) for n in (1, 2)]
PAIRED = Link(state="paired", me=ANN)
CONNECTED = Link(state="connected", me=ANN.model_copy(update={"name": "Ann"}))
SETTLED = Link(state="offline_done")
ENDED = Link(state="ended", said="no such host")
Step = Value | dict[str, Any]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Shown:
    """A screen that remembers."""

    def __init__(self) -> None:
        self.codes: list[str] = []
        self.said: list[str] = []

    def code(self, text: str, seconds: float) -> None:
        self.codes.append(f"{text} {seconds:.0f}")

    def typed(self, code: str) -> None:
        self.codes.append(code)

    def say(self, text: str) -> None:
        self.said.append(text)


class Play:
    """A link that goes by a script: a list of steps for each child that is started."""

    def __init__(self, folder: Path, *runs: list[Step], phone: str = "", patience: float = 20) -> None:
        self.folder = folder
        written = [[step.model_dump() if isinstance(step, Value) else step for step in run] for run in runs]
        (folder / "script.json").write_text(json.dumps(written))
        self.screen = Shown()
        self.linking = Linking(
            self.start, self.screen, name="work", phone=phone, connect_seconds=20, paired_seconds=patience
        )

    def start(self) -> ChildProcess:
        return ChildProcess(Settings(), Places(self.folder), command=[sys.executable, "-S", "-E", "-c", CHILD])

    @property
    def starts(self) -> int:
        return len((self.folder / "starts").read_text())

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "asked").read_text().splitlines()]

    async def fails(self) -> str:
        with pytest.raises(CommandError) as failed:
            await self.linking.run()
        return str(failed.value)


async def test_each_code_is_shown_and_the_account_that_a_phone_gives_is_known(tmp_path: Path) -> None:
    play = Play(tmp_path, [*CODES, PAIRED, CONNECTED, SETTLED])
    assert await play.linking.run() == Who(id=ANN.id, alias=ANN.alias, name="Ann")
    assert play.screen.codes == ["https://wa.me/#1 60", "https://wa.me/#2 20"]
    assert play.starts == 1


async def test_a_disk_without_room_is_said_and_waited_for(tmp_path: Path) -> None:
    play = Play(tmp_path, [Link(state="disk", said="only 3 MB are free"), *CODES, PAIRED, CONNECTED, SETTLED])
    await play.linking.run()
    assert play.screen.said[0] == "It waits for the disk: only 3 MB are free"
    assert play.starts == 1


async def test_a_link_that_was_not_finished_is_finished_without_a_code(tmp_path: Path) -> None:
    play = Play(tmp_path, [CONNECTED, SETTLED])
    assert (await play.linking.run()).name == "Ann"
    assert play.screen.codes == []


async def test_a_code_to_type_is_asked_for_once_in_each_round(tmp_path: Path) -> None:
    pair = [{"answers": Answer(request=0, names=(code,)).model_dump()} for code in ("ABCD-EFGH", "JKLM-NPQR")]
    over = Link(state="codes_over")
    first: list[Step] = [CODES[0], pair[0], CODES[1], over]
    play = Play(tmp_path, first, [CODES[0], pair[1], PAIRED, CONNECTED, SETTLED], phone="15550000001")
    await play.linking.run()
    assert play.screen.codes == ["ABCD-EFGH", "JKLM-NPQR"]
    assert [words.split()[0] for words in play.screen.said] == ["All", "The"]  # run out; the phone has accepted
    assert [(asked["kind"], asked["phone"]) for asked in play.asked] == [("pair", "15550000001")] * 2


async def test_a_number_that_gets_no_code_is_named_with_the_reason(tmp_path: Path) -> None:
    refused = {"answers": Answer(request=0, error="refused", said="rate-overlimit").model_dump()}
    said = await Play(tmp_path, [CODES[0], refused], phone="15550000001").fails()
    assert "+15550000001: rate-overlimit" in said


async def test_codes_that_run_out_are_begun_anew_so_often_and_then_given_up(tmp_path: Path) -> None:
    play = Play(tmp_path, [*CODES, Link(state="codes_over")])
    said = await play.fails()
    assert "no phone has taken a code" in said
    assert said.endswith("then: nanokimi work link")
    assert play.starts == ROUNDS
    assert len(play.screen.codes) == ROUNDS * len(CODES)


async def test_what_was_paired_and_never_connected_is_begun_anew_once(tmp_path: Path) -> None:
    named = Link(state="paired", me=ANN.model_copy(update={"name": "Ann"}))
    play = Play(tmp_path, [CODES[0], named], [Link(state="connected", me=Who(id=ANN.id)), SETTLED], patience=0.2)
    assert await play.linking.run() == Who(id=ANN.id, alias=ANN.alias, name="Ann")
    assert play.starts == 2


@pytest.mark.parametrize("after", [[], [ENDED], [{"exit": 1}]], ids=["silent", "ended", "exit"])
async def test_what_is_paired_and_never_connects_is_said_and_stays_known(tmp_path: Path, after: list[Step]) -> None:
    play = Play(tmp_path, [PAIRED, *after], patience=0.2)
    assert "work is not linked" in await play.fails()
    assert play.starts == 2
    assert play.linking.paired is not None


async def test_the_rest_of_a_link_that_the_phone_has_removed_is_begun_anew(tmp_path: Path) -> None:
    play = Play(tmp_path, [Link(state="logged_out")], [CODES[0], PAIRED, CONNECTED, SETTLED])
    assert (await play.linking.run()).name == "Ann"


async def test_a_half_link_whose_session_is_gone_counts_for_nothing(tmp_path: Path) -> None:
    play = Play(tmp_path, [PAIRED, ENDED], [CODES[0], Link(state="passkey")])
    await play.fails()
    assert play.linking.paired is None


@pytest.mark.parametrize(
    ("link", "words"),
    [
        (Link(state="passkey"), "asks this account for a passkey"),
        (Link(state="banned", seconds=3600, code=104), "locked this account out until 20"),
        (Link(state="outdated", code=405), "pip install -U neonize"),
        (Link(state="refused", code=400, said="bad \x1b[31mrequest"), "(code 400): bad [31mrequest"),
        (Link(state="full"), "let nanokimi run deliver them"),
        (ENDED, "came to nothing: no such host"),
    ],
    ids=lambda value: value.state if isinstance(value, Link) else "",
)
async def test_what_nobody_can_go_on_from_is_said_with_what_to_do(tmp_path: Path, link: Link, words: str) -> None:
    play = Play(tmp_path, [link])
    said = await play.fails()
    assert said.startswith("work is not linked: ")
    assert words in said
    assert play.starts == 1


async def test_a_childs_end_is_told_from_a_network_that_is_silent(tmp_path: Path) -> None:
    said = await Play(tmp_path, [{"exit": 3}]).fails()
    assert "exit code 3" in said
    assert "child.log" in said


# --------------------------------------------------------------------- logging out
OUT = {"answers": Answer(request=0).model_dump()}


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ([CONNECTED, OUT], ""),
        ([CODES[0]], ""),
        ([Link(state="logged_out")], ""),
        ([CONNECTED, {"answers": Answer(request=0, error="failed", said="not now").model_dump()}], "not now"),
        ([ENDED], "no such host"),
        ([Link(state="banned")], "banned"),
        ([{"exit": 1}], "its process has ended"),
    ],
)
async def test_it_is_known_whether_the_server_was_told_of_the_logout(
    tmp_path: Path, script: list[Step], why: str
) -> None:
    assert await log_out(Play(tmp_path, script).start, seconds=20) == why


async def test_a_logout_does_not_wait_for_ever(tmp_path: Path) -> None:
    assert await log_out(Play(tmp_path, [Link(state="disconnected")]).start, seconds=0.2) == "no answer within 0.2 s"
