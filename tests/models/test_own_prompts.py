"""Prompts of a model's own Modelfile: every backend uses them, and the output lines record them."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from finops_cli.devtools.fake_ollama import FakeOllama, Model
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import bundled
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.llama_cpp.connect import open_llama_cpp, select_relevant_options
from finops_cli.models.prompts import common_prefix, prompt_sha256, prompts_sha256, triage_prompt
from finops_cli.models.servers.profiles import build_profile
from finops_cli.models.transformers.model_note import ModelNote, write_note
from finops_cli.models.verified_backend import VerifiedBackend
from finops_cli.weights.gguf_writer import write_gguf
from tests.support.ollama_models import a_record, is_warm_up
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl, rows
from tests.support.text_models import ScriptedModel, correct_answer
from tests.support.tiny_gguf import write_tiny_gguf

pytestmark = pytest.mark.llama

ACCEPTED = "accepted: tiny-triage, triage"


def keyed(folder: Path, name: str) -> Path:
    """A GGUF file that is made for the Modelfile `name` and is nothing besides."""
    path = folder / f"for-{name}.gguf"
    write_gguf(
        path,
        {"general.architecture": "qwen3", "qwen3.context_length": 2048, "finops.modelfile": name},
    )
    return path


def test_modelfile_sets_system_prompt_and_reasoning() -> None:
    """The prompt has the system turn of the named Modelfile, and for the tiny model it ends where
    the reasoning begins.
    """
    prompt = triage_prompt(a_record(), "tiny-triage")
    assert prompt.text.startswith(
        "<|im_start|>system\nTriage the fail.<|im_end|>\n<|im_start|>user\n"
    )
    assert prompt.text.endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert prompt.user == triage_prompt(a_record()).user
    assert prompt.text.startswith(common_prefix("tiny-triage"))
    assert (
        len(
            {prompt_sha256(name) for name in ("triage", "tiny-triage", "resolver", "tiny-resolver")}
        )
        == 4
    )


@pytest.mark.parametrize("name", ["tiny-resolver", "huge-triage", "../triage", "", 3])
def test_modelfile_name_of_another_stage_is_refused(name: object) -> None:
    """A Modelfile of another stage, an unknown name, a path or a value that is not text is refused
    with the accepted names.
    """
    with pytest.raises(UsageError, match=f"{ACCEPTED}$"):
        bundled.find_prompt_modelfile("triage", name, "a.gguf")
    assert bundled.find_prompt_modelfile("triage", None, "a.gguf") == "triage"


@pytest.mark.parametrize("name", ["triage", "tiny-triage", "resolver", "tiny-resolver"])
def test_every_bundled_modelfile_gives_a_complete_profile(name: str, kb: KnowledgeBase) -> None:
    """Each bundled Modelfile gives a complete profile whose options llama.cpp supports."""
    stage: StageName = "triage" if name.endswith("triage") else "resolver"
    made = build_profile(stage, name, "m", kb)
    assert (made.modelfile, made.probe.startswith(common_prefix(name))) == (name, True)
    assert select_relevant_options(made.options)["num_ctx"] == made.options["num_ctx"]


def test_verified_backend_prompts_with_the_models_modelfile(kb: KnowledgeBase) -> None:
    """The verification loop uses the prompt of the model's Modelfile. Reasoning before the answer
    gives no format warning.
    """

    class Tiny(ScriptedModel):
        def modelfile(self, stage: str) -> str:
            return f"tiny-{stage}"

    model = Tiny(lambda ask, _: f"<think>\nage 7 60\n</think>\n\n{correct_answer(ask, kb)}")
    answer = VerifiedBackend(model, kb, "repair").triage(a_record())
    assert [ask.prompt for ask in model.requests] == [triage_prompt(a_record(), "tiny-triage").text]
    assert (answer.status, answer.format_warnings) == ("ok", ())


def test_llama_cpp_backend_uses_the_modelfile_of_its_file(
    tmp_path: Path, kb: KnowledgeBase
) -> None:
    """A GGUF file that names a Modelfile sets prompt, context and options, and the origin records
    the prompt. Other files use their stage's Modelfile.
    """
    pytest.importorskip("llguidance")
    files = {
        "tiny-triage": keyed(tmp_path, "tiny-triage"),
        "triage": write_tiny_gguf(tmp_path / "plain.gguf"),
    }
    for name, path in files.items():
        model = open_llama_cpp(BackendRequest("llama-cpp", ("triage",), ggufs={"triage": path}), kb)
        load = model._models["triage"].profile.load
        context = {"tiny-triage": 1536, "triage": 2048}[name]
        assert (model.modelfile("triage"), model.context_size("triage"), load.prefix) == (
            name,
            context,
            common_prefix(name),
        )
        assert model.origin.prompt_sha256 == prompts_sha256([name])


def test_llama_cpp_run_records_the_prompt_of_its_model(tmp_path: Path, finops: Finops) -> None:
    """A line from a model with random weights falls back to the engine and records the digest of
    the tiny model's prompt.
    """
    pytest.importorskip("llguidance")
    file = write_tiny_gguf(tmp_path / "tiny.gguf", made_for="tiny-triage")
    done = finops(
        "triage", "-", "--backend", "llama-cpp", "--triage-gguf", file, stdin=jsonl(a_fail())
    )
    [line] = rows(done.stdout)
    assert (done.returncode, line["status"]) == (1, "fallback"), done.stderr
    assert line["provenance"]["prompt_sha256"] == prompt_sha256("tiny-triage")


def test_ollama_model_is_created_and_run_with_its_modelfile(
    tmp_path: Path, finops: Finops, server: FakeOllama
) -> None:
    """`finops create` uses the Modelfile that the GGUF file names. A run reads its name from the
    server and records the same prompt digest.
    """
    made = finops(
        "create",
        "--no-try",
        "--stage",
        "triage",
        "--gguf",
        keyed(tmp_path, "tiny-triage"),
        "--host",
        server.url,
        "--json",
        "-q",
    )
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["parameters"]["num_ctx"] == 1536
    done = finops("triage", "-", "--backend", "ollama", "--host", server.url, stdin=jsonl(a_fail()))
    [line] = rows(done.stdout)
    assert (line["status"], line["provenance"]["prompt_sha256"]) == (
        "ok",
        prompt_sha256("tiny-triage"),
    )
    [request] = [one for one in server.received if not is_warm_up(one)]
    assert request.prompt == triage_prompt(a_record(), "tiny-triage").text
    assert (request.body["options"]["num_ctx"], request.body["options"]["temperature"]) == (1536, 0)
    model_entry = server.models.get("finops-triage")
    assert model_entry is not None
    assert (model_entry.system, model_entry.describe()["model_info"]["finops.modelfile"]) == (
        "Triage the fail.",
        "tiny-triage",
    )


@pytest.mark.slow
def test_unknown_modelfile_name_is_refused_by_every_command(tmp_path: Path, finops: Finops) -> None:
    """A model with an unknown Modelfile name is refused by create, by runs and by the doctor, with
    the accepted names.
    """
    file = keyed(tmp_path, "huge-triage")
    model = Model("finops-triage", pairs={"finops.modelfile": "huge-triage"})
    with FakeOllama(models=[model]) as server:
        for command in (
            ("create", "--stage", "triage", "--gguf", file, "--dry-run"),
            ("triage", "-", "--backend", "ollama", "--host", server.url),
        ):
            done = finops(*command, stdin=jsonl(a_fail()))
            assert (done.returncode, done.stdout) == (2, b""), done.stderr
            assert ACCEPTED in " ".join(done.stderr.decode().split())
        done = finops("doctor", "--host", server.url, "--json")
        assert done.returncode == 3
        assert [
            ACCEPTED in each["detail"]
            for each in json.loads(done.stdout)
            if each["state"] == "broken"
        ] == [True]


def test_llama_cpp_refuses_a_file_with_an_unknown_modelfile(
    tmp_path: Path, kb: KnowledgeBase
) -> None:
    """A GGUF file with an unknown Modelfile name is refused before it is loaded."""
    pytest.importorskip("llguidance")
    ggufs = {"triage": keyed(tmp_path, "huge-triage")}
    with pytest.raises(UsageError, match=f"{ACCEPTED}$"):
        open_llama_cpp(BackendRequest("llama-cpp", ("triage",), ggufs=ggufs), kb)


def test_quantize_copies_the_modelfile_name_of_the_training(tmp_path: Path, finops: Finops) -> None:
    """The Modelfile name in `finops.json` of the weights or the adapter is written into the GGUF
    file and the manifest.
    """
    pytest.importorskip("numpy")
    from finops_cli.models.gguf import read_gguf
    from tests.support.plain_checkpoints import QWEN3, write_checkpoint

    base = write_checkpoint(tmp_path / "base", QWEN3)
    call = (
        "quantize",
        "--base",
        base,
        "-o",
        tmp_path,
        "--type",
        "f16",
        "--no-check",
        "--name",
        "made",
        "--json",
        "-q",
    )
    for note, stage, named in (
        (None, "triage", None),
        ("tiny-triage", "triage", "tiny-triage"),
        ("triage", "triage", "triage"),
    ):
        if note is not None:
            write_note(base, ModelNote(note))
        done = finops(*call, "--stage", stage)
        assert done.returncode == 0, done.stderr
        manifest = json.loads(done.stdout)
        assert (
            manifest["modelfile"],
            read_gguf(tmp_path / "made-f16.gguf").get("finops.modelfile"),
        ) == (named, named)
        assert [each["name"] for each in manifest["base"]].count("finops.json") == (
            note is not None
        )
    for text, message in (
        ('{"modelfile": "tiny-resolver"}', ACCEPTED),
        ("{}", 'Expected {"modelfile": NAME}'),
    ):
        (base / "finops.json").write_text(text)
        done = finops(*call, "--stage", "triage")
        assert (done.returncode, done.stdout) == (2, b"")
        assert message in " ".join(done.stderr.decode().split())


def test_quantize_refuses_an_adapter_of_another_base(tmp_path: Path, finops: Finops) -> None:
    """An adapter that records its base is merged into that base only. Without a record the shapes
    decide.
    """
    pytest.importorskip("numpy")
    from tests.support.plain_checkpoints import QWEN3, noise, write_adapter, write_checkpoint

    base, other = (
        write_checkpoint(tmp_path / "base", QWEN3),
        write_checkpoint(tmp_path / "other", QWEN3, noise(QWEN3, seed=9)),
    )
    adapter = write_adapter(tmp_path / "adapter", {"model.layers.0.self_attn.q_proj": (64, 64)})
    weights = {
        "model-00001-of-00001.safetensors": (
            sha256((base / "model.safetensors").read_bytes()).hexdigest()
        ),
        "mtp": "0" * 64,
    }
    call = (
        "quantize",
        "--adapter",
        adapter,
        "-o",
        tmp_path,
        "--type",
        "f16",
        "--no-check",
        "--stage",
        "triage",
        "-q",
    )
    for note, base_folder, code in (
        (None, other, 0),
        (ModelNote("triage"), other, 0),
        (ModelNote("triage", weights), base, 0),
        (ModelNote("triage", weights), other, 2),
    ):
        if note is not None:
            write_note(adapter, note)
        done = finops(*call, "--base", base_folder, "--name", f"made-{code}")
        assert done.returncode == code, done.stderr
    assert "was trained on another base: model.safetensors (SHA-256 " in " ".join(
        done.stderr.decode().split()
    )
    assert {path.name for path in tmp_path.glob("made-*")} == {
        "made-0-f16.gguf",
        "made-0.manifest.json",
    }
