"""The files of deploy/: what they start exists, and the proxy passes streams through."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.service.conftest import TOKENS, start, stop
from tests.support.program import ROOT, Finops
from tests.support.records import a_fail, jsonl

DEPLOY = ROOT / "deploy"
FILES = ("Containerfile", "finops.service", "nginx.conf", "Caddyfile")


@pytest.mark.parametrize("name", FILES)
def test_options_of_deployment_files_exist(name: str, finops: Finops) -> None:
    """Each option of finops serve that a file names is one that it has."""
    text = (DEPLOY / name).read_text()
    known = set(re.findall(r"--[a-z-]+", finops("serve", "--help").stdout.decode()))
    calls = re.findall(r"finops(?:\", \"|\s)serve([^\n]*(?:\\\n#[^\n]*)*)", text)
    named = set(re.findall(r"(?<=\s)--[a-z-]+|(?<=\")--[a-z-]+", " ".join(calls)))
    assert calls
    assert named <= known


def test_container_runs_without_rights_and_stops_in_time() -> None:
    """The container has a user of its own and the signal that finops serve stops by."""
    text = (DEPLOY / "Containerfile").read_text()
    assert re.search(r"^USER finops$", text, re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGTERM$", text, re.MULTILINE)


@pytest.mark.slow
def test_unit_is_verified_by_systemd(tmp_path: Path) -> None:
    """systemd accepts the unit, with a program that exists in its place."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / "finops.service").read_text()
    unit = tmp_path / "finops.service"
    unit.write_text(text.replace("/opt/finops/bin/finops", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def nginx_folder(folder: Path, port: int, upstream: str) -> Path:
    """Write a configuration around the block of deploy/, with a certificate of its own."""
    subject = ["-subj", "/CN=desk.example", "-addext", "subjectAltName=DNS:desk.example"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    subprocess.run([*make, *subject, *files], check=True, capture_output=True)
    block = (DEPLOY / "nginx.conf").read_text()
    for old, new in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/ssl/desk.example.pem", str(folder / "cert.pem")),
        ("/etc/ssl/desk.example.key", str(folder / "key.pem")),
        ("http://127.0.0.1:8765", upstream),
    ):
        assert old in block
        block = block.replace(old, new)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log;\nevents {{}}\n"
        f"http {{ access_log off;\n{temporary}{block}}}\n"
    )
    return config


@pytest.mark.slow
def test_proxy_passes_streams_and_uploads(tmp_path: Path) -> None:
    """Through nginx with the block of deploy/, a stream gets every line, and an upload is stored
    whole.
    """
    nginx = shutil.which("nginx")
    if nginx is None or shutil.which("openssl") is None:
        pytest.skip("nginx and openssl are not installed")
    options = ("--behind-proxy", "127.0.0.1", "--allow-host", "desk.example")
    server = start(tmp_path, "--guard", "off", *options)
    port = free_port()
    config = nginx_folder(tmp_path, port, server.url)
    proxy = subprocess.Popen([nginx, "-p", str(tmp_path), "-c", str(config)])
    trusted = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    trusted.check_hostname = False
    given = jsonl(*(a_fail(fail_id=f"F-{number}") for number in range(5_000)))
    headers = {
        "Authorization": f"Bearer {TOKENS['operator']}",
        "Host": "desk.example",
        "Content-Type": "application/jsonl",
    }
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trusted, timeout=60) as client:
        for _ in range(100):
            try:
                client.get("/healthz", headers={"Host": "desk.example"})
                break
            except httpx.ConnectError:
                time.sleep(0.05)
        answer = client.post("/v1/triage", content=given, headers=headers)
        assert len(answer.content.splitlines()) == 5_000
        stored = client.post("/v1/files", content=given, headers=headers)
        assert stored.json()["lines"] == 5_000
    proxy.terminate()
    proxy.wait()
    stop(server)
