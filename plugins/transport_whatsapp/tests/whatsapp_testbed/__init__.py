"""WhatsApp on this machine: a stand-in for its servers, and a second person's client, both for tests.

The clients are the shipped library, unchanged and end-to-end encrypted; nothing leaves the machine. A test uses it so::

    with WhatsAppServer(tmp_path / "server") as server:          # blocks, from any thread; 0.3 s
        owner = server.user("15550000002", "200000000000002", "Owner")
        alice = server.user("15550000001", "100000000000001", "Alice")
        group = server.group("120363000000000001", "Club", [alice, owner])

        child = start(env=os.environ | server.environment())     # the program under test: led to this server
        owner.scan(qr)                                           # or owner.type_code("ABCD-EFGH")
        server.wait_for(owner.connected)

        with Friend(server, alice, tmp_path / "alice") as friend:     # 1.5 s: keep one for a module
            sent = friend.send_text(owner.chat, "hello")
            answer = friend.wait_for(lambda event: event.quoted_id == sent)     # a Received; see received.py

        server.trouble.cut(owner)            # also down, silent, up, reject_login, stream_error, hold_acks,
        server.trouble.let_go()              # lose_messages, refuse_next, hold_offline, deliver_twice, qr_codes ...
        server.media.refuse_downloads = 404  # also refuse_uploads, delay, padding; heal() ends all
        owner.unlink()                       # on the phone: the device is told, and forgets its login

        owner.messages(), owner.receipts("read"), owner.typing(), owner.waiting(), owner.logins(), server.dials()

In async tests call what may take long, and all of Friend, in a worker thread (``anyio.to_thread.run_sync``). Mark tests
that start a client with ``pytest.mark.whatsapp``. A second device of the owner is a ``Friend(server, owner, ...)``; its
``share_name`` does what a phone does after linking: the other devices learn the account's name, and may show presence.
What the stand-in leaves out: the contents of letters (it can't read them), settings other than the name, history,
WhatsApp's own limits and checks, real phones. ``environment`` must be there when a process starts.
"""

from __future__ import annotations

from whatsapp_testbed.friend import Friend, FriendError
from whatsapp_testbed.received import Quote, Received
from whatsapp_testbed.server import WhatsAppServer
from whatsapp_testbed.users import Group, User

__all__ = ["Friend", "FriendError", "Group", "Quote", "Received", "User", "WhatsAppServer"]
