"""Test wire/message.py, which builds replies."""

from hypothesis import given
from hypothesis import strategies as st

from echotime.wire.message import ACKNOWLEDGEMENT, build_reply


def test_original_dialogue() -> None:
    """The dialogue of the original scripts: hello, I get it!, ok."""
    assert build_reply(b"hello", reply=b"ok") == b"hello\nI get it!\nok"
    assert len(ACKNOWLEDGEMENT) == 11


@given(st.binary(), st.binary(), st.binary())
def test_order(message: bytes, acknowledgement: bytes, reply: bytes) -> None:
    """A reply is the message, the acknowledgement and the operator's reply, with nothing in between."""
    whole = build_reply(message, acknowledgement, reply)
    assert whole.startswith(message)
    assert whole[len(message) :].startswith(acknowledgement)
    assert whole[len(message) + len(acknowledgement) :] == reply
