"""From the names of model files to a model: what is looked at, refused, read from a Modelfile,
and weighed against the memory.
"""

from __future__ import annotations

import ast
import hashlib
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from finops_cli import extras
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.files.digests import sha256_of_file
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.failures import NoEndpointLeft
from finops_cli.models.llama_cpp.connect import (
    WorkerLayout,
    build_profile,
    must_take_turns,
    open_llama_cpp,
    worker_layout,
)
from finops_cli.models.llama_cpp.memory import memory_bytes, token_bytes
from finops_cli.models.llama_cpp.messages import Load, Sampling
from finops_cli.models.llama_cpp.model import LlamaCppModel, Profile
from finops_cli.models.llama_cpp.worker_process import NotLoaded
from finops_cli.models.protocol import CompletionRequest, ModelStage, Origin
from tests.support.cures import cured_by
from tests.support.program import ROOT
from tests.support.tiny_gguf import Shape, write_tiny_gguf

WITHOUT_THE_EXTRA = (
    "import sys; sys.modules['llama_cpp'] = sys.modules['llguidance'] = None; from finops_cli.cli"
    " import main; main()"
)


def test_without_the_extra_the_cure_is_told(tmp_path: Path) -> None:
    """Before a file is looked at: whoever has none yet learns what to install, and exit 3 says that
    something is missing.
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


def test_the_extra_brings_what_the_worker_imports() -> None:
    """Every package beyond finops and Python that a module of the worker imports, by the name that
    it is installed by.
    """
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
    assert beyond == {wanted.partition(">")[0] for wanted in extra}


class Loaded:
    """A process in name only: it holds memory from its start to its stop, and dies when it is told
    to.
    """

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


def two_models(kb: KnowledgeBase, room: int, memory: set[str], *paths: str) -> LlamaCppModel:
    stages: tuple[ModelStage, ...] = ("triage", "resolver")
    profiles = {
        stage: Profile(Load(path, 1000), Sampling())
        for stage, path in zip(stages, paths, strict=True)
    }
    start: Callable[[Load], object] = lambda load: Loaded(memory, load.path, room)  # noqa: E731 - it is one
    return LlamaCppModel(Origin("llama-cpp", is_model=True), profiles, kb.models, start=start)  # type: ignore[arg-type]


def test_a_model_that_does_not_load_beside_another_takes_turns_with_it(kb: KnowledgeBase) -> None:
    """The other one is unloaded, and `must_alternate` becomes true."""
    memory: set[str] = set()
    model = two_models(kb, 1, memory, "triage.gguf", "resolver.gguf")
    model.prepare("triage")
    assert not model.must_alternate
    model.prepare("resolver")
    assert (model.must_alternate, memory) == (True, {"resolver.gguf"})
    model.prepare("triage")
    assert memory == {"triage.gguf"}


def test_models_that_fit_side_by_side_stay_and_one_that_fits_nowhere_is_told(
    kb: KnowledgeBase,
) -> None:
    """Two where there is room for two; where there is room for none, the cure names what takes
    less.
    """
    memory: set[str] = set()
    model = two_models(kb, 2, memory, "triage.gguf", "resolver.gguf")
    for stage in ("triage", "resolver", "triage"):
        model.prepare(stage)
    assert (model.must_alternate, memory) == (False, {"triage.gguf", "resolver.gguf"})
    with pytest.raises(UsageError, check=cured_by("smaller context, or fewer --workers")):
        two_models(kb, 0, set(), "triage.gguf", "resolver.gguf").prepare("triage")


def test_contexts_are_weighed_with_the_file(tmp_path: Path, gguf: Path) -> None:
    """Keys and values of two bytes, for each head, layer, token, sequence (one more for the prefix)
    and group.
    """
    shape = Shape(layers=3, width=64, heads=2)
    path = write_tiny_gguf(tmp_path / "whole.gguf", shape=shape)
    assert token_bytes(path) == 2 * 3 * 2 * (32 + 32)
    load = Load(str(path), 1000, sequences=4, groups=2)
    assert memory_bytes(load) == path.stat().st_size + 1000 * 5 * 2 * 768
    assert token_bytes(gguf) is None
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(path.read_bytes()[:200])
    assert memory_bytes(Load(str(torn), 1000)) == 200


def test_models_take_turns_where_they_need_too_much_together() -> None:
    """A share of what is free; one model alone, or a system that does not tell, is left to try."""
    assert must_take_turns([40, 31], 100, 70)
    assert not must_take_turns([40, 30], 100, 70)
    assert not must_take_turns([90], 100, 70)
    assert not must_take_turns([90, 90], None, 70)


def model_of_file(path: Path, kb: KnowledgeBase, memory: set[str]) -> LlamaCppModel:
    one = Profile(Load(str(path), 1000), Sampling(), identity=sha256_of_file(path)[1])
    start: Callable[[Load], object] = lambda load: Loaded(memory, load.path, 1)  # noqa: E731 - it is one
    return LlamaCppModel(
        Origin("llama-cpp", is_model=True), {"triage": one}, kb.models, start=start
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["put in its place", "written over", "gone"])
def test_a_file_that_is_replaced_is_not_loaded(
    how: str, gguf: Path, tmp_path: Path, quick: KnowledgeBase
) -> None:
    """Its digest stands in the lines: after a death, or in its next turn, the run ends instead, and
    `changes` tells.
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
    with pytest.raises(
        NoEndpointLeft, match="no longer the file that the run began with"
    ) as failure:
        model.complete(CompletionRequest("triage", "a", 1))
    assert "begin a new run" in (failure.value.cure or "")
    with pytest.raises(MissingPiece, match="no longer the file"):
        model.prepare("triage")


