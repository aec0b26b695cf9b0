"""`/api/create`: makes a model from another model or from an uploaded GGUF file."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from finops_cli.devtools.fake_ollama.http_writer import HttpWriter
from finops_cli.devtools.fake_ollama.models import Model, full_name
from finops_cli.devtools.fake_ollama.requests import Refusal
from finops_cli.devtools.fake_ollama.state import ServerState
from finops_cli.models.gguf import MAGIC, NotGguf, read_gguf

_FILE_TYPES = {
    0: "F32",
    1: "F16",
    7: "Q8_0",
    14: "Q4_K_S",
    15: "Q4_K_M",
    17: "Q5_K_M",
    18: "Q6_K",
    32: "BF16",
}
_NOT_QUANTIZED = ("F32", "F16", "BF16")
_QUANTIZED = (*_NOT_QUANTIZED, "Q8_0", "Q4_K_S", "Q4_K_M")
_STEPS = 4
Status = dict[str, Any]


def create(server: ServerState, writer: HttpWriter, body: dict[str, Any]) -> None:
    """Answer `POST /api/create`.

    An error after the first status line is a line of the stream. Raises Refusal.
    """
    name = body.get("model") or body.get("name")
    if not isinstance(name, str) or not name:
        raise Refusal(400, "invalid model name")
    if any(_leads_out(file) for file in body.get("files") or ()):
        raise Refusal(400, "file path must be relative")
    if body.get("stream") is False:
        writer.json(200, list(_create_steps(server, full_name(name), body))[-1])
        return
    try:
        for status in _create_steps(server, full_name(name), body):
            if not writer.started:
                writer.open_stream()
            writer.line(status)
    except Refusal as refusal:
        if not writer.started:
            raise
        writer.line({"error": refusal.message})
    writer.end_stream()


def _leads_out(file: str) -> bool:
    path = PurePosixPath(file)
    return path.is_absolute() or ".." in path.parts or not path.parts


def _create_steps(server: ServerState, name: str, body: dict[str, Any]) -> Iterator[Status]:
    """Yield the status lines; the model exists after the last one. Raises Refusal."""
    if body.get("from"):
        base = server.models.get(str(body["from"]))
        if base is None:
            raise Refusal(404, f"model '{body['from']}' not found")
    elif body.get("files") is not None:
        base = yield from _import_files(server, name, body)
    else:
        raise Refusal(400, "neither 'from' or 'files' was specified")
    yield {"status": f"using existing layer {base.layer}"}
    model = _with_settings(replace(base, name=name, modified=datetime.now(UTC)), body)
    for part in filter(None, (model.template, model.system, repr(model.parameters))):
        yield {"status": f"creating new layer sha256:{hashlib.sha256(part.encode()).hexdigest()}"}
    yield {"status": "writing manifest"}
    server.models.put(model)
    yield {"status": "success"}


def _with_settings(model: Model, body: dict[str, Any]) -> Model:
    """Keep the parameters unchanged: the first request to generate refuses text in place of a
    number.
    """
    template, capabilities = body.get("template") or model.template, model.capabilities
    if (".Thinking" in template or "think" in str(body.get("parser"))) and not model.thinks:
        capabilities = (*capabilities, "thinking")
    return replace(
        model,
        template=template,
        capabilities=capabilities,
        system=body.get("system") or model.system,
        parameters={**model.parameters, **(body.get("parameters") or {})},
        requires=body.get("requires") or model.requires,
    )


def _import_files(
    server: ServerState, name: str, body: dict[str, Any]
) -> Generator[Status, None, Model]:
    """Import the first GGUF file.

    Ollama copies it through llama-quantize, so its stored digest differs from the digest of the
    file.
    """
    files: dict[str, str] = body["files"]
    if not files:
        raise Refusal(400, "no files provided to convert")
    file, digest = next(iter(files.items()))
    path = server.blobs.path(digest)
    if not file.endswith(".gguf"):
        if not path.exists():
            raise Refusal(400, f"blob not found for {file} (digest {digest})")
        with path.open("rb") as blob:
            if blob.read(4) != MAGIC:
                raise Refusal(400, "unknown type")
    yield {"status": "parsing GGUF"}
    if not path.exists():
        raise Refusal(500, f"open {path}: no such file or directory")
    try:
        head = read_gguf(path)
    except NotGguf as error:
        raise Refusal(400, "supplied file was not in GGUF format") from error
    model = _describe_model(name, digest, path.stat().st_size, head)
    verb, model = _quantize(
        model, str(body.get("quantize") or body.get("quantization") or "").upper()
    )
    for step in range(1, _STEPS + 1):
        done = model.size * step // _STEPS
        yield {
            "status": verb,
            "digest": "0000000000000000000",
            "total": model.size,
            "completed": done,
        }
    yield {"status": "verifying conversion"}
    if server.runs_uploads:
        server.answer_with(name, path)
    return model


def _describe_model(name: str, digest: str, size: int, head: dict[str, Any]) -> Model:
    architecture = str(head.get("general.architecture", "unknown"))
    template = str(head.get("tokenizer.chat_template", ""))
    thinks = "<think>" in template and "</think>" in template
    return Model(
        name,
        architecture,
        ("completion", "thinking") if thinks else ("completion",),
        int(head.get(f"{architecture}.context_length", 4096)),
        str(head.get("general.size_label", "unknown")),
        int(head.get("general.parameter_count", 0)),
        _FILE_TYPES.get(int(head.get("general.file_type", 1)), "unknown"),
        size,
        layer_digest=f"sha256:{hashlib.sha256(f'copy of {digest}'.encode()).hexdigest()}",
        pairs=head,
    )


def _quantize(model: Model, kind: str) -> tuple[str, Model]:
    if not kind or kind == model.quantization_level:
        return "validating GGUF model", model
    if kind not in _QUANTIZED:
        raise Refusal(
            400,
            f"unsupported quantization type {kind} - supported types are {', '.join(_QUANTIZED)}",
        )
    if model.quantization_level not in _NOT_QUANTIZED:
        raise Refusal(400, "quantization is only supported for F16, BF16 and F32 models")
    return f"quantizing {model.quantization_level} model to {kind}", replace(
        model, quantization_level=kind
    )
