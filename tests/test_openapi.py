"""/openapi.json is the truth: its routes exist, and what they answer fits their schemas."""
import json
import re

import jsonschema
import pytest
import referencing
import yaml

from knap_server import ROOT

METHODS = {"get", "post", "put", "delete", "patch"}
NOTES = {"Rocket.md": "---\ntags: [project]\nrating: 4\n---\n# Rocket\n\nThe booster burns kerosene. See [[Bread]].\n\n## Stages\n\nTwo.\n",
         "Bread.md": "# Bread\n\nThe sourdough rests for twelve hours.\n", "broken.canvas": "{"}


@pytest.fixture(scope="module")
def server(module_servers):
    return module_servers(NOTES)


@pytest.fixture(scope="module")
def spec(server):
    return server.get("/openapi.json")


def test_served_is_the_file(spec):
    sources = [p for p in (ROOT / "openapi.yaml", ROOT / "src" / "api" / "openapi.yaml") if p.exists()]
    assert sources, "openapi.yaml is gone"
    written = json.loads(json.dumps(yaml.safe_load(sources[0].read_text("utf-8")), default=str))
    assert written == spec
    assert spec["openapi"].startswith("3.1")
    assert spec["info"]["version"] == (ROOT / "VERSION").read_text().strip()


def operations(spec):
    return [(path, method) for path, item in spec["paths"].items() for method in item if method in METHODS]


def test_every_operation_exists(server, spec):
    for path, method in operations(spec):
        answer = server.call(method.upper(), re.sub(r"\{[^}]*\}", "nosuchthing", path), expect=None,
                             json={} if method in ("post", "put", "patch") else None, stream=True)
        answer.close()
        assert answer.status_code != 405, (method, path)
        if answer.status_code == 404:
            assert "{" in path or path.startswith("/v1/"), f"{method} {path} is not routed"


def test_no_operation_is_hidden(server, spec):
    """A method that the description does not name is refused."""
    for path, item in spec["paths"].items():
        for method in METHODS - set(item):
            answer = server.call(method.upper(), re.sub(r"\{[^}]*\}", "nosuchthing", path), expect=None, json={})
            assert answer.status_code in (404, 405), (method, path, answer.status_code)


@pytest.mark.parametrize("path", ["/status", "/health", "/healthz", "/readyz", "/api/search", "/api/ask", "/api/index/status",
                                  "/api/index/files", "/api/notes/{path}", "/api/reindex", "/api/scan_vault", "/api/jobs",
                                  "/api/jobs/{id}", "/api/config", "/api/performance/metrics", "/metrics", "/v1/models",
                                  "/v1/chat/completions", "/v1/embeddings", "/openapi.json"])
def test_the_routes_that_must_be_there(spec, path):
    assert path in spec["paths"]


def validate(spec, schema, value):
    resource = referencing.Resource(contents=spec, specification=referencing.jsonschema.DRAFT202012)
    registry = referencing.Registry().with_resource("urn:spec", resource)

    def absolute(part):
        if isinstance(part, dict):
            return {k: ("urn:spec" + v if k == "$ref" and isinstance(v, str) and v.startswith("#") else absolute(v)) for k, v in part.items()}
        return [absolute(x) for x in part] if isinstance(part, list) else part

    jsonschema.Draft202012Validator(absolute(schema), registry=registry).validate(value)


def resolve(spec, part):
    while "$ref" in part:
        here = spec
        for step in part["$ref"].removeprefix("#/").split("/"):
            here = here[step.replace("~1", "/").replace("~0", "~")]
        part = here
    return part


def response_schema(spec, path, method, status, kind):
    responses = spec["paths"][path][method]["responses"]
    response = resolve(spec, responses.get(str(status)) or responses["default"])
    return response["content"][kind]["schema"]


CALLS = [
    ("GET", "/health", "/health", None), ("GET", "/readyz", "/readyz", None), ("GET", "/status", "/status", None),
    ("POST", "/api/search", "/api/search", {"query": "kerosene", "explain": True}),
    ("GET", "/api/search", "/api/search?q=kerosene", None),
    ("POST", "/api/search", "/api/search", {"query": "xyzzyplugh"}),
    ("POST", "/api/ask", "/api/ask", {"question": "How long does the sourdough rest?"}),
    ("POST", "/api/ask", "/api/ask", {"question": "Who discovered penicillin?"}),
    ("GET", "/api/index/status", "/api/index/status", None), ("GET", "/api/index/files", "/api/index/files", None),
    ("GET", "/api/notes/{path}", "/api/notes/Rocket.md", None), ("GET", "/api/config", "/api/config", None),
    ("GET", "/api/jobs", "/api/jobs", None), ("GET", "/api/performance/metrics", "/api/performance/metrics", None),
    ("GET", "/v1/models", "/v1/models", None),
    ("POST", "/v1/chat/completions", "/v1/chat/completions",
     {"model": "knap", "messages": [{"role": "user", "content": "How long does the sourdough rest?"}]}),
]


@pytest.mark.parametrize("method, path, target, body", CALLS)
def test_answers_fit_their_schema(server, spec, method, path, target, body):
    answer = server.call(method, target, json=body)
    validate(spec, response_schema(spec, path, method.lower(), 200, "application/json"), answer.json())


@pytest.mark.parametrize("target, body", [("/api/search", {"qurey": "x"}), ("/api/search", {"query": "x", "vault": "nowhere"}),
                                          ("/api/ask", {"question": ""})])
def test_problems_fit_their_schema(server, spec, target, body):
    answer = server.call("POST", target, json=body, expect=None)
    validate(spec, response_schema(spec, target, "post", answer.status_code, "application/problem+json"), answer.json())


def test_examples_fit_their_schema(spec):
    count = 0
    for path, method in operations(spec):
        operation = spec["paths"][path][method]
        parts = [resolve(spec, operation.get("requestBody", {}))] + [resolve(spec, r) for r in operation["responses"].values()]
        for part in parts:
            for content in part.get("content", {}).values():
                examples = [content["example"]] if "example" in content else []
                examples += [resolve(spec, e)["value"] for e in content.get("examples", {}).values()]
                for example in examples:
                    if "schema" in content and not isinstance(example, str):
                        validate(spec, content["schema"], example)
                        count += 1
    assert count > 0, "the description has no examples"


def test_documented_in_the_manual(spec):
    text = (ROOT / "docs" / "HTTP API.md").read_text("utf-8")
    missing = [path for path in spec["paths"] if path not in text and path.split("/{")[0] not in text]
    assert not missing