OPTIONS = {
    "num_ctx": 2048,
    "temperature": 0.1,
    "top_k": 40,
    "top_p": 0.9,
    "repeat_penalty": 1.0,
    "num_predict": 512,
}


def test_a_model_is_asked_as_its_modelfile_says(gguf: Path) -> None:
    """Every parameter that sways an answer arrives; one that only Ollama does is refused, not
    dropped.
    """
    made = build_profile(
        gguf, {**OPTIONS, "stop": ["<|im_end|>"], "num_predict": -1, "seed": 3}, "prefix"
    )
    assert (made.load.context, made.load.prefix, made.sampling, made.stops) == (
        2048,
        "prefix",
        Sampling(0.1),
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


def test_what_a_modelfile_says_of_the_machine_is_done(gguf: Path) -> None:
    """Layers on a GPU and prompt tokens in one go; unsaid, all layers, and as many tokens as
    Ollama's default.
    """
    loads = [
        build_profile(gguf, given, "").load
        for given in (OPTIONS, {**OPTIONS, "num_gpu": 0, "num_batch": 64})
    ]
    assert [(load.gpu_layers, load.batch) for load in loads] == [(-1, 512), (0, 64)]


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    """Not there, a folder, or something else."""
    (tmp_path / "text.gguf").write_text("hello")
    for name, told in (
        ("none.gguf", "no such GGUF file"),
        (".", "no such GGUF file"),
        ("text.gguf", "is not a GGUF file"),
    ):
        with pytest.raises(UsageError, match=told):
            build_profile(tmp_path / name, OPTIONS, "")


def test_small_models_are_decoded_by_one_team_for_each_core() -> None:
    """Large ones by all cores together; whoever says how many answers at once gets as many, or a
    few more.
    """
    small, large = 1_000_000, 5_000_000_000
    assert worker_layout(small, 2, None) == WorkerLayout(8, 2, 1)
    assert worker_layout(large, 16, None) == WorkerLayout(4, 1, 16)
    assert worker_layout(small, 2, 1) == WorkerLayout(1, 1, 2)
    assert worker_layout(small, 2, 5) == WorkerLayout(3, 2, 1)
    assert worker_layout(large, 4, 12) == WorkerLayout(12, 1, 4)


def test_the_origin_names_what_the_model_answers_with(gguf: Path, kb: KnowledgeBase) -> None:
    """File name, digest of the file, digest of the prompts, and all that sways an answer; how many
    are decoded at once does not.
    """
    pytest.importorskip("llama_cpp")
    pytest.importorskip("llguidance")
    models = [
        open_llama_cpp(BackendRequest("llama-cpp", ("triage",), workers=n, triage_gguf=gguf), kb)
        for n in (None, 3)
    ]
    first, second = (model.origin for model in models)
    assert first == second
    assert (first.name, first.models.triage) == ("llama-cpp", "tiny.gguf")
    assert first.digests is not None
    assert first.digests.triage == hashlib.sha256(gguf.read_bytes()).hexdigest()
    assert first.settings is not None
    assert '"temperature":0.1' in first.settings
    assert models[0].context_size("triage") == 2048
    assert models[1].concurrency < models[0].concurrency
