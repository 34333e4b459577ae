"""The whole road of a WhatsApp message: a phone, the servers' stand-in, ``nanokimi run``, an agent, and back."""

from __future__ import annotations

import base64
import json
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from whatsapp_testbed import Friend, Received, User, WhatsAppServer

from faults.service import Service
from testbed.cloud import Cloud
from testbed.site import TESTS, Site, Terminal

pytestmark = pytest.mark.whatsapp

KEY = "sk-CANARY-of-the-api-key-0123456789abcdef"
SECONDS = 60
KILLS = 3
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Road:
    """A friend's phone at one end; at the other a site whose account was linked by the command itself.

    Attributes:
        server: Between the two.
        friend: Who writes.
        bot: The assistant's account.
        site: Where ``nanokimi run`` runs.
    """

    def __init__(self, server: WhatsAppServer, friend: Friend, bot: User, site: Site) -> None:
        self.server, self.friend, self.bot, self.site = server, friend, bot, site

    def write_toml(self, backend: str, *tables: str, chats: str = "") -> None:
        """Let everybody in, as fast as it goes: pace has tests of its own."""
        pace = "per_minute = 600\nper_minute_chat = 600\nburst = 20\nfirst_retry = 0.1"
        more = "\n".join(tables)
        self.site.toml(
            f'transports = ["whatsapp"]\nbackend = "{backend}"\nauth = "apikey"\n[limits]\nsend_attempts = 1000\n'
            f'[plugins.whatsapp]\n{pace}\n[chats."whatsapp:*"]\n{chats}\n{more}\n'
        )

    def instance(self) -> dict[str, Any]:
        """Give what ``nanokimi status`` says of the transport."""
        found = json.loads(self.site.run("status", "--json").stdout)
        [instance] = [each for each in found["instances"] if each["name"] == "whatsapp"]
        return dict(instance)

    def answers(self) -> list[Received]:
        """Give what the friend has got from the assistant."""
        return [event for event in self.friend.events if event.kind == "text" and event.sender == self.bot.chat]


def shown(terminal: Terminal, pattern: str) -> str:
    """Wait for a code in a terminal."""
    deadline = time.monotonic() + SECONDS
    while not (found := re.search(rf"{pattern}\r", terminal.seen)):
        assert time.monotonic() < deadline
        terminal.until("\n")
    return found[1]


