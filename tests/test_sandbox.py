"""The sandbox's own tests again where there are no privileges: as another user, and as in a container that allows no
namespaces."""
import os
import shutil
import subprocess

import pytest

import container
from knap_server import program

TESTS = program().parent / "src" / "extract" / "knap_extract_test"
FILTER = "--gtest_filter=Sandbox.*"
NO_NAMESPACES = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'

pytestmark = pytest.mark.skipif(not TESTS.is_file(), reason="the unit tests are not built")


def check(*command):
    done = subprocess.run([*command, str(TESTS), FILTER], capture_output=True, text=True, timeout=300, cwd="/")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can become somebody with less")
def test_it_holds_without_privileges():
    if subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "test", "-x", str(TESTS)]).returncode:
        pytest.skip("the build folder is closed to others")
    check("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--bounding-set=-all")


@pytest.mark.skipif(not shutil.which("unshare"), reason="unshare is not installed")
def test_it_holds_where_no_namespaces_are_allowed():
    inside = ["unshare", "--user", "--map-root-user", "sh", "-c", NO_NAMESPACES, "sh"]
    if subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("this machine allows no user namespaces at all: then the other tests show it")
    check(*inside)


@pytest.mark.skipif(bool(container.why_not()), reason=container.why_not())
def test_it_holds_in_a_container_without_privileges(tmp_path):
    probe = container.run(tmp_path / "probe", ["sh", "-c", "id -u; grep CapEff /proc/self/status; unshare --user true"])
    if "CapEff" not in probe.stdout:
        pytest.skip(f"no container can be made here: {probe.stderr[-300:]}")
    assert probe.stdout.split() == ["65534", "CapEff:", "0" * 16] and "Operation not permitted" in probe.stderr
    done = container.run(tmp_path / "tests", [TESTS, FILTER], readable=[program().parent])
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "[  PASSED  ]" in done.stdout
