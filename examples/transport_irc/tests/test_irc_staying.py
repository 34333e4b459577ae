"""Whatever happens on the network, the transport comes back to its nick and its channels, and hears each line once."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from nanokimi_core import NotSent
from nanokimi_transport_irc.trial.driver import Driver, driven
from nanokimi_transport_irc.trial.ircd import Ngircd, free_port, link
from nanokimi_transport_irc.trial.person import Person
from nanokimi_transport_irc.trial.proxy import Proxy

pytestmark = [pytest.mark.ircd, pytest.mark.anyio]
People = Callable[..., Person]


async def hears_each_line_once(irc: Driver, ana: Person, target: str) -> None:
    """Say some lines, and see that each is delivered once."""
    lines = [f"{target} {number}" for number in range(5)]
    for line in lines:
        await to_thread.run_sync(ana.say, target, line)
    await irc.until(lambda: lines[-1] in irc.texts, "the last line arrived")
    assert [text for text in irc.texts if text in lines] == lines


def joins_of(nick: str, seen_by: Person) -> int:
    return sum(1 for each in seen_by.commands("JOIN") if each.prefix and each.prefix.nick == nick)


async def test_it_comes_back_after_a_kick(ircd: Ngircd, person: People, tmp_path: Path) -> None:
    ana = person("Ana", "#garden")
    async with driven({"port": ircd.port, "channels": ["#garden"]}, tmp_path) as irc:
        for kicks in (1, 2):
            ana.do("KICK #garden Kai :out")
            await irc.until(partial(lambda kicks: joins_of("Kai", ana) > kicks, kicks), "it joined again")
        await hears_each_line_once(irc, ana, "#garden")
        assert irc.readies == 1


async def test_while_it_is_kept_out_its_answers_wait_and_the_owner_knows(
    ircd: Ngircd, person: People, tmp_path: Path
) -> None:
    ana = person("Ana", "#garden")
    async with driven({"port": ircd.port, "channels": ["#garden"]}, tmp_path) as irc:
        ana.do("MODE #garden +b Kai!*@*", "KICK #garden Kai :out")
        await irc.until(lambda: irc.context.told, "the owner was told")
        with pytest.raises(NotSent):
            await irc.say("#garden", "hello")
        assert list(irc.context.told) == ["join #garden"]
        assert "can't come into #garden" in irc.context.told["join #garden"]
        ana.do("MODE #garden -b Kai!*@*")
        await irc.until(lambda: joins_of("Kai", ana) == 2, "it is back")
        await irc.say("#garden", "hello")
        ana.sync()
        assert ana.said_by("Kai", "#garden") == ["hello"]


async def test_it_joins_with_the_channels_key(ircd: Ngircd, person: People, tmp_path: Path) -> None:
    ana = person("Ana", "#vault")
    ana.do("MODE #vault +k sesame")
    ana.sync()
    async with driven({"port": ircd.port, "channels": ["#vault sesame"]}, tmp_path) as irc:
        await hears_each_line_once(irc, ana, "#vault")
    assert "sesame" not in str(irc.context.told)


async def test_where_the_nick_is_taken_it_has_another_and_gets_its_own_back(
    ircd: Ngircd, person: People, tmp_path: Path
) -> None:
    ana = person("Ana", "#garden")
    with closing(Person(ircd.port, "kai")) as other:
        person("Kai_")
        async with driven({"port": ircd.port, "channels": ["#garden"]}, tmp_path) as irc:
            await irc.say("#garden", "from another nick")
            ana.say("#garden", "Kai: you know your name all the same")
            await irc.until(lambda: irc.delivered, "it heard")
            assert irc.delivered[0].mentions_me
            other.close()
            await irc.until(lambda: ana.commands("NICK"), "it got its nick back")
            ana.say("Kai", "hello")
            await irc.until(lambda: "hello" in irc.texts, "it hears by its own nick")
    assert ana.commands("NICK")[0].parameters[0] == "Kai"


async def test_a_kill_is_survived(ircd: Ngircd, person: People, tmp_path: Path) -> None:
    ana = person("Ana", "#garden")
    ana.become_operator()
    async with driven({"port": ircd.port, "channels": ["#garden"]}, tmp_path) as irc:
        ana.do("KILL Kai :Excess Flood")
        await irc.until(lambda: irc.readies == 2, "it is back")
        await hears_each_line_once(irc, ana, "#garden")
        assert any("hung up" in str(error) or "lost" in str(error) for error in irc.errors)


async def test_a_restart_of_the_server_is_survived_and_each_line_heard_once(ircd: Ngircd, tmp_path: Path) -> None:
    async with driven({"port": ircd.port, "channels": ["#garden"]}, tmp_path) as irc:
        for kill in (False, True, False):
            irc.errors.clear()
            before = irc.readies
            await to_thread.run_sync(partial(ircd.stop, kill=kill))
            await irc.until(lambda: irc.errors, "it noticed")
            await to_thread.run_sync(ircd.start)
            await irc.until(partial(lambda before: irc.readies > before, before), "it is back")
            with closing(await to_thread.run_sync(Person, ircd.port, "Ana", "#garden")) as ana:
                irc.delivered.clear()
                await hears_each_line_once(irc, ana, "#garden")


@pytest.mark.parametrize("when", ["connected", "connecting"])
async def test_a_silent_server_is_noticed_within_bounds(ircd: Ngircd, proxy: Proxy, tmp_path: Path, when: str) -> None:
    proxy.mute = when == "connecting"
    async with driven({"port": proxy.port, "patience": 0.5}, tmp_path, connected=when == "connected") as irc:
        proxy.mute = True
        with anyio.fail_after(20):
            await irc.until(lambda: irc.errors, "it noticed")
        proxy.mute = False
        before = irc.readies
        await irc.until(lambda: irc.readies > before, "it is back")


async def test_a_quiet_server_is_not_taken_for_a_silent_one(ircd: Ngircd, tmp_path: Path) -> None:
    async with driven({"port": ircd.port, "patience": 0.7}, tmp_path) as irc:
        await anyio.sleep(3)  # twice what a silent one is given
        assert (irc.readies, irc.errors) == (1, [])


async def test_no_one_listening_is_said_and_tried_again(ircd: Ngircd, tmp_path: Path) -> None:
    ircd.stop()
    async with driven({"port": ircd.port}, tmp_path, connected=False) as irc:
        await irc.until(lambda: irc.errors, "it noticed")
        assert f"no connection to 127.0.0.1:{ircd.port}" in str(irc.errors[0])
        await to_thread.run_sync(ircd.start)
        await irc.until(lambda: irc.readies, "it is connected")


# --------------------------------------------------------------------- netsplits
@pytest.fixture
def network(tmp_path: Path) -> Iterator[tuple[Ngircd, Ngircd]]:
    """Two servers, not linked yet: the first connects to the second when an operator says so."""
    port = free_port()
    with (
        Ngircd(tmp_path, "a.irc.test", links=[link("b.irc.test", port=port)]) as here,
        Ngircd(tmp_path, "b.irc.test", port=port, links=[link("a.irc.test")]) as there,
    ):
        yield here, there


def relink(operator: Person, there: Ngircd) -> None:
    operator.do(f"CONNECT {there.name} {there.port}")


async def test_a_netsplit_loses_nothing_that_came_and_doubles_nothing(
    network: tuple[Ngircd, Ngircd], tmp_path: Path
) -> None:
    here, there = network
    with closing(Person(here.port, "oper")) as operator, closing(Person(there.port, "Bo", "#garden")) as bo:
        operator.become_operator()
        relink(operator, there)
        table = {"port": here.port, "channels": ["#garden"], "absence": 60}
        async with driven(table, tmp_path) as irc:
            await irc.until(lambda: bo.sees("Kai") and operator.sees("Bo"), "the servers are linked")
            await hears_each_line_once(irc, bo, "#garden")
            operator.do(f"SQUIT {there.name} :split")
            await irc.until(lambda: not operator.sees("Bo"), "the servers are apart")
            with pytest.raises(NotSent):
                await irc.say("bo", "an answer", key="owed")
            relink(operator, there)
            await irc.until(lambda: operator.sees("Bo"), "the servers are linked again")
            await irc.say("bo", "an answer", key="owed")
            await irc.until(lambda: bo.said_by("Kai"), "it came")
            irc.delivered.clear()
            await hears_each_line_once(irc, bo, "#garden")
            await hears_each_line_once(irc, bo, "Kai")
            assert bo.said_by("Kai") == ["an answer"]
            assert (irc.readies, irc.errors) == (1, [])


async def test_a_collision_of_nicks_after_a_netsplit_is_survived(
    network: tuple[Ngircd, Ngircd], tmp_path: Path
) -> None:
    here, there = network
    with closing(Person(here.port, "oper", "#garden")) as operator, closing(Person(there.port, "Kai")):
        operator.become_operator()
        async with driven({"port": here.port, "channels": ["#garden"]}, tmp_path) as irc:
            relink(operator, there)
            await irc.until(lambda: irc.readies > 1, "it was thrown out, and is back")
            await hears_each_line_once(irc, operator, "#garden")
            await irc.until(lambda: operator.sees("Kai"), "it has its nick")
            await hears_each_line_once(irc, operator, "Kai")


# --------------------------------------------------------------------- doors
async def test_nickserv_hears_the_password_before_a_channel_is_joined(
    ircd: Ngircd, person: People, tmp_path: Path
) -> None:
    (secret := tmp_path / "password").write_text("open sesame\n")
    secret.chmod(0o600)
    nickserv = person("NickServ", "#garden")
    table = {"port": ircd.port, "channels": ["#garden"], "password": {"file": secret}, "login": "nickserv"}
    async with driven({**table, "account": "helper"}, tmp_path):
        nickserv.sync()
        said = [message.command for message in nickserv.heard if message.prefix and message.prefix.nick == "Kai"]
        assert said == ["PRIVMSG", "JOIN"]
        assert nickserv.said_by("Kai") == ["IDENTIFY helper open sesame"]


async def test_where_there_is_no_nickserv_the_owner_can_see_why_it_does_not_come(
    ircd: Ngircd, person: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IRC_PASSWORD", "sesame")
    ana = person("Ana", "#garden")
    table = {"port": ircd.port, "channels": ["#garden"], "password": {"env": "IRC_PASSWORD"}, "login": "nickserv"}
    async with driven(table, tmp_path, connected=False) as irc:
        await irc.until(lambda: irc.errors, "it gave up")
        assert "NickServ can't be told the password" in str(irc.errors[0])
        assert "sesame" not in str(irc.errors[0])
        assert not irc.readies
        ana.sync()
        assert not joins_of("Kai", ana)


async def test_a_server_with_a_password_lets_it_in_and_a_wrong_one_is_said_but_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ngircd(tmp_path, password="sesame") as ircd:
        table = {"port": ircd.port, "password": {"env": "IRC_PASSWORD"}, "login": "server"}
        monkeypatch.setenv("IRC_PASSWORD", "sesame")
        async with driven(table, tmp_path / "right") as irc:
            assert irc.readies == 1
        monkeypatch.setenv("IRC_PASSWORD", "swordfish")
        async with driven(table, tmp_path / "wrong", connected=False) as irc:
            await irc.until(lambda: irc.errors, "it was refused")
            assert "password" in str(irc.errors[0]).lower()
            assert "swordfish" not in str(irc.errors[0])


@pytest.fixture
def certificate() -> Iterator[tuple[Path, Path]]:
    """A certificate for this machine and its key, where also the user that ngIRCd becomes can read them."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        crt, key = place / "crt", place / "key"
        what = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-nodes"]
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", *what]
        subprocess.run([*command, "-keyout", str(key), "-out", str(crt)], check=True, capture_output=True, timeout=60)
        key.chmod(0o644)
        yield crt, key


async def test_it_comes_over_tls_to_a_server_that_it_can_trust_and_to_no_other(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    with Ngircd(tmp_path, certificate=certificate) as ircd, closing(Person(ircd.port, "Ana", "#garden")) as ana:
        table = {"port": ircd.tls_port, "tls": True, "channels": ["#garden"]}
        async with driven(table, tmp_path / "stranger", connected=False) as irc:
            await irc.until(lambda: irc.errors, "it refused the certificate")
            assert "certificate" in str(irc.errors[0]).lower()
            assert not irc.readies
        async with driven({**table, "ca_file": certificate[0]}, tmp_path / "known") as irc:
            await hears_each_line_once(irc, ana, "#garden")
            await irc.say("#garden", "encrypted")
            ana.sync()
            assert ana.said_by("Kai", "#garden") == ["encrypted"]
