"""What the assistant says, in English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nanokimi_core.conversation.catalogue.keys import Key

ENGLISH: Final[Mapping[Key, str]] = {
    "help": """I answer what you write here. Commands:
/new: forget this conversation and start a fresh one
/stop: stop the answer that is being written
/status: how I am, and how many messages wait here
/help: this list""",
    "fresh": "Done: the next message starts a fresh conversation.",
    "nothing_to_stop": "There is nothing to stop.",
    "stopped": "Stopped.",
    "too_many_waiting": "Too many messages are waiting; I haven't kept this one, so please send it again in a while.",
    "too_many_today": "I have answered here as often as I may in a day; please write again tomorrow.",
    "fault": "Something went wrong on my side; my owner has been told.",
    "undelivered": "I had an answer for you that could not be delivered; my owner has been told.",
    "status_chat": "{name} {state}. Messages waiting here: {waiting}.",
    "state_ready": "is ready",
    "state_working": "is working on an answer",
    "state_held": "is away for the moment and will answer what waits",
    "held_credentials": "I'm away for the moment: my account doesn't let me in. Your message is kept, my owner has "
    "been told, and I'll answer as soon as I can.",
    "held_quota": "I'm away for the moment: my account is used up. Your message is kept, my owner has been told, and "
    "I'll answer as soon as I can.",
    "held_rate_limit": "I'm asked too much at the moment. Your message is kept, and I'll answer it {later}.",
    "held_engine": "I'm away for the moment: the machine that I work on isn't ready. Your message is kept, my owner "
    "has been told, and I'll answer as soon as I can.",
    "held_model": "I'm away for the moment: I'm set up wrongly. Your message is kept, my owner has been told, and "
    "I'll answer as soon as I can.",
    "away_credentials": "I'm away for the moment: my account doesn't let me in.",
    "away_quota": "I'm away for the moment: my account is used up.",
    "away_rate_limit": "I'm asked too much at the moment.",
    "away_engine": "I'm away for the moment: the machine that I work on isn't ready.",
    "away_model": "I'm away for the moment: I'm set up wrongly.",
    "away_kept": "{away} Your message is kept, and I'll answer as soon as I can.",
    "away_once": "{away} Please ask again when that has passed.",
    "away_login": "To log me in, write here: /login {name}",
    "gave_up": "I tried your message several times without success and gave it up; my owner has been told.",
    "gave_up_crashed": "I stumbled over your message each time that I tried and gave it up; my owner has been told.",
    "gave_up_out_of_memory": "Your message takes more memory than I have, so I gave it up; please try something "
    "smaller.",
    "gave_up_silent": "I got stuck on your message each time that I tried and gave it up; my owner has been told.",
    "gave_up_too_long": "Your message takes more steps or time than I'm allowed, so I gave it up; please try "
    "something smaller.",
    "gave_up_no_answer": "I couldn't come up with an answer to your message and gave it up; please put it differently.",
    "later": "in a while",
    "later_seconds": "in {count} seconds",
    "later_minutes": "in {count} minutes",
    "later_hours": "in {count} hours",
    "later_days": "in {count} days",
    "kind_direct": "a direct chat",
    "kind_group": "a group",
    "kind_self": "a chat with oneself",
    "people_some": "{people}",
    "people_more": "{people} and {rest} more",
    "people_none": "nobody known",
    "remedy": "; {remedy}",
    "owner_code": "{name} has no owner yet. To become the owner, send this from your own account in a direct chat "
    "with {name}, or in your chat with yourself: /owner {code} (it works once, and until {name} is started again)",
    "owner_code_void": "Five wrong codes for the owner were sent, so the code is void; for a new one, start {name} "
    "again.",
    "owner_code_seen": "The code for the owner was sent where others can read it, so it is void; for a new one, start "
    "{name} again.",
    "owner_welcome": "You are my owner now. What you should know about me comes here, and I take your orders here: "
    "send /help for the list.",
    "help_owner": """Your orders, in this chat only:
