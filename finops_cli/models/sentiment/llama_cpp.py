"""A model file as a sentiment backend: the logits of the three labels, nothing is sampled."""

from __future__ import annotations

from pathlib import Path

from finops_cli.errors import UsageError
from finops_cli.files.model_manifest import refuse_changed_file
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.bundled import model_files
from finops_cli.models.llama_cpp.connect import open_llama_cpp
from finops_cli.models.prompts import sentiment_prompt_sha256
from finops_cli.models.sentiment.classifier import STAGE
from finops_cli.models.sentiment.language_model import LanguageClassifier
from finops_cli.models.sentiment.model_calibration import read_temperature
from finops_cli.models.sentiment.request import SentimentRequest


def open_classifier(
    request: SentimentRequest, kb: KnowledgeBase
) -> tuple[LanguageClassifier, tuple[str, ...]]:
    """Open the model file of `request`, else the small model that ships.

    Raises UsageError without a file, MissingPiece without llama-cpp-python.
    """
    notices: list[str] = []
    path = request.gguf
    if path is None:
        path = _bundled()
        notices.append(f"no model file is named: {path.name}, which ships with finops, answers")
    model = open_llama_cpp(
        BackendRequest(
            backend="llama-cpp",
            stages=(STAGE,),
            ggufs={STAGE: path},
            timeout=request.timeout,
            workers=request.workers,
        ),
        kb,
    )
    digest = str((model.origin.digests or {})[STAGE])
    refuse_changed_file(path, digest.removeprefix("sha256:"), notices.append)
    temperature = read_temperature(path, digest)
    if temperature is None:
        notices.append(
            f"{path.name} has no calibration: its confidence is not calibrated; `finops train"
            f" --stage sentiment --kind calibration --base {path}` fits it"
        )
    origin = model.origin._replace(
        models={STAGE: path.name},
        digests={STAGE: digest},
        prompt_sha256=sentiment_prompt_sha256(),
        settings=f"{model.origin.settings} {request.on_violation} temperature {temperature}",
    )
    model.origin = origin
    classifier = LanguageClassifier(model, kb, temperature=temperature or 1.0, has_choices=True)
    return classifier, tuple(notices)


def _bundled() -> Path:
    found = model_files((STAGE,)).get(STAGE)
    if found is None:
        raise UsageError(
            "no model file was named for sentiment, and none ships with this installation",
            "add --sentiment-gguf FILE (or set FINOPS_SENTIMENT_GGUF)",
        )
    return found
