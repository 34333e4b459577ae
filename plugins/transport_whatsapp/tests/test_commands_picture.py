"""Codes, read back from what a terminal or a file gets."""

from __future__ import annotations

import io
import re
import stat
import sys
from pathlib import Path

import pytest
import segno
from code_pictures import png_modules

from nanokimi_core import CommandError
from nanokimi_transport_whatsapp.terminal.picture import Room, drawn, modules_of, needed, write_png
from nanokimi_transport_whatsapp.terminal.screen import CodeScreen
from nanokimi_transport_whatsapp.values import Who
from nanokimi_transport_whatsapp.words import account_words, phone_digits, plain

# As long as WhatsApp's own are: an address, a reference, three keys of 32 bytes and a number.
TEXT = f"https://wa.me/settings/linked_devices#2@{'rT9+' * 25},{'k/Ab' * 11},{'i7Xy' * 11},{'a0Zq' * 11},1"
QUADRANTS = {" ": 0, "█": 63, "▌": 0b010101, "▐": 0b101010}


def code_of(text: str, *, border: int) -> list[list[bool]]:
    return [[bool(module) for module in row] for row in segno.make_qr(text, error="l").matrix_iter(border=border)]


def from_halves(lines: list[str]) -> list[list[bool]]:
    rows: list[list[bool]] = []
    for line in lines:
        rows += [[sign in "▀█" for sign in line], [sign in "▄█" for sign in line]]
    return rows


def from_sextants(lines: list[str]) -> list[list[bool]]:
    rows: list[list[bool]] = []
    for line in lines:
        cells = [QUADRANTS[sign] if sign in QUADRANTS else _sextant(sign) for sign in line]
        rows += [[bool(cell >> (2 * down + right) & 1) for cell in cells for right in (0, 1)] for down in range(3)]
    return rows


def _sextant(sign: str) -> int:
    """Read the sign's Unicode name: it counts the places that are filled, from 1, as a cell's bits do from 0."""
    import unicodedata

    places = unicodedata.name(sign).removeprefix("BLOCK SEXTANT-")
    return sum(1 << int(place) - 1 for place in places)


def cut(rows: list[list[bool]]) -> list[list[bool]]:
    size = len(modules_of(TEXT))
    return [row[:size] for row in rows[:size]]


def test_a_large_window_gets_the_code_in_half_blocks_and_without_colours_draws_what_is_light() -> None:
    columns, lines = needed(TEXT)
    shown = drawn(TEXT, Room(columns, lines, colours=False))
    assert [[not module for module in row] for row in cut(from_halves(shown))] == code_of(TEXT, border=2)
    assert len(shown) + 2 <= lines


def test_a_window_of_80_by_24_has_room_for_a_code_of_whatsapps_and_a_line_below() -> None:
    shown = drawn(TEXT, Room(80, 24, colours=False))
    assert 0 < len(shown) <= 22
    assert [[not module for module in row] for row in cut(from_sextants(shown))] == code_of(TEXT, border=2)


def test_where_there_are_colours_the_theme_plays_no_part() -> None:
    shown = drawn(TEXT, Room(80, 60))
    assert all(line.startswith("\x1b[30;47m") and line.endswith("\x1b[0m") for line in shown)
    assert cut(from_halves([re.sub("\x1b\\[[0-9;]*m", "", line) for line in shown])) == code_of(TEXT, border=2)


@pytest.mark.parametrize("room", [Room(80, 20), Room(30, 80), Room(80, 80, encoding="ascii")])
def test_nothing_is_drawn_that_would_not_be_seen_whole(room: Room) -> None:
    assert drawn(TEXT, room) == []


def test_the_picture_holds_the_code_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    write_png(TEXT, file := tmp_path / "code.png")
    assert png_modules(file) == code_of(TEXT, border=4)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_picture_follows_the_code_and_goes_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "code.png"
    with CodeScreen(file) as screen:
        screen.code("first", 60)
        first = file.read_bytes()
        screen.code("second", 20)
        assert file.read_bytes() != first
    assert not file.exists()
    said = capsys.readouterr().out
    assert "QR: first\nThis one counts for 60 s" in said
    assert "The code before is void. This one counts for 20 s" in said


def test_a_file_that_was_there_stays_where_no_code_came(tmp_path: Path) -> None:
    (tmp_path / "code.png").write_bytes(b"somebody else's")
    with CodeScreen(tmp_path / "code.png"):
        pass
    assert (tmp_path / "code.png").exists()


def test_a_picture_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with (
        CodeScreen(tmp_path / "missing" / "code.png") as screen,
        pytest.raises(CommandError, match=r"code\.png can't be written: No such file"),
    ):
        screen.code(TEXT, 60)


class Screen(io.TextIOWrapper):
    """A terminal that remembers what it gets."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> str:
        self.seek(0)
        return self.read()


@pytest.mark.parametrize(("kind", "again"), [("xterm", True), ("dumb", False)])
def test_a_new_code_takes_the_place_of_the_one_before(monkeypatch: pytest.MonkeyPatch, kind: str, again: bool) -> None:
    for name, value in {"TERM": kind, "COLUMNS": "80", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    with monkeypatch.context() as patch, CodeScreen(None) as codes:
        patch.setattr(sys, "stdout", screen := Screen())
        codes.code(TEXT, 60)
        codes.code(TEXT, 20)
    below = "Linked devices → Link a device. Counts for 60 s; then comes another."
    first, _, second = screen.shown.partition(f"{below}\n")
    up = len(drawn(TEXT, Room(80, 24))) + 1
    assert second.startswith(f"\x1b[{up}A\x1b[J") is again
    assert "WhatsApp → Settings" in first


def test_a_window_that_is_too_small_gets_the_text_and_the_size_that_would_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"TERM": "xterm", "COLUMNS": "80", "LINES": "15"}.items():
        monkeypatch.setenv(name, value)
    with monkeypatch.context() as patch, CodeScreen(None) as codes:
        patch.setattr(sys, "stdout", screen := Screen())
        codes.code(TEXT, 60)
    columns, lines = needed(TEXT)
    assert f"QR: {TEXT}" in screen.shown
    assert f"{columns} columns wide and {lines} lines high" in screen.shown


# --------------------------------------------------------------------- words
@pytest.mark.parametrize("typed", ["+49 151-234567", "0049 (151) 234567", "49151234567", "+49.151/234567"])
def test_a_phone_number_may_be_written_as_people_do(typed: str) -> None:
    assert phone_digits(typed) == "49151234567"


@pytest.mark.parametrize("typed", ["0151 234567", "", "+", "call me", "+49", "1" * 16, "+49151234567a"])
def test_what_is_no_phone_number_with_a_country_code_is_refused(typed: str) -> None:
    with pytest.raises(CommandError, match="is no phone number with its country code"):
        phone_digits(typed)


def test_a_name_from_the_network_cannot_order_the_terminal_about() -> None:
    who = Who(id="1@lid", alias="15550000001@s.whatsapp.net", name="Ann\x1b[2J\n\u202eevil")
    assert account_words(who) == "Ann[2J evil (+15550000001)"
    assert len(plain("x" * 9999)) < 1000
