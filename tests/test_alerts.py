"""Alerts: evaluated inside, sent, acknowledged, kept; and the same rules in a real Prometheus with Alertmanager."""
import http.server
import json
import os
import re
import shutil
import socketserver
import stat
import threading

import pytest
import yaml

from knap_server import ROOT, run, wait_until
from prometheus import Daemon, Prometheus, promtool

DEPLOY = ROOT / "deploy"


class Receiver:
    """A webhook that keeps what it is sent; the first `broken` calls are answered with 500."""

    def __init__(self, broken=0):
        self.got, self.left = [], broken
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.left -= 1
                self.send_response(500 if outer.left >= 0 else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                if outer.left < 0:
                    outer.got.append(body)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def alerts(self, name=None):
        return [alert for body in self.got for alert in body["alerts"] if name in (None, alert["labels"]["alertname"])]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Smtp(socketserver.StreamRequestHandler):
    mails = []

    def handle(self):
        self.wfile.write(b"220 test\r\n")
        mail = {"to": []}
        while line := self.rfile.readline().decode().strip():
            verb = line.upper()
            if verb.startswith("DATA"):
                self.wfile.write(b"354 go on\r\n")
                lines = []
                while (text := self.rfile.readline().decode()) != ".\r\n":
                    lines.append(text)
                mail["text"] = "".join(lines)
                Smtp.mails.append(mail)
            elif verb.startswith("MAIL FROM"):
                mail["from"] = line[10:]
            elif verb.startswith("RCPT TO"):
                mail["to"].append(line[8:])
            elif verb.startswith("QUIT"):
                self.wfile.write(b"221 bye\r\n")
                return
            self.wfile.write(b"250 ok\r\n")


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.stop()


def active(server, rule):
    return next((a for a in server.get("/api/health/alerts")["active"] if a["rule"] == rule), None)


def wait_state(server, rule, state, timeout=60):
    def reached():
        alert = active(server, rule)
        return alert if alert and alert["state"] == state else None
    return wait_until(reached, timeout, lambda: f"{rule} {state}; {json.dumps(server.get('/api/health/alerts')['active'])}")


def restart(server, **sections):
    """With other settings."""
    server.kill()
    config = yaml.safe_load(server.config.read_text("utf-8"))
    for section, values in sections.items():
        config[section] = {**config.get(section, {}), **values}
    server.config.write_text(yaml.safe_dump(config), encoding="utf-8")
    server.start()


TINY = {"service": {"memory_bytes": 1 << 20}}
ROOMY = {"service": {"memory_bytes": 64 << 30}}


def test_fires_is_acknowledged_kept_over_a_restart_and_resolved(servers, receiver):
    server = servers({"One.md": "one\n"}, settings={**TINY, "alerts": {"pending_s": 1, "webhook": receiver.url}})
    alert = wait_state(server, "KnapMemoryCritical", "firing")
    assert "above the critical value of 90 %" in alert["reason"] and alert["severity"] == "critical"
    wait_until(lambda: receiver.alerts("KnapMemoryCritical"), 20, "the webhook called")
    sent = receiver.alerts("KnapMemoryCritical")[0]
    assert sent["status"] == "firing" and sent["annotations"]["description"] == alert["reason"]

    shown = run("alerts", "--url", server.url, home=server.home)
    assert shown.returncode == 1 and alert["id"] in shown.stdout and "critical" in shown.stdout
    done = run("alerts", "ack", alert["id"], "--note", "more memory is ordered", "--url", server.url, home=server.home, USER="ann")
    assert done.returncode == 0, done.stderr
    for other in ("KnapMemoryWarning", "KnapMemoryCritical"):
        if active(server, other)["state"] == "firing":
            server.post(f"/api/health/alerts/{active(server, other)['id']}/acknowledge", {})
    assert run("alerts", "--url", server.url, home=server.home).returncode == 0
    assert active(server, "KnapMemoryCritical")["acknowledged_by"] == "ann"

    server.kill()
    server.start()
    kept = active(server, "KnapMemoryCritical")
    assert kept["state"] == "acknowledged" and kept["id"] == alert["id"] and kept["note"] == "more memory is ordered"

    restart(server, **ROOMY)
    wait_until(lambda: not server.get("/api/health/alerts")["active"], 90, "resolved")
    history = server.get("/api/health/alerts")["history"]
    assert {"KnapMemoryCritical", "KnapMemoryWarning"} == {a["rule"] for a in history}
    assert all(a["state"] == "resolved" and a["resolved"] for a in history)
    wait_until(lambda: [a for a in receiver.alerts("KnapMemoryCritical") if a["status"] == "resolved"], 20, "told so")
    server.call("POST", f"/api/health/alerts/{alert['id']}/acknowledge", expect=409)
    server.call("POST", "/api/health/alerts/alert-999/acknowledge", expect=404)


def test_mail_by_smtp_and_by_sendmail(servers, tmp_path):
    Smtp.mails.clear()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Smtp) as mail_server:
        threading.Thread(target=mail_server.serve_forever, daemon=True).start()
        server = servers({"One.md": "one\n"}, settings={**TINY, "alerts": {"pending_s": 0, "email": {
            "to": ["ann@example.com", "bob@example.com"], "from": "knap@example.com", "smtp": f"smtp://127.0.0.1:{mail_server.server_address[1]}"}}})
        wait_until(lambda: len(Smtp.mails) >= 2, 40, "two mails")
        mail_server.shutdown()
    mail = Smtp.mails[0]
    assert "<ann@example.com>" in mail["to"][0] and "<bob@example.com>" in mail["to"][1] and "<knap@example.com>" in mail["from"]
    assert re.search(r"^Subject: \[(critical|warning)\] Knap: memory is above", mail["text"], re.MULTILINE)
    assert "knap alerts ack alert-" in mail["text"]
    server.kill()

    script, written = tmp_path / "sendmail", tmp_path / "mail"
    script.write_text(f"#!/bin/sh\n[ \"$*\" = '-t -i' ] || exit 9\ncat >> {written}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    other = servers({"One.md": "one\n"}, settings={**TINY, "alerts": {"pending_s": 0, "email": {"to": "ann@example.com", "sendmail": str(script)}}})
    wait_until(lambda: written.exists() and "memory is above 90 %" in written.read_text(), 40, "a mail by sendmail")
    assert other.metric("knap_alerts_notifications_total") >= 1


def test_a_webhook_that_fails_is_tried_again(servers):
    receiver = Receiver(broken=2)
    servers({"One.md": "one\n"}, settings={**TINY, "alerts": {"pending_s": 0, "webhook": receiver.url}})
    wait_until(lambda: receiver.alerts(), 60, "delivered in the end")
    receiver.stop()


def test_wrong_addresses_stop_the_start(servers):
    server = servers({"One.md": "one\n"}, settings={"alerts": {"webhook": "ftp://nowhere"}}, start=False)
    with pytest.raises(AssertionError, match="alerts.webhook"):
        server.start()


def printed_rules(home, environment="production"):
    done = run("alerts", "rules", home=home, KNAP_ALERTS_ENVIRONMENT=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_rules_for_prometheus_pass_promtool(tmp_path):
    rules = tmp_path / "knap.rules.yml"
    for environment in ("development", "staging", "production"):
        rules.write_text(printed_rules(tmp_path, environment))
        checked = promtool("check", "rules", rules)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    assert rules.read_text() == (DEPLOY / "prometheus" / "knap.rules.yml").read_text(), "run: knap alerts rules > deploy/prometheus/knap.rules.yml"
    shutil.copy(DEPLOY / "prometheus" / "knap.rules.test.yml", tmp_path)
    tested = promtool("test", "rules", tmp_path / "knap.rules.test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_prometheus_and_alertmanager_fire_and_resolve(servers, receiver, tmp_path):
    server = servers({"One.md": "one\n"}, settings=TINY)
    rules = tmp_path / "knap.rules.yml"
    rules.write_text(printed_rules(tmp_path).replace("for: 60s", "for: 1s"))
    (tmp_path / "alertmanager").mkdir()
    (tmp_path / "alertmanager" / "alertmanager.yml").write_text(yaml.safe_dump({
        "route": {"receiver": "hook", "group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h", "group_by": ["alertname"]},
        "receivers": [{"name": "hook", "webhook_configs": [{"url": receiver.url, "send_resolved": True}]}]}))
    manager = Daemon(tmp_path / "alertmanager", "prometheus-alertmanager", lambda self: [
        "--config.file=alertmanager.yml", "--storage.path=data", f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address="])
    prometheus = Prometheus(tmp_path / "prometheus", server, interval="1s", rules=[rules], alertmanager=manager)
    try:
        wait_until(lambda: receiver.alerts("KnapMemoryCritical"), 60, lambda: f"fired; {prometheus.query('ALERTS')}")
        assert receiver.alerts("KnapMemoryCritical")[0]["status"] == "firing"
        restart(server, **ROOMY)
        wait_until(lambda: [a for a in receiver.alerts("KnapMemoryCritical") if a["status"] == "resolved"], 90, "resolved")
    finally:
        prometheus.stop()
        manager.stop()


def dashboard_queries():
    board = json.loads((DEPLOY / "grafana" / "knap.json").read_text())
    return [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel["targets"]]


def test_every_query_of_the_dashboard_returns_data(servers, default_models, tmp_path):
    server = servers({f"n{i}.md": f"# Note {i}\nThe kettle number {i} boils at dawn, says the manual.\n" for i in range(5)}, models=True)
    server.wait_covered()
    prometheus = Prometheus(tmp_path / "prometheus", server)
    try:
        def drive():
            number = next(numbers)  # what is cached passes through no stage
            server.search(f"kettle dawn {number}")
            server.post("/api/ask", {"question": f"When does the kettle number {number} boil?", "mode": "generative", "deadline_ms": 30000}, timeout=60)
            (server.vaults["notes"] / "new.md").write_text(f"Changed {os.urandom(4).hex()}\n")
            empty[:] = [(title, query) for title, query in dashboard_queries()
                        if not [s for s in prometheus.query(query.replace("$__rate_interval", "1m")) if s["value"][1] != "NaN"]]
            return not empty
        empty, numbers = [], iter(range(1000))
        wait_until(drive, 100, lambda: f"data for all; empty: {empty}")
    finally:
        prometheus.stop()
