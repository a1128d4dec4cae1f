"""Settings: defaults, faults all at once and without values, capability configurations."""

import re
from pathlib import Path

import pytest

from opsorch.capabilities import CAPABILITIES
from opsorch.config import Settings, SettingsError, known_variables, read_environ, variable_of
from opsorch.config.rows import address, origins


def test_the_defaults_are_those_of_the_table() -> None:
    settings = Settings.from_env({})
    assert settings.address == ("0.0.0.0", 8080)
    assert (settings.workers, settings.threads, settings.max_requests) == (2, 64, 0)
    assert settings.graceful_timeout_s == 45.0
    assert settings.max_body_bytes == 1048576
    assert settings.cors_origins == ("*",)
    assert settings.bearer_token is None
    assert settings.data_dir == Path("~/.local/state/opsorch").expanduser()
    one = settings.capabilities["incident"]
    assert not one.configured
    assert (one.timeout_s, one.queue_timeout_s, one.idle_timeout_s) == (30.0, 5.0, 300.0)
    assert (one.pool_size, one.min_idle, one.max_calls, one.nice) == (4, 0, 0, 0)
    assert one.max_reply_bytes == 67108864
    assert one.max_concurrency == 62


@pytest.mark.parametrize(
    ("environ", "address_is"),
    [
        ({"OPSORCH_PORT": "9000"}, ("0.0.0.0", 9000)),
        ({"OPSORCH_ADDR": ":9001", "OPSORCH_PORT": "9000"}, ("0.0.0.0", 9001)),
        ({"OPSORCH_ADDR": "127.0.0.1:80"}, ("127.0.0.1", 80)),
        ({"OPSORCH_ADDR": "[::1]:80"}, ("::1", 80)),
        ({"OPSORCH_ADDR": "  "}, ("0.0.0.0", 8080)),
    ],
)
def test_the_address(environ: dict[str, str], address_is: tuple[str, int]) -> None:
    assert Settings.from_env(environ).address == address_is


def test_a_capabilitys_own_setting_wins_over_the_general_one() -> None:
    environ = {
        "OPSORCH_PLUGIN_TIMEOUT": "2.5",
        "OPSORCH_LOG_TIMEOUT": "60",
        "OPSORCH_PLUGIN_ENV": "A, B",
        "OPSORCH_LOG_ENV": "C",
        "OPSORCH_THREADS": "2",
        "OPSORCH_LOG_MAX_CONCURRENCY": "9",
    }
    settings = Settings.from_env(environ)
    log, metric = settings.capabilities["log"], settings.capabilities["metric"]
    assert (log.timeout_s, metric.timeout_s) == (60.0, 2.5)
    assert (log.env, metric.env) == (("C",), ("A", "B"))
    assert (log.max_concurrency, metric.max_concurrency) == (9, 1)
    assert settings.graceful_timeout_s == 75.0


