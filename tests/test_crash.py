"""SIGKILL in a loop while notes change: the project's own evaluation script, a few rounds of it."""
import json
import subprocess
import sys


def test_nothing_is_lost_or_left_over(shared, servers):
    server = servers(start=False)
    done = subprocess.run([sys.executable, shared / "eval" / "crash.py", "--vault", server.vaults["notes"], "--url", server.url,
                           "--rounds", "5", "--settle", "20", "--", *server.command],
                          capture_output=True, text=True, timeout=110, cwd=server.home)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert json.loads(done.stdout)["fault_count"] == 0
