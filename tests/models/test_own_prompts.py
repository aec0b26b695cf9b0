"""A model that was made for the prompt of a Modelfile of its own is asked by that one, whoever runs
it, and the lines say so.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from finops_cli.devtools.fake_ollama import FakeOllama, Model
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import bundled
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.llama_cpp.connect import open_llama_cpp, select_relevant_options
from finops_cli.models.ollama.connect import build_profile
from finops_cli.models.prompts import common_prefix, prompt_sha256, prompts_sha256, triage_prompt
from finops_cli.models.protocol import ModelStage
from finops_cli.models.verified_backend import VerifiedBackend
from finops_cli.weights.gguf_writer import write_gguf
from finops_cli.weights.model_note import ModelNote, write_note
from tests.support.ollama_models import a_record, warms_up
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl, rows
from tests.support.text_models import ScriptedModel, right
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


def test_a_modelfile_says_prompt_and_whether_to_think() -> None:
    """The system turn of the tiny model, and a prompt that ends where the model begins to
    reason.
    """
    asked = triage_prompt(a_record(), "tiny-triage")
    assert asked.text.startswith(
        "<|im_start|>system\nTriage the fail.<|im_end|>\n<|im_start|>user\n"
    )
    assert asked.text.endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert asked.user == triage_prompt(a_record()).user
    assert asked.text.startswith(common_prefix("tiny-triage"))
    assert (
        len(
            {prompt_sha256(name) for name in ("triage", "tiny-triage", "resolver", "tiny-resolver")}
        )
        == 4
    )


@pytest.mark.parametrize("said", ["tiny-resolver", "huge-triage", "../triage", "", 3])
def test_only_modelfiles_of_the_stage_are_accepted(said: object) -> None:
    """Another stage's, an unknown one, a way out of the folder, no text: the accepted ones are
    named.
    """
    with pytest.raises(UsageError, match=f"{ACCEPTED}$"):
        bundled.find_prompt_modelfile("triage", said, "a.gguf")
    assert bundled.find_prompt_modelfile("triage", None, "a.gguf") == "triage"


@pytest.mark.parametrize("name", ["triage", "tiny-triage", "resolver", "tiny-resolver"])
def test_every_modelfile_of_the_desk_can_be_asked_by(name: str, kb: KnowledgeBase) -> None:
    """It says all that servers would choose for themselves, and llama.cpp does all that it says."""
    stage: ModelStage = "triage" if name.endswith("triage") else "resolver"
    made = build_profile(stage, name, "m", kb)
    assert (made.modelfile, made.probe.startswith(common_prefix(name))) == (name, True)
    assert select_relevant_options(made.options)["num_ctx"] == made.options["num_ctx"]


def test_the_loop_prompts_by_the_modelfile_of_its_model(kb: KnowledgeBase) -> None:
    """An answer behind the reasoning of a model that thinks stands, and nothing of it counts as a
    fault.
    """

    class Tiny(ScriptedModel):
        def modelfile(self, stage: str) -> str:
            return f"tiny-{stage}"

    model = Tiny(lambda ask, _: f"<think>\nage 7 60\n</think>\n\n{right(ask, kb)}")
    answer = VerifiedBackend(model, kb, "repair").triage(a_record())
    assert [ask.prompt for ask in model.asks] == [triage_prompt(a_record(), "tiny-triage").text]
    assert (answer.status, answer.format_warnings) == ("ok", ())


def test_the_embedded_backend_asks_as_the_file_says(tmp_path: Path, kb: KnowledgeBase) -> None:
    """Prefix, context and options of the named Modelfile; its digest in the origin.

    A file that names none is asked by its stage's.
    """
    pytest.importorskip("llguidance")
    files = {
        "tiny-triage": keyed(tmp_path, "tiny-triage"),
        "triage": write_tiny_gguf(tmp_path / "plain.gguf"),
    }
    for name, path in files.items():
        model = open_llama_cpp(BackendRequest("llama-cpp", ("triage",), triage_gguf=path), kb)
        load = model._models["triage"].profile.load
        context = {"tiny-triage": 1536, "triage": 2048}[name]
        assert (model.modelfile("triage"), model.context_size("triage"), load.prefix) == (
            name,
            context,
            common_prefix(name),
        )
        assert model.origin.prompt_sha256 == prompts_sha256([name])


def test_a_run_with_a_real_model_says_which_prompt_it_was_asked_with(
    tmp_path: Path, finops: Finops
) -> None:
    """Whatever random weights say: the line is settled, and carries the digest of the tiny model's
    prompt.
    """
    pytest.importorskip("llguidance")
    file = write_tiny_gguf(tmp_path / "tiny.gguf", made_for="tiny-triage")
    done = finops(
        "triage", "-", "--backend", "llama-cpp", "--triage-gguf", file, stdin=jsonl(a_fail())
    )
    [line] = rows(done.stdout)
    assert (done.returncode, line["status"]) == (1, "fallback"), done.stderr
    assert line["provenance"]["prompt_sha256"] == prompt_sha256("tiny-triage")


def test_an_ollama_model_is_created_and_asked_as_its_file_says(
    tmp_path: Path, finops: Finops, server: FakeOllama
) -> None:
    """`finops create` takes the named Modelfile; the run reads the name from the model's card, and
    both backends agree on the digest.
    """
    made = finops(
        "create",
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
    [asked] = [one for one in server.received if not warms_up(one)]
    assert asked.prompt == triage_prompt(a_record(), "tiny-triage").text
    assert (asked.body["options"]["num_ctx"], asked.body["options"]["temperature"]) == (1536, 0)
    shown = server.models.get("finops-triage")
    assert shown is not None
    assert (shown.system, shown.describe()["model_info"]["finops.modelfile"]) == (
        "Triage the fail.",
        "tiny-triage",
    )


def test_a_name_that_is_not_known_is_refused_everywhere(tmp_path: Path, finops: Finops) -> None:
    """By create, by a run with the file, by a run at a server that has such a model, and by the
    doctor; the accepted ones are named.
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