def test_all_faults_come_at_once_by_name_and_without_values(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(" \n")
    environ = {
        "OPSORCH_ADDR": "secret-value",
        "OPSORCH_WORKERS": "secret-value",
        "OPSORCH_PLUGIN_TIMEOUT": "-1secret-value",
        "OPSORCH_LOG_POOL_SIZE": "0",
        "OPSORCH_LOG_FORMAT": "secret-value",
        "OPSORCH_PLUGIN_ENV": "secret-value",
        "OPSORCH_CORS_ORIGIN": "http://sécret-value",
        "OPSORCH_DATA_DIR": "a\0b",
        "OPSORCH_TLS_CERT_FILE": "/secret-value",
        "OPSORCH_BEARER_TOKEN_FILE": str(tmp_path / "empty"),
    }
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(environ)
    told = str(caught.value)
    assert all(name in told for name in environ)
    assert "secret-value" not in told


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"OPSORCH_TLS_KEY_FILE": "/dev/null"}, "need each other"),
        ({"OPSORCH_TLS_CERT_FILE": "/dev/null"}, "need each other"),
        ({"OPSORCH_BEARER_TOKEN": "a", "OPSORCH_BEARER_TOKEN_FILE": "/dev/null"}, "both set"),
        ({"OPSORCH_BEARER_TOKEN_FILE": "/nowhere"}, "cannot be read"),
        ({"OPSORCH_PORT": "70000"}, "whole number from 0 to 65535"),
        ({"OPSORCH_PLUGIN_QUEUE_TIMEOUT": "nan"}, "must be seconds"),
    ],
)
def test_what_stops_the_start(environ: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Settings.from_env(environ)


def test_the_token_may_stand_in_a_file_and_never_prints(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret-token\n")
    settings = Settings.from_env({"OPSORCH_BEARER_TOKEN_FILE": str(file)})
    assert settings.bearer_token is not None
    assert settings.bearer_token.reveal() == "s3cret-token"
    assert "s3cret" not in repr(settings)


def test_configurations_and_the_environment_never_print() -> None:
    environ = {"OPSORCH_LOG_PLUGIN": "/x", "OPSORCH_LOG_CONFIG": '{"password":"hunter22"}'}
    settings = Settings.from_env(environ)
    assert settings.capabilities["log"].config == {"password": "hunter22"}
    assert "hunter22" not in repr(settings)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"OPSORCH_LOG_CONFIG": '{"a":'}, "OPSORCH_LOG_CONFIG is not valid JSON"),
        ({"OPSORCH_LOG_CONFIG": '{"a": NaN}'}, "is not valid JSON"),
        ({"OPSORCH_LOG_CONFIG": "[" * 5000}, "is not valid JSON"),
        ({"OPSORCH_LOG_CONFIG": "[1]"}, "must be a JSON object"),
        ({"OPSORCH_LOG_CONFIG": "{}", "OPSORCH_LOG_CONFIG_FILE": "/dev/null"}, "both set"),
        ({"OPSORCH_LOG_CONFIG_FILE": "/nowhere"}, "cannot be read (FileNotFoundError)"),
    ],
)
def test_a_faulty_configuration_turns_one_capability_off(
    environ: dict[str, str], words: str
) -> None:
    settings = Settings.from_env({"OPSORCH_LOG_PLUGIN": "/x", **environ})
    assert words in settings.capabilities["log"].fault
    assert not settings.capabilities["metric"].fault


def test_a_configuration_may_stand_in_a_file_with_a_mark_of_byte_order(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    settings = Settings.from_env({"OPSORCH_LOG_CONFIG_FILE": str(file)})
    assert settings.capabilities["log"].config == {"a": 1}


def test_quotes_that_docker_leaves_in_place_are_taken_off() -> None:
    settings = Settings.from_env({"OPSORCH_LOG_CONFIG": "'{\"a\": 1}'"})
    assert settings.capabilities["log"].config == {"a": 1}


def test_variables_that_nobody_reads_are_named() -> None:
    environ = {
        "OPSORCH_WORKER": "3",
        "OPSORCH_INCIDENTS_PLUGIN": "x",
        "OPSORCH_SECRET_PROVIDER": "x",
        "OPSORCH_PLUGIN_DIR": "/x",
        "OTHER": "x",
    }
    settings = Settings.from_env(environ)
    assert settings.unknown == ("OPSORCH_INCIDENTS_PLUGIN", "OPSORCH_WORKER")
    assert settings.secret_settings


def test_a_real_variable_wins_over_the_file_which_is_taken_as_it_stands(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(
        'OPSORCH_PORT=1\nOPSORCH_WORKERS=5\nEMPTY\nOPSORCH_LOG_CONFIG=\'{"a":"${HOME}"}\'\n'
    )
    environ = read_environ({"OPSORCH_PORT": "2"}, file)
    assert (environ["OPSORCH_PORT"], environ["OPSORCH_WORKERS"]) == ("2", "5")
    assert environ["OPSORCH_LOG_CONFIG"] == '{"a":"${HOME}"}'
    assert read_environ({}, tmp_path / "none") == {}


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_environ({}, tmp_path)


def test_the_data_folder_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.from_env({"OPSORCH_DATA_DIR": ".data"}).data_dir == tmp_path / ".data"
    assert Settings.from_env({"XDG_STATE_HOME": "/s"}).data_dir == Path("/s/opsorch")


def test_every_variable_has_one_name() -> None:
    names = list(known_variables())
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"OPSORCH_[A-Z_]+", name) for name in names)
    assert variable_of("log", "PLUGIN") in names
    assert len([name for name in names if name.endswith("_CONFIG_FILE")]) == len(CAPABILITIES)


def test_small_parsers() -> None:
    assert address("localhost:1") == ("localhost", 1)
    assert origins(" , ") == ("*",)
    assert origins("https://a, https://b") == ("https://a", "https://b")
