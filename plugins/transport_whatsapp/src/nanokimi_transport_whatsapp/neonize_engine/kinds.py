"""The kinds of WhatsApp's messages that have no form of their own here, each with the fields that hold its words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nanokimi_transport_whatsapp.neonize_engine.words import name, said

QUIET = frozenset(
    {
        # Keys and settings of the protocol.
        "messageContextInfo",
        "senderKeyDistributionMessage",
        "fastRatchetKeySenderKeyDistributionMessage",
        "groupRootKeyShare",
        "rootSecretDistributeMessage",
        "stickerSyncRmrMessage",
        "chat",
        "limitSharingMessage",
        "acp2SettingMessage",
        "botPlatformRegistrationSuccessMessage",
        "statusLinkPreviewMetadata",
        # The history that a group shows to somebody new.
        "messageHistoryBundle",
        "messageHistoryNotice",
        # Announces pictures, which follow as messages.
        "albumMessage",
        # Say nothing: a message is pinned, or kept from disappearing.
        "pinInChatMessage",
        "keepInChatMessage",
        # Statuses, which are no talk with anybody.
        "groupStatusMessage",
        "groupStatusMessageV2",
        "groupStatusMentionMessage",
        "statusMentionMessage",
        "statusNotificationMessage",
    }
)
"""Fields of a message in which there is nothing for anybody."""

WORDS = {
    "buttonsMessage": ("text", "contentText", "footerText"),
    "buttonsResponseMessage": ("selectedDisplayText",),
    "highlyStructuredMessage": (
        "hydratedHsm.hydratedTemplate.hydratedTitleText",
        "hydratedHsm.hydratedTemplate.hydratedContentText",
    ),
    "interactiveMessage": ("header.title", "body.text", "footer.text"),
    "interactiveResponseMessage": ("body.text",),
    "listMessage": ("title", "description", "footerText"),
    "listResponseMessage": ("title", "description"),
    "templateButtonReplyMessage": ("selectedDisplayText",),
    "templateMessage": (
        "hydratedTemplate.hydratedTitleText",
        "hydratedTemplate.hydratedContentText",
        "hydratedTemplate.hydratedFooterText",
        "hydratedFourRowTemplate.hydratedTitleText",
        "hydratedFourRowTemplate.hydratedContentText",
        "hydratedFourRowTemplate.hydratedFooterText",
        "interactiveMessageTemplate.body.text",
    ),
}
"""Kinds that are read as text, where there is any in them."""

_NOTE = ("noteMessage.conversation", "noteMessage.extendedTextMessage.text")

PHRASES: dict[str, tuple[str, ...]] = {
    "bcallMessage": ("a call", "caption"),
    "call": ("a call",),
    "callLogMesssage": ("a call",),
    "cancelPaymentRequestMessage": ("a request for a payment, taken back",),
    "commentMessage": ("a comment", "message.conversation", "message.extendedTextMessage.text"),
    "declinePaymentRequestMessage": ("a request for a payment, declined",),
    "encCommentMessage": ("a comment that can't be read",),
    "encEventResponseMessage": ("an answer to an event",),
    "eventInviteMessage": ("an invitation to an event", "eventTitle", "caption"),
    "eventMessage": ("an event", "name", "description", "location.name", "location.address", "joinLink"),
    "groupInviteMessage": ("an invitation to a group", "groupName", "caption"),
    "invoiceMessage": ("an invoice", "note"),
    "newsletterAdminInviteMessage": ("an invitation to run a channel", "newsletterName", "caption"),
    "newsletterFollowerInviteMessageV2": ("an invitation to a channel", "newsletterName", "caption"),
    "orderMessage": ("an order", "orderTitle", "message"),
    "paymentInviteMessage": ("an invitation to payments",),
    "paymentReminderMessage": ("a reminder of a payment", "description"),
    "placeholderMessage": ("a message that can be seen on the phone only",),
    "pollAddOptionMessage": ("a new option in a poll", "addOption.optionName"),
    "pollResultSnapshotMessage": ("the result of a poll", "name"),
    "pollResultSnapshotMessageV3": ("the result of a poll", "name"),
    "pollUpdateMessage": ("a vote in a poll",),
    "productMessage": ("a product", "product.title", "product.description", "body"),
    "requestPaymentMessage": ("a request for a payment", *_NOTE),
    "requestPhoneNumberMessage": ("a request for the phone number",),
    "scheduledCallCreationMessage": ("a planned call", "title"),
    "scheduledCallEditMessage": ("a change of a planned call",),
    "sendPaymentMessage": ("a payment", *_NOTE),
    "splitPaymentMessage": ("a shared payment", "description"),
    "stickerPackMessage": ("a pack of stickers", "name", "caption"),
}
"""Kinds that are named: what to call them, and the fields that say more. Any other is named by its field."""

_MOST = 500


def words_in(part: Any, paths: tuple[str, ...]) -> Iterator[str]:
    """Give what is written in the fields of a part, each once."""
    seen: set[str] = set()
    for path in paths:
        value = part
        for step in path.split("."):
            value = getattr(value, step)
        written = said(value)
        if written.strip() and written not in seen:
            seen.add(written)
            yield written


def phrase(field: str, part: Any) -> str:
    """Say in a few words what a part is, and what it says."""
    what, *paths = PHRASES.get(field, (field,))
    more = "; ".join(name(written, _MOST) for written in words_in(part, tuple(paths)))
    return f"{what}: {more}"[:_MOST] if more else what