def test_a_file_with_an_unknown_name_is_not_loaded(tmp_path: Path, kb: KnowledgeBase) -> None:
    pytest.importorskip("llguidance")
    with pytest.raises(UsageError, match=f"{ACCEPTED}$"):
        open_llama_cpp(
            BackendRequest("llama-cpp", ("triage",), triage_gguf=keyed(tmp_path, "huge-triage")),
            kb,
        )


def test_quantize_passes_on_what_training_wrote(tmp_path: Path, finops: Finops) -> None:
    """`finops.json` beside the weights, or beside the adapter, which was trained last: the key of
    the GGUF file, and the manifest.
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
    for text, says in (
        ('{"modelfile": "tiny-resolver"}', ACCEPTED),
        ("{}", 'Expected {"modelfile": NAME}'),
    ):
        (base / "finops.json").write_text(text)
        done = finops(*call, "--stage", "triage")
        assert (done.returncode, done.stdout) == (2, b"")
        assert says in " ".join(done.stderr.decode().split())


def test_an_adapter_is_merged_into_the_base_that_it_was_trained_on(
    tmp_path: Path, finops: Finops
) -> None:
    """Another model of the same shapes is refused before anything is written; where nobody noted
    the base, shapes decide.
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
    for noted, given, code in (
        (None, other, 0),
        (ModelNote("triage"), other, 0),
        (ModelNote("triage", weights), base, 0),
        (ModelNote("triage", weights), other, 2),
    ):
        if noted is not None:
            write_note(adapter, noted)
        done = finops(*call, "--base", given, "--name", f"made-{code}")
        assert done.returncode == code, done.stderr
    assert "was trained on another base: model.safetensors (SHA-256 " in " ".join(
        done.stderr.decode().split()
    )
    assert {path.name for path in tmp_path.glob("made-*")} == {
        "made-0-f16.gguf",
        "made-0.manifest.json",
    }
