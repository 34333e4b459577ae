from __future__ import annotations

import json
import stat

from testbed.site import Call, Site

KEY = "sk-canary-0123456789abcdef"


def stored(site: Site, instance: str = "vault", name: str = "key") -> str:
    path = site.data / "plugins" / instance / name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path.read_text()


def test_a_key_from_a_pipe_is_stored_for_the_tomls_account_and_not_shown(call: Call, site: Site) -> None:
    site.ours("vault")
    site.toml('auth = "vault"\n')
    done = call("auth", "set-key", said=KEY + "\n")
    assert (done.code, done.out, done.err) == (0, "The key …cdef is stored for vault.\n", "")
    assert stored(site) == KEY
    assert KEY not in (site.home / "nanokimi.toml").read_text()


def test_a_key_is_typed_unseen(site: Site) -> None:
    site.ours("vault")
    site.toml('auth = "vault"\n')
    with site.terminal("auth", "set-key") as terminal:
        terminal.until("not shown")
        terminal.until_unseen()
        terminal.type(KEY + "\n")
        assert terminal.ended() == 0
    assert KEY not in terminal.seen
    assert "is stored for vault" in terminal.seen
    assert stored(site) == KEY


def test_a_key_that_is_refused_is_not_shown_either(call: Call, site: Site) -> None:
    site.ours("vault")
    site.toml('auth = "vault"\n')
    done = call("auth", "set-key", said="bad-canary-0123456789\n")
    assert done.code == 2
    assert done.err == "nanokimi: a key can't begin with bad (…6789); type another\n"


def test_no_key_at_all_is_said(call: Call, site: Site) -> None:
    site.ours("vault")
    site.toml('auth = "vault"\n')
    done = call("auth", "set-key")
    assert done.code == 1
    assert done.err.startswith("nanokimi: no key came on standard input; ")


def test_a_key_for_an_account_that_the_toml_does_not_use_says_which_line_to_change(call: Call, site: Site) -> None:
    site.ours("vault")
    site.toml('assistant = "Bo"\nauth = "oauth_file"\n[plugins.oauth_file]\n')
    done = call("auth", "set-key", "--plugin", "vault", said=KEY)
    assert done.code == 0
    toml = site.home / "nanokimi.toml"
    assert done.out.splitlines()[-1] == (
        f'The toml uses another account; to use this one, change line 2 of {toml} to: auth = "vault"'
    )
    site.toml('assistant = "Bo"\n[plugins.oauth_file]\nauth = 1\n')
    again = call("auth", "set-key", "--plugin", "vault", said=KEY)
    assert again.out.splitlines()[-1].endswith(f'add to the top of {toml}: auth = "vault"')


def test_without_a_toml_a_key_is_stored_with_the_next_step(call: Call, site: Site) -> None:
    site.ours("vault")
    done = call("auth", "set-key", "--plugin", "vault", said=KEY, NANOKIMI_HOME=str(site.data))
    assert done.code == 0
    assert "write one with: nanokimi init" in done.out
    assert stored(site) == KEY


def test_an_account_that_takes_no_key_and_one_that_is_not_installed_are_said(call: Call, site: Site) -> None:
    none = call("auth", "set-key", "--plugin", "oauth_file", said=KEY)
    assert none.err == 'nanokimi: the account "oauth_file" takes no key; leave out --plugin to have one chosen\n'
    gone = call("auth", "set-key", "--plugin", "vautl", said=KEY)
    assert gone.code == 3
    assert 'plugin "vautl" is not installed' in gone.err


def test_each_instance_keeps_a_key_of_its_own(call: Call, site: Site) -> None:
    site.ours("vault")
    site.toml('auth = ["vault", "work"]\n[plugins.work]\nuse = "vault"\n')
    call("auth", "set-key", "--plugin", "work", said=KEY)
    assert stored(site, "work") == KEY
    assert not (site.data / "plugins" / "vault" / "key").exists()


