"""Opening a model file: its checks, its refusals, the settings of its Modelfile, and its memory."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from finops_cli import extras
from finops_cli.commands.run_options import RunModelOptions
from finops_cli.commands.tone_options import tone_bytes
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.files.digests import sha256_of_file
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.failures import NoEndpointLeft
from finops_cli.models.llama_cpp.connect import (
    WorkerLayout,
    build_profile,
    must_take_turns,
    needed_bytes,
    open_llama_cpp,
    worker_layout,
)
from finops_cli.models.llama_cpp.memory import memory_bytes, token_bytes
from finops_cli.models.llama_cpp.messages import Load, Sampling
from finops_cli.models.llama_cpp.model import LlamaCppModel, Profile
from finops_cli.models.llama_cpp.worker_process import NotLoaded
from finops_cli.models.protocol import CompletionRequest, Origin
from tests.support.cures import cured_by
from tests.support.program import ROOT, Finops
from tests.support.records import a_fail, jsonl
from tests.support.tiny_gguf import Shape, write_tiny_gguf

WITHOUT_THE_EXTRA = (
    "import sys; sys.modules['llama_cpp'] = sys.modules['llguidance'] = None; from finops_cli.cli"
    " import main; main()"
)


def test_llama_cpp_without_the_extra_exits_3_with_the_fix(tmp_path: Path) -> None:
    """Without the llama extra the backend ends with exit 3 and the fix, before it reads the model
    file.
    """
    command = [
        sys.executable,
        "-c",
        WITHOUT_THE_EXTRA,
        "triage",
        "-",
        "--backend",
        "llama-cpp",
        "--triage-gguf",
        "none.gguf",
    ]
    done = subprocess.run(command, input=b"", capture_output=True, check=False, cwd=ROOT)
    assert done.returncode == 3
    assert "llama-cpp-python and llguidance\nfix: " + extras.cure("llama") in done.stderr.decode()


def test_llama_extra_lists_every_package_of_the_worker() -> None:
    """The llama extra lists exactly the packages that the worker's modules import."""
    imported = {
        name.partition(".")[0]
        for module in (ROOT / "finops_cli" / "models" / "llama_cpp" / "worker").glob("*.py")
        for node in ast.walk(ast.parse(module.read_text()))
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [n.name for n in getattr(node, "names", [])]
        )
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    beyond = {
        name.replace("llama_cpp", "llama-cpp-python")
        for name in imported - sys.stdlib_module_names - {"finops_cli"}
    }
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]["llama"]
    assert beyond == {requirement.partition(">")[0] for requirement in extra}


class FakeProcess:
    """A stand-in process that holds memory from its start to its stop."""

    has_gpu = False

    def __init__(self, memory: set[str], path: str, room: int) -> None:
        self.alive = True
        self._memory, self._path, self._room = memory, path, room
        memory.add(path)

    def ready(self, patience: float) -> None:
        if len(self._memory) > self._room:
            self.stop()
            raise NotLoaded("no memory", by_itself=True)

    def stop(self) -> None:
        self.alive = False
        self._memory.discard(self._path)


def two_models(
    kb: KnowledgeBase, room: int, memory: set[str], *paths: str, threads: int = 1
) -> LlamaCppModel:
    stages: tuple[StageName, ...] = ("triage", "resolver")
    profiles = {
        stage: Profile(load=Load(path=path, context=1000, threads=threads), sampling=Sampling())
        for stage, path in zip(stages, paths, strict=True)
    }
    start: Callable[[Load], object] = lambda load: FakeProcess(memory, load.path, room)  # noqa: E731 - it is one
    return LlamaCppModel(
        origin=Origin("llama-cpp", is_model=True),
        profiles=profiles,
        settings=kb.models,
        start=start,
    )  # type: ignore[arg-type]


def test_model_that_does_not_fit_alternates_with_the_other(kb: KnowledgeBase) -> None:
    """If two models do not fit together, the first is unloaded and `must_alternate`
    becomes true.
    """
    memory: set[str] = set()
    model = two_models(kb, 1, memory, "triage.gguf", "resolver.gguf")
    model.prepare("triage")
    assert not model.must_alternate
    model.prepare("resolver")
    assert (model.must_alternate, memory) == (True, {"resolver.gguf"})
    model.prepare("triage")
    assert memory == {"triage.gguf"}


def test_models_that_fit_stay_loaded_and_too_large_is_refused(
    kb: KnowledgeBase,
) -> None:
    """Two models that fit stay loaded. A model that does not fit alone is refused with a fix that
    needs less memory.
    """
    memory: set[str] = set()
    model = two_models(kb, 2, memory, "triage.gguf", "resolver.gguf")
    for stage in ("triage", "resolver", "triage"):
        model.prepare(stage)
    assert (model.must_alternate, memory) == (False, {"triage.gguf", "resolver.gguf"})
    with pytest.raises(UsageError, check=cured_by("smaller context, or fewer --workers")):
        two_models(kb, 0, set(), "triage.gguf", "resolver.gguf").prepare("triage")


