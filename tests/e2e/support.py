"""What the end-to-end tests of the adapters share: ways to run one, answers, secrets, READMEs."""

import contextlib
import json
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from opsorch.supervisor.launch import OWNER_VARIABLE
from tests.fakes.server import FakeServer, Fault, Seen
from tests.harness import (
    ROOT,
    Answer,
    Examples,
    Gateway,
    readme_examples,
    run_curl,
    running_gateway,
)
from tests.processes import all_pids, command, environ

Json = dict[str, Any]

# Each way to run an adapter: what its variable ends with, and what comes before its name there.
WAYS: Final = {"plugin": ("PLUGIN", "bundled:"), "in-process": ("PROVIDER", "")}

# Every credential of these tests holds it, so that whatever shows one is found.
SECRET: Final = "a-secret-of-the-e2e-test"

# What a server, or something on the way to it, answers instead of what was asked for.
PAGES_FOR_PEOPLE: Final = (
    Fault(status=500, body=f"<html>{SECRET}</html>"),
    Fault(status=200, body="<html>please log in</html>"),
    Fault(status=302, headers={"Location": "https://login.example.com/"}),
)


def env_of(name: str, way: str, configs: Mapping[str, Json]) -> dict[str, str]:
    """Select an adapter, in one of the WAYS, for each capability (TICKET, ...) of ``configs``."""
    kind, prefix = WAYS[way]
    env = {}
    for capability, config in configs.items():
        env[f"OPSORCH_{capability}_{kind}"] = f"{prefix}{name}"
        env[f"OPSORCH_{capability}_CONFIG"] = json.dumps(config)
    return env


@contextlib.contextmanager
def guarded_gateway(env: Mapping[str, str], *secrets: str) -> Iterator[Gateway]:
    """Run a gateway that shows no secret: neither in its log nor in the process table.

    Args:
        secrets: The SECRET where none is given.
    """
    hidden = secrets or (SECRET,)
    with tempfile.TemporaryDirectory() as folder:
        with running_gateway(env, pathlib.Path(folder)) as gateway:
            yield gateway
            shown = [command_lines(), *plugins_of(gateway)]
        shown.append(gateway.log())
    assert not [secret for secret in hidden if secret in "\n".join(shown)]


def command_lines() -> str:
    """What anybody on this machine can read of its processes."""
    return "\n".join(" ".join(command(pid)) for pid in all_pids())


def plugins_of(gateway: Gateway) -> list[str]:
    """Arguments and environment of each plugin process that a gateway has at this moment."""
    found = []
    for pid in all_pids():
        shown = " ".join([*command(pid), *environ(pid)])
        if f"{OWNER_VARIABLE}=" in shown and str(gateway.folder) in shown:
            found.append(shown)
    return found


def answered(answer: Answer, status: int = 200) -> Any:
    """The JSON of an answer that has this status."""
    assert answer.status == status, answer.body
    assert SECRET not in str(answer)
    return answer.json


def failed(answer: Answer, status: int, code: str) -> Json:
    """The error's body of an answer that has this status and code."""
    assert (answer.status, answer.json["code"]) == (status, code), answer.body
    assert SECRET not in str(answer)
    body: Json = answer.json
    return body


def limited(answer: Answer, wait_s: int) -> None:
    """The vendor's limit is passed on, with the time to wait."""
    failed(answer, 429, "rate_limited")
    assert answer.headers["Retry-After"] == str(wait_s)


def pages_are_not_passed_on(fake: FakeServer, ask: Callable[[], Answer]) -> None:
    """Each of the PAGES_FOR_PEOPLE is a 502 that does not show the page."""
    for fault in PAGES_FOR_PEOPLE:
        fake.fail_next(fault)
        body = failed(ask(), 502, "provider_error")
        assert "<html>" not in body["message"]


def sent_once(
    fake: FakeServer, path_part: str, write: Callable[[], Answer], status: int, code: str
) -> Json:
    """The body of a write's error: it reached the server once, and its outcome is unknown."""
    before = fake.count("POST", path_part)
    body = failed(write(), status, code)
    assert body["outcome"] == "unknown"
    assert fake.count("POST", path_part) == before + 1
    return body


def lost_answers(when: Callable[[Seen], bool]) -> list[tuple[Fault, int, str]]:
    """Ways to lose the answer to a write that took effect, with the error's status and code."""
    return [
        (Fault(hang=True, apply_first=True, when=when), 504, "upstream_timeout"),
        (Fault(drop=True, apply_first=True, when=when), 502, "upstream_unreachable"),
    ]


def examples_of(name: str, *, curls: int) -> Examples:
    """The environment and the commands of an adapter's README, of which there are so many."""
    examples = readme_examples(ROOT / "plugins" / name / "README.md")
    assert len(examples.curls) == curls
    return examples


def at(url: str, env: Mapping[str, str], *addresses: str) -> dict[str, str]:
    """An example's environment with a fake's URL for the vendor's addresses, in every CONFIG."""
    moved = dict(env)
    for name, value in env.items():
        for address in addresses:
            moved[name] = moved[name].replace(address, url)
        assert moved[name] != value or not name.endswith("_CONFIG"), name
    return moved


def in_process(name: str, env: Mapping[str, str]) -> dict[str, str]:
    """An example's environment, with the adapter inside the gateway instead of as a plugin."""
    changed = {}
    for variable, value in env.items():
        if variable.endswith("_PLUGIN"):
            assert value == f"bundled:{name}"
            changed[variable.removesuffix("PLUGIN") + "PROVIDER"] = name
        else:
            changed[variable] = value
    return changed


def answers_to(examples: Examples, env: Mapping[str, str]) -> list[Answer]:
    """Run an example's commands, in their order, against a gateway with this environment."""
    with running_gateway(env) as gateway:
        return [run_curl(command, gateway) for command in examples.curls]
