"""Liveness and readiness: what probes are told, and that they start nothing."""

import datetime
import json
import logging
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from opsorch.errors import AuthFailed, ReportedError
from tests.faults.support import eventually, install
from tests.gateway.support import Canned, Here, an_app
from tests.processes import children


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    kept = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = kept
    logging.captureWarnings(False)
    structlog.reset_defaults()


class Apps:
    """Makes applications and ends their plugins."""

    def __init__(self) -> None:
        self.made: list[Here] = []

    def __call__(self, **environ: str) -> Here:
        self.made.append(an_app(environ))
        return self.made[-1]


@pytest.fixture
def app() -> Iterator[Apps]:
    apps = Apps()
    yield apps
    for made in apps.made:
        assert made.gateway.supervisor.kill(within_s=10)


def ready(here: Here, capability: str = "alert") -> tuple[int, dict[str, Any]]:
    answer = here.client.get("/health/ready")
    told: dict[str, Any] = answer.get_json()["capabilities"][capability]
    return answer.status_code, told


@pytest.mark.parametrize("path", ["/", "/health", "/health/"])
def test_liveness_is_the_same_whatever_is_configured(app: Apps, path: str) -> None:
    here = app(OPSORCH_BEARER_TOKEN="t", OPSORCH_ALERT_PLUGIN="/nowhere")
    answer = here.client.get(path)
    assert (answer.status_code, answer.data) == (200, b'{"status":"ok"}\n')
    assert here.client.head(path).status_code == 200


def test_nothing_configured_is_ready(app: Apps) -> None:
    here = app()
    answer = here.client.get("/health/ready")
    assert answer.status_code == 200
    body = answer.get_json()
    assert body["status"] == "ok"
    assert set(body["capabilities"]) == set(here.gateway.registry.slots)
    assert all(one == {"configured": False} for one in body["capabilities"].values())


def test_a_provider_inside_the_gateway_is_ready(app: Apps) -> None:
    here = app(OPSORCH_ALERT_PROVIDER="demo")
    assert ready(here) == (200, {"configured": True, "ready": True, "provider": "demo"})


def test_a_plugin_is_ready_without_being_started(app: Apps, tmp_path: pathlib.Path) -> None:
    path = install(tmp_path, "obeys")
    before = children()
    here = app(OPSORCH_ALERT_PLUGIN=path, OPSORCH_PLUGIN_POOL_SIZE="3", OPSORCH_BEARER_TOKEN="t")
    status, told = ready(here)
    assert status == 200
    nothing = {"starting": 0, "idle": 0, "busy": 0, "draining": 0}
    pool = {"size": 3, **nothing, "waiting": 0, "breaker": "closed"}
    assert told == {"configured": True, "ready": True, "provider": "obeys", "pool": pool}
    assert children() == before
    answer = here.client.post("/alerts/query", data="{}", headers={"Authorization": "Bearer t"})
    assert answer.status_code == 200
    assert ready(here)[1]["pool"] == {**pool, "idle": 1}


@pytest.mark.fault(27)
def test_a_plugin_that_is_not_there_is_not_ready(app: Apps, tmp_path: pathlib.Path) -> None:
    here = app(OPSORCH_ALERT_PLUGIN=str(tmp_path / "missing"), OPSORCH_TEAM_PROVIDER="demo")
    answer = here.client.get("/health/ready")
    assert answer.status_code == 503
    body = answer.get_json()
    assert body["code"] == "not_ready"
    assert "alert" in body["message"]
    assert "team" not in body["message"]
    told = body["capabilities"]["alert"]
    assert told["ready"] is False
    assert told["reason"] == (
        "OPSORCH_ALERT_PLUGIN names nothing that can be started (plugin_not_found)"
    )
    assert body["capabilities"]["team"]["ready"] is True
    # It needs no restart: the file appears, and it is ready.
    install(tmp_path, "obeys").replace("obeys", "missing")
    (tmp_path / "obeys").rename(tmp_path / "missing")
    assert ready(here)[0] == 200


