"""``nanokimi auth login``, with a club's server that shows codes."""

from __future__ import annotations

import json
import re
import signal
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from cli.service import service
from cli.test_reference import documented
from kit.auths_server import ClubServer
from nanokimi_core import Failure
from nanokimi_core.conversation.catalogue import away, phrase
from testbed.site import Call, Site, Terminal

TABLE = '[plugins.club]\nport = {port}\nword = "word-canary-0123456789"\n'

# A backend that says which model its account pays for.
PAYER = """
import os
from contextlib import asynccontextmanager
from pathlib import PurePosixPath
from nanokimi_core import Need, Spec, Text, hookimpl

NEED = Need("kimi-code", PurePosixPath("/home/node/.kimi-code"), (os.geteuid(), os.getegid()))

class Paid:
    def __init__(self, model):
        self.model = model
    async def prompt(self, turn):
        yield Text(f"paid for {self.model}")
    async def cancel(self):
        pass

class Payer:
    def __init__(self, config, context):
        pass
    @asynccontextmanager
    async def session(self, chat):
        yield Paid((await chat.auth.grant(NEED)).model)
    async def forget(self, chat):
        pass

@hookimpl
def nanokimi_backends():
    return [Spec("payer", Payer)]
"""

# Auth plugins whose login has a fault.
FAULTY = """
import datetime
import anyio
from nanokimi_core import AuthStatus, LoginNeeded, ShowCode, Spec, hookimpl

SOON = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)

class Faulty:
    def __init__(self, config, context):
        pass
    async def grant(self, need):
        raise LoginNeeded("log in with: nanokimi auth login")
    async def rejected(self, grant, why):
        pass
    async def status(self):
        return AuthStatus("login_needed", remedy="nanokimi auth login")
    async def login(self):
        {login}
        yield ShowCode("https://club.example", "AB-12", SOON)

@hookimpl
def nanokimi_auths():
    return [Spec("{name}", Faulty)]
"""


def faulty(site: Site, name: str, login: str) -> None:
    """Install an auth plugin with this login, and choose it; each name can be had once in a process."""
    site.write(name, FAULTY.replace("{name}", name).replace("{login}", login))
    site.toml(f'auth = "{name}"\n')


@dataclass
class Members:
    """The club's server, in a thread, and the people who enter codes."""

    site: Site
    server: ClubServer
    portal: BlockingPortal

    def answer(self, shown: str, answer: str) -> None:
        """Enter the code that a terminal shows."""
        found = re.search(r"^\s+([0-9a-f]{8})\s*$", shown, flags=re.MULTILINE)
        assert found is not None, shown
        self.portal.call(self.server.decide, found[1], answer)

    @property
    def stored(self) -> str:
        """What the instance has stored, which only its owner may read."""
        path = self.site.data / "plugins" / "club" / "member.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        return path.read_text()


@pytest.fixture
def members(site: Site) -> Iterator[Members]:
    server = ClubServer()
    site.install("club", "kit.auths_club")
    with start_blocking_portal() as portal:
        serving, _ = portal.start_task(server.serve)
        site.toml(f'auth = "club"\n{TABLE.format(port=server.port)}')
        yield Members(site, server, portal)
        serving.cancel()


def shown(terminal: Terminal) -> str:
    return terminal.until("gives it up.")


def test_a_login_shows_page_code_and_end_and_is_stored_when_it_was_confirmed(members: Members, site: Site) -> None:
    with site.terminal("auth", "login") as terminal:
        text = shown(terminal)
        members.answer(text, "confirmed")
        assert terminal.ended() == 0
    assert "https://club.example/enter" in text
    assert re.search(r"counts until \d\d:\d\d:\d\d \(10 minutes\)", text)
    tail = members.server.handed_out[0][-4:]
    assert f"The login of …{tail} is stored for club." in terminal.seen
    assert members.server.handed_out[0] in members.stored
    assert members.server.handed_out[0] not in terminal.seen


def test_without_a_terminal_it_prints_the_same_and_nothing_on_standard_error(members: Members, site: Site) -> None:
    with site.start("auth", "login", "club") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        text = "".join(iter(process.stdout.readline, "\n")) + "".join(iter(process.stdout.readline, "\n"))
        members.answer(text, "confirmed")
        rest = process.stdout.read()
        assert (process.wait(), process.stderr.read()) == (0, "")
    assert "Open this page in a browser, on any machine, and enter the code:\n" in text
    assert "is stored for club.\n" in rest


def test_a_running_process_uses_the_login_from_the_next_message_on_and_says_for_how_many_chats(
    members: Members, site: Site, call: Call
) -> None:
    site.write("payer", PAYER)
    site.ours("desk")
    desk = f'[plugins.desk]\nout = "{site.home / "out"}"\nsay = []\n'
    top = 'transports = ["desk"]\nbackend = "payer"\nauth = "club"\n'
    site.toml(top + desk + TABLE.format(port=members.server.port))
    with service(site):
        before = site.run("chat", "--once", "hello")
        assert before.returncode == 1
        assert "paid for" not in before.stdout
        with site.terminal("auth", "login") as terminal:
            members.answer(shown(terminal), "confirmed")
            assert terminal.ended() == 0
        after = site.run("chat", "--once", "hello")
        told, listed = call("auth", "status"), json.loads(call("auth", "status", "--json").out)
        whole = json.loads(call("status", "--json").out)
    assert (after.returncode, after.stdout) == (0, "paid for club-1\n")
    assert "\n  now: 1 chat of the running process, new turns use it\n" in told.out
    assert listed["accounts"][0]["live"] == {"serves": True, "chats": 1, "down": "", "login_until": ""}
    told_of: Any = documented("status")["accounts"]
    assert whole["accounts"][0].keys() == told_of[0].keys()


