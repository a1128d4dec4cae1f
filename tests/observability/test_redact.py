"""Secrets: what is taken for one, what prints, and what stays in a text."""

import copy
import json
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from opsorch.observability.redact import (
    MASK,
    MIN_SECRET_LENGTH,
    Redactor,
    Secret,
    clean_text,
    looks_secret,
    redactor_for,
    secrets_in,
)

TOKEN = "s3cr3t-t0ken"


def test_a_secret_opens_only_on_purpose() -> None:
    """In no repr, no format, no container."""
    secret = Secret(TOKEN)
    assert secret.reveal() == TOKEN
    shown = [repr(secret), str(secret), f"{secret}", f"{[secret]}", f"{secret!r:>5}"]
    assert all(TOKEN not in text and MASK in text for text in shown)
    assert copy.copy(secret) == secret == Secret(TOKEN)
    assert secret != TOKEN
    assert secret != Secret("other")
    assert len({secret, Secret(TOKEN)}) == 1
    assert bool(secret) and not Secret("")
    with pytest.raises(AttributeError):
        secret.value = 1  # type: ignore[attr-defined]  # on purpose


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "apiToken",
        "API_KEY",
        "api-key",
        "appKey",
        "applicationKey",
        "privateKey",
        "access_key",
        "signingKey",
        "routing_key",
        "key",
        "licenseKey",
        "ssh-key",
        "masterkey",
        "clientSecret",
        "password",
        "passphrase",
        "credentials",
        "Authorization",
        "cookie",
        "databaseUrl",
        "sentry_dsn",
        "DSN",
        "webhookUrl",
        "OPENAI_KEY",
        "SMTP_PASS",
        "MYSQL_PWD",
        "GH_PAT",
    ],
)
def test_names_of_secrets(name: str) -> None:
    """Fields of such a name hold one."""
    assert looks_secret(name)
    assert secrets_in({name: TOKEN}) == {TOKEN}


@pytest.mark.parametrize(
    "name",
    [
        *("url", "user", "tokenFile", "passwordFile", "secretPath", "tokenHeaderName", "keyFile"),
        *("projectKey", "sort_key", "dedupKey", "public-key", "PATH", "AWS_REGION"),
        "OPENAI_KEY_FILE",
    ],
)
def test_names_of_other_things(name: str) -> None:
    """Paths and names are needed in messages."""
    assert not looks_secret(name)
    assert secrets_in({name: TOKEN}) == set()


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"a": {"b": [{"token": TOKEN}]}}, {TOKEN}),
        ({"tokens": ["first-one", {"x": "second-one"}]}, {"first-one", "second-one"}),
        ({"headers": {"X-A": "a value"}, "httpHeaders": {"X": "another"}}, {"a value", "another"}),
        ({"any": Secret(TOKEN), "more": (Secret("in a tuple"),)}, {TOKEN, "in a tuple"}),
        ({"token": f"  {TOKEN}\n"}, {TOKEN}),
        ({"token": "12345", "password": "", "apiKey": "123456"}, {"123456"}),
        ({"token": 12345678, "secret": None, "password": True}, set()),
        (
            {"url": "https://elastic:p%40sswd@host/x"},
            {"elastic:p%40sswd", "p%40sswd", "p@sswd", "elastic:p@sswd"},
        ),
        ({"url": f"https://{TOKEN}@host"}, {TOKEN}),
        ({"url": f"https://{TOKEN}:x@host"}, {TOKEN, f"{TOKEN}:x"}),
        ({"url": "postgresql://u:pa:ss@wd@host/db"}, {"u:pa:ss@wd", "pa:ss@wd"}),
        ({"url": "https://host/a@b"}, set()),
        ("just a text", set()),
        (None, set()),
        ([], set()),
    ],
)
def test_secrets_of_a_configuration(config: Any, found: set[str]) -> None:
    """By name at any depth, by type, and as userinfo of URLs."""
    assert secrets_in(config) == found


def test_lines_of_a_private_key_are_secrets() -> None:
    """A message may hold one of them."""
    lines = ["-----BEGIN PRIVATE KEY-----", "MIIEvQIBADANBgkqhkiG9w0BAQEF", "short"]
    redact = redactor_for({"privateKey": "\n".join(lines)})
    assert redact(f"cannot read {lines[1]} here, short") == "cannot read *** here, short"


