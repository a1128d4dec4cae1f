"""Real servers on loopback, from Debian's packages (deploy/live-deps.sh).

The tests here run where they are asked for: ``pytest -m live``, or a path in this folder
(``make live``). A plain ``pytest`` leaves them out and says how many.
"""

import contextlib
import dataclasses
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.harness import free_port

FOLDER = pathlib.Path(__file__).resolve().parent
LEFT_OUT = pytest.StashKey[int]()


def asked_for(marks: str, paths: Sequence[str], start: pathlib.Path) -> bool:
    """Tell whether a command line asks for the tests of this folder.

    Args:
        marks: The expression of ``-m``.
        paths: The paths and node ids that were named, from ``start`` on.
        start: Where the command was started.
    """
    if re.search(r"(?<!not )\blive\b", marks):
        return True
    named = ((start / path.partition("::")[0]).resolve() for path in paths)
    return any(path == FOLDER or FOLDER in path.parents for path in named)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests that need a server out, unless they are asked for."""
    if asked_for(config.option.markexpr, config.args, config.invocation_params.dir):
        return
    live = [item for item in items if item.get_closest_marker("live")]
    items[:] = [item for item in items if not item.get_closest_marker("live")]
    config.stash[LEFT_OUT] = len(live)
    config.hook.pytest_deselected(items=live)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name what was left out, so that nobody takes it for tested."""
    left_out = config.stash.get(LEFT_OUT, 0)
    if left_out:
        terminalreporter.write_line(f"left to make live: {left_out}")


START_TIMEOUT_S = 60.0
USER, PASSWORD = "ops", "live-test-password"
# bcrypt of PASSWORD at the lowest cost.
PASSWORD_HASH = "$2b$04$zJfvHeX2W5Qsdz4ASxzzn.aEBfcaphbaPG2z3OYAGocciUXDBTj0G"

# Samples of known value: one every 15 s for an hour.
DATA_START = 1_700_000_100
DATA_END = DATA_START + 3600
HOSTILE = 'x"} or vector(1) or up{a="\\'

ALERT_RULES = """
groups:
- name: web
  rules:
  - alert: SlowSoon
    expr: vector(1)
    for: 10h
    labels: {service: api, severity: warning}
    annotations: {summary: It will be slow.}
  - alert: OtherSoon
    expr: vector(1)
    for: 10h
    labels: {service: db, severity: critical}
"""

ALERTMANAGER_CONFIG = """
route: {receiver: default, group_by: [alertname], group_wait: 0s, group_interval: 1s}
receivers: [{name: default}]
inhibit_rules:
- source_matchers: ['alertname="Parent"']
  target_matchers: ['alertname="Child"']
"""


@dataclasses.dataclass
class Server:
    """A running server.

    Attributes:
        url: Its base URL, a path prefix included, without a trailing slash.
        process: Its process, for signals.
        ca_file: The CA of its certificate, where it speaks TLS.
    """

    url: str
    process: subprocess.Popen[bytes]
    ca_file: str = ""

    def freeze(self) -> None:
        """Stop it from answering, its port still open."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def running(
    command: Callable[[int], Sequence[str]],
    folder: pathlib.Path,
    *,
    prefix: str = "",
    tls: "Tls | None" = None,
) -> Iterator[Server]:
    """Run a server on a free port until the block ends; wait for its ``/-/ready``."""
    port = free_port()
    arguments = list(command(port))
    if shutil.which(arguments[0]) is None:
        raise RuntimeError(f"{arguments[0]} is not installed: run deploy/live-deps.sh as root")
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=output, start_new_session=True)
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}{prefix}"
    server = Server(url, process, str(tls.certificate) if tls else "")

    def is_ready() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended: {log.read_text(errors='replace')}")
        return answers(f"{url}/-/ready", tls.client_context() if tls else None)

    try:
        wait_until(is_ready)
        yield server
    finally:
        server.end()


def answers(url: str, context: ssl.SSLContext | None) -> bool:
    """Tell whether a server takes requests; asking for credentials counts."""
    try:
        urllib.request.urlopen(url, timeout=5, context=context).close()
    except urllib.error.HTTPError as refused:
        refused.close()
        return refused.code == 401
    except OSError:
        return False
    return True


def wait_until(fits: Callable[[], Any], timeout_s: float = START_TIMEOUT_S) -> Any:
    """Ask until the answer is true, and return it; time out after a minute."""
    until = time.monotonic() + timeout_s
    pause = threading.Event()
    while not (result := fits()):
        if time.monotonic() > until:
            raise TimeoutError("the server did not come to the expected state")
        pause.wait(0.05)
    return result


def open_metrics() -> str:
    """Known series as OpenMetrics text: a value, labels and a time in seconds a line."""
    escaped = HOSTILE.replace("\\", "\\\\").replace('"', '\\"')
    rates = {
        'service="api",env="prod",method="GET",status="200"': 2,
        'service="api",env="prod",method="POST",status="200"': 1,
        'service="api",env="prod",method="POST",status="500"': 0.5,
        'service="db",env="prod",method="GET",status="200"': 4,
        'service="api",env="stage",method="GET",status="200"': 8,
        f'service="{escaped}",env="prod",method="GET",status="200"': 16,
    }
    lines = [
        f"http_requests{{{labels}}} {rate * 15 * n} {DATA_START + 15 * n}"
        for labels, rate in rates.items()
        for n in range(241)
    ]
    odd = ["NaN", "+Inf", "-Inf", "1", "0"]
    lines += [f"odd_samples {value} {DATA_START + 60 * n}" for n, value in enumerate(odd)]
    lines += [f'text{{value="{v}"}} 1 {DATA_END}' for v in ("a.b", "axb", "ü \U0001f600", "}")]
    return "\n".join([*lines, "# EOF", ""])


def prometheus_command(folder: pathlib.Path, *more: str) -> Callable[[int], list[str]]:
    return lambda port: [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
        *more,
    ]


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the known series, two rules that stay pending, and itself as a target."""
    folder = tmp_path_factory.mktemp("prometheus")
    samples = folder / "samples.txt"
    samples.write_text(open_metrics(), encoding="utf-8")
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", samples, folder / "data"],
        check=True,
        capture_output=True,
    )
    (folder / "rules.yml").write_text(ALERT_RULES)

    def command(port: int) -> list[str]:
        target = f"[{{targets: ['127.0.0.1:{port}'], labels: {{service: prom}}}}]"
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: ['{folder / 'rules.yml'}']\n"
            f"scrape_configs: [{{job_name: self, static_configs: {target}}}]\n"
        )
        return prometheus_command(folder)(port)

    with running(command, folder) as server:
        yield server