@pytest.mark.fault(29)
def test_a_plugin_that_fails_to_start_is_not_ready_while_backoff_lasts(
    app: Apps, tmp_path: pathlib.Path
) -> None:
    script = tmp_path / "plugin"
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o755)
    here = app(OPSORCH_ALERT_PLUGIN=str(script))
    failed = here.client.post("/alerts/query", data="{}")
    assert (failed.status_code, failed.get_json()["code"]) == (503, "plugin_start_failed")
    status, told = ready(here)
    assert (status, told["ready"], told["pool"]["breaker"]) == (503, False, "open")
    assert "starts failed" in told["reason"]
    assert told["lastError"]["code"] == "plugin_start_failed"
    at = datetime.datetime.fromisoformat(told["lastError"]["at"])
    assert abs((datetime.datetime.now(datetime.UTC) - at).total_seconds()) < 60
    install(tmp_path, "obeys")
    (tmp_path / "obeys").rename(script)
    eventually(lambda: ready(here)[0] == 200)
    assert here.client.post("/alerts/query", data="{}").status_code == 200
    assert ready(here)[1]["pool"]["breaker"] == "closed"
    assert ready(here)[1]["lastError"]["code"] == "plugin_start_failed"


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"OPSORCH_ALERT_PROVIDER": "nobody"}, "OPSORCH_ALERT_PROVIDER"),
        ({"OPSORCH_ALERT_PLUGIN": "bundled:nobody"}, "OPSORCH_ALERT_PLUGIN"),
        ({"OPSORCH_ALERT_PROVIDER": "demo", "OPSORCH_ALERT_CONFIG": "{"}, "OPSORCH_ALERT_CONFIG"),
        ({"OPSORCH_ALERT_PLUGIN": "/a/path", "OPSORCH_ALERT_CONFIG": "{"}, "OPSORCH_ALERT_CONFIG"),
    ],
)
def test_settings_that_cannot_be_used_are_not_ready(
    app: Apps, variables: dict[str, str], reason: str
) -> None:
    status, told = ready(app(**variables))
    assert (status, told["configured"], told["ready"]) == (503, True, False)
    assert reason in told["reason"]
    assert "/" not in json.dumps(told), "a path is told nobody"


def test_a_folder_for_data_that_cannot_be_used_is_not_ready(app: Apps) -> None:
    before = children()
    here = app(OPSORCH_ALERT_PLUGIN="bundled:demo", OPSORCH_DATA_DIR="/dev/null")
    status, told = ready(here)
    assert (status, told["ready"], told["pool"]["breaker"]) == (503, False, "closed")
    assert "OPSORCH_DATA_DIR" in told["reason"]
    assert "/" not in json.dumps(told), "a path is told nobody"
    assert children() == before


def test_bundled_adapters_are_told_by_name(app: Apps) -> None:
    status, told = ready(app(OPSORCH_ALERT_PLUGIN="bundled:demo"))
    assert (status, told["provider"]) == (200, "bundled:demo")


def test_the_last_error_of_a_call_is_told_and_does_not_make_it_unready(app: Apps) -> None:
    here = app()
    here.put("alert", Canned(AuthFailed("the token was refused")))
    assert here.client.post("/alerts/query", data="{}").status_code == 502
    status, told = ready(here)
    assert (status, told["lastError"]["code"]) == (200, "auth_failed")
    assert told["lastError"]["at"].endswith("Z")
    assert "refused" not in json.dumps(told)


@pytest.mark.parametrize(
    "error",
    [
        ReportedError("a field is wrong", code="bad_request"),
        ReportedError("no such alert", code="not_found"),
        ReportedError("closed already", code="conflict"),
    ],
)
def test_what_the_caller_can_mend_is_no_error_of_the_provider(
    app: Apps, error: ReportedError
) -> None:
    here = app()
    here.put("alert", Canned(error))
    assert here.client.get("/alerts/a").status_code == error.status
    assert "lastError" not in ready(here)[1]
    here.put("alert", Canned(ReportedError("slow down", code="rate_limited")))
    assert here.client.get("/alerts/a").status_code == 429
    assert ready(here)[1]["lastError"]["code"] == "rate_limited"


def test_a_capability_that_is_not_configured_has_no_error(app: Apps) -> None:
    here = app()
    assert here.client.post("/alerts/query").status_code == 501
    assert ready(here) == (200, {"configured": False})


def test_the_page_of_metrics(app: Apps) -> None:
    here = app(OPSORCH_ALERT_PROVIDER="demo")
    here.client.post("/alerts/query", data="{}")
    answer = here.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    line = 'opsorch_request_duration_seconds_count{operation="alert.query",status="200"} 1.0'
    assert line in answer.text
    assert here.client.get("/health/ready", headers={"Authorization": "x"}).status_code == 200


def test_the_page_of_metrics_needs_the_token(app: Apps) -> None:
    here = app(OPSORCH_BEARER_TOKEN="t")
    assert here.client.get("/metrics").status_code == 401
    answer = here.client.get("/metrics", headers={"Authorization": "Bearer t"})
    assert answer.status_code == 200
