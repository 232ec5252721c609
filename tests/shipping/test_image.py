"""The image, made by hand: each step of the Dockerfile, in a folder instead of a container.

`make image-check` runs all of them. Without it the packages are those that the tests run with: installing them takes
a minute.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from lexicon import VERSION
from tests.shipping.dockerfile import Step, copy_context, environment, let_in, stages
from tests.support.servers import ROOT, Server, free_port

#: The Python that the packages are installed for; without it they are not installed.
PYTHON = os.environ.get("IMAGE_PYTHON")
#: Installing takes longer than a test may otherwise.
pytestmark = [pytest.mark.timeout(900), pytest.mark.once]
BUILD, FINAL = stages()
SECRET_KEY = "only-for-tests-" + "x" * 50


def one(stage: list[Step], name: str) -> Step:
    [step] = [step for step in stage if step.name == name]
    return step


@dataclass(frozen=True)
class Image:
    """A folder that stands for the image's root."""

    root: Path

    def moved(self, text: str) -> str:
        """`text`, with this folder's paths instead of the image's."""
        return re.sub(r"(?<![\w.])/(?=(venv|app|data)\b)", f"{self.root}/", text)

    def path(self, *first: Path) -> str:
        return os.pathsep.join([*map(str, first), os.environ["PATH"]])

    def run(self, command: str) -> None:
        """A RUN instruction of the first stage."""
        done = subprocess.run(
            ["/bin/sh", "-euc", self.moved(command)],
            cwd=self.root / "app",
            env={"PATH": self.path(self.root / "python"), "HOME": str(self.root)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    def environment(self, **given: str) -> dict[str, str]:
        """What a container's processes get."""
        return {
            **{name: self.moved(value) for name, value in environment(FINAL).items()},
            "PATH": self.path(self.root / "venv" / "bin"),
            **given,
        }

    def command(self, words: list[str], **given: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self.root / "app",
            env=self.environment(**given),
            capture_output=True,
            text=True,
            timeout=100,
        )

    def files(self) -> set[str]:
        """Everything in it, but for its data."""
        return {str(path) for folder in ("app", "venv") for path in (self.root / folder).rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    image = Image(tmp_path_factory.mktemp("image"))
    for folder in ("app", "data", "python"):
        (image.root / folder).mkdir()
    (image.root / "python" / "python").symlink_to(PYTHON or sys.executable)
    if not PYTHON:
        (image.root / "venv").symlink_to(sys.prefix)
    for step in BUILD:
        if step.name == "RUN" and (PYTHON or "manage.py" in step.text):
            image.run(step.text)
        elif step.text == ". .":
            copy_context(image.root / "app")
        elif step.name == "COPY":
            (image.root / "app" / step.text.split()[0]).write_bytes((ROOT / step.text.split()[0]).read_bytes())
    return image


class Container(Server):
    """What the image's CMD starts."""

    def __init__(self, image: Image, log: Path, **given: str) -> None:
        super().__init__(database_url="", log=log, port=free_port())
        self.image = image
        # A container has an address of its own; this has the machine's.
        self.env = image.environment(SECRET_KEY=SECRET_KEY, HOST="127.0.0.1", PORT=str(self.port), **given)

    def start(self, *, wait: bool = True) -> Container:
        with self.log.open("wb") as log:
            words = one(FINAL, "CMD").words
            self.process = subprocess.Popen(words, cwd=self.image.root / "app", env=self.env, stdout=log, stderr=log)
        if wait:
            self.wait_ready()
        return self

    def is_healthy(self) -> bool:
        """What HEALTHCHECK finds."""
        words = one(FINAL, "HEALTHCHECK").words
        return self.image.command(words, PORT=str(self.port)).returncode == 0


@pytest.fixture(scope="module")
def container(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    done = image.command(shlex.split("python manage.py migrate --noinput"), SECRET_KEY=SECRET_KEY)
    assert done.returncode == 0, done.stderr
    # A name of its own: the health check asks for none of them.
    log = tmp_path_factory.mktemp("container") / "log"
    container = Container(image, log, PUBLIC_URL="https://chat.example.com", ALLOWED_HOSTS="chat.example.com")
    before = image.files()
    try:
        yield container.start()
        # The root of the file system may be read-only.
        assert image.files() == before
    finally:
        container.close()


# --- What is in it ---


def test_every_room_is_in_it() -> None:
    rooms = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
    assert len(rooms) >= 5
    assert [room for room in rooms if not let_in(f"{room}/__init__.py")] == []
    assert let_in("templates/chat/page.html")


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".env.production",
        ".git/config",
        ".venv/bin/python",
        "db.sqlite3",
        "db.sqlite3.secrets.json",
        "deploy/tls/privkey.pem",
        "lexicon/__pycache__/settings.pyc",
        "notes.txt",
        "staticfiles/x.css",
        "tests/support/actors.py",
    ],
)
def test_what_is_nobodys_business_is_not_in_it(path: str) -> None:
    assert not let_in(path)


def test_the_pages_files_are_collected(image: Image) -> None:
    collected = image.root / "app" / "staticfiles"
    assert (collected / "admin" / "css" / "base.css").exists()
    assert list(collected.rglob("lexicon-client.js"))


if PYTHON:

    def test_no_installer_and_no_compiler_is_left(image: Image) -> None:
        present = {path.name for path in (image.root / "venv").rglob("*")}
        assert "django" in present
        assert present & {"pip", "setuptools", "wheel", "gcc", "cc"} == set()


# --- How it runs ---


def test_it_serves_and_says_that_it_is_healthy(container: Container) -> None:
    assert container.is_healthy()
    assert httpx.get(container.http + "/static/admin/css/base.css", headers={"Host": "chat.example.com"}).is_success
    assert (container.image.root / "data" / "db.sqlite3").exists()


def test_it_says_which_version_it_is(container: Container) -> None:
    assert container.image.command(["python", "manage.py", "--version"]).stdout == f"{VERSION}\n"
    assert httpx.get(container.http + "/healthz").json() == {"status": "alive", "version": VERSION}


def test_it_stops_when_it_is_told_to_and_is_not_healthy_then(
    image: Image, container: Container, tmp_path: Path
) -> None:
    other = Container(image, tmp_path / "log").start()
    try:
        assert other.terminate() == 0
        assert not other.is_healthy()
    finally:
        other.close()


def test_without_a_secret_it_does_not_start(image: Image) -> None:
    done = image.command(one(FINAL, "CMD").words)
    assert done.returncode == 2
    assert "SECRET_KEY is not set" in done.stderr


# --- What hadolint does not look at ---


def test_both_stages_begin_with_the_same_version() -> None:
    build, final = (one(stage, "FROM").text.split()[0] for stage in (BUILD, FINAL))
    assert build == final
    assert re.fullmatch(r"python:\d\.\d+-slim-[a-z]+", build)


def test_it_runs_as_a_user_with_a_number_who_is_not_root() -> None:
    assert int(one(FINAL, "USER").text) > 999
    assert one(FINAL, "USER").text in next(step.text for step in FINAL if "useradd" in step.text)


def test_the_signal_to_stop_reaches_the_server() -> None:
    assert one(FINAL, "CMD").words == ["python", "-m", "lexicon.serve"]
    assert one(FINAL, "STOPSIGNAL").text == "SIGTERM"


def test_its_label_names_the_version() -> None:
    labels = dict(word.split("=", 1) for word in one(FINAL, "LABEL").text.split())
    assert labels["org.opencontainers.image.version"] == VERSION


def test_no_secret_is_baked_in() -> None:
    assert [step for step in BUILD + FINAL if step.name in ("ADD", "ARG")] == []
    assert {name for stage in (BUILD, FINAL) for name in environment(stage) if "KEY" in name or "PASS" in name} == set()
