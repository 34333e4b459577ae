from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from nanokimi_core.config import Location, Settings, load
from nanokimi_core.files import safe_name
from testbed.site import Call, Outcome, Site

KIMI_KEY = "sk-kimi-canary0123456789"
PLATFORM_KEY = "sk-canary-0123456789abcdef"
OAUTH = """
default_model = "kimi-code"
[models.kimi-code]
provider = "managed:kimi-code"
model = "kimi-latest"
[providers."managed:kimi-code"]
type = "kimi"
base_url = "https://api.kimi.com/coding/v1"
api_key = ""
oauth = { storage = "file", key = "oauth/kimi-code" }
"""
MOONSHOT = """
default_model = "mine"
[models.mine]
provider = "moonshot"
model = "kimi-latest"
[providers.moonshot]
type = "kimi"
base_url = "https://api.moonshot.ai/v1"
api_key = "{key}"
"""


def settings(site: Site, name: str = "nanokimi.toml") -> Settings:
    return load(Location(site.home / name, site.data), {})


def text(site: Site) -> str:
    return (site.home / "nanokimi.toml").read_text()


def old_bot(site: Site, groups: dict[str, str] | None = None, *, config: str = "", login: bool = False) -> Path:
    bot = site.folder / "old"
    credentials = bot / "data" / "credentials"
    credentials.mkdir(parents=True)
    if config:
        (credentials / "config.toml").write_text(config)
    if login:
        token = {"access_token": "canary-access", "refresh_token": "canary-refresh", "expires_at": 4102444800}
        (credentials / "kimi-code.json").write_text(json.dumps(token))
    for name, words in (groups or {}).items():
        folder = bot / "groups" / name
        folder.mkdir(parents=True)
        (folder / "KIMI.md").write_text(words)
    return bot


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def take_over(call: Call, bot: Path, *options: str) -> Outcome:
    before = snapshot(bot)
    done = call("init", "--yes", "--from", str(bot), *options)
    assert snapshot(bot) == before, "nothing there is changed"
    return done


def test_yes_asks_nothing_and_writes_kimi_with_a_members_key(call: Call, site: Site) -> None:
    done = call("init", "--yes")
    assert (done.code, done.err) == (0, "")
    written = settings(site)
    assert (written.assistant, written.backend, written.auth) == ("Kai", "kimi_docker", ("apikey",))
    assert written.plugins["apikey"] == {"account": "kimi-code", "region": "cn"}
    assert done.out.splitlines()[-5:] == [
        "Next:",
        "  nanokimi auth set-key",
        "  nanokimi image build",
        "  nanokimi doctor",
        "  nanokimi chat",
    ]


def test_what_is_written_is_for_its_owner_only_and_has_a_comment_on_every_setting(call: Call, site: Site) -> None:
    call("init", "--yes")
    assert stat.S_IMODE((site.home / "nanokimi.toml").stat().st_mode) == 0o600
    for line in text(site).splitlines():
        if "=" in line.partition("#")[0]:
            assert "  # " in line, line
            assert len(line) <= 120


@pytest.mark.parametrize(
    ("flags", "auth", "tables"),
    [
        (["--backend", "echo"], (), {}),
        (["--auth", "oauth_file", "--region", "ai"], ("oauth_file",), {"oauth_file": {"region": "ai"}}),
        (["--account", "platform"], ("apikey",), {"apikey": {"account": "platform", "region": "cn"}}),
        (["--auth", "vault"], ("vault",), {}),
        (["--agent", "kimi-cli", "--assistant", 'O"Neil'], ("apikey",), {"kimi_docker": {"agent": "kimi-cli"}}),
    ],
)
def test_flags_decide(
    call: Call, site: Site, flags: list[str], auth: tuple[str, ...], tables: dict[str, object]
) -> None:
    done = call("init", "--yes", *flags)
    assert done.code == 0, done.err
    written = settings(site)
    assert written.auth == auth
    for name, table in tables.items():
        assert written.plugins[name] == table


def test_plugins_that_are_not_installed_are_said_with_what_brings_them(call: Call, site: Site) -> None:
    done = call("init", "--yes", "--backend", "other")
    assert 'Not installed yet: other. What Kimi needs comes with: pip install "nanokimi[kimi]"' in done.out


