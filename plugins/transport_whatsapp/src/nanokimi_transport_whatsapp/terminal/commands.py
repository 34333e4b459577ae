"""``nanokimi whatsapp …``."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import anyio
import typer

from nanokimi_core import CommandError, Invocation
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.settings import Settings
from nanokimi_transport_whatsapp.standing import AccountNote, read_note, read_standing, remove_note, write_note
from nanokimi_transport_whatsapp.supervision import ChildProcess
from nanokimi_transport_whatsapp.terminal.holding import NOTICED_SECONDS, session_held
from nanokimi_transport_whatsapp.terminal.linking import Linking, log_out
from nanokimi_transport_whatsapp.terminal.overview import Overview
from nanokimi_transport_whatsapp.terminal.screen import CodeScreen, choose, note, on_terminal
from nanokimi_transport_whatsapp.values import Who
from nanokimi_transport_whatsapp.words import account_words, phone_digits

Number = Literal["own", "bot"]

FAILED = 1

_HELP = {"help_option_names": ["-h", "--help"]}

_LINK_EXAMPLES = """\b
Examples:
    nanokimi whatsapp link
    nanokimi whatsapp link --phone "+49 151 1234567"
    nanokimi whatsapp link --png code.png --number bot"""

app = typer.Typer(
    help="The WhatsApp account that this instance of the transport uses.",
    add_completion=False,
    rich_markup_mode="rich" if sys.stdout is not None and sys.stdout.isatty() else None,
    context_settings=_HELP,
    invoke_without_command=True,
)


@dataclass(frozen=True)
class Seat:
    """The instance that a command is about."""

    name: str
    assistant: str
    settings: Settings
    places: Places

    @classmethod
    def of(cls, ctx: typer.Context) -> Seat:
        """Take it from what the core gives to commands.

        Raises:
            ConfigError: Its table is wrong.
        """
        invocation: Invocation = ctx.obj
        context, settings = invocation.context, invocation.config
        return cls(context.name, context.assistant, settings, Places(context.folder))

    def child(self) -> ChildProcess:
        """Make a child, to be entered."""
        return ChildProcess(self.settings, self.places)


@app.callback()
def group(ctx: typer.Context) -> None:
    """Show the help where no command is named."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command("link", epilog=_LINK_EXAMPLES)
def link(
    ctx: typer.Context,
    phone: Annotated[
        str | None,
        typer.Option("--phone", metavar="NUMBER", help="Show a code to type on the phone with this number."),
    ] = None,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", help="Write the QR code into a picture, too.")
    ] = None,
    number: Annotated[
        str | None, typer.Option("--number", metavar="own|bot", help="Whose number it is; unless told, you are asked.")
    ] = None,
) -> None:
    """Link a WhatsApp account, by a QR code to scan with its phone.

    Works beside a running nanokimi, which goes on with the account by itself. Ctrl-C gives it up.
    """
    seat = Seat.of(ctx)
    whose = _whose(seat, number)
    digits = phone_digits(phone) if phone is not None else ""
    if digits and png is not None:
        raise _wrong_use("--png writes a QR code, and with --phone there is none", "leave out one of them")
    _refuse_linked(seat)  # before a running nanokimi gives its connection up for nothing
    with session_held(seat.places, seat.name) as held:
        _refuse_linked(seat)
        who, chosen = _link(seat, digits, png, whose)
        running = held.by_transport()
        if not running:
            seat.places.standing.unlink(missing_ok=True)  # of another login, perhaps one that has ended for good
        write_note(seat.places, AccountNote(number=chosen, me=who, linked_at=datetime.now(UTC)))
    for text in next_steps(seat, chosen, running=running):
        typer.echo(text)


def _refuse_linked(seat: Seat) -> None:
    if (known := read_note(seat.places)) is not None:
        said = f"{seat.name} is linked already: {account_words(known.me)}, since {known.linked_at:%Y-%m-%d}"
        raise CommandError(said, remedy=f"to link another account, first: nanokimi {seat.name} unlink")


def _link(seat: Seat, digits: str, png: Path | None, whose: Number | None) -> tuple[Who, Number]:
    """Link an account, and learn whose number it is.

    Raises:
        CommandError: It came to nothing.
    """
    linking: Linking | None = None
    try:
        with CodeScreen(png) as screen:
            linking = Linking(
                seat.child,
                screen,
                name=seat.name,
                phone=digits,
                connect_seconds=seat.settings.connect_seconds,
                paired_seconds=seat.settings.paired_seconds,
            )
            who = anyio.run(linking.run)
        typer.echo(f"Linked: {account_words(who)}.")
        return who, whose or _ask_whose(seat)
    except (KeyboardInterrupt, typer.Abort, CommandError) as error:
        if linking is not None and linking.paired is not None:
            note(
                f"The phone has accepted {seat.name}, and that isn't finished here: go on with nanokimi {seat.name} "
                f"link, or take it back with nanokimi {seat.name} unlink."
            )
        elif not isinstance(error, CommandError):
            note("Nothing was linked.")
        raise


def _whose(seat: Seat, number: str | None) -> Number | None:
    """Learn whose number it is, as far as that is said.

    Raises:
        CommandError: It is said wrongly, or nobody is there to be asked.
    """
    told = seat.settings.number
    if number is not None and number not in ("own", "bot"):
        raise _wrong_use(f'--number can\'t be "{number}"', 'it is "own" (yours) or "bot" (one for the assistant)')
    if number is not None and told is not None and number != told:
        raise _wrong_use(f'[plugins.{seat.name}] says number = "{told}", and --number "{number}"', "change one of them")
    if number is None and told is None and not on_terminal():
        raise CommandError("nobody is there to say whose number it is", remedy="add --number own or --number bot")
    return told or ("own" if number == "own" else "bot" if number else None)


