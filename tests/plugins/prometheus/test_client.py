"""Errors, retries, credentials and TLS of the HTTP client."""

import base64
import datetime
import email.utils
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import requests
import requests_mock

from opsorch.deadline import Deadline
from opsorch.errors import (
    AuthFailed,
    BadRequest,
    InvalidConfig,
    OpsOrchError,
    ProviderError,
    RateLimited,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from opsorch.plugin import Call
from opsorch_plugins.prometheus.provider import PrometheusAlerts, PrometheusMetrics
from tests.plugins.prometheus.support import (
    ALERTMANAGER,
    EMPTY,
    PROMETHEUS,
    answer,
    sent,
)

Build = Callable[..., PrometheusMetrics]
BuildAlerts = Callable[..., PrometheusAlerts]

RANGE = f"{PROMETHEUS}/api/v1/query_range"
ALERTS = f"{ALERTMANAGER}/api/v2/alerts"
UP = {"expression": {"metricName": "up"}}
PASSWORD = "pa55-w0rd-of-test"


def problem(error_type: str, error: str = "words of the server") -> dict[str, Any]:
    return {"status": "error", "errorType": error_type, "error": error}


@pytest.mark.case("prometheus", 10)
@pytest.mark.parametrize(
    ("status", "error_type"), [(400, "bad_data"), (422, "422"), (422, "execution")]
)
def test_a_refused_query_is_the_callers_to_mend(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, status: int, error_type: str
) -> None:
    """The server's own words reach the caller, whichever server it is, cut to 300 characters."""
    http.get(RANGE, status_code=status, json=problem(error_type, "parse error " + "x" * 900))
    with pytest.raises(BadRequest, match="parse error xxx") as refused:
        metrics_of().query(UP, call)
    assert len(refused.value.message) < 360
    assert http.call_count == 1


@pytest.mark.case("prometheus", 11)
@pytest.mark.parametrize(
    ("status", "body"), [(401, f"Unauthorized {PASSWORD}"), (403, f"<html>{PASSWORD}</html>")]
)
def test_refused_credentials_are_told_without_the_body(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, status: int, body: str
) -> None:
    """Such a body may repeat the credential: only the status is told."""
    http.get(RANGE, status_code=status, text=body)
    with pytest.raises(AuthFailed) as refused:
        metrics_of(username="ops", password=PASSWORD).query(UP, call)
    assert refused.value.message == f"Prometheus answered HTTP {status}"
    assert http.call_count == 1


@pytest.mark.case("prometheus", 11)
def test_a_missing_tenant_is_named(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """Mimir's refusal is no matter of credentials: the message says what to set."""
    http.get(RANGE, status_code=401, text="no org id")
    with pytest.raises(AuthFailed, match="set tenant"):
        metrics_of().query(UP, call)


@pytest.mark.case("prometheus", 12)
def test_a_short_rate_limit_is_waited_for(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, pauses: list[float]
) -> None:
    """A second's wait is taken; the caller sees the answer only."""
    limited = {"status_code": 429, "headers": {"Retry-After": "1"}}
    http.get(RANGE, [limited, {"json": EMPTY}])
    assert metrics_of().query(UP, call) == []
    assert http.call_count == 2
    assert pauses == [1.0]


@pytest.mark.case("prometheus", 12)
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_long_rate_limit_is_told_at_once(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, pauses: list[float], form: str
) -> None:
    """A wait beyond the deadline is the caller's to decide."""
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    told = "3600" if form == "seconds" else email.utils.format_datetime(later, usegmt=True)
    http.get(RANGE, status_code=429, headers={"Retry-After": told})
    with pytest.raises(RateLimited) as limited:
        metrics_of().query(UP, call)
    assert limited.value.retry_after_s == pytest.approx(3600, abs=5)
    assert (http.call_count, pauses) == (1, [])


def test_a_rate_limit_without_a_time_says_one_second(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """After three tries the caller is told to come back soon."""
    http.get(RANGE, status_code=429)
    with pytest.raises(RateLimited) as limited:
        metrics_of().query(UP, call)
    assert limited.value.retry_after_s == 1.0
    assert http.call_count == 3


@pytest.mark.case("prometheus", 13)
@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        ({"text": "not json", "headers": {"Content-Type": "text/html"}}, ProviderError, "html"),
        ({"json": []}, ProviderError, "not that of a Prometheus API"),
        ({"json": {"data": {}}}, ProviderError, "not that of a Prometheus API"),
        ({"json": problem("bad_data")}, BadRequest, "words of the server"),
        ({"json": problem("execution")}, BadRequest, "words of the server"),
        ({"json": problem("timeout")}, UpstreamTimeout, "words of the server"),
        ({"json": problem("internal")}, ProviderError, "words of the server"),
        ({"json": {"status": "error"}}, ProviderError, "no reason given"),
    ],
)
def test_success_by_status_alone_is_not_believed(
    http: requests_mock.Mocker,
    metrics_of: Build,
    call: Call,
    reply: dict[str, Any],
    error: type[OpsOrchError],
    words: str,
) -> None:
    """A login page is no answer, and an error inside a 200 is an error of its type."""
    http.get(RANGE, **reply)
    with pytest.raises(error, match=words) as failed:
        metrics_of().query(UP, call)
    assert failed.type is error
    assert http.call_count == 1


@pytest.mark.case("prometheus", 14)
@pytest.mark.parametrize(
    ("status", "kind"), [(503, "timeout"), (503, "canceled"), (499, "canceled")]
)
def test_a_query_that_the_server_gave_up_is_not_repeated(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, status: int, kind: str
) -> None:
    """It would only run out of time again."""
    http.get(RANGE, status_code=status, json=problem(kind))
    with pytest.raises(UpstreamTimeout, match="query timed out"):
        metrics_of().query(UP, call)
    assert http.call_count == 1


@pytest.mark.case("prometheus", 14)
def test_a_server_that_cannot_be_reached_is_tried_three_times(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, pauses: list[float]
) -> None:
    """Host, port and kind of failure are told; the waits are 0.2 s and 0.8 s."""
    http.get(RANGE, exc=requests.exceptions.ConnectTimeout)
    with pytest.raises(UpstreamUnreachable, match=r"prometheus\.test:9090.*connect timeout"):
        metrics_of().query(UP, call)
    assert http.call_count == 3
    assert pauses == [0.2, 0.8]


@pytest.mark.case("prometheus", 14)
def test_a_server_that_does_not_answer_is_a_timeout(
    http: requests_mock.Mocker, metrics_of: Build
) -> None:
    """Host and seconds are told."""
    http.get(RANGE, exc=requests.exceptions.ReadTimeout)
    with pytest.raises(UpstreamTimeout, match=r"prometheus\.test:9090 did not answer within 30 s"):
        metrics_of().query(UP, Call(Deadline.after(30)))


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_server_in_trouble_is_tried_again(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, pauses: list[float], status: int
) -> None:
    """Two failures are bridged."""
    http.get(RANGE, [{"status_code": status}, {"status_code": status}, {"json": EMPTY}])
    assert metrics_of().query(UP, call) == []
    assert pauses == [0.2, 0.8]


@pytest.mark.parametrize(
    ("status", "error", "calls"),
    [
        (500, ProviderError, 1),
        (502, ProviderError, 3),
        (503, ProviderError, 3),
        (504, UpstreamTimeout, 3),
        (418, ProviderError, 1),
        (410, ProviderError, 1),
    ],
)
def test_each_status_has_its_error(
    http: requests_mock.Mocker,
    metrics_of: Build,
    call: Call,
    status: int,
    error: type[OpsOrchError],
    calls: int,
) -> None:
    """A server's failure is never the caller's, and not all of them are worth another try."""
    http.get(RANGE, status_code=status, text="<html>trouble</html>")
    with pytest.raises(error) as failed:
        metrics_of().query(UP, call)
    assert failed.type is error
    assert "<html>" not in failed.value.message
    assert http.call_count == calls


@pytest.mark.parametrize("status", [404, 405])
def test_a_wrong_path_prefix_is_named(
    http: requests_mock.Mocker, metrics_of: Build, alerts_of: BuildAlerts, call: Call, status: int
) -> None:
    """A missing API is a fault of the configuration, not a metric that does not exist."""
    http.get(requests_mock.ANY, status_code=status, text="404 page not found")
    with pytest.raises(ProviderError, match=r"no Prometheus API under url: check the path prefix"):
        metrics_of().query(UP, call)
    with pytest.raises(ProviderError, match=r"no Alertmanager API under alertmanagerURL"):
        alerts_of().query({}, call)


def test_a_400_that_is_not_prometheus_own_is_the_servers_fault(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """A proxy's 400 (plain HTTP to a TLS port, say) has nothing to do with the query."""
    headers = {"Content-Type": "text/html"}
    http.get(RANGE, status_code=400, text="<html>plain HTTP</html>", headers=headers)
    with pytest.raises(ProviderError, match=r"HTTP 400 with no error of its own \(text/html\)"):
        metrics_of().query(UP, call)


def test_a_bare_string_of_alertmanager_is_the_callers_to_mend(
    http: requests_mock.Mocker, alerts_of: BuildAlerts, call: Call
) -> None:
    """Alertmanager's 400 is a JSON string and reaches the caller."""
    http.get(ALERTS, status_code=400, json="error parsing regexp: missing closing )")
    with pytest.raises(BadRequest, match="missing closing"):
        alerts_of().query({"metadata": {"receiver": "("}}, call)


def test_redirects_are_not_followed(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """Custom headers would travel along; the message names where it leads."""
    http.get(RANGE, status_code=302, headers={"Location": "https://login.example.com/?next=x"})
    with pytest.raises(ProviderError, match=r"redirects to login\.example\.com"):
        metrics_of().query(UP, call)
    assert http.call_count == 1


@pytest.mark.case("prometheus", 19)
def test_tenant_token_and_headers_are_sent(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """Every request carries what is configured."""
    http.get(RANGE, json=EMPTY)
    config = {"tenant": "a|b", "bearerToken": "t0ken-of-test", "headers": {"X-Extra": "yes"}}
    metrics_of(**config).query(UP, call)
    headers = http.last_request.headers
    assert headers["X-Scope-OrgID"] == "a|b"
    assert headers["Authorization"] == "Bearer t0ken-of-test"
    assert headers["X-Extra"] == "yes"
    assert headers["Accept"] == "application/json"
    assert headers["User-Agent"].startswith("opsorch-python/")


@pytest.mark.case("prometheus", 19)
def test_user_and_password_of_a_url_are_used_and_not_shown(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """They become basic auth; links and errors have the URL without them, its prefix kept."""
    url = "http://ops:p%40ss-of-test@prometheus.test:9090/prom/"
    path = f"{PROMETHEUS}/prom/api/v1/query_range"
    http.get(path, json=answer("matrix", [{"metric": {}, "values": []}]))
    [series] = metrics_of(url=url).query(UP, call)
    pair = base64.b64encode(b"ops:p@ss-of-test").decode()
    assert http.last_request.headers["Authorization"] == f"Basic {pair}"
    assert series["url"].startswith("http://prometheus.test:9090/prom/graph?")
    assert "ss-of-test" not in str(series)
    http.get(path, status_code=500, json=problem("internal", "who is ops:p@ss-of-test?"))
    with pytest.raises(ProviderError, match="who is") as failed:
        metrics_of(url=url).query(UP, call)
    assert "ss-of-test" not in failed.value.message


@pytest.mark.case("prometheus", 19)
def test_configured_credentials_win_over_those_of_the_url(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """One of both has to; the field was written on purpose."""
    http.get(RANGE, json=EMPTY)
    metrics_of(url="http://ops:secret1@prometheus.test:9090", bearerToken="t0ken").query(UP, call)
    assert http.last_request.headers["Authorization"] == "Bearer t0ken"
    metrics_of(username="üser", password=PASSWORD).query(UP, call)
    pair = base64.b64encode(f"üser:{PASSWORD}".encode()).decode()
    assert http.last_request.headers["Authorization"] == f"Basic {pair}"


def test_a_token_file_is_read_again_for_every_request(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, tmp_path: pathlib.Path
) -> None:
    """A rotated token is taken up; one that is gone is a fault of the configuration."""
    http.get(RANGE, json=EMPTY)
    file = tmp_path / "token"
    file.write_text("first-token\n")
    provider = metrics_of(bearerTokenFile=str(file))
    provider.query(UP, call)
    assert http.last_request.headers["Authorization"] == "Bearer first-token"
    file.write_text("second-token")
    provider.query(UP, call)
    assert http.last_request.headers["Authorization"] == "Bearer second-token"
    http.get(RANGE, status_code=500, json=problem("internal", "bad second-token"))
    with pytest.raises(ProviderError, match=r"bad \*\*\*"):
        provider.query(UP, call)
    for content in ("", "two words", "üml"):
        file.write_text(content)
        with pytest.raises(InvalidConfig, match="bearerTokenFile holds no token"):
            provider.query(UP, call)
    file.unlink()
    with pytest.raises(InvalidConfig, match="bearerTokenFile cannot be read"):
        provider.query(UP, call)


def test_secrets_in_a_servers_words_are_taken_out(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """Header values count as secrets too."""
    words = f"proxy said: bad {PASSWORD}, not header-secret"
    http.get(RANGE, status_code=400, json=problem("bad_data", words))
    config = {"bearerToken": PASSWORD, "headers": {"X-Key": "header-secret"}}
    with pytest.raises(BadRequest) as refused:
        metrics_of(**config).query(UP, call)
    assert PASSWORD not in refused.value.message
    assert "header-secret" not in refused.value.message


def test_queries_go_by_post_where_configured(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """A form holds what the URL would."""
    http.post(RANGE, json=EMPTY)
    metrics_of(httpMethod="post").query(UP, call)
    assert http.last_request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert sent(http.last_request)["query"] == ["up"]
    assert "?" not in http.last_request.url


def test_long_queries_go_by_post(http: requests_mock.Mocker, metrics_of: Build, call: Call) -> None:
    """Proxies cut long URLs."""
    http.post(RANGE, json=EMPTY)
    query = "sum(" + " + ".join(["up"] * 1000) + ")"
    metrics_of().query({"metadata": {"query": query}}, call)
    assert sent(http.last_request)["query"] == [query]


@pytest.mark.parametrize("status", [405, 501])
def test_a_server_without_post_is_asked_by_get(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, status: int
) -> None:
    """Older servers and some proxies know no POST here."""
    http.post(RANGE, status_code=status)
    http.get(RANGE, json=EMPTY)
    assert metrics_of(httpMethod="POST").query(UP, call) == []
    assert [request.method for request in http.request_history] == ["POST", "GET"]


def test_the_time_limit_sent_upstream_is_what_is_left(
    http: requests_mock.Mocker, metrics_of: Build
) -> None:
    """The server stops when nobody waits any longer; it takes whole seconds only."""
    http.get(RANGE, json=EMPTY)
    for left, told in ((12.0, "12s"), (2.5, "3s"), (0.2, "1s")):
        metrics_of().query(UP, Call(Deadline.after(left)))
        assert sent(http.last_request)["timeout"] == [told]


def test_members_of_a_cluster_answer_for_one_another(
    http: requests_mock.Mocker, alerts_of: BuildAlerts, call: Call
) -> None:
    """The next member is asked where one fails, and first from then on."""
    first, second = "http://am-1.test:9093", "http://am-2.test:9093"
    http.get(f"{first}/api/v2/alerts", status_code=502)
    http.get(f"{second}/api/v2/alerts", json=[])
    provider = alerts_of(alertmanagerURL=[first, second])
    assert provider.query({}, call) == []
    assert provider.query({}, call) == []
    hosts = [request.hostname for request in http.request_history]
    assert hosts == ["am-1.test"] * 3 + ["am-2.test"] * 2


def test_a_cluster_that_fails_as_a_whole_fails(
    http: requests_mock.Mocker, alerts_of: BuildAlerts, call: Call
) -> None:
    """The error is that of the last member; refused words are refused by the first."""
    first, second = "http://am-1.test:9093", "http://am-2.test:9093"
    http.get(f"{first}/api/v2/alerts", status_code=500)
    http.get(f"{second}/api/v2/alerts", exc=requests.exceptions.ConnectionError)
    with pytest.raises(UpstreamUnreachable, match=r"am-2\.test"):
        alerts_of(alertmanagerURL=[first, second]).query({}, call)
    http.get(f"{first}/api/v2/alerts", status_code=400, json="bad filter")
    before = http.call_count
    with pytest.raises(BadRequest):
        alerts_of(alertmanagerURL=[first, second]).query({}, call)
    http.get(f"{first}/api/v2/alerts", status_code=401)
    with pytest.raises(AuthFailed):
        alerts_of(alertmanagerURL=[first, second]).query({}, call)
    assert http.call_count == before + 2


def test_tls_settings_reach_the_session(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """insecureSkipVerify and the default are told apart; files are tried with real servers."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    http.get(RANGE, json=EMPTY)
    metrics_of().query(UP, call)
    assert http.last_request.verify is True
    metrics_of(insecureSkipVerify=True).query(UP, call)
    assert http.last_request.verify is False
