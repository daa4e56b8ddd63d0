"""The stock OpenAI client against a plain model: JSON by schema, tools, log probabilities, seeds, and vectors of any encoding."""
import json

import jsonschema
import openai
import pydantic
import pytest

MODEL = "smollm2-135m-instruct"
ASK = [{"role": "user", "content": "Describe the city of Oslo."}]
TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "The weather of a city.", "strict": True,
    "parameters": {"type": "object", "additionalProperties": False, "required": ["city", "unit"],
                   "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["celsius", "fahrenheit"]}}}}},
    {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}, "additionalProperties": False}}}]
SCHEMA = {"type": "object", "additionalProperties": False, "required": ["name", "people", "kind", "tags"],
          "properties": {"name": {"type": "string", "maxLength": 30}, "people": {"type": "integer", "minimum": 1, "maximum": 20000000},
                         "kind": {"enum": ["town", "city"]}, "note": {"type": ["string", "null"], "maxLength": 10},
                         "tags": {"type": "array", "items": {"type": "string", "maxLength": 12}, "maxItems": 2}}}


@pytest.fixture(scope="module")
def client(module_servers, default_models):
    server = module_servers({"A.md": "# A\n\nText.\n"}, models=True).wait_covered()
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=120)


def ask(client, **fields):
    fields = {"model": MODEL, "messages": ASK, "max_tokens": 200, **fields}
    return client.chat.completions.create(**fields)


def by_schema(schema):
    return {"type": "json_schema", "json_schema": {"name": "thing", "schema": schema, "strict": True}}


@pytest.mark.parametrize("temperature,seed", [(0, 1), (2, 2), (2, 3), (2, 4)])
def test_json_is_of_its_schema(client, temperature, seed):
    reply = ask(client, response_format=by_schema(SCHEMA), temperature=temperature, seed=seed)
    assert reply.choices[0].finish_reason == "stop"
    jsonschema.validate(json.loads(reply.choices[0].message.content), SCHEMA)


def test_the_client_parses_into_its_own_class(client):
    class City(pydantic.BaseModel):
        name: str = pydantic.Field(max_length=20)
        coastal: bool

    reply = client.chat.completions.parse(model=MODEL, messages=ASK, max_tokens=100, response_format=City)
    assert isinstance(reply.choices[0].message.parsed, City)


def test_any_json_object(client):
    reply = ask(client, response_format={"type": "json_object"}, temperature=1, seed=5, max_tokens=400)
    if reply.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(reply.choices[0].message.content), dict)
    else:
        assert reply.choices[0].message.content.startswith("{")


def test_streamed_json_is_of_its_schema(client):
    chunks = list(ask(client, response_format=by_schema(SCHEMA), stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    jsonschema.validate(json.loads(text), SCHEMA)
    assert chunks[-1].usage.completion_tokens > 5 and len(chunks) > 5


def test_a_schema_that_cannot_be_kept_is_told(client):
    schema = {"type": "object", "properties": {"mail": {"type": "string", "pattern": "^a"}}}
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, response_format=by_schema(schema))
    assert "'properties.mail': 'pattern' cannot be kept" in error.value.body["message"]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_required_tool_is_called(client, choice):
    reply = ask(client, tools=TOOLS, tool_choice=choice, temperature=1, seed=2, parallel_tool_calls=False)
    message = reply.choices[0].message
    assert reply.choices[0].finish_reason == "tool_calls" and message.content is None
    call, = message.tool_calls
    assert call.type == "function" and call.id
    arguments = json.loads(call.function.arguments)
    if isinstance(choice, dict) or call.function.name == "get_weather":
        assert call.function.name == "get_weather"
        jsonschema.validate(arguments, TOOLS[0]["function"]["parameters"])


def test_a_streamed_call_and_its_answer(client):
    chunks = list(ask(client, tools=TOOLS, tool_choice={"type": "function", "function": {"name": "get_weather"}}, stream=True))
    deltas = [call for c in chunks if c.choices for call in c.choices[0].delta.tool_calls or []]
    assert deltas[0].index == 0 and deltas[0].id and deltas[0].function.name == "get_weather"
    arguments = "".join(delta.function.arguments or "" for delta in deltas if delta.index == 0)
    assert set(json.loads(arguments)) == {"city", "unit"}
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "tool_calls"
    called = {"role": "assistant", "content": None, "tool_calls": [
        {"id": deltas[0].id, "type": "function", "function": {"name": "get_weather", "arguments": arguments}}]}
    answered = ask(client, messages=[*ASK, called, {"role": "tool", "tool_call_id": deltas[0].id, "content": "4 degrees, rain"}],
                   tools=TOOLS, max_tokens=30)
    assert answered.choices[0].message.content or answered.choices[0].message.tool_calls


def test_tools_may_be_left_alone(client):
    reply = ask(client, tools=TOOLS, tool_choice="none", max_tokens=20)
    plain = ask(client, max_tokens=20)
    assert reply.choices[0].message.content == plain.choices[0].message.content
    assert reply.usage.prompt_tokens == plain.usage.prompt_tokens, "the model is not told of them"


def test_log_probabilities(client):
    reply = ask(client, max_tokens=6, logprobs=True, top_logprobs=3)
    tokens = reply.choices[0].logprobs.content
    assert "".join(bytes(t.bytes).decode() for t in tokens) == reply.choices[0].message.content
    for token in tokens:
        assert token.logprob <= 0 and [t.logprob for t in token.top_logprobs] == sorted((t.logprob for t in token.top_logprobs), reverse=True)
        assert token.top_logprobs[0].token == token.token and len(token.top_logprobs) == 3
    chunks = list(ask(client, max_tokens=6, logprobs=True, stream=True))
    streamed = [t for c in chunks if c.choices and c.choices[0].logprobs for t in c.choices[0].logprobs.content]
    assert [t.token for t in streamed] == [t.token for t in tokens]
    assert ask(client, max_tokens=2).choices[0].logprobs is None


def test_seeds_and_stops(client):
    text = lambda **fields: ask(client, max_tokens=30, temperature=1.5, **fields).choices[0].message.content
    first = text(seed=11)
    assert text(seed=11) == first != text(seed=12)
    assert len({text() for _ in range(3)}) > 1, "without a seed each is another one"
    cut = text(seed=11, stop=[first[10:13]])
    assert cut == first[:first.index(first[10:13])]


def test_a_prompt_over_the_context_says_the_numbers(client):
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, messages=[{"role": "user", "content": "word " * 9000}])
    assert error.value.body["code"] == "context_length_exceeded" and "the model's context" in error.value.body["message"]


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_vectors_have_the_dimensions_asked_for_or_an_error(client, encoding):
    embed = lambda **fields: client.embeddings.create(model="all-minilm-l6-v2", input=["One.", "Two."], encoding_format=encoding, **fields)
    assert [d.index for d in embed(dimensions=384).data] == [0, 1]
    with pytest.raises(openai.BadRequestError) as error:
        embed(dimensions=100)
    assert error.value.body["param"] == "dimensions" and "384" in error.value.body["message"]
