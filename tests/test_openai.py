"""The stock OpenAI client against Knap."""
import base64
import struct

import openai
import pytest

NOTES = {"Company.md": "# Company\n\nThe Orbital Kettle Company was founded in 1987 by Mara Lindqvist.\n",
         "Garden.md": "# Garden\n\nTomatoes are sown in March.\n"}
QUESTION = [{"role": "user", "content": "Who founded the Orbital Kettle Company?"}]


def client_of(server):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=60)


@pytest.fixture(scope="module")
def plain(module_servers):
    return client_of(module_servers(NOTES))


@pytest.fixture(scope="module")
def client(module_servers, default_models):
    return client_of(module_servers(NOTES, models=True).wait_covered())


def test_models(client):
    names = {model.id for model in client.models.list()}
    assert {"knap", "knap:notes", "all-minilm-l6-v2", "smollm2-135m-instruct"} <= names
    assert client.models.list().data[0].object == "model"


def test_knap_is_there_without_models(plain):
    assert "knap" in {model.id for model in plain.models.list()}


@pytest.mark.parametrize("model", ["knap", "knap:notes"])
def test_chat_answers_from_the_notes(plain, model):
    reply = plain.chat.completions.create(model=model, messages=QUESTION)
    choice = reply.choices[0]
    assert "Lindqvist" in choice.message.content and choice.message.role == "assistant"
    assert choice.finish_reason == "stop" and choice.index == 0
    assert reply.object == "chat.completion" and reply.id and reply.created > 0
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_chat_stream(client):
    chunks = list(client.chat.completions.create(model="knap", messages=QUESTION, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "Lindqvist" in text
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks) and len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks), "usage only on request"


def test_chat_stream_with_usage(client):
    chunks = list(client.chat.completions.create(model="knap", messages=QUESTION, stream=True,
                                                 stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage is not None
    assert all(chunk.choices for chunk in chunks[:-1])


def test_plain_model(client):
    reply = client.chat.completions.create(model="smollm2-135m-instruct", max_tokens=8, temperature=0,
                                           messages=[{"role": "user", "content": "Say hello."}])
    assert reply.choices[0].message.content.strip()
    assert 0 < reply.usage.completion_tokens <= 8 and reply.usage.prompt_tokens > 0
    chunks = list(client.chat.completions.create(model="smollm2-135m-instruct", max_tokens=8, temperature=0, stream=True,
                                                 messages=[{"role": "user", "content": "Say hello."}]))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == reply.choices[0].message.content


def test_unknown_fields_are_ignored(plain):
    reply = plain.chat.completions.create(model="knap", messages=QUESTION, user="me", seed=7, top_p=0.9,
                                          extra_body={"made_up_field": {"deep": [1, 2]}})
    assert reply.choices[0].message.content


def test_content_in_parts(plain):
    parts = [{"type": "text", "text": "Who founded the Orbital "}, {"type": "text", "text": "Kettle Company?"}]
    reply = plain.chat.completions.create(model="knap", messages=[{"role": "user", "content": parts}])
    assert "Lindqvist" in reply.choices[0].message.content


@pytest.mark.parametrize("model", ["gpt-4o", "knap:elsewhere", ""])
def test_unknown_model_is_not_found(plain, model):
    with pytest.raises(openai.NotFoundError) as error:
        plain.chat.completions.create(model=model, messages=QUESTION)
    assert error.value.body["message"] and error.value.body["code"] == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        plain.embeddings.create(model="nosuchmodel", input="text")


@pytest.mark.parametrize("messages", [[], [{"role": "user"}], "text", [{"role": "wizard", "content": "x"}]])
def test_wrong_messages_are_bad_requests(plain, messages):
    with pytest.raises(openai.BadRequestError) as error:
        plain.chat.completions.create(model="knap", messages=messages)
    assert error.value.body["type"] == "invalid_request_error" and error.value.body["message"]


def test_embeddings(client):
    texts = ["The automobile needs tyres.", "A car wants new wheels.", "Bread is baked at dawn."]
    reply = client.embeddings.create(model="all-minilm-l6-v2", input=texts, encoding_format="float")
    assert [item.index for item in reply.data] == [0, 1, 2] and reply.usage.prompt_tokens > 0
    vectors = [item.embedding for item in reply.data]
    assert {len(vector) for vector in vectors} == {384}
    cosine = lambda a, b: sum(x * y for x, y in zip(a, b))
    assert abs(cosine(vectors[0], vectors[0]) - 1) < 0.01, "unit length"
    assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[2])


def test_embeddings_as_base64(client):
    # with_raw_response: the client itself decodes base64, which hides what was sent.
    raw = client.embeddings.with_raw_response.create(model="all-minilm-l6-v2", input="One text.", encoding_format="base64")
    import json
    sent = json.loads(raw.text)["data"][0]["embedding"]
    assert isinstance(sent, str)
    packed = base64.b64decode(sent)
    values = struct.unpack(f"<{len(packed) // 4}f", packed)
    plain_values = client.embeddings.create(model="all-minilm-l6-v2", input="One text.", encoding_format="float").data[0].embedding
    assert len(values) == 384 and max(abs(a - b) for a, b in zip(values, plain_values)) < 1e-3
    assert len(client.embeddings.create(model="all-minilm-l6-v2", input="One text.").data[0].embedding) == 384


def test_wrong_embedding_input(client):
    for wrong in ([], 7, [""] * 513):
        with pytest.raises(openai.BadRequestError):
            client.embeddings.create(model="all-minilm-l6-v2", input=wrong)


def test_errors_have_openai_shape(plain):
    import requests
    url = str(plain.base_url)
    answer = requests.post(f"{url}chat/completions", data="{broken", timeout=10)
    assert answer.status_code == 400
    assert set(answer.json()["error"]) >= {"message", "type", "param", "code"}
    answer = requests.get(f"{url}nosuchroute", timeout=10)
    assert answer.status_code == 404 and answer.json()["error"]["message"]
