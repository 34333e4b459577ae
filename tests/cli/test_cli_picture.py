"""The QR code of a login's page, read back from what a terminal gets."""

from __future__ import annotations

import io
import re
import sys

import pytest
import segno

from nanokimi_core.cli.picture import drawn, modules_of, show_picture

PAGE = "https://guild.example/enter?code=AB-12"


class Screen(io.TextIOWrapper):
    """A terminal that remembers what it gets."""

    def __init__(self, encoding: str = "utf-8", *, person: bool = True) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self.person = person

    def isatty(self) -> bool:
        return self.person

    @property
    def shown(self) -> str:
        self.seek(0)
        return self.read()


def code_of(address: str) -> list[list[bool]]:
    return [[bool(module) for module in row] for row in segno.make_qr(address, error="l").matrix_iter(border=2)]


def modules(shown: str, *, light: str) -> list[list[bool]]:
    """Read a picture back: which of its modules are dark."""
    lines = [line.rstrip("\r") for line in shown.split("\n")]
    picture = [line for line in lines if len(line) == len(code_of(PAGE)) and set(line) <= set(" ▀▄█")]
    rows: list[list[bool]] = []
    for line in picture:
        rows += [[sign in "▀█" for sign in line], [sign in "▄█" for sign in line]]
    return [[module == (light == " ") for module in row] for row in rows[: len(code_of(PAGE))]]


def show(monkeypatch: pytest.MonkeyPatch, screen: Screen, **environ: str) -> bool:
    for name in ("NO_COLOR", "COLORTERM", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"} | environ).items():
        monkeypatch.setenv(name, value)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", screen)
        return show_picture(PAGE)


def test_a_terminal_with_colours_gets_black_on_white(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    assert show(monkeypatch, screen)
    plain, colours = re.subn("\x1b\\[30;47m", "", screen.shown)
    assert colours == (len(code_of(PAGE)) + 1) // 2
    assert modules(plain.replace("\x1b[0m", ""), light=" ") == code_of(PAGE)


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"NO_COLOR": "1"}], ids=str)
def test_a_terminal_without_colours_draws_what_is_light(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    screen = Screen()
    assert show(monkeypatch, screen, **environ)
    assert modules(screen.shown, light="█") == code_of(PAGE)


@pytest.mark.parametrize(
    ("screen", "environ"),
    [
        (Screen(person=False), {}),
        (Screen("ascii"), {}),
        (Screen(), {"COLUMNS": str(len(code_of(PAGE)) - 1)}),
        (Screen(), {"LINES": str(len(code_of(PAGE)) // 2)}),
    ],
    ids=["a pipe", "no characters for it", "too narrow", "too low"],
)
def test_where_it_can_not_be_shown_whole_nothing_is(
    monkeypatch: pytest.MonkeyPatch, screen: Screen, environ: dict[str, str]
) -> None:
    assert not show(monkeypatch, screen, **environ)
    assert screen.shown == ""


@pytest.mark.parametrize("count", [2, 3])
def test_two_rows_stand_in_a_line_and_an_odd_one_alone(count: int) -> None:
    rows = [[True, False, True], [True, True, False], [False, True, False]]
    assert drawn(rows[:count]) == ["█▄▀", " ▀ "][: count - 1]


def test_an_address_that_is_too_long_has_none() -> None:
    assert modules_of(f"https://guild.example/{'x' * 3000}") == []
