"""``nanokimi auth login``, ``logout``, ``refresh`` and ``status`` of an account that needs the agent's own program."""

from __future__ import annotations

import json
import signal
import stat
from pathlib import Path

from cli.test_cli_picture import code_of, modules
from nanokimi_core.cli.status import broken_things
from nanokimi_core.status import AccountStatus, Status
from testbed.site import Call, Site
from testbed.third_party.guild import ENDS
from testbed.third_party.hands import COMPLETE

TOML = """backend = "hands"
auth = {auth}
[plugins.hands]
log = "{log}"
{hands}
[plugins.guild]
{guild}
[plugins.work]
use = "guild"
[chats."desk:*"]
auth = "work"
"""
LOCAL = f"{ENDS.astimezone():%Y-%m-%d %H:%M}"


def set_up(site: Site, *, auth: str = '"guild"', hands: str = "", guild: str = "") -> None:
    site.ours("guild", "hands")
    change(site, auth=auth, hands=hands, guild=guild)


def change(site: Site, *, auth: str = '"guild"', hands: str = "", guild: str = "") -> None:
    site.toml(TOML.format(auth=auth, log=site.home / "log", hands=hands, guild=guild))


def happened(site: Site) -> list[str]:
    log = site.home / "log"
    return log.read_text().split("\n")[:-1] if log.exists() else []


def member(site: Site, region: str = "cn", instance: str = "guild") -> Path:
    return site.data / "plugins" / instance / f"member-{region}"


# --------------------------------------------------------------------- login
def test_a_login_is_made_by_the_agent_of_the_tomls_backend_which_is_up_only_for_it(call: Call, site: Site) -> None:
    set_up(site)
    done = call("auth", "login")
    assert (done.code, done.err) == (0, "")
    assert "    https://guild.example/enter\n    AB-12\n" in done.out
    assert done.out.endswith("The login of Ana in cn is stored for guild.\nIts models: guild-1, guild-2\n")
    assert happened(site) == ["up", "login over", "down"]
    assert stat.S_IMODE(member(site).stat().st_mode) == 0o600
    assert "█" not in done.out


def test_what_the_agent_can_not_do_is_one_sentence(call: Call, site: Site) -> None:
    set_up(site, hands="missing = true")
    missing = call("auth", "login")
    assert missing.code == 1
    assert missing.err == (
        "nanokimi: there is no new login for guild; the image of the hands is missing; build it: nanokimi image build\n"
    )
    site.toml('backend = "echo"\nauth = "guild"\n')
    echo = call("auth", "login")
    assert echo.code == 2
    assert echo.err.startswith(
        "nanokimi: that needs the agent's own program, which the toml's backend has not (echo); "
    )
    assert echo.err.count("\n") == 1
    assert not member(site).exists()


def test_a_region_counts_for_this_login_and_the_line_for_the_toml_is_said(call: Call, site: Site) -> None:
    set_up(site, guild="# mine")
    before = (site.home / "nanokimi.toml").read_text()
    there = call("auth", "login", "--region", "ai")
    assert "The login of Ana in ai is stored for guild." in there.out
    line = f'write into the table [plugins.guild] of {site.home / "nanokimi.toml"}: region = "ai"'
    assert there.out.splitlines()[-1].endswith(line)
    assert (site.home / "nanokimi.toml").read_text() == before
    assert [member(site, region).exists() for region in ("ai", "cn")] == [True, False]
    assert "region" not in call("auth", "login", "--region", "cn").out  # it is the toml's already


def test_a_region_that_there_is_none_of_is_said_of_the_command_line(call: Call, site: Site) -> None:
    set_up(site)
    wrong = call("auth", "login", "--region", "mars")
    assert wrong.code == 2
    assert wrong.err.startswith('nanokimi: the account "guild" can\'t be in the region "mars": ')
    assert "'cn' or 'ai'" in wrong.err
    assert "nanokimi.toml" not in wrong.err
    site.write("club", NO_REGION)
    none = call("auth", "login", "club", "--region", "ai")
    assert (none.code, none.err) == (1, 'nanokimi: the account "club" has no region to choose; leave out --region\n')


NO_REGION = """
from nanokimi_core import AuthStatus, Spec, hookimpl

class Club:
    def __init__(self, config, context):
        pass
    async def grant(self, need):
        raise NotImplementedError
    async def rejected(self, grant, why):
        pass
    async def status(self):
        return AuthStatus("ok")
    async def login(self):
        yield AuthStatus("ok")

@hookimpl
def nanokimi_auths():
    return [Spec("club", Club)]
"""


def test_ctrl_c_ends_the_agents_login_and_its_backend_and_leaves_nothing(site: Site) -> None:
    set_up(site, hands="forever = true")
    with site.terminal("auth", "login") as terminal:
        shown = terminal.until("gives it up.")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ended() == 130
    assert happened(site) == ["up", "login over", "down"]
    assert list((site.data / "plugins" / "guild").iterdir()) == []
    assert "Traceback" not in terminal.seen
    assert modules(shown, light="█") == code_of(COMPLETE)  # a terminal without colours draws what is light
    assert "or scan this with a phone, and enter the code:" in shown


