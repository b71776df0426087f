"""wire/message.py."""

from hypothesis import given
from hypothesis import strategies as st

from echotime.wire.message import ACKNOWLEDGEMENT, build_reply


def test_seed_dialogue() -> None:
    """The seed's example: hello, I get it!, ok."""
    assert build_reply(b"hello", reply=b"ok") == b"hello\nI get it!\nok"
    assert len(ACKNOWLEDGEMENT) == 11


@given(st.binary(), st.binary(), st.binary())
def test_order(message: bytes, acknowledgement: bytes, word: bytes) -> None:
    """Message, acknowledgement and word stand in this order, unchanged and with nothing between them."""
    whole = build_reply(message, acknowledgement, word)
    assert whole.startswith(message)
    assert whole[len(message) :].startswith(acknowledgement)
    assert whole[len(message) + len(acknowledgement) :] == word
