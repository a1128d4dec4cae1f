"""Whatever comes in, from a caller or a provider: an answer of the contract, never a defect."""

import json
import re
import urllib.parse
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsorch.capabilities import fields as f
from opsorch.capabilities import operations
from opsorch.capabilities.spec import Operation
from tests.gateway.support import Canned, Here, an_app

TOKEN = "s3cret-token"
ROWS = [(capability.name, row) for capability, row in operations()]
BODIES = [(name, row) for name, row in ROWS if row.body is not None]
IDS = [f"{row.verb} {row.path}" for _, row in ROWS]
BODY_IDS = [f"{row.verb} {row.path}" for _, row in BODIES]

quick = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**30), max_value=10**30)
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(["2026-03-01T10:00:00Z", "2026-03-01T10:00:00+25:00", "0000-01-01T00:00:00Z"])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner)
)


def like(shape: f.Schema) -> st.SearchStrategy[Any]:
    """Objects with the shape's keys, and anything, fitting or not, as their values."""
    members = {name: value_of(field) for name, field in f.declared(shape).items()}
    return st.fixed_dictionaries({}, optional={**members, "bogus": anything})


def value_of(field: Any) -> st.SearchStrategy[Any]:
    nested = getattr(field, "nested_shape", None)
    if nested is None:
        return anything
    one = like(nested)
    return st.lists(one | anything, max_size=3) if isinstance(field, f.Many) else one | anything


@pytest.fixture(scope="module")
def here() -> Here:
    made = an_app()
    for name in {name for name, _ in ROWS}:
        made.put(name, Canned())
    return made


def url_of(row: Operation) -> str:
    return row.path.replace("{", "").replace("}", "")


def check_answer(answer: Any, *allowed: int) -> None:
    assert answer.status_code in allowed, answer.text
    assert answer.content_type == "application/json"
    assert answer.headers["X-Request-ID"]
    body = json.loads(answer.data)
    if answer.status_code >= 400:
        assert body["code"]
        assert 0 < len(body["message"]) < 5000


@pytest.mark.parametrize(("name", "row"), BODIES, ids=BODY_IDS)
@given(data=st.data())
@quick
def test_a_body_is_taken_or_refused(here: Here, name: str, row: Operation, data: Any) -> None:
    assert row.body is not None
    body = json.dumps(data.draw(like(row.body) | anything))
    provider = here.put(name, Canned([] if row.result.many else {}))
    answer = here.client.open(url_of(row), method=row.verb, data=body)
    check_answer(answer, row.status, 400)
    assert bool(provider.seen) is (answer.status_code == row.status)


@given(raw=st.binary(max_size=60))
@quick
def test_bytes_are_taken_or_refused(here: Here, raw: bytes) -> None:
    here.put("incident", Canned([]))
    check_answer(here.client.post("/incidents/query", data=raw), 200, 400)


@pytest.mark.parametrize(("name", "row"), ROWS, ids=IDS)
@given(data=st.data())
@quick
def test_a_result_fits_or_is_the_providers_error(
    here: Here, name: str, row: Operation, data: Any
) -> None:
    shapes = like(row.result.shape) if row.result.shape else anything
    result = data.draw(st.lists(shapes, max_size=3) | shapes | anything)
    here.put(name, Canned(json.dumps(result).encode()))
    body = {"title": "t", "channel": "c", "body": "b", "planId": "p"}
    known = f.declared(row.body) if row.body else {}
    sent = json.dumps({key: value for key, value in body.items() if key in known})
    answer = here.client.open(url_of(row), method=row.verb, data=sent)
    check_answer(answer, row.status, 502)
    if answer.status_code < 400:
        assert "null" not in without_bags(answer.json, row)


def without_bags(body: Any, row: Operation) -> str:
    """The answer as text, without the free-form objects, where null may stand."""
    bags = {"metadata", "fields", "labels", "actor", "tags"}

    def kept(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: kept(inner) for key, inner in value.items() if key not in bags}
        return [kept(inner) for inner in value] if isinstance(value, list) else value

    texts = [value for value in leaves(kept(body)) if value is None]
    return json.dumps(texts)


def leaves(value: Any) -> Any:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    else:
        yield value


@pytest.fixture(scope="module")
def closed() -> Here:
    made = an_app({"OPSORCH_BEARER_TOKEN": TOKEN})
    for name in {name for name, _ in ROWS}:
        made.put(name, Canned({}))
    return made


SEPARATORS = ["/", "//", "%2F", "%2f", "..", ".", ";", "?", "#", "\\", "@", ":", "http://x"]
ENCODED = ["%00", "%FF", "%", "%252F", "%20", "é"]
WORDS = ["health", "%68ealth", "ready", "incidents", "query", "metrics"]
pieces = st.sampled_from([*SEPARATORS, *ENCODED, *WORDS])


@given(st.lists(pieces, max_size=8).map("".join), st.sampled_from(["GET", "POST", "PATCH", "HEAD"]))
@quick
def test_no_spelling_of_a_path_gets_past_the_token(closed: Here, target: str, verb: str) -> None:
    answer = closed.client.open("/", method=verb, environ_overrides={"RAW_URI": target})
    assert answer.status_code in (200, 401, 405, 503)
    if answer.status_code != 401:
        path = target.partition("?")[0].partition("#")[0]
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path):
            path = "/" + path.partition("://")[2].partition("/")[2]
        plain = urllib.parse.unquote(path).removesuffix("/")
        assert plain.removesuffix("/") in ("", "/health", "/health/ready")


@given(
    st.lists(pieces, max_size=8).map("".join), st.sampled_from(["GET", "POST", "PUT", "OPTIONS"])
)
@quick
def test_every_spelling_of_a_path_is_answered(here: Here, target: str, verb: str) -> None:
    answer = here.client.open("/", method=verb, environ_overrides={"RAW_URI": target})
    assert answer.status_code in (200, 400, 404, 405, 502), answer.text
    assert answer.headers["X-Request-ID"]
