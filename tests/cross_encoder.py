"""A small cross-encoder of random weights, in the files that published ones have, for tests of the reranking stage."""
import array
import hashlib
import json
import math
import random
import struct

HIDDEN, HEADS, WIDE, LAYERS, WINDOW = 128, 2, 256, 2, 64
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] + "boat sail wind harbour rope anchor tide crew map star rain oar".split()


def weights():
    rng, tensors = random.Random(3), {}

    def add(name, shape, spread, middle=0.0):
        tensors["bert." + name if not name.startswith("classifier") else name] = (
            shape, array.array("f", (rng.gauss(middle, spread) for _ in range(math.prod(shape)))))

    def linear(name, out, into):
        add(name + ".weight", [out, into], into ** -.5)
        add(name + ".bias", [out], .1)

    def norm(name):
        add(name + ".weight", [HIDDEN], .1, 1.0)
        add(name + ".bias", [HIDDEN], .1)
    add("embeddings.word_embeddings.weight", [len(WORDS), HIDDEN], 1)
    add("embeddings.position_embeddings.weight", [WINDOW, HIDDEN], .3)
    add("embeddings.token_type_embeddings.weight", [2, HIDDEN], .5)
    norm("embeddings.LayerNorm")
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}."
        for part in ("query", "key", "value"):
            linear(prefix + "attention.self." + part, HIDDEN, HIDDEN)
        linear(prefix + "attention.output.dense", HIDDEN, HIDDEN)
        norm(prefix + "attention.output.LayerNorm")
        linear(prefix + "intermediate.dense", WIDE, HIDDEN)
        linear(prefix + "output.dense", HIDDEN, WIDE)
        norm(prefix + "output.LayerNorm")
    linear("pooler.dense", HIDDEN, HIDDEN)
    linear("classifier", 1, HIDDEN)
    return tensors


def install(models_dir, name="tiny-reranker"):
    """The model's files and its entry in models.yaml; returns its name."""
    folder = models_dir / name
    folder.mkdir(parents=True)
    header, data = {}, b""
    for tensor, (shape, values) in weights().items():
        header[tensor] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values) * 4]}
        data += values.tobytes()
    text = json.dumps(header).encode()
    files = {"model.safetensors": struct.pack("<Q", len(text)) + text + data,
             "vocab.txt": ("\n".join(WORDS) + "\n").encode(),
             "config.json": json.dumps({"model_type": "bert", "hidden_act": "gelu", "vocab_size": len(WORDS), "max_position_embeddings": WINDOW,
                                        "type_vocab_size": 2, "hidden_size": HIDDEN, "num_hidden_layers": LAYERS,
                                        "num_attention_heads": HEADS, "intermediate_size": WIDE, "layer_norm_eps": 1e-12}).encode()}
    entry = f"version: 1\nmodels:\n  {name}:\n    role: rerank\n    licence: MIT\n    max_tokens: {WINDOW}\n    files:\n"
    for file, content in files.items():
        (folder / file).write_bytes(content)
        entry += f"      - {{name: {file}, bytes: {len(content)}, sha256: {hashlib.sha256(content).hexdigest()}}}\n"
    (models_dir / "models.yaml").write_text(entry)
    return name