def wait(look: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not look():
        assert time.monotonic() < deadline, f"it never came to be so: {what}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    """Link an account with the command, as its owner does."""
    memory = Path("/dev/shm")  # linking writes 800 keys to disk, one by one
    where = memory if os.access(memory, os.W_OK) else tmp_path_factory.mktemp("road")
    with TemporaryDirectory(prefix="nanokimi-", dir=where) as name, WhatsAppServer(Path(name) / "server") as server:
        folder = Path(name)
        environment = server.environment() | {"LINES": "10", "MOONSHOT_API_KEY": KEY}  # so few that codes come as text
        environment |= {name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ}
        packages = folder / "site" / "packages"
        packages.mkdir(parents=True)
        environment["PYTHONPATH"] = os.pathsep.join([environment["PYTHONPATH"], str(packages), str(TESTS)])
        site = Site(folder / "site", environment, measured=False)
        bot = server.user("15550000002", "200000000000002", "Kai")
        road = Road(
            server, Friend(server, server.user("15550000001", "100000000000001", "Ana"), folder / "ana"), bot, site
        )
        road.write_toml("echo")
        with site.terminal("whatsapp", "link", "--number", "bot") as terminal:
            bot.scan(shown(terminal, r"QR: (\S+)"))
            assert terminal.ended() == 0, terminal.seen
        with road.friend:
            yield road


def test_a_message_is_answered_on_the_other_phone_and_status_says_how_the_link_stands(road: Road) -> None:
    road.write_toml("echo")
    with closing(Service(road.site)) as service:
        service.start()
        service.until_said("whatsapp is connected")
        sent = road.friend.send_text(road.bot.chat, "**hello** 你好")
        assert road.friend.wait_for(lambda event: event.sender == road.bot.chat and event.text == "*hello* 你好")
        road.server.wait_for(lambda: any(sent in receipt.ids for receipt in road.bot.receipts("read")))
        assert road.instance()["connected"] is True

        group = road.server.group("120363000000000001", "Club", [road.friend.user, road.bot])
        road.friend.send_text(group.chat, "nobody is meant")
        asked = road.friend.send_text(group.chat, f"@{road.bot.lid} are you there?", mention=[road.bot.chat])
        answer = road.friend.wait_for(lambda event: event.chat == group.chat and event.kind == "text")
        assert "are you there?" in answer.text
        assert answer.quoted_id == asked

        road.server.trouble.reject_login(402, code=104, expire=3600)
        road.server.trouble.cut(road.bot)
        wait(lambda: "banned" in road.instance()["said"], "status tells of the ban")
        assert road.instance()["connected"] is False
        assert "banned until" in road.site.run("whatsapp", "reconnect").stderr
        road.server.trouble.accept_login()
        assert road.site.run("whatsapp", "reconnect", "--anyway").returncode == 0
        wait(lambda: road.bot.connected(), "the account is connected again")
        assert service.stop() == 0


def test_kill_9_under_traffic_starts_one_turn_for_each_message_and_answers_all(road: Road, tmp_path: Path) -> None:
    road.site.install("parrot", "faults.plugins.parrot")
    notes = tmp_path / "parroted"
    road.write_toml("parrot", f'[plugins.parrot]\nnotes = "{notes}"', chats='trigger = "always"')
    texts = [f"w{number}" for number in range(60)]
    # a group: in a direct chat, the library now and then uses a key twice when a message comes while one goes
    chat = road.server.group("120363000000000002", "Traffic", [road.friend.user, road.bot]).chat
    over = threading.Event()

    def write() -> None:
        for text in texts:
            road.friend.send_text(chat, text)
            over.wait(0.1)

    def answered() -> Counter[str]:
        return Counter(word for event in road.answers() for word in event.text.split() if word in texts)

    with closing(Service(road.site)) as service:
        writing = threading.Thread(target=write)
        service.start()
        service.until_said("whatsapp is connected")
        writing.start()
        for kill in range(1, KILLS + 1):
            wait(lambda kill=kill: len(answered()) >= 8 * kill, "answers come")  # type: ignore[misc]
            service.kill()
            service.start()
        over.set()
        writing.join(SECONDS)
        wait(lambda: len(answered()) == len(texts), f"all are answered but {set(texts) - set(answered())}")
        assert service.stop() == 0

    turns = Counter(json.loads(line)[2] for line in notes.read_text().splitlines())
    assert set(turns) == set(texts)
    assert turns.total() - len(texts) <= KILLS, "only what a kill has broken off is asked again"
    first = list(dict.fromkeys(word for event in road.answers() for word in event.text.split() if word in texts))
    assert first == texts
    counters = json.loads(road.site.run("status", "--json").stdout)["counters"]
    assert counters["dead"] == counters["owed"] == counters["undelivered"] == 0
    assert counters["accepted"] == counters["answered"] + counters["context"]
    again = answered().total() - len(texts)
    assert again <= KILLS, f"{again} answers came twice in {KILLS} kills"


@pytest.mark.engine
def test_the_agent_in_its_container_answers_and_sees_a_picture(road: Road, cloud: Cloud, kimi_image: str) -> None:
    cloud.add_key(KEY)
    road.write_toml(
        "kimi_docker",
        f'[plugins.kimi_docker]\nnetwork = "host"\nimage = "{kimi_image}"',
        f'[plugins.apikey]\nbase_url = "{cloud.base_url_platform}"',
    )
    with closing(Service(road.site)) as service:
        service.start()
        service.until_said("whatsapp is connected")
        road.friend.send_text(road.bot.chat, "my word is zebra")
        heard = road.friend.wait_for(lambda event: "zebra" in event.text and event.sender == road.bot.chat, SECONDS)
        assert "heard" in heard.text
        road.friend.send_image(road.bot.chat, PIXEL, "what do you see?", mime="image/png")
        road.friend.wait_for(lambda event: "what do you see" in event.text and event.sender == road.bot.chat, SECONDS)
        asked = cloud.completions()[-1].body["messages"]
        assert base64.b64encode(PIXEL).decode() in json.dumps(asked)
        assert service.stop() == 0
