"""Prometheus, promtool and Alertmanager as the tests run them: unpacked by script/bootstrap --tests, never installed."""
import contextlib
import os
import pathlib
import shutil
import subprocess

import pytest
import requests
import yaml

from knap_server import free_port, wait_until


def program(name):
    """Path of a program; skips the test where it is absent."""
    cache = os.environ.get("KNAP_CACHE_DIR") or pathlib.Path(
        os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "knap"
    unpacked = pathlib.Path(cache) / "programs" / "usr" / "bin" / name
    found = str(unpacked) if unpacked.is_file() else shutil.which(name)
    if not found:
        pytest.skip(f"{name} is absent: run ./script/bootstrap --tests")
    return found


def as_installed(path):
    """The command of a program that finds /usr/share as if it had been installed: Debian's Alertmanager has its templates there."""
    share = pathlib.Path(path).parents[1] / "share"
    if share == pathlib.Path("/usr/share"):
        return [path]
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount --bind "$0" /usr/share && exec "$@"', str(share)]
    if subprocess.run([*command, "true"], capture_output=True).returncode != 0:
        pytest.skip("this system allows no mount namespaces, and the packages are not installed")
    return [*command, path]


def promtool(*arguments, **options):
    return subprocess.run([program("promtool"), *map(str, arguments)], capture_output=True, text=True, timeout=60, **options)


class Daemon:
    """A program with an HTTP interface on a free port of loopback, ended with the test."""

    def __init__(self, folder, name, arguments, ready="/-/ready"):
        self.folder, self.port = pathlib.Path(folder), free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.url, self.log = f"http://127.0.0.1:{self.port}", self.folder / "log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*as_installed(program(name)), *arguments(self)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.folder)
        def answers():
            assert self.process.poll() is None, self.log.read_text("utf-8", "replace")[-2000:]
            with contextlib.suppress(requests.ConnectionError):
                return requests.get(self.url + ready, timeout=5).status_code == 200
        wait_until(answers, 60, lambda: f"{name} ready; {self.log.read_text('utf-8', 'replace')[-2000:]}")

    def stop(self):
        self.process.kill()
        self.process.wait(20)


class Prometheus(Daemon):
    """Scrapes one server every `interval`; may evaluate rules and send to an Alertmanager."""

    def __init__(self, folder, target, interval="200ms", rules=(), alertmanager=None):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = {"global": {"scrape_interval": interval, "evaluation_interval": interval},
                  "scrape_configs": [{"job_name": "knap", "static_configs": [{"targets": [target.url.removeprefix("http://")]}]}],
                  "rule_files": [str(rule) for rule in rules]}
        if alertmanager:
            config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.url.removeprefix("http://")]}]}]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        super().__init__(folder, "prometheus", lambda self: [
            "--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"])

    def query(self, expression):
        """Samples of an instant query."""
        answer = requests.get(self.url + "/api/v1/query", params={"query": expression}, timeout=30)
        assert answer.status_code == 200, f"{expression}: {answer.text[:500]}"
        return answer.json()["data"]["result"]

    def targets(self):
        return requests.get(self.url + "/api/v1/targets", timeout=30).json()["data"]["activeTargets"]
