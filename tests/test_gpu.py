"""Answer models on graphics cards: the Vulkan backend on llvmpipe, which computes on the processor what a card would."""
import json

import pytest

from knap_server import run

SMALL = "smollm2-135m-instruct"
SOFTWARE_CARD = {"GGML_VK_VISIBLE_DEVICES": "0"}  # the backend leaves cards in software out unless told
ASK = {"model": SMALL, "messages": [{"role": "user", "content": "Name three colours."}], "max_tokens": 8, "temperature": 0,
       "deadline_ms": 90_000}


@pytest.fixture(scope="module")
def card(default_models, tmp_path_factory):
    """The name of the software card; skips where there is none."""
    home = tmp_path_factory.mktemp("card")
    done = run("models", "recommend", "--explain", home=home, timeout=60, **SOFTWARE_CARD)
    lines = [line for line in done.stdout.splitlines() if line.startswith("Graphics card ") and "answer models use it" in line]
    if not lines or "llvmpipe" not in lines[0]:
        pytest.skip("no Vulkan device in software: needs ./script/bootstrap --tests (gpu-vulkan, mesa-vulkan-drivers)")
    return lines[0].removeprefix("Graphics card ").split(":")[0]


@pytest.fixture
def serve(servers, monkeypatch):
    """A server whose runners see the software card."""
    for name, value in SOFTWARE_CARD.items():
        monkeypatch.setenv(name, value)
    return lambda gpu: servers({"A.md": "# Colours\n\nThe sky is blue.\n"}, settings={"models": {"gpu": gpu}})


def answered(server):
    response = server.call("POST", "/v1/chat/completions", json=ASK, timeout=100, expect=None)
    return response.status_code, response.json()


def test_a_model_answers_on_a_card(card, serve):
    server = serve({"use": "always"})
    status, body = answered(server)
    assert status == 200 and body["choices"][0]["message"]["content"].strip(), body
    assert f"31 of 31 layers: 31 on {card}" in server.log.read_text('utf-8')
    listed = {model["name"]: model for model in server.get("/api/models")["models"]}
    assert f"31 on {card}" in listed[SMALL]["placement"]


def test_too_little_room_is_refused_with_the_numbers_or_left_to_the_processor(card, serve):
    server = serve({"use": "always", "memory_fraction": 0.05})
    status, body = answered(server)
    assert status == 409 and "0 of 31 layers" in json.dumps(body), body
    server = serve({"use": "auto", "memory_fraction": 0.05})
    status, body = answered(server)
    assert status == 200 and body["choices"][0]["message"]["content"].strip(), body
    assert "0 of 31 layers" in server.log.read_text('utf-8')


def test_never_looks_for_none(card, serve):
    server = serve({"use": "never"})
    status, body = answered(server)
    assert status == 200, body
    assert "layers" not in server.log.read_text('utf-8')
