"""Messages on a byte stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydraflyte.backend.executor.zygote.frames import MAX_FRAME_BYTES, FrameError, FrameReader, encode

MESSAGES = st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text()), max_size=4), max_size=5)


def test_a_frame_is_its_length_and_its_json():
    assert encode({"type": "ready"}) == b'\x00\x00\x00\x10{"type":"ready"}'


@given(messages=MESSAGES, cut=st.integers(min_value=1, max_value=64))
def test_messages_arrive_whole_and_in_order_however_the_stream_is_cut(messages, cut):
    stream = b"".join(encode(message) for message in messages)
    reader = FrameReader()

    arrived = [message for start in range(0, len(stream), cut) for message in reader.feed(stream[start : start + cut])]

    assert arrived == messages


def test_nothing_arrives_of_a_frame_that_is_not_complete():
    frame = encode({"id": "a"})

    assert list(FrameReader().feed(frame[:-1])) == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ((MAX_FRAME_BYTES + 1).to_bytes(4, "big"), "over the limit"),
        (b"\x00\x00\x00\x03abc", "no JSON"),
        (b"\x00\x00\x00\x02[]", "no object"),
    ],
)
def test_a_stream_that_holds_no_frame_is_refused(data, reason):
    with pytest.raises(FrameError, match=reason):
        list(FrameReader().feed(data))


def test_a_message_over_the_limit_is_not_sent():
    with pytest.raises(FrameError, match="over the limit"):
        encode({"argv": "x" * MAX_FRAME_BYTES})
