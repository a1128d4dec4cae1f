"""Headers, TLS and basic auth as several vendors configure them."""

import pathlib
import subprocess
from typing import Any

import pytest
import requests

from opsorch.errors import InvalidConfig
from opsorch.observability.redact import Secret
from opsorch.plugin.config import ConfigSpec, Field, Kind, Unfit
from opsorch.plugin.connection import (
    BASIC_AUTH_FIELDS,
    CONNECTION_FIELDS,
    CONNECTION_RULES,
    basic_auth,
    basic_text,
    bearer_auth,
    connection_of,
    paired_credentials,
    user_auth,
    without_userinfo,
)

SPEC = ConfigSpec("acme", CONNECTION_FIELDS, CONNECTION_RULES)


def fault_of(config: dict[str, Any]) -> str:
    with pytest.raises(InvalidConfig) as failed:
        SPEC.parse(config)
    return failed.value.message


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate and its key."""
    folder = tmp_path_factory.mktemp("pem")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -days 1"
    arguments = [*command.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(arguments, check=True, capture_output=True)
    return str(certificate), str(key)


def test_nothing_configured_is_the_systems_trust() -> None:
    """No header, no certificate."""
    assert connection_of(SPEC.parse({})) == {"headers": {}, "verify": None, "cert": None}


def test_what_is_configured_reaches_the_upstream(pem: tuple[str, str]) -> None:
    """Under the documented names and the others."""
    certificate, key = pem
    settings = SPEC.parse(
        {
            "httpHeaders": {"X-A": " b "},
            "caCert": certificate,
            "tlsCertFile": certificate,
            "tlsKeyFile": key,
        }
    )
    assert connection_of(settings) == {
        "headers": {"X-A": "b"},
        "verify": certificate,
        "cert": (certificate, key),
    }
    assert settings["headers"] == {"X-A": Secret("b")}
    skipping = SPEC.parse({"caFile": certificate, "tlsSkipVerify": True})
    assert connection_of(skipping)["verify"] is False


def test_a_certificate_may_hold_its_key(pem: tuple[str, str], tmp_path: pathlib.Path) -> None:
    """Then one file is enough."""
    both = tmp_path / "both.pem"
    both.write_text("".join(pathlib.Path(path).read_text() for path in pem))
    cert = connection_of(SPEC.parse({"certFile": str(both)}))["cert"]
    assert cert == (str(both), str(both))


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"headers": ["odd-value"]}, "field headers must be an object of strings"),
        ({"headers": {"a b": "odd-value"}}, "field headers has a key that is no header name"),
        ({"headers": {"X-A": "odd-value\nX"}}, "field headers.X-A cannot be sent as a header"),
        ({"caFile": 5}, "field caFile must be a string"),
        ({"caFile": "/odd-value"}, "field caFile cannot be read"),
        ({"caFile": __file__}, "field caFile must hold PEM certificates"),
        ({"certFile": __file__}, "certFile and keyFile must hold a PEM certificate"),
        ({"keyFile": __file__}, "keyFile needs certFile"),
        ({"insecureSkipVerify": "odd-value"}, "field insecureSkipVerify must be true or false"),
    ],
)
def test_a_fault_names_its_field_and_never_the_value(config: dict[str, Any], fault: str) -> None:
    """Whoever reads the message knows what to mend."""
    message = fault_of(config)
    assert fault in message
    assert "odd" not in message


def test_a_place_in_a_list_follows_the_field_without_a_blank() -> None:
    """As do the keys of objects."""

    def refuse(value: Any) -> Any:
        raise Unfit("[1] must be a thing")

    with pytest.raises(InvalidConfig, match=r"field things\[1\] must be a thing"):
        ConfigSpec("acme", (Field("things", Kind(refuse, {})),)).parse({"things": ["x"]})


def test_user_and_password_come_together() -> None:
    """Under the documented names and the other; the password is a secret."""
    spec = ConfigSpec("acme", BASIC_AUTH_FIELDS, (paired_credentials,))
    settings = spec.parse({"user": "ops", "password": "x"})
    assert settings == {"username": "ops", "password": Secret("x")}
    assert spec.parse({}) == {"username": None, "password": None}
    for alone in ({"username": "ops"}, {"password": "x"}):
        with pytest.raises(InvalidConfig, match="username and password must be given together"):
            spec.parse(alone)


def test_basic_auth_is_utf8() -> None:
    """RFC 7617, 2.1."""
    request = requests.Request("GET", "http://h").prepare()
    assert basic_auth("u", "pä:ss")(request).headers["Authorization"] == "Basic dTpww6Q6c3M="


def test_userinfo_is_taken_out_of_urls() -> None:
    """It may be percent-encoded, and a password may hold a colon or an at sign."""
    assert without_userinfo("http://h:1/p") == ("http://h:1/p", None)
    assert without_userinfo("https://u:p%40%3Ax@h:1/p") == ("https://h:1/p", ("u", "p@:x"))
    assert without_userinfo("http://u@[::1]:1") == ("http://[::1]:1", ("u", ""))


def test_bearer_tokens_go_into_the_header() -> None:
    """As they are."""
    request = requests.Request("GET", "http://x").prepare()
    assert bearer_auth(Secret("t0ken"))(request).headers["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(
    ("user", "userinfo", "sent"),
    [
        ("u", ("other", "one"), f"Basic {basic_text('u', 'pass')}"),
        (None, ("other", "one"), f"Basic {basic_text('other', 'one')}"),
        (None, None, None),
    ],
)
def test_the_configured_user_wins_over_that_of_the_url(
    user: str | None, userinfo: tuple[str, str] | None, sent: str | None
) -> None:
    """Without either nothing is sent."""
    settings = {"username": user, "password": Secret("pass") if user else None}
    request = requests.Request("GET", "http://x").prepare()
    assert user_auth(settings, userinfo)(request).headers.get("Authorization") == sent
