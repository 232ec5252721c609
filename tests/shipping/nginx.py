"""Debian's nginx with the files of deploy/nginx: only addresses, ports and folders are the test's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.servers import ROOT, free_port
from tests.web.tools import need

FILES = ROOT / "deploy" / "nginx"
#: How long it waits in silence, in seconds: in deploy/nginx 75.
SILENCE = 6
#: Nobody: it needs no rights.
NOBODY = 65534
MAIN = """
daemon off;
pid {folder}/nginx.pid;
worker_processes 2;
events {{ {worker_connections} }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/{site}.conf;
}}
"""


class Nginx:
    """One nginx, in front of the two ports."""

    def __init__(self, folder: Path, site: str, ports: tuple[int, int], changes: dict[str, str]) -> None:
        self.folder = folder
        self.port, self.tls_port = free_port(), free_port()
        replaced = {
            "app1:8000": f"127.0.0.1:{ports[0]}",
            "app2:8000": f"127.0.0.1:{ports[1]}",
            "listen 80 ": f"listen 127.0.0.1:{self.port} ",
            "listen 443 ": f"listen 127.0.0.1:{self.tls_port} ",
            "/var/log/nginx": str(folder),
            "/etc/nginx/lexicon": str(folder),
            "/etc/nginx/tls": str(folder / "tls"),
            "/var/www/acme": str(folder / "acme"),
            "75s": f"{SILENCE}s",
            **changes,
        }
        files = {path.name: path.read_text() for path in FILES.glob("*.conf")}
        assert [old for old in replaced if old not in "".join(files.values())] == []
        for name, text in files.items():
            for old, new in replaced.items():
                text = text.replace(old, new)
            (folder / name).write_text(text)
        [worker_connections] = re.findall("worker_connections .*;", files["nginx.conf"])
        main = MAIN.format(folder=folder, site=site, worker_connections=worker_connections)
        (folder / "nginx.conf").write_text(main)
        self.access_log, self.error_log = folder / "access.log", folder / "error.log"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def lines(self, mark: str, *, least: int = 1) -> list[str]:
        """The lines of the access log that hold `mark`, once there are so many: they are written after the answer."""
        until = time.monotonic() + 15
        while time.monotonic() < until:
            found = [line for line in self.access_log.read_text().splitlines() if mark in line]
            if len(found) >= least:
                return found
            time.sleep(0.02)
        raise AssertionError(f"{mark} is not in the access log {least} times")


@contextmanager
def running(ports: tuple[int, int], *, site: str = "http", **changes: str) -> Iterator[Nginx]:
    """An nginx that passes requests on to what listens on the ports; `changes` are made to its files."""
    program = need("nginx", shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"))
    # Not pytest's own folder: nobody may look into that.
    folder = Path(tempfile.mkdtemp(prefix="lexicon-nginx-"))
    nginx = Nginx(folder, site, ports, changes)
    is_root = os.geteuid() == 0
    if site == "https":
        make_certificate(folder / "tls")
    (folder / "start.log").touch()
    if is_root:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    with (folder / "start.log").open("ab") as log:
        process = subprocess.Popen(
            [program, "-p", str(folder), "-e", str(folder / "start.log"), "-c", str(folder / "nginx.conf")],
            stdout=log,
            stderr=log,
            user=NOBODY if is_root else None,
            group=NOBODY if is_root else None,
            extra_groups=[] if is_root else None,
        )
    try:
        wait_ready(nginx, process)
        yield nginx
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder)


def wait_ready(nginx: Nginx, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        assert process.poll() is None, (nginx.folder / "start.log").read_text()
        try:
            # nginx answers that itself: what it stands before learns nothing of it.
            httpx.get(nginx.http + "/readyz", timeout=15, verify=False)
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError((nginx.folder / "start.log").read_text())


def make_certificate(folder: Path) -> None:
    """One that its own key signed."""
    folder.mkdir()
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=lexicon.invalid", "-days", "1"),
            *("-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")),
        ],
        check=True,
        capture_output=True,
    )
