"""Fixtures of the tests that drive the real program from outside.

They need build/release/knap (or KNAP_BIN). Each server gets a free port, a data folder and a configuration of its own, and
is killed with its children when its test ends. Tests wait for conditions, never for time.
"""
import json
import pathlib

import pytest

from knap_server import NO_MODELS, Server, merged, program, run, shared_folder


def pytest_sessionstart(session):
    if not program().is_file():
        pytest.exit(f"{program()} is missing: run ./script/build first, or name a program with KNAP_BIN", returncode=1)


def write_notes(folder, notes):
    """Files by relative path; text or bytes."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in notes.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return folder


class Servers:
    """Makes servers and ends them all."""

    def __init__(self, folder):
        self.folder, self.made = folder, []

    def __call__(self, notes=None, vaults=None, settings=None, models=False, start=True):
        """A started server, settled, over `notes` (one vault named "notes") or over `vaults`.

        models: True runs with the default models, else there are none.
        """
        home = self.folder / f"server{len(self.made)}"
        if vaults is None:
            vaults = {"notes": write_notes(home / "notes", notes or {})}
        server = Server(home, vaults, merged({} if models else NO_MODELS, settings))
        self.made.append(server)
        if start:
            server.start().wait_settled()
        return server

    def end(self):
        for server in self.made:
            server.kill()


@pytest.fixture
def servers(tmp_path):
    made = Servers(tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="module")
def module_servers(tmp_path_factory):
    """For servers that all tests of a file share: those may only read."""
    made = Servers(tmp_path_factory.mktemp("module"))
    yield made
    made.end()


@pytest.fixture(scope="session")
def installed_models(tmp_path_factory):
    """Names of the models that are installed."""
    listed = run("models", "list", "--json", home=tmp_path_factory.mktemp("models"))
    assert listed.returncode == 0, listed.stderr
    return {model["name"] for model in json.loads(listed.stdout)["models"] if model["installed"]}


@pytest.fixture(scope="session")
def default_models(installed_models):
    """Skips where the default models are missing; ./script/test pulls them."""
    missing = {"all-minilm-l6-v2", "smollm2-135m-instruct"} - installed_models
    if missing:
        pytest.skip(f"not installed: {', '.join(sorted(missing))} (knap models pull --default)")


@pytest.fixture(scope="session")
def shared():
    folder = shared_folder()
    if folder is None:
        pytest.skip("the evaluation data is absent: name its folder with KNAP_SHARED")
    return folder