def test_a_single_question_to_a_lost_account_is_told_to_come_again_and_the_log_names_both_ways_to_log_in(
    members: Members, site: Site
) -> None:
    site.write("payer", PAYER)
    site.toml('backend = "payer"\nauth = "club"\n' + TABLE.format(port=members.server.port))
    done = site.run("chat", "--once", "hello")
    assert (done.returncode, done.stdout) == (1, away(Failure.CREDENTIALS, "en", once=True) + "\n")
    told = done.stderr.splitlines()
    assert sorted(line.partition(": credentials")[0] for line in told[:-1]) == [
        f"nanokimi: {phrase('en', 'owner_login_console', name='club')}",
        "nanokimi: console:local: attempt 1 failed",
    ]
    assert told[-1] == "What got no answer is dropped, since nobody waits for it any more; ask it again."
    assert "kept" not in done.stdout + done.stderr


def test_in_the_console_a_lost_account_is_logged_in_to_by_the_order_that_the_sentence_names(
    members: Members, site: Site
) -> None:
    site.write("payer", PAYER)
    site.toml('backend = "payer"\nauth = "club"\n' + TABLE.format(port=members.server.port))
    assert "Owner: the console (nanokimi chat)\n" in site.run("status").stdout
    with site.terminal("chat") as terminal:
        terminal.until("Ctrl-D ends")
        terminal.type("hello\n")
        told = terminal.until("write here: /login club")
        assert "is kept, and I'll answer as soon as I can" in " ".join(told.split())
        assert "owner has been told" not in " ".join(terminal.seen.split())
        terminal.type("/login club\n")
        members.answer(terminal.until("It counts until"), "confirmed")
        terminal.until("paid for club-1")


def test_a_login_that_is_declined_exits_with_1_and_one_sentence(members: Members, site: Site) -> None:
    with site.terminal("auth", "login") as terminal:
        members.answer(shown(terminal), "declined")
        assert terminal.ended() == 1
    last = terminal.seen.strip().splitlines()[-1]
    assert last == (
        "nanokimi: there is no new login for club; the club did not let you in; log in again with: nanokimi auth login"
    )


def test_ctrl_c_gives_a_login_up_and_leaves_the_old_one(members: Members, site: Site) -> None:
    with site.terminal("auth", "login") as terminal:
        members.answer(shown(terminal), "confirmed")
        assert terminal.ended() == 0
    before = members.stored
    with site.terminal("auth", "login") as terminal:
        shown(terminal)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ended() == 130
    last = terminal.seen.strip().splitlines()[-1]
    assert last == "nanokimi: the login for club was given up; how the account stands: nanokimi auth status"
    assert "Traceback" not in terminal.seen
    assert members.stored == before


def test_a_code_that_runs_out_ends_the_login(members: Members, site: Site) -> None:
    members.server.seconds = 1
    done = site.run("auth", "login")
    assert done.returncode == 1
    assert "(a minute)" in done.stdout
    assert done.stderr.startswith("nanokimi: there is no new login for club; ")
    assert done.stderr.count("\n") == 1


def test_a_login_for_an_account_that_the_toml_does_not_use_says_which_line_to_change(
    members: Members, site: Site
) -> None:
    site.toml(f'auth = "apikey"\n{TABLE.format(port=members.server.port)}')
    with site.terminal("auth", "login") as terminal:
        members.answer(shown(terminal), "confirmed")
        assert terminal.ended() == 0
    assert "to use this one, change line 1 of" in terminal.seen


def test_an_account_without_a_login_by_code_says_what_to_do_instead(call: Call, site: Site) -> None:
    site.ours("vault")
    both, key = (call("auth", "login", name) for name in ("vault", "apikey"))
    assert both.err == (
        'nanokimi: the account "vault" does not log in by a code;'
        " store a key with: nanokimi auth set-key --plugin vault,"
        " or bring the file of a login that was made elsewhere with: nanokimi auth import FILE --plugin vault\n"
    )
    assert key.err == (
        'nanokimi: the account "apikey" does not log in by a code;'
        " store a key with: nanokimi auth set-key --plugin apikey\n"
    )
    assert [done.code for done in (both, key)] == [1, 1]


def test_a_fault_of_the_plugins_is_blamed_on_it(call: Call, site: Site) -> None:
    faulty(site, "stumbling", 'raise LookupError("no club")')
    done = call("auth", "login")
    assert done.code == 3
    assert 'plugin "stumbling"' in done.err
    assert "no club" in done.err
    assert done.err.count("\n") == 1


def test_a_login_that_the_plugin_gives_up_exits_with_1_and_its_own_words(call: Call, site: Site) -> None:
    faulty(site, "closed", 'raise LoginNeeded("the club is closed; come back on Monday")')
    done = call("auth", "login")
    expected = "nanokimi: there is no new login for closed; the club is closed; come back on Monday\n"
    assert (done.code, done.err) == (1, expected)
