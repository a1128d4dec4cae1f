"""Who may call: tokens, CORS, OPTIONS; and what /providers tells."""

import pytest

from tests.gateway.support import Canned, an_app

TOKEN = {"OPSORCH_BEARER_TOKEN": " s3cret "}


@pytest.mark.parametrize("given", ["Bearer s3cret", "bearer  s3cret ", "BEARER s3cret"])
def test_the_right_token_passes(given: str) -> None:
    here = an_app(TOKEN)
    here.put("incident", Canned([]))
    headers = {"Authorization": given}
    assert here.client.post("/incidents/query", headers=headers).status_code == 200


@pytest.mark.parametrize("token", ["voilà", "voilé", "Å", "à\tb"])
def test_a_token_of_any_letters_passes(token: str) -> None:
    """The last byte of some is a blank in Latin-1, as which headers are read."""
    here = an_app({"OPSORCH_BEARER_TOKEN": token})
    here.put("incident", Canned([]))
    headers = {"Authorization": f"Bearer \t{token} ".encode().decode("latin-1")}
    assert here.client.post("/incidents/query", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", "Basic s3cret", "s3cret", "Bearer é"]
)
@pytest.mark.parametrize("path", ["/incidents/query", "/nope", "/metrics", "/providers/incident"])
def test_without_it_everything_else_is_refused_before_routing(given: str, path: str) -> None:
    here = an_app(TOKEN)
    answer = here.client.post(path, headers={"Authorization": given}, data=b"x" * 3000)
    assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["X-Request-ID"]


@pytest.mark.parametrize("path", ["/", "/health", "/health/", "/health/ready"])
def test_probes_need_no_token(path: str) -> None:
    assert an_app(TOKEN).client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/%zz", "?", "*", "%2Fhealth", "health", "/%FF", "x:1"])
def test_a_path_that_cannot_be_decoded_needs_the_token_too(path: str) -> None:
    answer = an_app(TOKEN).client.get("/", environ_overrides={"RAW_URI": path})
    assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("path", ["/incidents/query", "/nope", "/"])
def test_options_answers_before_the_token(path: str) -> None:
    answer = an_app(TOKEN).client.options(path)
    assert (answer.status_code, answer.data) == (200, b"")
    assert "Content-Type" not in answer.headers, "there is no content"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET,POST,PATCH,OPTIONS"


@pytest.mark.parametrize(
    ("setting", "origin", "sent", "vary"),
    [
        ("", None, "*", None),
        ("", "https://a", "*", None),
        ("https://a", "https://b", "https://a", None),
        ("https://a,https://b", "https://b", "https://b", "Origin"),
        ("https://a,https://b", "https://c", "https://a", "Origin"),
    ],
)
def test_cors(setting: str, origin: str | None, sent: str, vary: str | None) -> None:
    here = an_app({"OPSORCH_CORS_ORIGIN": setting})
    headers = {"Origin": origin} if origin else {}
    answer = here.client.get("/nope", headers=headers)
    assert answer.headers["Access-Control-Allow-Origin"] == sent
    assert answer.headers["Access-Control-Allow-Headers"] == "Content-Type, Authorization"
    assert answer.headers.get("Vary") == vary


@pytest.mark.parametrize("name", ["incident", "Incidents", "INCIDENT"])
def test_the_adapters_of_a_capability_are_listed(name: str) -> None:
    told = an_app().client.get(f"/providers/{name}").json["providers"]
    assert told == sorted(told)
    assert {"demo", "pagerduty"} <= set(told)
    assert "mock" not in told


def test_an_unknown_capability_is_not_found() -> None:
    assert an_app().client.get("/providers/database").status_code == 404


def test_a_long_name_or_path_is_not_told_at_length() -> None:
    client = an_app().client
    for path in ("/providers/" + "x" * 4000, "/" + "'" * 4000):
        answer = client.get("/", environ_overrides={"RAW_URI": path})
        assert answer.status_code == 404
        assert len(answer.data) < 500
        assert "not found" in answer.json["message"]


@pytest.mark.parametrize(
    ("name", "variable"),
    [("Messages", "OPSORCH_MESSAGING_PLUGIN"), ("database", "OPSORCH_<CAP>_PLUGIN")],
)
def test_providers_cannot_be_configured_yet(name: str, variable: str) -> None:
    """That there is no secret provider is told first."""
    here = an_app({"OPSORCH_SECRET_PROVIDER": "x"})
    answer = here.client.post(f"/providers/{name}", json={"provider": "demo", "config": {}})
    assert (answer.status_code, answer.json["code"]) == (501, "secret_provider_missing")
    assert variable in answer.json["message"]
    assert not here.log.audit
