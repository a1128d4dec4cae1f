"""No reply of Slack's is too odd: what comes out has the contract's shape."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from opsorch.capabilities import operations
from opsorch.errors import OpsOrchError
from opsorch_plugins.slack.mapping import error_of_body, next_cursor, result_of, warnings_in
from tests.plugins.slack.support import TS, Json

SENT = next(known.result for _, known in operations() if known.method == "messaging.send")
NAMES = [
    *("ok", "error", "needed", "ts", "channel", "message", "thread_ts", "bot_id", "warning"),
    *("response_metadata", "messages", "warnings", "next_cursor"),
]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.sampled_from([TS, "no_text"])
)
REPLIES = st.dictionaries(
    st.sampled_from(NAMES),
    st.recursive(
        SCALARS,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
        ),
        max_leaves=6,
    ),
)


@settings(max_examples=200, deadline=None)
@given(reply=REPLIES, ts=st.text(min_size=1, max_size=20) | st.just(TS))
def test_no_reply_to_a_message_is_too_odd(reply: Json, ts: str) -> None:
    """Whatever stands beside the timestamp costs no more than itself."""
    body = {**reply, "ts": ts}
    warnings = warnings_in(body, str)
    result = result_of(body, asked="#ops", source="slack", warnings=warnings)
    assert json.loads(SENT.convert(json.dumps(result).encode())) == result
    assert result["id"] == ts


@settings(max_examples=200, deadline=None)
@given(reply=REPLIES)
def test_no_refusal_is_too_odd(reply: Json) -> None:
    """There is always an error with words, and a cursor that is text."""
    error = error_of_body("chat.postMessage", reply, str)
    assert isinstance(error, OpsOrchError)
    assert "chat.postMessage" in error.message
    assert isinstance(next_cursor(reply), str)
