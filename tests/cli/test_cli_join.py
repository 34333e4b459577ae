"""``nanokimi chat`` where a service runs on the same data folder."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from cli.service import log_until, service, set_up, until, with_lab
from testbed.site import SECONDS, Site, command

JOINED = "this terminal joins it"


def quiet(site: Site, *, lab: str | None = None) -> None:
    """Set up a service to which nobody but the console speaks."""
    site.ours("desk")
    if lab is None:
        set_up(site, say="[]")
    else:
        with_lab(site)
        set_up(site, say="[]", top='backend = "lab"', tables=f"[plugins.lab]\n{lab}")


def test_one_question_is_answered_by_the_running_process(site: Site) -> None:
    quiet(site, lab="")
    with service(site) as process:
        done = site.run("chat", "--once", "hello")
        assert (done.returncode, done.stdout, done.stderr) == (0, "thinking done: hello\n", "")
        process.send_signal(signal.SIGTERM)
        log_until(process, "SIGTERM: stopping")
        assert process.wait(SECONDS) == 0


def test_each_line_of_a_pipe_is_answered_in_order_by_the_running_process(site: Site) -> None:
    quiet(site)
    with service(site):
        done = site.run("chat", said="one\ntwo\n\nthree")
        again = site.run("chat", said="four\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "one\ntwo\nthree\n", "")
    assert (again.returncode, again.stdout, again.stderr) == (0, "four\n", "")


def test_an_answer_that_failed_exits_with_1_and_leaves_nothing_waiting(site: Site) -> None:
    quiet(site, lab='fails = "the tokens are used up"')
    with service(site):
        done = site.run("chat", "--once", "hello")
        assert done.returncode == 1
        assert "my account is used up" in done.stdout
        found = until(site, lambda status: not status["waiting"], "status")
        assert found["counters"]["cancelled"] == 1


def test_a_pipe_that_nobody_reads_ends_the_chat_and_not_the_process(site: Site) -> None:
    quiet(site)
    reader, writer = os.pipe()
    os.close(reader)
    with service(site):
        with subprocess.Popen(
            command(["chat"]),
            stdin=subprocess.PIPE,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            env=site.environ(),
            cwd=site.home,
        ) as chat:
            os.close(writer)
            _, said = chat.communicate("one\ntwo\nthree\n", timeout=SECONDS)
        assert "Traceback" not in said
        assert site.run("chat", "--once", "hello").stdout == "hello\n"


def test_a_terminal_talks_to_the_running_process_and_leaves_it_running(site: Site) -> None:
    quiet(site)
    with service(site) as process:
        with site.terminal("chat") as terminal:
            terminal.until(JOINED)
            terminal.until("Ctrl-D ends")
            terminal.type("good morning\n")
            terminal.until("Kai: good morning")
            terminal.type("/help\n")
            terminal.until("/new")
            terminal.type("\x04")
            assert terminal.ended() == 0
        assert site.run("chat", "--once", "still there?").stdout == "still there?\n"
        assert process.poll() is None


def test_an_answer_that_comes_while_nobody_has_joined_is_shown_in_the_next_terminal_once(site: Site) -> None:
    quiet(site, lab="seconds = 2")
    with service(site):
        with site.terminal("chat") as terminal:
            terminal.until("Ctrl-D ends")
            terminal.type("hello\n")
            terminal.until("thinking")
            terminal.type("\x04")
            assert terminal.ended() == 0
        until(site, lambda status: status["counters"].get("answered") == 1, "status")
        with site.terminal("chat") as terminal:
            terminal.until("done: hello")
            until(site, lambda status: status["owed"] == 0, "status")
            terminal.type("\x04")
            assert terminal.ended() == 0
        with site.terminal("chat") as terminal:
            terminal.until("Ctrl-D ends")
            terminal.type("again\n")
            assert "done: hello" not in terminal.until("done: again")


def test_an_answer_to_an_earlier_question_is_not_mixed_into_a_pipes_output(site: Site) -> None:
    quiet(site, lab="seconds = 2")
    with service(site):
        with site.terminal("chat") as terminal:
            terminal.until("Ctrl-D ends")
            terminal.type("earlier\n")
            terminal.until("thinking")
            terminal.process.kill()
        done = site.run("chat", "--once", "hello")
    assert (done.returncode, done.stdout) == (0, "thinking done: hello\n")
    assert done.stderr == "Kai, to something earlier: thinking done: earlier\n"


def test_a_second_terminal_is_refused_and_the_first_goes_on(site: Site) -> None:
    quiet(site)
    with service(site), site.terminal("chat") as terminal:
        terminal.until("Ctrl-D ends")
        second = site.run("chat", "--once", "hello")
        assert (second.returncode, second.stdout) == (1, "")
        assert second.stderr == (
            "nanokimi: another terminal has joined this assistant's console already; leave it there with Ctrl-D\n"
        )
        terminal.type("mine\n")
        terminal.until("Kai: mine")


def test_a_service_with_the_console_among_its_transports_lets_nobody_join(site: Site) -> None:
    site.ours("desk")
    site.toml(f'transports = ["desk", "console"]\n[plugins.desk]\nout = "{site.home / "out"}"\n')
    with service(site):
        done = site.run("chat", "--once", "hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "nanokimi: the running process has the console itself; write to it in its own terminal\n"


def test_the_end_of_the_service_ends_the_chat_with_a_note(site: Site) -> None:
    quiet(site)
    with service(site) as process, site.terminal("chat") as terminal:
        terminal.until("Ctrl-D ends")
        process.send_signal(signal.SIGTERM)
        terminal.until("The assistant has stopped.")
        assert terminal.ended() == 0
        log_until(process, "SIGTERM: stopping")
        assert process.wait(SECONDS) == 0


def test_a_service_that_is_killed_before_it_has_answered_makes_one_question_fail(site: Site) -> None:
    quiet(site, lab="seconds = 60")
    with service(site) as process, site.start("chat", "--once", "hello") as chat:
        until(site, lambda status: status["turns"] == 1, "status")
        process.kill()
        out, said = chat.communicate(timeout=SECONDS)
    assert (chat.returncode, said) == (1, "The assistant has stopped.\n")
    assert "done" not in out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_chat_at_once_and_not_the_service(site: Site, number: int, code: int) -> None:
    quiet(site, lab="seconds = 60")
    with service(site) as process, site.terminal("chat") as terminal:
        terminal.until("Ctrl-D ends")
        terminal.type("hello\n")
        terminal.until("thinking")
        terminal.process.send_signal(number)
        assert terminal.ended() == code
        assert process.poll() is None
        assert site.run("status").returncode == 0