def test_known_secrets_are_taken_out_wherever_they_stand() -> None:
    """The longest first, so that no rest of one remains."""
    redact = Redactor([TOKEN, f"{TOKEN}-longer", "abc"])
    assert redact(f"{TOKEN}-longer and ({TOKEN}) abc") == "*** and (***) abc"
    assert repr(redact) == "Redactor()"
    assert Redactor()(TOKEN) == TOKEN


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Authorization: Bearer abc.def.ghi end", "Authorization: Bearer *** end"),
        ("Authorization: abcdefgh", "Authorization: ***"),
        ("'Authorization': 'Bearer abcdef'", "'Authorization': 'Bearer ***'"),
        ('{"authorization": "ApiKey VnVh=="}', '{"authorization": "ApiKey ***"}'),
        ("proxy-authorization: Basic dTpw", "proxy-authorization: Basic ***"),
        ("Authorization=Token token=abcd1234", "Authorization=Token token=***"),
        ("sent Bearer abc.DEF.ghi", "sent Bearer ***"),
        ("sent Basic dXNlcjpwYXNz", "sent Basic ***"),
        ("sent Token token=y_NbAkKc66", "sent Token token=***"),
        (
            "GET https://h/p?api_key=k1&x=1&access_token=k2",
            "GET https://h/p?api_key=***&x=1&access_token=***",
        ),
        ("at https://user:pass@host/path", "at https://***@host/path"),
        (f"refused: ghp_{'aB3' * 12}!", "refused: ***!"),
        (f"refused: github_pat_{'aB3_' * 12}!", "refused: ***!"),
        (f"refused: xoxb-{'12-aB3' * 5}!", "refused: ***!"),
        (f"refused: sk_live_{'aB3' * 8}!", "refused: ***!"),
        (f"refused: eyJ{'aB-3' * 5}.eyJ{'cD_4' * 5}.eF5!", "refused: ***!"),
        ("at https://user:p@ss@host", "at https://***@host"),
        ('"https://a.test","x@y.test"', '"https://a.test","x@y.test"'),
    ],
)
def test_credentials_of_no_configuration(text: str, clean: str) -> None:
    """In headers, after a scheme's name, in URLs."""
    assert Redactor()(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "use basic authentication please",
        "Basic Authentication is off",
        "the bearer token is missing",
        "the Authorization header is missing",
        "token expired",
        "https://host/a?page=2&limit=5",
        "mail to ops@example.com",
        "tokens begin with ghp_, xoxb- or sk_live_; a JWT with eyJ.",
        "",
    ],
)
def test_prose_stays(text: str) -> None:
    """Messages must still say what is wrong."""
    assert Redactor([TOKEN])(text) == text


@given(
    st.text(max_size=30),
    st.text(alphabet=st.characters(min_codepoint=33), min_size=MIN_SECRET_LENGTH, max_size=20),
    st.text(max_size=30),
)
def test_no_known_secret_survives(before: str, secret: str, after: str) -> None:
    """Whatever stands around it."""
    assume(len(secret.strip()) >= MIN_SECRET_LENGTH)
    redact = redactor_for({"token": secret})
    clean = redact(f"{before}{secret.strip()}{after}")
    assert secret.strip() not in clean or secret.strip() in MASK


@pytest.mark.parametrize(
    "repeated",
    [
        lambda secret: json.dumps({"password": secret}),
        lambda secret: json.dumps({"password": secret}, ensure_ascii=False),
        lambda secret: f"https://host/?q={urllib.parse.quote(secret, safe='')}",
        lambda secret: f"https://host/?q={urllib.parse.quote_plus(secret)}",
    ],
)
def test_a_secret_is_found_in_json_and_in_urls(repeated: Callable[[str], str]) -> None:
    """Where its quotes, slashes and letters are written in another way."""
    secret = 'pä"ss\\word /+&x'
    clean = redactor_for({"password": secret})(repeated(secret))
    assert MASK in clean
    assert "word" not in clean.removeprefix('{"password')


@pytest.mark.parametrize(
    "piece",
    [
        *("?", "://", "token ", "authorization", "authorization:", "bearer ", "?key", "a", " "),
        *("://@", "ghp_", "xoxb-", "sk_live_", "eyJ", "-eyJ", f".eyJ{'a' * 20}"),
    ],
)
def test_long_texts_cost_little(piece: str) -> None:
    """No pattern goes over the same text again and again: ten times the text, ten times as long."""
    redact = Redactor([TOKEN])

    def seconds(count: int) -> float:
        began = time.process_time()
        redact(piece * count)
        return time.process_time() - began

    assert seconds(300_000) < 40 * max(seconds(30_000), 0.005)


def test_foreign_text_is_cut_and_flattened() -> None:
    """One line, printable, at most so long."""
    assert clean_text("a\r\n\tb\x00\x1b[31m c\ud800") == "a b [31m c"
    assert clean_text("x" * 400) == "x" * 299 + "…"
    assert clean_text("x" * 10_000, 10) == "x" * 9 + "…"
    assert clean_text("x" * 10, 10) == "x" * 10
