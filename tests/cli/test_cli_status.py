from __future__ import annotations

import json
import signal
from datetime import UTC, datetime

import pytest

from cli.service import log_until, service, set_up, until, with_lab
from nanokimi_core.cli.status import show_accounts, sums
from nanokimi_core.cli.times import counted
from nanokimi_core.status import AccountStatus, QuotaStatus
from testbed.site import SECONDS, Site

ADDS_UP = (
    ("received", ("duplicate", "refused_chat", "refused_sender", "refused_cap", "refused_own", "accepted")),
    ("accepted", ("context", "answered", "command", "cancelled", "edit", "pending", "dead")),
)
HOOK = """
from nanokimi_core import Spec, hookimpl
class Torn:
    def __init__(self, config, context): pass
    async def run(self, inbox): raise LookupError("no paper")
    async def send(self, message): pass
    def state(self): return "waits to be linked: run torn link"
@hookimpl
def nanokimi_transports():
    return [Spec("torn", Torn)]
"""


def test_a_running_process_where_all_is_well_exits_with_0_and_its_counters_add_up(site: Site) -> None:
    site.ours("desk")
    set_up(site, say='["hello", "again"]')
    with service(site) as process:
        found = until(site, lambda status: status["counters"].get("sent") == 2, "status")
        done = site.run("status")
    assert (done.returncode, done.stderr) == (0, "")
    assert found["ok"] is True
    assert found["process"] == process.pid
    assert ("desk", "running", True) in [
        (each["name"], each["state"], each["connected"]) for each in found["instances"]
    ]
    for total, parts in ADDS_UP:
        assert found["counters"][total] == sum(found["counters"].get(part, 0) for part in parts) == 2
    said = done.stdout
    assert said.startswith("Kai runs")
    assert f"process {process.pid}" in said
    assert "2 received = 0 duplicate + 0 refused + 2 accepted" in said
    assert "answers: 0 owed, 2 sent, 0 undelivered" in said


def test_without_a_process_the_data_folder_is_asked_and_the_exit_code_is_1(site: Site) -> None:
    site.ours("desk")
    set_up(site)
    with service(site) as process:
        until(site, lambda status: status["counters"].get("sent") == 1, "status")
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    done = site.run("status")
    assert done.returncode == 1
    assert "Kai does not run; start it with: nanokimi run" in done.stdout
    assert "1 received = 0 duplicate + 0 refused + 1 accepted" in done.stdout
    assert not (site.data / "nanokimi.sock").exists()
    asked = json.loads(site.run("status", "--json").stdout)
    assert (asked["ok"], asked["running"], asked["process"]) == (False, False, None)


def test_a_process_that_was_killed_counts_as_none(site: Site) -> None:
    site.ours("desk")
    set_up(site)
    with service(site) as process:
        process.kill()
        process.wait(SECONDS)
    assert (site.data / "nanokimi.sock").exists()
    done = site.run("status")
    assert (done.returncode, done.stderr) == (1, "")
    assert "does not run" in done.stdout


def test_a_transport_that_fails_is_named_with_what_it_says_and_its_last_error_and_the_exit_code_is_1(
    site: Site,
) -> None:
    site.ours("desk")
    site.write("torn", HOOK)
    set_up(site)
    site.toml((site.home / "nanokimi.toml").read_text().replace('["desk"]', '["desk", "torn"]'))
    with service(site):
        found = until(
            site, lambda status: any("no paper" in each["last_error"] for each in status["instances"]), "status"
        )
        done = site.run("status")
    assert done.returncode == 1
    assert "\ntorn: waits to be linked: run torn link\n" in done.stdout
    (sentence,) = [line for line in done.stdout.splitlines() if line.startswith("-> transport torn")]
    assert ": waits to be linked: run torn link; last error: " in sentence
    assert "LookupError: no paper" in sentence
    assert {each["name"]: each["said"] for each in found["instances"] if each["said"]} == {
        "torn": "waits to be linked: run torn link"
    }


def test_an_account_that_cannot_be_used_and_a_chat_that_is_held_up_for_it_are_named(site: Site) -> None:
    site.ours("desk", "vault")
    with_lab(site)
    set_up(site, top='backend = "lab"\nauth = "vault"', tables='[plugins.lab]\nfails = "empty"\n[chats."desk:*"]')
    with service(site):
        found = until(site, lambda status: status["held"], "status")
        done = site.run("status")
    assert done.returncode == 1
    assert found["held"][0]["chat"] == "desk:one"
    assert "-> account vault: login needed; nanokimi auth set-key" in done.stdout
    assert "-> desk:one is held up: " in done.stdout


def test_a_hung_process_is_named_within_seconds(site: Site) -> None:
    site.ours("desk")
    set_up(site)
    with service(site) as process:
        process.send_signal(signal.SIGSTOP)
        done = site.run("status")
    assert done.returncode == 4
    assert done.stderr == (
        f"nanokimi: process {process.pid}, which holds the data folder {site.data}, does not answer; "
        f"look into its log; if it hangs, end it with: kill -9 {process.pid}\n"
    )


@pytest.mark.parametrize("command", [["reload"], ["reload", "--config", "nanokimi.toml"]])
def test_without_a_process_there_is_nothing_to_reload(site: Site, command: list[str]) -> None:
    site.toml("")
    done = site.run(*command)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("nanokimi: no process runs that could read its toml again; start one with: nanokimi run\n")


def test_a_reload_uses_what_it_can_and_says_what_needs_a_restart(site: Site) -> None:
    site.ours("desk")
    set_up(site)
    with service(site):
        set_up(site, top='assistant = "Ada"', tables='[chats."desk:*"]\n[chats."desk:two"]\ntrigger = "never"')
        done = site.run("reload")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "The toml is read again.\n  -> assistant needs a restart\n"


def test_a_wrong_toml_is_refused_with_its_own_sentence_and_the_process_goes_on(site: Site) -> None:
    site.ours("desk")
    set_up(site)
    with service(site):
        site.toml("assistant = 3\n")
        done = site.run("reload")
        assert (done.returncode, done.stdout) == (2, "")
        assert "assistant" in done.stderr
        assert done.stderr.count("\n") == 1
        set_up(site)
        assert site.run("status").returncode == 0


def test_sighup_reads_the_toml_again(site: Site) -> None:
    site.ours("desk")
    set_up(site)
    with service(site) as process:
        set_up(site, top='assistant = "Ada"')
        process.send_signal(signal.SIGHUP)
        assert "assistant needs a restart" in log_until(process, "the toml is read again")
        assert site.run("status").returncode == 0


def test_a_sum_that_does_not_add_up_is_not_shown_as_one() -> None:
    assert sums({"received": 3, "accepted": 2, "answered": 2})[0] == "3 received ≠ 0 duplicate + 0 refused + 2 accepted"


def test_one_thing_is_not_counted_as_several() -> None:
    assert [counted(number, "chat") for number in (0, 1, 2)] == ["0 chats", "1 chat", "2 chats"]


def test_accounts_are_shown_with_what_they_have_left_and_a_code_that_waits(capsys: pytest.CaptureFixture[str]) -> None:
    until = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    low = QuotaStatus("Weekly limit", 0.85, "15 %", until.isoformat(), low=True)
    work = AccountStatus("work", "login_needed", login_until=until.isoformat())
    show_accounts([AccountStatus("home", "ok", "ana", quotas=(low,), serves=True, chats=3), work])
    shown = capsys.readouterr().out
    assert "home: " in shown
    assert "Weekly limit" in shown
    assert "85 %" in shown
    assert f"work: a code waits in the owner's chat, until {until.astimezone():%H:%M}\n" in shown