@pytest.fixture
def spare_prometheus(tmp_path: pathlib.Path) -> Iterator[Server]:
    """A server of one test's own, to be stopped or ended."""
    (tmp_path / "prometheus.yml").write_text("scrape_configs: []\n")
    with running(prometheus_command(tmp_path), tmp_path) as server:
        yield server


@dataclasses.dataclass(frozen=True)
class Tls:
    """A certificate for 127.0.0.1 that is its own CA, and web configurations that use it.

    Attributes:
        web: TLS and basic auth.
        web_of_clients: TLS, and clients show a certificate of the same CA.
    """

    certificate: pathlib.Path
    key: pathlib.Path
    web: pathlib.Path
    web_of_clients: pathlib.Path

    def client_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.load_cert_chain(self.certificate, self.key)
        return context


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    folder = tmp_path_factory.mktemp("tls")
    made = Tls(*(folder / name for name in ("cert.pem", "key.pem", "web.yml", "clients.yml")))
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=live-test"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    server = f"cert_file: {made.certificate}, key_file: {made.key}"
    clients = f"client_auth_type: RequireAndVerifyClientCert, client_ca_file: {made.certificate}"
    made.web.write_text(
        f"tls_server_config: {{{server}}}\nbasic_auth_users: {{{USER}: '{PASSWORD_HASH}'}}\n"
    )
    made.web_of_clients.write_text(f"tls_server_config: {{{server}, {clients}}}\n")
    return made


@pytest.fixture(scope="session")
def secured_prometheus(tmp_path_factory: pytest.TempPathFactory, tls: Tls) -> Iterator[Server]:
    """A server behind TLS, basic auth and the path prefix /prom."""
    folder = tmp_path_factory.mktemp("secured")
    (folder / "prometheus.yml").write_text("scrape_configs: []\n")
    more = (f"--web.config.file={tls.web}", "--web.route-prefix=/prom")
    with running(prometheus_command(folder, *more), folder, prefix="/prom", tls=tls) as server:
        yield server


@pytest.fixture
def prometheus_of_known_clients(tmp_path: pathlib.Path, tls: Tls) -> Iterator[Server]:
    """A server that wants a client's certificate."""
    (tmp_path / "prometheus.yml").write_text("scrape_configs: []\n")
    command = prometheus_command(tmp_path, f"--web.config.file={tls.web_of_clients}")
    with running(command, tmp_path, tls=tls) as server:
        yield server


def alertmanager_command(folder: pathlib.Path, *more: str) -> Callable[[int], list[str]]:
    (folder / "alertmanager.yml").write_text(ALERTMANAGER_CONFIG)
    return lambda port: [
        "prometheus-alertmanager",
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        *more,
    ]


@pytest.fixture(scope="session")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without alerts; the tests post theirs."""
    folder = tmp_path_factory.mktemp("alertmanager")
    with running(alertmanager_command(folder), folder) as server:
        yield server


@pytest.fixture(scope="session")
def secured_alertmanager(tmp_path_factory: pytest.TempPathFactory, tls: Tls) -> Iterator[Server]:
    """A server behind TLS, basic auth and the path prefix /am."""
    folder = tmp_path_factory.mktemp("secured-alertmanager")
    more = (f"--web.config.file={tls.web}", "--web.route-prefix=/am")
    with running(alertmanager_command(folder, *more), folder, prefix="/am", tls=tls) as server:
        yield server