def test_an_existing_file_is_left_alone_and_force_keeps_a_copy(call: Call, site: Site) -> None:
    site.toml("# mine\n")
    left = call("init", "--yes")
    assert left.code == 1
    assert left.err == (
        f"nanokimi: {site.home}/nanokimi.toml exists already; "
        "edit it, or replace it with: nanokimi init --force (a copy is kept)\n"
    )
    assert text(site) == "# mine\n"
    for number in (1, 2):
        forced = call("init", "--yes", "--force")
        assert forced.code == 0
        assert f"nanokimi.toml.{number}.bak" in forced.out
    assert (site.home / "nanokimi.toml.1.bak").read_text() == "# mine\n"


def test_the_path_may_be_a_file_a_folder_or_named_by_the_environment(call: Call, site: Site) -> None:
    (site.home / "kai").mkdir()
    assert call("init", "--yes", "kai").code == 0
    assert (site.home / "kai" / "nanokimi.toml").is_file()
    assert call("init", "--yes", "new/deep.toml").code == 0
    assert (site.home / "new" / "deep.toml").is_file()
    done = call("init", "--yes", NANOKIMI_CONFIG=str(site.home / "env.toml"))
    assert (site.home / "env.toml").is_file()
    assert "  nanokimi chat" in done.out
    assert f"nanokimi --config {site.home}/bo.toml chat" in call("init", "--yes", "bo.toml").out


def test_questions_are_answered_by_number_and_the_members_key_is_offered_first(call: Call, site: Site) -> None:
    done = call("init", said=f"Ada\n1\n1\n2\n{KIMI_KEY}\n")
    assert done.code == 0, done.err
    written = settings(site)
    assert (written.assistant, written.backend, written.auth) == ("Ada", "kimi_docker", ("apikey",))
    assert written.plugins["apikey"] == {"account": "kimi-code", "region": "ai"}
    accounts = done.err.index("Which account pays?")
    assert done.err.index("1. an API key that a Kimi Code member makes", accounts) > accounts
    key = site.data / "plugins" / "apikey" / "key"
    assert key.read_text().strip() == KIMI_KEY
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert KIMI_KEY not in text(site) + done.out + done.err
    assert "set-key" not in done.out.partition("Next:")[2]


def test_a_key_of_the_wrong_kind_is_asked_for_again(call: Call, site: Site) -> None:
    done = call("init", said=f"\n\n\n\n{PLATFORM_KEY}\n{KIMI_KEY}\n")
    assert done.code == 0, done.err
    assert "is no Kimi Code key" in done.err
    assert (site.data / "plugins" / "apikey" / "key").read_text().strip() == KIMI_KEY


def test_the_echo_needs_no_more_questions(call: Call, site: Site) -> None:
    assert call("init", said="Ada\n2\n").code == 0
    assert settings(site).backend == "echo"


def test_an_answer_that_is_no_number_is_asked_for_again(call: Call, site: Site) -> None:
    done = call("init", said="Ada\nkimi\n2\n")
    assert done.code == 0
    assert "Type a number from 1 to 2." in done.err


def test_input_that_ends_too_early_writes_nothing(call: Call, site: Site) -> None:
    done = call("init", said="Ada\n")
    assert done.code == 1
    assert done.err.splitlines()[-1].endswith("the input ended before every question was answered; add --yes")
    assert not (site.home / "nanokimi.toml").exists()


def test_a_key_from_a_file_or_from_a_pipe_is_stored(call: Call, site: Site) -> None:
    (site.home / "key.txt").write_text(KIMI_KEY + "\n")
    assert "The key …6789 is stored for apikey." in call("init", "--yes", "--key-file", "key.txt").out
    done = call("init", "--yes", "--force", "--key-file", "-", said=KIMI_KEY)
    assert "The key …6789 is stored for apikey." in done.out
    missing = call("init", "--yes", "--force", "--key-file", "none.txt")
    assert missing.code == 1