def test_a_login_is_imported_for_the_account_that_takes_logins(call: Call, site: Site) -> None:
    site.ours("vault")
    site.toml('auth = "vault"\n')
    (site.home / "kimi-code.json").write_text(json.dumps({"access_token": "canary"}))
    done = call("auth", "import", "kimi-code.json")
    assert done.code == 0
    assert done.out.splitlines() == [
        "The login of Ana is stored for vault.",
    ]
    assert "canary" in stored(site, name="login")


def test_a_file_that_is_missing_or_holds_no_login_is_said(call: Call, site: Site) -> None:
    site.ours("vault")
    site.toml('auth = "vault"\n')
    assert call("auth", "import", "none.json").err.startswith("nanokimi: none.json is no file; ")
    (site.home / "empty.json").write_text("{}")
    done = call("auth", "import", "empty.json")
    assert done.code == 2
    assert done.err.endswith("empty.json holds no login; log in again\n")


def test_the_status_of_each_account_and_the_exit_code_of_the_chain(call: Call, site: Site) -> None:
    site.ours("vault")
    site.toml('auth = ["vault", "work"]\n[plugins.work]\nuse = "vault"\n')
    empty = call("auth", "status")
    assert empty.code == 1
    assert empty.out.count("login needed") == 2
    assert "  cause: the vault is empty\n  -> nanokimi auth set-key" in empty.out
    call("auth", "set-key", "--plugin", "work", said=KEY)
    one = call("auth", "status", "--json")
    assert one.code == 0
    answer = json.loads(one.out)
    assert answer["usable"] is True
    assert [(account["name"], account["state"]) for account in answer["accounts"]] == [
        ("vault", "login_needed"),
        ("work", "ok"),
    ]
    assert KEY not in one.out


# An auth plugin that logs, tells the owner and raises the same, as one that also works in a service does.
TALKS = """
from nanokimi_core import AuthStatus, LoginNeeded, Spec, hookimpl

class Talks:
    def __init__(self, config, context):
        self.context = context
    async def grant(self, need):
        raise LoginNeeded("log in")
    async def rejected(self, grant, why):
        pass
    async def status(self):
        self.context.log.warning("the disk is nearly full")
        return AuthStatus("login_needed", remedy="log in")
    async def refresh(self):
        for log in (self.context.log.warning, self.context.log.error):
            log("the server said no; log in to talks again")
        self.context.log.warning("the clock is %s h ahead", 3)
        await self.context.tell_owner("refresh", "the server said no; come here")
        raise LoginNeeded("talks: the server said no; log in with: nanokimi auth login")

@hookimpl
def nanokimi_auths():
    return [Spec("talks", Talks)]
"""


def test_a_failure_is_one_sentence_and_what_else_a_plugin_has_logged_is_not_hidden(call: Call, site: Site) -> None:
    site.write("talks", TALKS)
    site.toml('auth = "talks"\n')
    done = call("auth", "refresh")
    assert (done.code, done.err.splitlines()) == (
        1,
        [
            "nanokimi: talks: the clock is 3 h ahead",
            "nanokimi: talks: the server said no; log in with: nanokimi auth login",
        ],
    )
    assert call("auth", "status").err == "nanokimi: talks: the disk is nearly full\n"
    every = call("auth", "refresh", NANOKIMI_DEBUG="1").err
    assert every.count("the server said no; log in to talks again") == 2
    assert "INFO nanokimi.talks: talks: the server said no; come here" in every


def test_a_broken_account_is_listed_beside_the_others(site: Site) -> None:
    site.ours("vault")
    site.write("torn", "raise RuntimeError('out of paper')")
    site.toml('auth = ["torn", "vault"]\n')
    done = site.run("auth", "status")
    assert done.returncode == 1
    assert "out of paper" in done.stdout
    assert "login needed" in done.stdout


def test_without_an_account_the_status_says_that_none_is_needed(call: Call) -> None:
    done = call("auth", "status")
    assert (done.code, done.err) == (0, "")
    assert "the echo needs none" in done.out