@pytest.mark.parametrize(
    ("threads", "has_gpu", "take_turns"), [(2, False, True), (1, False, False), (2, True, False)]
)
def test_models_take_turns_where_their_threads_compete(
    threads: int,
    has_gpu: bool,
    take_turns: bool,
    kb: KnowledgeBase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two models without a GPU take turns if several threads work on one batch, and say so."""
    monkeypatch.setattr(FakeProcess, "has_gpu", has_gpu)
    model = two_models(kb, 2, set(), "triage.gguf", "resolver.gguf", threads=threads)
    model.prepare("triage")
    assert model.turns is None
    model.prepare("resolver")
    assert (model.turns is not None) == take_turns
    assert ("take turns on the processor" in model.describe_sharing()) == take_turns


def test_memory_of_a_model_is_its_file_and_its_context(tmp_path: Path, gguf: Path) -> None:
    """The memory of a model is its file plus two bytes per key and value for each head, layer,
    token, sequence and group.
    """
    shape = Shape(layers=3, width=64, heads=2)
    path = write_tiny_gguf(tmp_path / "whole.gguf", shape=shape)
    assert token_bytes(path) == 2 * 3 * 2 * (32 + 32)
    load = Load(path=str(path), context=1000, sequences=4, groups=2)
    assert memory_bytes(load) == path.stat().st_size + 1000 * 5 * 2 * 768
    assert token_bytes(gguf) is None
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(path.read_bytes()[:200])
    assert memory_bytes(Load(path=str(torn), context=1000)) == 200


def test_models_alternate_above_a_part_of_the_free_memory() -> None:
    """Models alternate if they need more together than the allowed percentage of the free memory.
    One model alone is tried.
    """
    assert must_take_turns([40, 31], 100, 70)
    assert not must_take_turns([40, 30], 100, 70)
    assert not must_take_turns([90], 100, 70)
    assert not must_take_turns([90, 90], None, 70)
    assert must_take_turns([40, 25], 100, 70, beside=6)
    assert not must_take_turns([40, 25], 100, 70, beside=5)
    assert not must_take_turns([90], 100, 70, beside=90)


@pytest.mark.llama
def test_model_of_the_tone_counts_for_memory(
    kb: KnowledgeBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third model, which reads the tone and stays loaded, counts beside those of the fails: two
    that fit alone alternate beside it.
    """
    pytest.importorskip("llama_cpp")
    path = write_tiny_gguf(tmp_path / "m.gguf")
    files: dict[StageName, Path] = {"triage": path, "resolver": path}
    free = 2 * needed_bytes(files)
    monkeypatch.setattr("finops_cli.models.llama_cpp.connect.read_available_memory", lambda: free)
    tone = RunModelOptions(sentiment="llama-cpp", sentiment_gguf=path)
    assert tone_bytes(tone) == needed_bytes({"sentiment": path}) > 0
    assert tone_bytes(RunModelOptions(sentiment="baseline", sentiment_gguf=path)) == 0
    assert tone_bytes(RunModelOptions()) == 0
    alternate = [
        open_llama_cpp(
            BackendRequest(backend="llama-cpp", ggufs=files, beside_bytes=beside), kb
        ).must_alternate
        for beside in (0, free)
    ]
    assert alternate == [False, True]


def model_of_file(path: Path, kb: KnowledgeBase, memory: set[str]) -> LlamaCppModel:
    one = Profile(
        load=Load(path=str(path), context=1000),
        sampling=Sampling(),
        identity=sha256_of_file(path)[1],
    )
    start: Callable[[Load], object] = lambda load: FakeProcess(memory, load.path, 1)  # noqa: E731 - it is one
    return LlamaCppModel(
        origin=Origin("llama-cpp", is_model=True),
        profiles={"triage": one},
        settings=kb.models,
        start=start,
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["put in its place", "written over", "gone"])
def test_replaced_model_file_is_not_loaded_again(
    how: str, gguf: Path, tmp_path: Path, quick: KnowledgeBase
) -> None:
    """A model file that was replaced, overwritten or removed during a run is not loaded again, and
    the model changes name it.
    """
    model = model_of_file(gguf, quick, set())
    model.prepare("triage")
    assert model.model_changes() == ()
    model._models["triage"].unload()
    model.prepare("triage")
    model._models["triage"].unload()
    if how == "put in its place":
        Path(shutil.copy2(gguf, tmp_path / "other.gguf")).replace(gguf)
    elif how == "written over":
        gguf.write_bytes(gguf.read_bytes())
    else:
        gguf.unlink()
    assert model.model_changes() == (f"{gguf} was replaced during the run",)
    with pytest.raises(NoEndpointLeft, match="was replaced during the run") as failure:
        model.complete(CompletionRequest("triage", "a", 1))
    assert "start a new run" in (failure.value.cure or "")
    with pytest.raises(MissingPiece, match="was replaced during the run"):
        model.prepare("triage")


OPTIONS = {
    "num_ctx": 2048,
    "temperature": 0.1,
    "top_k": 40,
    "top_p": 0.9,
    "repeat_penalty": 1.0,
    "num_predict": 512,
}


def test_profile_has_every_setting_of_the_modelfile(gguf: Path) -> None:
    """A profile has every Modelfile setting that affects answers. A setting that llama.cpp lacks is
    refused.
    """
    made = build_profile(
        gguf, {**OPTIONS, "stop": ["<|im_end|>"], "num_predict": -1, "seed": 3}, "prefix"
    )
    assert (made.load.context, made.load.prefix, made.sampling, made.stops) == (
        2048,
        "prefix",
        Sampling(temperature=0.1),
        ("<|im_end|>",),
    )
    assert made.max_tokens is None
    assert build_profile(gguf, OPTIONS, "").max_tokens == 512
    assert build_profile(gguf, {**OPTIONS, "repeat_last_n": -1}, "").sampling.penalised == 2048
    assert build_profile(gguf, {**OPTIONS, "repeat_last_n": 0}, "").sampling.penalised == 0
    with pytest.raises(UsageError, match="stop takes texts"):
        build_profile(gguf, {**OPTIONS, "stop": "<|im_end|>"}, "")
    with pytest.raises(UsageError, match="presence_penalty: --backend llama-cpp does not do that"):
        build_profile(gguf, {**OPTIONS, "presence_penalty": 1.0}, "")


def test_profile_has_gpu_layers_and_batch_of_the_modelfile(gguf: Path) -> None:
    """A profile has the GPU layers and the batch size of the Modelfile, by default all layers and
    Ollama's batch size.
    """
    loads = [
        build_profile(gguf, options, "").load
        for options in (OPTIONS, {**OPTIONS, "num_gpu": 0, "num_batch": 64})
    ]
    assert [(load.gpu_layers, load.batch) for load in loads] == [(-1, 512), (0, 64)]


def test_profile_of_a_file_that_is_not_gguf_is_refused(tmp_path: Path) -> None:
    """A missing file, a folder and a file of another format raise UsageError."""
    (tmp_path / "text.gguf").write_text("hello")
    for name, message in (
        ("none.gguf", "no such GGUF file"),
        (".", "no such GGUF file"),
        ("text.gguf", "is not a GGUF file"),
    ):
        with pytest.raises(UsageError, match=message):
            build_profile(tmp_path / name, OPTIONS, "")


def test_worker_layout_follows_model_size_and_cores() -> None:
    """A small model gets one group of sequences for each core, a large one all cores together.
    `--workers` sets the number of sequences.
    """
    small, large = 1_000_000, 5_000_000_000
    assert worker_layout(small, 2, None) == WorkerLayout(8, 2, 1)
    assert worker_layout(large, 16, None) == WorkerLayout(4, 1, 16)
    assert worker_layout(small, 2, 1) == WorkerLayout(1, 1, 2)
    assert worker_layout(small, 2, 5) == WorkerLayout(3, 2, 1)
    assert worker_layout(large, 4, 12) == WorkerLayout(12, 1, 4)


def test_origin_has_digests_and_settings_but_not_workers(gguf: Path, kb: KnowledgeBase) -> None:
    """The origin has file name, digests and settings of a model. The number of sequences is not
    part of it.
    """
    pytest.importorskip("llama_cpp")
    pytest.importorskip("llguidance")
    models = [
        open_llama_cpp(
            BackendRequest("llama-cpp", ("triage",), workers=n, ggufs={"triage": gguf}), kb
        )
        for n in (None, 3)
    ]
    first, second = (model.origin for model in models)
    assert first == second
    assert (first.name, first.models["triage"]) == ("llama-cpp", "tiny.gguf")
    assert first.digests is not None
    assert first.digests["triage"] == hashlib.sha256(gguf.read_bytes()).hexdigest()
    assert first.settings is not None
    assert '"temperature":0.1' in first.settings
    assert models[0].context_size("triage") == 2048
    assert models[1].concurrency < models[0].concurrency


@pytest.mark.parametrize("backend", ["llama-cpp", "auto"])
def test_file_that_its_manifest_does_not_know_is_refused(
    backend: str, tmp_path: Path, finops: Finops
) -> None:
    """A model file that was changed after its manifest was written answers no record; a manifest
    that cannot be read is named, and the file answers.
    """
    pytest.importorskip("llama_cpp")
    pytest.importorskip("llguidance")
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    manifest = tmp_path / "tiny.manifest.json"
    manifest.write_text(json.dumps({"outputs": [{"name": path.name, "sha256": "0" * 64}]}))
    run = ("triage", "-", "--backend", backend, "--triage-gguf", path, "--guard", "off")
    done = finops(*run, stdin=jsonl(a_fail()))
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"the file was changed after it was made" in done.stderr
    manifest.write_text("{")
    done = finops(*run, stdin=jsonl(a_fail()))
    assert len(done.stdout.splitlines()) == 1
    assert b"so tiny.gguf was not compared" in b" ".join(done.stderr.split())
