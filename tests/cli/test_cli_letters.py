"""``nanokimi dead`` and ``nanokimi chats``: beside a running process, and without one."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cli.service import service, set_up, until, with_lab
from testbed.site import SECONDS, Site

RAISING = '[plugins.lab]\nraises = "no such shelf"\n[limits]\nmax_attempts = 1\n[chats."desk:*"]'


@contextmanager
def stopped(site: Site) -> Iterator[None]:
    """Let a service do its work, and stop it."""
    with service(site) as process:
        until(site, lambda status: status["counters"].get("received") and not status["waiting"], "status")
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    yield


def serving(site: Site, runs: bool) -> Any:
    return service(site) if runs else stopped(site)


@pytest.fixture(params=[True, False], ids=["running", "stopped"])
def runs(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_a_dead_letter_is_listed_shown_and_dropped(site: Site, runs: bool) -> None:
    site.ours("desk")
    with_lab(site)
    set_up(site, say=f'["{"why " * 200}"]', top='backend = "lab"', tables=RAISING)
    with serving(site, runs):
        (letter,) = until(site, lambda found: found["letters"], "dead", "list")["letters"]
        name = letter["id"]
        assert (letter["kind"], letter["chat"], len(letter["text"])) == ("message", "desk:one", 500)
        assert name in site.run("dead", "list").stdout
        assert site.run("dead", "list", "--chat", "desk:two").stdout == "There are no dead letters.\n"
        shown = site.run("dead", "show", name)
        assert shown.returncode == 0
        assert f"{name}: message from ana in desk:one" in shown.stdout
        assert "why " * 200 in shown.stdout + " "
        assert site.run("dead", "drop", name).stdout == f"The message {name} in desk:one is dropped.\n"
        gone = site.run("dead", "show", name)
        assert gone.returncode == 1
        assert gone.stderr == f'nanokimi: there is no dead letter "{name}"; see: nanokimi dead list\n'


def test_a_dead_letter_that_is_tried_again_is_answered_by_the_running_process(site: Site) -> None:
    site.ours("desk")
    with_lab(site)
    set_up(site, top='backend = "lab"', tables=RAISING)
    with stopped(site):
        (letter,) = json.loads(site.run("dead", "list", "--json").stdout)["letters"]
    set_up(site, say="[]", top='backend = "lab"')
    with service(site):
        done = site.run("dead", "retry", letter["id"])
        assert done.stdout == f"The message {letter['id']} in desk:one is tried again.\n"
        until(site, lambda status: not status["waiting"] and not status["owed"], "status")
        assert json.loads(site.run("dead", "list", "--json").stdout) == {"letters": []}
    assert (site.home / "out").read_text().endswith("thinking done: hello\n")


def test_a_dead_letter_that_is_tried_again_without_a_process_is_answered_at_the_next_start(site: Site) -> None:
    site.ours("desk")
    with_lab(site)
    set_up(site, top='backend = "lab"', tables=RAISING)
    with stopped(site):
        (letter,) = json.loads(site.run("dead", "list", "--json").stdout)["letters"]
        assert site.run("dead", "retry", letter["id"]).returncode == 0
    set_up(site, say="[]", top='backend = "lab"')
    with service(site):
        until(site, lambda status: not status["waiting"] and not status["owed"], "status")
    assert (site.home / "out").read_text().endswith("thinking done: hello\n")


def test_an_unknown_chat_is_listed_and_let_in_by_its_number(site: Site, runs: bool) -> None:
    site.ours("desk")
    set_up(site, tables="")
    with serving(site, runs):
        (chat,) = until(site, lambda found: found["chats"], "chats", "list")["chats"]
        assert (chat["id"], chat["granted"]) == ("desk:one", None)
        number = str(chat["number"])
        assert site.run("chats", "allow", number).stdout == "desk:one is let in.\n"
        assert json.loads(site.run("chats", "list", "--json").stdout)["chats"][0]["granted"] is True
        assert site.run("chats", "deny", "desk:one").stdout == "desk:one is shut out.\n"
        assert "denied" in site.run("chats", "list").stdout
        gone = site.run("chats", "allow", "99")
        assert (gone.returncode, gone.stderr) == (1, 'nanokimi: there is no chat "99"; see: nanokimi chats list\n')


def test_what_the_toml_lets_in_is_the_tomls_to_decide(site: Site, runs: bool) -> None:
    site.ours("desk")
    set_up(site)
    with serving(site, runs):
        until(site, lambda found: found["chats"], "chats", "list")
        assert site.run("chats", "allow", "desk:one").stdout == "desk:one is let in by the toml already.\n"
        denied = site.run("chats", "deny", "desk:one")
        assert denied.returncode == 1
        assert denied.stderr == "nanokimi: the toml lets desk:one in; take it out of the tables [chats] there\n"


def test_a_chat_is_forgotten_when_somebody_agrees(site: Site, runs: bool) -> None:
    site.ours("desk")
    set_up(site)
    with serving(site, runs):
        until(site, lambda status: status["counters"].get("sent") == 1, "status")
        unasked = site.run("chats", "forget", "desk:one")
        assert (unasked.returncode, unasked.stdout) == (1, "")
        assert unasked.stderr == "nanokimi: nobody is there to agree to forget desk:one; add --yes\n"
        workspace = next(site.data.glob("chats/*/workspace"))
        (workspace / "note").touch()
        done = site.run("chats", "forget", "desk:one", "--yes")
        assert done.stdout.startswith("desk:one is forgotten: ")
        assert not (workspace / "note").exists()


def test_in_a_terminal_a_chat_is_forgotten_after_a_question_only(site: Site) -> None:
    site.ours("desk")
    set_up(site)
    with stopped(site):
        for typed, code in (("n\n", 1), ("y\n", 0)):
            with site.terminal("chats", "forget", "desk:one") as terminal:
                terminal.until("[y/N]")
                terminal.type(typed)
                assert terminal.ended() == code
            assert ("is forgotten" in terminal.seen) == (code == 0)
            assert ("Nothing was erased" in terminal.seen) == (code == 1)


def test_nothing_to_list_is_said(site: Site) -> None:
    site.toml("")
    assert site.run("dead", "list").stdout == "There are no dead letters.\n"
    assert site.run("chats", "list").stdout == "No chat is known yet.\n"
    assert json.loads(site.run("chats", "list", "--json").stdout) == {"chats": []}