def _ask_whose(seat: Seat) -> Number:
    own = (
        f"My own. In the chats that are let in, {seat.assistant} answers only when it is called; my chat with myself "
        f"is the owner's chat with {seat.assistant}."
    )
    bot = f"One for {seat.assistant}. Whoever writes to it in a chat that is let in talks to {seat.assistant}."
    return "own" if choose("Whose number is this?", [own, bot]) == 0 else "bot"


def next_steps(seat: Seat, number: Number, *, running: bool) -> list[str]:
    """Say what is linked now, what that changes, and what is still to be done."""
    self_chat = seat.settings.self_chat if seat.settings.self_chat is not None else number == "own"
    lines = []
    if number == "own":
        lines.append(f"It is your own number: {seat.assistant} answers in chats that are let in, when it is called.")
        if self_chat:
            lines.append(f"Your chat with yourself is the owner's chat: write there to talk to {seat.assistant}.")
    else:
        lines.append(f"It is {seat.assistant}'s number: whoever writes to it in a chat that is let in gets an answer.")
        owner = f'owner = "{seat.name}:YOUR-NUMBER@s.whatsapp.net"'
        lines.append(f"To be its owner, name your own chat in nanokimi.toml (digits only): {owner}")
        lines.append("Then write to it once: it writes to nobody who hasn't written.")
    if running:
        return [*lines, "The running nanokimi goes on with it by itself."]
    named = f'in nanokimi.toml, unless it is there: transports = ["{seat.name}"]'
    return [*lines, "\nNext:", f"  {named}", "  nanokimi run"]


@app.command("unlink")
def unlink(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Remove the login here also where WhatsApp can't be told.")
    ] = False,
) -> None:
    """Log the account out, and remove its login from this machine.

    Messages that came and wait here stay.
    """
    seat = Seat.of(ctx)
    known = read_note(seat.places)
    if known is None and not seat.places.session.exists():
        raise CommandError(f"{seat.name} is not linked", remedy=f"to link it: nanokimi {seat.name} link")
    who = account_words(known.me) if known is not None else "an account whose link was not finished"
    ban = _ban(seat)
    if ban and not force:
        raise CommandError(f"{ban}, and WhatsApp can't be told before", remedy="wait, or remove it here with --force")
    if not yes:
        _agree(seat, who)
    with session_held(seat.places, seat.name):
        why = ban or (anyio.run(partial(log_out, seat.child)) if seat.places.session.exists() else "")
        if why and not force:
            remedy = f"try again; or remove it on the phone (Linked devices), then: nanokimi {seat.name} unlink --force"
            raise CommandError(f"{seat.name} is still linked, WhatsApp can't be told: {why}", remedy=remedy)
        _forget(seat.places)
    typer.echo(f"{seat.name} is no longer linked ({who}); its login is removed from this machine.")
    if why:
        typer.echo(f"WhatsApp could not be told ({why}): remove it on the phone, too, under Linked devices.")


def _agree(seat: Seat, who: str) -> None:
    """Have a person agree.

    Raises:
        CommandError: There is nobody to ask.
        typer.Exit: They don't.
    """
    if not on_terminal():
        raise CommandError(f"nobody is there to agree to unlink {seat.name}", remedy="add --yes")
    if not typer.confirm(f"Unlink {seat.name} ({who})?", default=False, err=True):
        note("Nothing was changed.")
        raise typer.Exit(FAILED)


def _forget(places: Places) -> None:
    """Remove the login; the note goes last, for without it nobody would look for the rest."""
    shutil.rmtree(places.session.parent, ignore_errors=True)
    if places.session.exists():
        raise CommandError(f"{places.session.parent} can't be removed", remedy="remove it yourself")
    places.standing.unlink(missing_ok=True)
    remove_note(places)


@app.command("status")
def status(ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say which account is linked, and how its connection stands.

    Exits with 1 when none is linked, or a nanokimi runs that isn't connected.
    """
    seat = Seat.of(ctx)
    overview = Overview.of(seat.places, seat.settings, seat.name)
    if as_json:
        typer.echo(json.dumps(overview.as_dict(), indent=2, ensure_ascii=False))
    else:
        for text in overview.lines():
            typer.echo(text)
    if not overview.well:
        raise typer.Exit(FAILED)


@app.command("reconnect")
def reconnect(
    ctx: typer.Context, anyway: Annotated[bool, typer.Option("--anyway", help="Also before a ban's end.")] = False
) -> None:
    """Have the running nanokimi begin its connection anew, also where it has given up."""
    seat = Seat.of(ctx)
    if read_note(seat.places) is None:
        raise CommandError(f"{seat.name} is not linked", remedy=f"to link it: nanokimi {seat.name} link")
    if (ban := _ban(seat)) and not anyway:
        raise CommandError(ban, remedy="it goes on by itself then; to try before that, add --anyway")
    with session_held(seat.places, seat.name) as held:
        heard = held.by_transport(NOTICED_SECONDS)
    if heard:
        typer.echo(f"The running nanokimi connects {seat.name} anew; see: nanokimi {seat.name} status")
    else:
        typer.echo(f"No running nanokimi uses {seat.name}, so there is nothing to do.")


def _ban(seat: Seat) -> str:
    """Say until when the account is banned; empty where it isn't, or nobody knows."""
    known = read_standing(seat.places)
    if known is None or known.state != "banned" or known.until is None or known.until <= datetime.now(UTC):
        return ""
    return f"{seat.name} is banned until {known.until.astimezone():%Y-%m-%d %H:%M}"


def _wrong_use(said: str, remedy: str) -> CommandError:
    error = CommandError(said, remedy=remedy)
    error.exit_code = 2
    return error
