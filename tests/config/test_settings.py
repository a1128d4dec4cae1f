"""Settings: defaults, faults all at once and without values, capability configurations."""

import codecs
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

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
        ({"OPSORCH_BEARER_TOKEN": "a\nb"}, "OPSORCH_BEARER_TOKEN must be one line"),
        ({"OPSORCH_BEARER_TOKEN": "a\x7fb"}, "must be one line without control characters"),
        ({"OPSORCH_PORT": "70000"}, "whole number from 0 to 65535"),
        ({"OPSORCH_ADDR": ":\u00b2"}, "must be host:port"),
        ({"OPSORCH_ADDR": ":" + "1" * 5000}, "must be host:port"),
        ({"OPSORCH_ADDR": ":65536"}, "must be host:port"),
        ({"OPSORCH_ADDR": "8080"}, "must be host:port"),
        ({"OPSORCH_ADDR": "http://host:80"}, "must be host:port"),
        ({"OPSORCH_ADDR": "a b:80"}, "must be host:port"),
        ({"OPSORCH_DATA_DIR": "~no-such-user-here/x"}, "a user who is not known"),
        ({"OPSORCH_LOG_PLUGIN": "/x/\udcff"}, "OPSORCH_LOG_PLUGIN must be UTF-8"),
        ({"OPSORCH_TLS_CERT_FILE": "/tmp", "OPSORCH_TLS_KEY_FILE": "/tmp"}, "cannot be read"),
        ({"OPSORCH_PLUGIN_QUEUE_TIMEOUT": "nan"}, "must be seconds"),
    ],
)
def test_what_stops_the_start(environ: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Settings.from_env(environ)


@pytest.mark.parametrize(
    "name",
    [
        "OPSORCH_BEARER_TOKEN",
        "OPSORCH_BEARER_TOKEN_FILE",
        "OPSORCH_LOG_CONFIG",
        "OPSORCH_TEAM_CONFIG_FILE",
        "OPSORCH_SECRET_KEY",
        "OPSORCH_SECRET_CONFIG",
    ],
)
@pytest.mark.parametrize("variable", ["OPSORCH_PLUGIN_ENV", "OPSORCH_LOG_ENV"])
def test_no_plugin_is_shown_the_gateways_own_secrets(variable: str, name: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} must not list {name}: .* another name"):
        Settings.from_env({variable: f"ACME_TOKEN, {name}, OPSORCH_DATA_DIR"})


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_the_token_may_stand_in_a_file_and_never_prints(tmp_path: Path, mark: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(mark + b"s3cret-token\n")
    settings = Settings.from_env({"OPSORCH_BEARER_TOKEN_FILE": str(file)})
    assert settings.bearer_token is not None
    assert settings.bearer_token.reveal() == "s3cret-token"
    assert "s3cret" not in repr(settings)


def test_a_token_of_two_lines_cannot_be_sent_in_a_header(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\ntoken\n")
    with pytest.raises(SettingsError, match="OPSORCH_BEARER_TOKEN_FILE names must be") as caught:
        Settings.from_env({"OPSORCH_BEARER_TOKEN_FILE": str(file)})
    assert "s3cret" not in str(caught.value)


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
        ({"OPSORCH_LOG_CONFIG": '{"a": 1e400}'}, "is not valid JSON"),
        ({"OPSORCH_LOG_CONFIG": '{"a": "\udcff"}'}, "is not valid JSON"),
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


@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_file_that_is_too_large_is_told(tmp_path: Path, letter: str) -> None:
    """Not as faulty JSON; one of a megabyte is taken."""
    file = tmp_path / "config.json"
    environ = {"OPSORCH_LOG_CONFIG_FILE": str(file), "OPSORCH_LOG_PLUGIN": "/x"}
    size = len(letter.encode())
    file.write_text('{"a":"' + letter * ((2**20 - 8) // size) + '"}')
    assert not Settings.from_env(environ).capabilities["log"].fault
    file.write_text('{"a":"' + letter * (2**20 // size) + '"}')
    fault = Settings.from_env(environ).capabilities["log"].fault
    assert fault == "the file that OPSORCH_LOG_CONFIG_FILE names is larger than 1 MiB"


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
        'OPSORCH_PORT=1\nOPSORCH_WORKERS=5\nEMPTY=\nOPSORCH_LOG_CONFIG=\'{"a":"${HOME}"}\'\n'
    )
    environ = read_environ({"OPSORCH_PORT": "2"}, file)
    assert (environ["OPSORCH_PORT"], environ["OPSORCH_WORKERS"]) == ("2", "5")
    assert environ["OPSORCH_LOG_CONFIG"] == '{"a":"${HOME}"}'
    assert read_environ({}, tmp_path / "none") == {}


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(SettingsError, match="cannot be read"):
            read_environ({}, path)
    with pytest.raises(SettingsError, match="there is no file"):
        read_environ({}, tmp_path / "none", needed=True)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("A=1\nOPSORCH_BEARER_TOKEN='s3cret\nB=2\n", "line 2 must"),
        ("not an assignment\nA=1\n\n=2\n", "lines 1, 4 must"),
        ("A=1\n\nOPSORCH_BEARER_TOKEN\nexport B # b\n", "lines 3, 4 must"),
    ],
)
def test_a_line_that_cannot_be_read_is_a_fault(tmp_path: Path, text: str, lines: str) -> None:
    """Left out, it could be the token, and the gateway would be open to everybody."""
    (tmp_path / ".env").write_text(text)
    with pytest.raises(SettingsError, match=lines) as caught:
        read_environ({}, tmp_path / ".env")
    assert "s3cret" not in str(caught.value)


def test_env_files_as_people_write_them(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(
        b"\xef\xbb\xbf# comment\r\nexport OPSORCH_PORT=1\r\n OPSORCH_WORKERS = 3 # three\r\n"
        b'OPSORCH_THREADS="4"\r\nOPSORCH_LOG_CONFIG=\'{\r\n  "a": "#b"\r\n}\'\r\nOPSORCH_PORT=2\r\n'
    )
    read = read_environ({}, file)
    assert read.pop("OPSORCH_LOG_CONFIG").split() == ["{", '"a":', '"#b"', "}"]
    assert read == {"OPSORCH_PORT": "2", "OPSORCH_WORKERS": "3", "OPSORCH_THREADS": "4"}


def test_a_certificate_and_its_key_are_looked_at_before_the_start(tmp_path: Path) -> None:
    def made(name: str, *passphrase: str) -> dict[str, str]:
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=x"
        files = ["-keyout", f"{name}.key", "-out", f"{name}.pem", *(passphrase or ("-nodes",))]
        subprocess.run([*command.split(), *files], cwd=tmp_path, check=True, capture_output=True)
        names = {"OPSORCH_TLS_CERT_FILE": "pem", "OPSORCH_TLS_KEY_FILE": "key"}
        return {setting: str(tmp_path / f"{name}.{end}") for setting, end in names.items()}

    good, other, closed = made("a"), made("b"), made("c", "-passout", "pass:x")
    assert Settings.from_env(good).tls_key_file.endswith("a.key")
    for bad in ({**good, "OPSORCH_TLS_KEY_FILE": other["OPSORCH_TLS_KEY_FILE"]}, closed):
        with pytest.raises(SettingsError, match="are no certificate and its key"):
            Settings.from_env(bad)


def test_without_a_home_data_has_a_place_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container the user may have no HOME and no entry in /etc/passwd."""

    def no_home(self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    assert Settings.from_env({}).data_dir == Path("/var/lib/opsorch")


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
    assert origins(" , ") == origins("https://a, *") == ("*",)
    assert origins("https://a, https://b") == ("https://a", "https://b")


odd_values = st.text(st.characters(exclude_categories=()), max_size=30) | st.sampled_from(
    [":²", "[::1]:80", "~nobody-here/x", "1e9", "-0", "٣", "{", "[[", "'", "\udcff", "\x00", " "]
)


@given(st.dictionaries(st.sampled_from(sorted(known_variables())), odd_values, max_size=8))
@example({"OPSORCH_WORKERS": "3\x1f", "OPSORCH_PLUGIN_TIMEOUT": "3\x1f"})
@settings(deadline=None, max_examples=300)
def test_whatever_is_set_is_read_or_is_a_fault(environ: dict[str, str]) -> None:
    """Anything else would end the master at SIGHUP, with all that it serves."""
    read = outcome(lambda: Settings.from_env(environ))
    assert isinstance(read, Settings) or any(name in str(read) for name in environ)


def outcome(read: Callable[[], object]) -> object:
    try:
        return read()
    except SettingsError as fault:
        return fault


@given(st.binary(max_size=80))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_an_env_file_holds_is_read_or_is_a_fault(tmp_path: Path, data: bytes) -> None:
    (tmp_path / ".env").write_bytes(data)
    read = outcome(lambda: read_environ({}, tmp_path / ".env"))
    texts = read.values() if isinstance(read, dict) else [str(read)]
    assert all(isinstance(text, str) for text in texts)
    assert isinstance(read, dict) or ".env" in str(read)