def test_an_old_bots_login_and_instructions_are_taken_over(call: Call, site: Site) -> None:
    bot = old_bot(site, {"global": "Be kind.\n", "family": "Be brief.\n"}, config=OAUTH, login=True)
    done = take_over(call, bot)
    assert (done.code, done.err) == (0, ""), done.err
    written = settings(site)
    assert written.auth == ("oauth_file",)
    assert written.plugins["oauth_file"] == {"region": "cn"}
    assert (site.data / "KIMI.md").read_text() == "Be kind.\n"
    assert (site.data / "chats" / "family" / "KIMI.md").read_text() == "Be brief.\n"
    logins = [path for path in (site.data / "plugins" / "oauth_file").rglob("*") if path.is_file()]
    assert any("canary-refresh" in path.read_text() for path in logins)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in logins if "canary" in path.read_text())
    assert "canary" not in done.out + text(site)
    assert "Stop the old bot now" in done.out
    assert not any(step in done.out.partition("Next:")[2] for step in ("auth import", "auth login"))


def test_an_old_groups_instructions_are_found_once_its_chat_is_named_in_the_toml(call: Call, site: Site) -> None:
    take_over(call, old_bot(site, {"family": "Be brief.\n"}))
    assert '# sandbox = "family"' in text(site)
    uncommented = text(site).replace('# [chats."transport:chat"]', '[chats."line:7"]').replace("# sandbox", "sandbox")
    site.toml(uncommented)
    assert load(Location(site.home / "nanokimi.toml", site.data), {}).rules(["line:7"]).sandbox == "family"


def test_a_group_whose_chat_is_known_gets_its_table_at_once(call: Call, site: Site) -> None:
    bot = old_bot(site, {"family": "Be brief.\n", "work": "Be exact.\n"})
    done = take_over(call, bot, "--group", "family=whatsapp:123@g.us")
    assert done.code == 0, done.err
    written = settings(site)
    assert list(written.chats) == ["whatsapp:123@g.us"]
    assert written.rules(["whatsapp:123@g.us"]).sandbox == "family"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("family", '--group "family" is not NAME=CHAT'),
        ("family=me", '--group "family=me" is not NAME=CHAT'),
        ("fmily=line:1", 'the old bot has no group "fmily" with a KIMI.md; it has: family'),
    ],
)
def test_a_group_that_is_misspelt_stops_before_anything_is_written(
    call: Call, site: Site, given: str, said: str
) -> None:
    done = take_over(call, old_bot(site, {"family": "Be brief.\n"}), "--group", given)
    assert done.code == 1
    assert said in done.err
    assert not (site.home / "nanokimi.toml").exists()


def test_an_old_bots_api_key_is_taken_over_with_its_region(call: Call, site: Site) -> None:
    done = take_over(call, old_bot(site, config=MOONSHOT.format(key=PLATFORM_KEY)))
    assert (done.code, done.err) == (0, "")
    written = settings(site)
    assert written.auth == ("apikey",)
    assert written.plugins["apikey"] == {"account": "platform", "region": "ai"}
    assert '# model = "kimi-latest"' in text(site)
    assert (site.data / "plugins" / "apikey" / "key").read_text().strip() == PLATFORM_KEY
    assert PLATFORM_KEY not in done.out + text(site)


def test_an_access_token_that_was_used_as_a_key_is_not_taken_over(call: Call, site: Site) -> None:
    done = take_over(call, old_bot(site, config=MOONSHOT.format(key="eyJhbGciOi.eyJzdWIi.c2ln")))
    assert done.code == 0
    assert "its API key is an access token, which lives for minutes; it is not taken over" in done.out
    assert not (site.data / "plugins" / "apikey" / "key").exists()


def test_a_login_that_was_revoked_is_said_and_the_rest_is_taken_over(call: Call, site: Site) -> None:
    bot = old_bot(site, {"family": "Be brief.\n"}, config=OAUTH, login=True)
    (bot / "data" / "credentials" / "kimi-code.json").write_text(json.dumps({"access_token": "", "refresh_token": ""}))
    done = take_over(call, bot)
    assert done.code == 0
    assert done.err.startswith("nanokimi: ")
    assert (site.data / "chats" / "family" / "KIMI.md").is_file()
    steps = done.out.partition("Next:")[2]
    assert "\n  nanokimi image build\n  nanokimi auth login\n  nanokimi doctor\n" in steps
    assert "can be brought here: nanokimi auth import kimi-code.json" in steps


def test_instructions_that_are_there_already_are_not_overwritten(call: Call, site: Site) -> None:
    bot = old_bot(site, {"global": "Be kind.\n"})
    site.data.mkdir()
    (site.data / "KIMI.md").write_text("Mine.\n")
    done = take_over(call, bot)
    assert (site.data / "KIMI.md").read_text() == "Mine.\n"
    assert (site.data / "KIMI.md.imported").read_text() == "Be kind.\n"
    assert "put them together yourself" in done.out