/allow 3: let chat number 3 in
/deny 3: shut chat number 3 out
/chats: the chats that I know, with their numbers
/forget 3: erase chat number 3: its messages, its files and what I remember of it
/dead: what I have given up; /dead retry m3 tries m3 again, /dead drop m3 ends it
/login: log in to my account by a code; /login work to the account that is called so
/status: how everything stands""",
    "owner_how": "Write it like this: {how}",
    "owner_error": "That didn't work: {cause}",
    "owner_more": "… and {rest} more",
    "owner_unknown_chat": 'A chat that I don\'t know has written to me: number {number}, "{name}" ({kind}, {chat}). '
    "People: {people}. To let it in: /allow {number}. To shut it out: /deny {number}.",
    "owner_allowed": 'Chat {number}, "{name}", is let in.',
    "owner_denied": 'Chat {number}, "{name}", is shut out.',
    "owner_toml_decides": 'nanokimi.toml lets chat {number}, "{name}", in, and it decides; to change that, change it '
    "there.",
    "owner_no_such_chat": 'I know no chat "{chat}"; /chats lists them.',
    "owner_chats": "Chats that I know: {count}",
    "owner_chats_line": '{number}: "{name}" ({kind}, {chat}), {state}; waiting: {waiting}',
    "owner_chats_none": "I know no chats yet.",
    "chat_allowed": "let in",
    "chat_denied": "shut out",
    "chat_undecided": "as nanokimi.toml says",
    "owner_status": "{name}, NanoKimi {version}. Chats: {chats}; agents up: {warm}; turns running: {turns}; messages "
    "waiting: {waiting}; to be sent: {owed}; given up: {dead}.",
    "owner_status_instance": "{name} ({kind}): {state}",
    "owner_status_error": "{name} ({kind}): {state}; last error: {cause}",
    "owner_status_account": "account {name}: {state}{remedy}",
    "owner_status_serves": "account {name} is the one in use; chats: {count}",
    "owner_status_chats": "account {name}; chats: {count}",
    "owner_status_login": "account {name} waits for its code to be entered, until {until}",
    "owner_status_quota": "account {name}, {quota}: {figures}",
    "owner_status_quota_low": "WARNING, nearly used up: account {name}, {quota}: {figures}",
    "quota_used": "{used} % used",
    "quota_left": "{left} left",
    "quota_resets": "{figures}, whole again at {until}",
    "owner_status_held": "{chat} waits until this has passed: {cause}; next try {later}",
    "owner_status_problem": "to mend: {cause}",
    "instance_starting": "starting",
    "instance_running": "running",
    "instance_waiting": "waiting to be started again",
    "instance_ended": "ended",
    "instance_failed": "failed",
    "account_ok": "fine",
    "account_expiring": "expires soon",
    "account_login_needed": "needs a login",
    "account_rejected": "was rejected",
    "account_out_of_quota": "is used up",
    "account_unknown": "can't be looked at",
    "owner_dead": "Given up: {count} (/dead retry m3 tries m3 again, /dead drop m3 ends it)",
    "owner_dead_line": '{id} in {chat}: "{excerpt}": {cause}; tries: {attempts}',
    "owner_dead_none": "I have given up nothing.",
    "owner_revived": "{id} is tried again.",
    "owner_dropped": "{id} is ended for good.",
    "owner_no_such_letter": 'I have given up nothing with the id "{id}"; /dead lists what I have.',
    "owner_forgot": 'Chat {number}, "{name}", is erased; messages: {count}.',
    "owner_login_lost": "My account {name} doesn't let me in any more; what is written to me is kept until it does. To "
    "log me in:",
    "owner_login_wanted": "To log me in to {name}:",
    "owner_login_code": """open this page on any device

{url}

and enter this code

{code}

It counts until {until}. For another one after that: /login {name}""",
    "owner_login_older": "An older code doesn't count any more.",
    "owner_login_asked": "I'm asking for a code for {name}; it comes here in a moment.",
    "owner_login_fine": "{name} lets me in; a new login takes the place of the old one. I'm asking for a code; it "
    "comes here in a moment.",
    "owner_login_done": "I'm logged in to {name}. What has waited for that is answered now.",
    "owner_login_done_as": "I'm logged in to {name} as {who}. What has waited for that is answered now.",
    "owner_login_new": "I'm logged in to {name}; the new login has taken the old one's place.",
    "owner_login_new_as": "I'm logged in to {name} as {who}; the new login has taken the old one's place.",
    "owner_login_models": "Its models: {models}",
    "owner_login_works": "{name} lets me in again; a code that I have sent for it doesn't count any more.",
    "owner_login_expired": "The code for {name} has run out. For a new one: /login {name}",
    "owner_login_failed": "There is no new login for {name}: {cause}. To try again: /login {name}",
    "owner_login_void": "The code for {name} doesn't count any more, since nanokimi.toml was read again. For a new "
    "one: /login {name}",
    "owner_login_terminal": "{name} doesn't let me in any more, and there is no owner's chat to send a code to; in a "
    "terminal: nanokimi auth login {name}",
    "owner_login_console": "{name} doesn't let me in any more; to log me in, write /login {name} in nanokimi chat, or "
    "in a terminal: nanokimi auth login {name}",
    "owner_login_not_by_code": "{name} doesn't log in by a code.",
    "owner_login_by_key": "Store its key in a terminal on my machine, never in a chat: nanokimi auth set-key --plugin "
    "{name}",
    "owner_login_by_file": "Bring the file of a login in a terminal on my machine: nanokimi auth import FILE --plugin "
    "{name}",
    "owner_held": "In {chat} messages are kept unanswered until this has passed: {cause}{remedy}",
    "owner_held_over": "It has passed, and messages in {chat} are answered again.",
    "owner_account_fell": "My account {id} can't be used, so {other} pays until it can: {cause}{remedy}",
    "owner_account_login": "To log me in to it by a code that comes here: /login {id}",
    "owner_account_back": "My account {id} works again and pays from now on.",
    "owner_gave_up": "A message in {chat} was given up: {cause}; to try it again: /dead retry {id}",
    "owner_undelivered": "An answer for {chat} could not be delivered: {cause}; to try it again: /dead retry {id}",
    "owner_plugin_says": "{plugin}: {text}",
    "owner_store": "I can't write to my disk and take no messages until I can: {cause}{remedy}",
    "owner_senders": "Nobody may speak where a list of senders can't be read: {cause}",
}
