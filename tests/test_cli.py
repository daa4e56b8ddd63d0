"""The command line: help, output for people and for machines, exit codes."""
import json
import os
import pty
import select
import subprocess

import pytest

from conftest import write_notes
from knap_server import NO_MODELS, ROOT, clean_environment, free_port, merged, program, run
import yaml

COMMANDS = ["serve", "index", "search", "ask", "status", "files", "duplicates", "bench", "models", "config", "version"]
NOTES = {"Rocket.md": "# Rocket\n\nThe booster burns kerosene and liquid oxygen.\n",
         "Bread.md": "# Bread\n\nThe sourdough rests for twelve hours.\n", "broken.canvas": "{not json",
         "Sea.md": "# Sea\n\nHigh tide comes twice a day on this coast.\n", "Hill.md": "# Hill\n\nSheep graze above the old quarry.\n",
         "Office.md": "# Office\n\nVisitors park behind the red barn.\n"}


@pytest.fixture(scope="module")
def server(module_servers):
    return module_servers(NOTES)


def ask_server(server, *arguments):
    return run(*arguments, "--url", server.url, home=server.home)


@pytest.mark.parametrize("command", COMMANDS + ["bench search", "models list", "models pull", "models verify", "models use", "models remove"])
def test_help_has_an_example(command, tmp_path):
    done = run(*command.split(), "--help", home=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    assert "Example" in done.stdout and f"knap {command.split()[0]}" in done.stdout


def test_general_help_names_every_command(tmp_path):
    done = run("--help", home=tmp_path)
    assert done.returncode == 0
    assert all(command in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("arguments", [(), ("nosuchcommand",), ("search",), ("serve", "--nosuchoption"), ("search", "x", "--limit", "0"),
                                       ("files", "--state", "lost"), ("ask", "x", "--mode", "loud"), ("models",)])
def test_wrong_use(arguments, tmp_path):
    done = run(*arguments, home=tmp_path)
    assert done.returncode == 2 and done.stderr.strip()


def test_version(tmp_path):
    done = run("version", home=tmp_path)
    assert done.returncode == 0 and (ROOT / "VERSION").read_text().strip() in done.stdout


@pytest.mark.parametrize("arguments", [("search", "x"), ("ask", "x"), ("status",), ("files",)])
def test_no_server_there(arguments, tmp_path):
    port = free_port()
    done = run(*arguments, "--url", f"http://127.0.0.1:{port}", home=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1 and str(port) in done.stderr and "knap serve" in done.stderr


def test_search(server):
    done = ask_server(server, "search", "kerosene")
    assert done.returncode == 0 and "Rocket.md" in done.stdout and "\x1b" not in done.stdout
    found = json.loads(ask_server(server, "search", "kerosene", "--json").stdout)
    assert found["results"][0]["path"] == "Rocket.md"
    limited = json.loads(ask_server(server, "search", "the", "--limit", "1", "--json").stdout)
    assert len(limited["results"]) <= 1
    filtered = json.loads(ask_server(server, "search", "the", "--filter", "file:bread", "--json").stdout)
    assert [r["path"] for r in filtered["results"]] == ["Bread.md"]


def test_bench_search(server, tmp_path):
    questions = tmp_path / "questions.yaml"
    questions.write_text("questions:\n  - {query: kerosene booster, notes: [Rocket.md]}\n  - {query: old quarry sheep, notes: [Hill.md]}\n"
                         "  - {query: high tide, notes: [Bread.md]}\n")
    done = ask_server(server, "bench", "search", "--set", str(questions))
    assert done.returncode == 0 and "3 questions" in done.stdout and "recall@10 0.667" in done.stdout and "high tide" in done.stdout
    done = ask_server(server, "bench", "search", "--set", str(questions), "--json")
    before = json.loads(done.stdout)
    assert before["quality"]["mrr"] == pytest.approx(2 / 3) and before["latency"]["keyword"]["n"] == 3
    earlier = tmp_path / "before.json"
    earlier.write_text(done.stdout)
    same = ask_server(server, "bench", "search", "--set", str(questions), "--compare", str(earlier))
    assert same.returncode == 0 and "0 worse" in same.stdout
    for row in before["by_question"]:
        row["ndcg_10"] = 1
    earlier.write_text(json.dumps(before))
    lost = ask_server(server, "bench", "search", "--set", str(questions), "--compare", str(earlier))
    assert lost.returncode == 1 and "Quality is lost" in lost.stdout and "-1.000  high tide" in lost.stdout
    questions.write_text("questions:\n  - {query: x}\n")
    wrong = ask_server(server, "bench", "search", "--set", str(questions))
    assert wrong.returncode == 2 and "line 2" in wrong.stderr and "questions.yaml" in wrong.stderr


def test_wrong_filter_is_said(server):
    done = ask_server(server, "search", "kerosene", "--filter", "path:(")
    assert done.returncode in (1, 2) and "character" in done.stderr


def test_ask(server):
    done = ask_server(server, "ask", "How long does the sourdough rest?")
    assert done.returncode == 0 and "twelve hours" in done.stdout and "Bread.md" in done.stdout
    answer = json.loads(ask_server(server, "ask", "How long does the sourdough rest?", "--json").stdout)
    assert answer["citations"] and not answer["refused"]


def test_status(server):
    done = ask_server(server, "status")
    assert done.returncode == 0 and "notes" in done.stdout and "failed" in done.stdout
    assert json.loads(ask_server(server, "status", "--json").stdout)["vaults"][0]["files"]["indexed"] == 5


def test_files_fail_when_a_file_failed(server):
    done = ask_server(server, "files", "--state", "failed")
    assert done.returncode == 1 and "broken.canvas" in done.stdout
    done = ask_server(server, "files", "--state", "indexed", "--json")
    assert done.returncode == 0
    assert {f["path"] for f in json.loads(done.stdout)["files"]} == set(NOTES) - {"broken.canvas"}


def test_index_then_serve_elsewhere(tmp_path):
    vault = write_notes(tmp_path / "vault", NOTES)
    config = tmp_path / "knap.yaml"
    config.write_text(yaml.safe_dump(NO_MODELS))
    options = ("--config", config, "--vault", vault, "--data-dir", tmp_path / "data")
    done = run("index", *options, home=tmp_path)
    assert done.returncode == 0 and "\x1b" not in done.stdout + done.stderr and "\r" not in done.stdout + done.stderr
    again = run("index", *options, "--json", home=tmp_path)
    report = json.loads(again.stdout)
    assert report["vaults"][0]["files"]["indexed"] == 5 and report["vaults"][0]["coverage"]["keyword"] == 1
    assert run("index", *options, "--all", home=tmp_path).returncode == 0


def test_index_waits_for_meaning(tmp_path, default_models):
    vault = write_notes(tmp_path / "vault", NOTES)
    done = run("index", "--vault", vault, "--data-dir", tmp_path / "data", "--wait", "semantic", "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["vaults"][0]["coverage"]["semantic"] == 1


def test_index_without_a_model_cannot_wait_for_meaning(tmp_path):
    vault = write_notes(tmp_path / "vault", NOTES)
    done = run("index", "--vault", vault, "--data-dir", tmp_path / "data", "--wait", "semantic", home=tmp_path,
               KNAP_MODELS_EMBED="", KNAP_MODELS_ANSWER="")
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1


def settings(home, *arguments, **environment):
    done = run("config", "--json", *arguments, home=home, **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_precedence_of_settings(tmp_path):
    assert settings(tmp_path)["server.port"] == {"value": 8000, "source": "default"}
    file = tmp_path / "other.yaml"
    file.write_text("server:\n  port: 8001\nlog:\n  level: debug\n")
    assert settings(tmp_path, "--config", file)["server.port"] == {"value": 8001, "source": "file"}
    assert settings(tmp_path, "--config", file, KNAP_SERVER_PORT="8002")["server.port"] == {"value": 8002, "source": "environment"}
    by_all = settings(tmp_path, "--config", file, "--port", "8003", KNAP_SERVER_PORT="8002")
    assert by_all["server.port"] == {"value": 8003, "source": "command line"}
    assert by_all["log.level"] == {"value": "debug", "source": "file"}


def test_configuration_is_found_where_the_manual_says(tmp_path):
    (tmp_path / "knap").mkdir()
    (tmp_path / "knap" / "knap.yaml").write_text("server: {port: 8011}\n")
    assert settings(tmp_path)["server.port"]["value"] == 8011, "the user's own"
    (tmp_path / "knap.yaml").write_text("server: {port: 8012}\n")
    assert settings(tmp_path)["server.port"]["value"] == 8012, "of the current folder"
    (tmp_path / "named.yaml").write_text("server: {port: 8013}\n")
    assert settings(tmp_path, KNAP_CONFIG=str(tmp_path / "named.yaml"))["server.port"]["value"] == 8013


def test_home_in_paths(tmp_path):
    write_notes(tmp_path / "Notes", NOTES)
    file = tmp_path / "tilde.yaml"
    file.write_text("vaults:\n  - {name: mine, path: ~/Notes}\ndata: {dir: ~/knapdata}\n")
    found = settings(tmp_path, "--config", file, HOME=str(tmp_path))
    assert found["vaults"]["value"] == [{"name": "mine", "path": str(tmp_path / "Notes")}]
    assert found["data.dir"]["value"] == str(tmp_path / "knapdata")


def test_secrets_are_masked(tmp_path):
    done = run("config", home=tmp_path, KNAP_MODELS_REMOTE_KEY="verysecret")
    assert done.returncode == 0 and "verysecret" not in done.stdout and "models.remote.key" in done.stdout


def test_models_list(tmp_path):
    done = run("models", "list", home=tmp_path)
    assert done.returncode == 0
    listed = {m["name"]: m for m in json.loads(run("models", "list", "--json", home=tmp_path).stdout)["models"]}
    assert listed["all-minilm-l6-v2"]["role"] == "embed" and listed["smollm2-135m-instruct"]["role"] == "answer"
    assert all(model["licence"] for model in listed.values())


@pytest.mark.parametrize("arguments", [("pull", "nosuchmodel"), ("verify", "nosuchmodel"), ("use", "nosuchmodel"), ("pull",)])
def test_models_wrong_name(arguments, tmp_path):
    done = run("models", *arguments, home=tmp_path, KNAP_MODELS_DIR=str(tmp_path / "models"))
    assert done.returncode in (1, 2) and len(done.stderr.strip().splitlines()) == 1


def test_models_verify(tmp_path, default_models):
    done = run("models", "verify", "all-minilm-l6-v2", home=tmp_path)
    assert done.returncode == 0, done.stderr


def test_models_use_keeps_the_file(tmp_path, default_models):
    file = tmp_path / "knap.yaml"
    file.write_text("# mine\nserver:\n  port: 8001  # near\n")
    done = run("models", "use", "smollm2-135m-instruct", "--config", file, home=tmp_path)
    assert done.returncode == 0, done.stderr
    text = file.read_text()
    assert "# mine" in text and "# near" in text
    assert settings(tmp_path, "--config", file)["models.answer"] == {"value": "smollm2-135m-instruct", "source": "file"}


def on_a_terminal(arguments, home):
    try:
        leader, follower = pty.openpty()
    except OSError as error:
        pytest.skip(f"no pseudo-terminal to be had here ({error}): is /dev/pts mounted?")
    process = subprocess.Popen([str(program()), *map(str, arguments)], stdin=follower, stdout=follower, stderr=follower, cwd=home,
                               env=clean_environment(home, TERM="xterm-256color"))
    os.close(follower)
    output = b""
    while select.select([leader], [], [], 20)[0]:
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            break
        if not chunk:
            break
        output += chunk
    os.close(leader)
    return process.wait(20), output.decode("utf-8", "replace")


def test_colours_on_a_terminal_only(server):
    code, output = on_a_terminal(["status", "--url", server.url], server.home)
    assert code == 0 and "\x1b[" in output
    assert "\x1b" not in ask_server(server, "status").stdout


def test_answer_streams_on_a_terminal(server):
    code, output = on_a_terminal(["ask", "How long does the sourdough rest?", "--url", server.url], server.home)
    assert code == 0 and "twelve hours" in output and "Bread.md" in output


def test_control_characters_of_notes_do_not_reach_the_terminal(servers):
    server = servers({"Evil.md": "# Evil\n\nThe word escapeword \x1b[2J\x1b]0;owned\x07 is here.\n"})
    done = ask_server(server, "search", "escapeword")
    assert "Evil.md" in done.stdout and "\x1b" not in done.stdout and "\x07" not in done.stdout
