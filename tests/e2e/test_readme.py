"""The README's first screen: its curl gives its answer, from the settings of `make run`."""

import json
import pathlib
import re
import subprocess

from tests.harness import ROOT, running_gateway

TEXT = (ROOT / "README.md").read_text()


def test_the_readmes_curl_gives_the_readmes_answer(tmp_path: pathlib.Path) -> None:
    [command] = re.findall(r"^```sh\n(curl .*?)\n```", TEXT, re.MULTILINE)
    [answer] = re.findall(r"^```json\n(.*?)\n```", TEXT, re.MULTILINE | re.DOTALL)
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text())
    with running_gateway({}, tmp_path) as gateway:
        there = command.replace("http://localhost:8080", gateway.url)
        done = subprocess.run(there, shell=True, check=True, capture_output=True, timeout=60)
        for capability in json.loads(gateway.request("GET", "/health/ready").body)["capabilities"]:
            told = gateway.request("GET", f"/providers/{capability}").json["providers"]
            assert "demo" in told
    assert json.loads(done.stdout) == json.loads(answer)


def test_the_first_screen_is_short() -> None:
    first = TEXT[: TEXT.index("make test")]
    assert "make run" in first
    assert len(first.splitlines()) < 40