# --------------------------------------------------------------------- logout
def test_logging_out_asks_removes_and_says_what_lives_on_at_the_server(call: Call, site: Site) -> None:
    set_up(site)
    call("auth", "login")
    nobody = call("auth", "logout")
    assert nobody.code == 1
    assert nobody.err == (
        "nanokimi: nobody is there to agree to remove the credentials of Ana in cn that guild has stored; add --yes\n"
    )
    assert member(site).exists()
    done = call("auth", "logout", "--yes")
    assert (done.code, done.err) == (0, "")
    first, second, third = done.out.splitlines()
    assert first == "The credentials of Ana in cn are removed from guild."
    assert "valid there until its own end." in second
    assert third == "The toml still uses guild; to log in again: nanokimi auth login guild"
    assert not member(site).exists()
    again = call("auth", "logout", "--yes")
    assert (again.code, again.out) == (0, "guild needed a login already; what was left of an old one is removed.\n")
    assert happened(site) == ["up", "login over", "down"]  # leaving needs no agent


def test_logging_out_of_an_account_that_has_others_says_so(call: Call, site: Site) -> None:
    set_up(site, guild='reserve = "Bo"')
    member(site).parent.mkdir(parents=True)
    member(site).write_text("Ana")
    assert call("auth", "logout", "-y").out.splitlines()[-1] == "guild has others, and goes on with them: Bo."


def test_who_does_not_agree_keeps_the_login(site: Site) -> None:
    set_up(site)
    member(site).parent.mkdir(parents=True)
    member(site).write_text("Ana")
    with site.terminal("auth", "logout") as terminal:
        terminal.until("Remove the credentials of Ana that guild has stored from this machine?")
        terminal.type("n\n")
        assert terminal.ended() == 1
    assert "Nothing was removed." in terminal.seen
    assert member(site).read_text() == "Ana"


def test_an_account_that_stores_nothing_is_said_and_none_is_chosen_that_the_toml_does_not_use(
    call: Call, site: Site
) -> None:
    site.ours("guild", "vault")
    site.toml('auth = "vault"\n')
    assert call("auth", "logout", "--yes").err == (
        "nanokimi: no account of the toml stores credentials that can be removed; see: nanokimi auth status\n"
    )
    assert call("auth", "refresh", "vault").err == (
        'nanokimi: the account "vault" has nothing to refresh; see: nanokimi auth status\n'
    )


# --------------------------------------------------------------------- refresh
def test_a_refresh_says_until_when_and_whether_a_login_or_only_time_is_needed(call: Call, site: Site) -> None:
    set_up(site)
    call("auth", "login")
    done = call("auth", "refresh")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"The login of Ana in cn is renewed for guild; the new token lasts until {LOCAL}:00 (")
    assert happened(site)[-3:] == ["up", "refreshed", "down"]
    change(site, guild='refreshing = "needs a login"')
    lost = call("auth", "refresh", "guild")
    assert (lost.code, lost.err) == (1, "nanokimi: the guild wants a new login; log in with: nanokimi auth login\n")
    change(site, guild='refreshing = "is away"')
    away = call("auth", "refresh")
    assert (away.code, away.err) == (
        75,
        "nanokimi: the login of guild could not be renewed, and is as it was: the guild's server is busy;"
        " try again in 1m 30s\n",
    )


# --------------------------------------------------------------------- status
def test_the_status_says_what_is_left_who_uses_it_and_marks_what_nears_its_end(call: Call, site: Site) -> None:
    set_up(site)
    call("auth", "login")
    done = call("auth", "status")
    assert (done.code, done.err) == (0, "")
    table, guild, work = done.out.split("\n\n")
    assert f"Ana in cn  {LOCAL} {ENDS.astimezone():%Z}\n" in table
    assert guild.splitlines() == [
        "guild:",
        "  used by: every chat whose table names no other",
        "  models: guild-1, guild-2",
        f"  Weekly limit: 85 % used, 15 % left, whole again at {LOCAL} !",
        "  5h limit: 10 % used, 90 % left",
        "  Extra: 3.00 CNY left",
    ]
    assert work.splitlines() == ["work:", '  used by: [chats."desk:*"]', "  -> nanokimi auth login"]
    answer = json.loads(call("auth", "status", "--json").out)
    assert [account["used_by"] for account in answer["accounts"]] == [
        {"default": True, "chats": []},
        {"default": False, "chats": ["desk:*"]},
    ]
    assert answer["accounts"][0]["quotas"][0] == {
        "name": "Weekly limit",
        "used": 0.85,
        "left": "15 %",
        "resets_at": ENDS.isoformat(),
    }


def test_the_assistants_status_tells_it_too_and_which_account_new_turns_pass_over(call: Call, site: Site) -> None:
    set_up(site)
    call("auth", "login")
    whole = call("status").out
    assert f"Ana in cn  {LOCAL} {ENDS.astimezone():%Z}  " in whole
    assert "\n0 chats; 0 agents up, 0 turns running\n" in whole
    assert f"guild: Weekly limit: 85 % used, 15 % left, whole again at {LOCAL} !\n" in whole
    spent = AccountStatus("guild", "ok", down="quota: all used up")
    assert broken_things(Status(True, "Kai", "1", accounts=(spent,))) == [
        "account guild: no new turn uses it; quota: all used up"
    ]


def test_a_terminal_shows_bars(site: Site) -> None:
    set_up(site)
    member(site).parent.mkdir(parents=True)
    member(site).write_text("Ana")
    with site.terminal("auth", "status") as terminal:
        assert terminal.ended() == 0
    assert f"  Weekly limit: {'█' * 17}{'░' * 3} 85 % used, 15 % left, whole again at {LOCAL} !" in terminal.seen
    assert f"  5h limit    : {'█' * 2}{'░' * 18} 10 % used, 90 % left\r\n" in terminal.seen