def test_links_and_odd_files_that_the_old_agent_may_have_left_are_not_followed(call: Call, site: Site) -> None:
    secret = site.folder / "secret"
    secret.write_text("canary")
    bot = old_bot(site, {"fine": "Be brief.\n", "large": "x" * 200_000, "latin": ""})
    (bot / "groups" / "latin" / "KIMI.md").write_bytes(b"caf\xe9")
    (bot / "groups" / "link").mkdir()
    (bot / "groups" / "link" / "KIMI.md").symlink_to(secret)
    (bot / "groups" / "away").symlink_to(bot / "groups" / "fine")
    (bot / "groups" / "pipe").mkdir()
    os.mkfifo(bot / "groups" / "pipe" / "KIMI.md")
    done = call("init", "--yes", "--from", str(bot))
    assert done.code == 0, done.err
    assert [path.name for path in (site.data / "chats").iterdir()] == ["fine"]
    for name in ("large", "latin", "link", "pipe"):
        assert f"groups/{name}/KIMI.md can't be taken over" in done.out
    assert not any("canary" in path.read_text() for path in site.data.rglob("*") if path.is_file())


def test_a_groups_odd_name_stays_inside_the_data_folder(call: Call, site: Site) -> None:
    bot = old_bot(site, {"..hidden": "Be brief.\n", 'fam"ily\u00e9 A': "Be exact.\n"})
    done = take_over(call, bot)
    assert done.code == 0, done.err
    placed = {path.parent.name for path in (site.data / "chats").rglob("KIMI.md")}
    assert placed == {safe_name("..hidden"), safe_name('fam"ily\u00e9 A')}


def test_a_folder_that_is_no_old_bots_is_refused_before_anything_is_asked(call: Call, site: Site) -> None:
    done = call("init", "--from", str(site.folder))
    assert done.code == 1
    assert done.err == (
        f"nanokimi: {site.folder} has neither data/credentials nor groups; name the old bot's own folder\n"
    )


def test_a_config_that_cannot_be_read_is_said_and_the_rest_is_taken_over(call: Call, site: Site) -> None:
    bot = old_bot(site, {"global": "Be kind.\n"}, config="default_model = ")
    done = take_over(call, bot)
    assert done.code == 0
    assert "so its model and key are not taken over" in done.out
    assert (site.data / "KIMI.md").is_file()


def test_an_old_groups_folder_whose_name_is_no_text_is_left_out_with_a_note(site: Site) -> None:
    bot = old_bot(site, {"family": "be kind"})
    odd = os.fsencode(bot / "groups") + b"/caf\xe9"
    Path(os.fsdecode(odd)).mkdir()
    Path(os.fsdecode(odd), "KIMI.md").write_text("be odd")
    done = site.run("init", "--yes", "--from", str(bot))
    assert done.returncode == 0, done.stderr
    assert "KIMI.md can't be taken over: the name of its folder is no UTF-8 text" in done.stdout
    assert "groups/family/KIMI.md" in done.stdout


@pytest.mark.parametrize(("kind", "said"), [("pipe", "it is no regular file"), ("zero", "it is no regular file")])
def test_a_key_file_that_is_no_regular_file_is_not_waited_for(site: Site, kind: str, said: str) -> None:
    file = Path("/dev/zero")
    if kind == "pipe":
        file = site.folder / "pipe"
        os.mkfifo(file)
    done = site.run("init", "--yes", "--key-file", str(file))
    assert done.returncode == 1
    assert done.stderr == f"nanokimi: {file} can't be read: {said}; name a file that holds the key\n"


@pytest.mark.parametrize(("content", "said"), [("", " is empty"), ("x" * 20_000, " can't be read: it is longer than")])
def test_a_key_file_that_cannot_hold_a_key_is_refused(site: Site, content: str, said: str) -> None:
    file = site.folder / "key"
    file.write_text(content)
    done = site.run("init", "--yes", "--key-file", str(file))
    assert done.returncode == 1
    assert f"nanokimi: {file}{said}" in done.stderr
    assert not (site.home / "nanokimi.toml").exists()
