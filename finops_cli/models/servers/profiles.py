"""The request settings of a stage's model on a server: prompt, options and warm-up."""

from __future__ import annotations

from finops_cli.domain import exact_json
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import UsageError
from finops_cli.kb.load import bundled_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import bundled
from finops_cli.models.modelfile import typed_parameters
from finops_cli.models.prompts import Conversation, sentiment_text
from finops_cli.models.sentiment.classifier import STAGE
from finops_cli.models.servers.model import Profile
from finops_cli.models.tasks import RUN_TASKS
from finops_cli.rules.handoff import NotApplicable
from finops_cli.verify.codecs import FAIL

_REQUIRED_OPTIONS = (
    "num_ctx",
    "num_predict",
    "temperature",
    "top_p",
    "top_k",
    "repeat_penalty",
    "stop",
)
"""Options that finops always sends, because their defaults differ between servers and versions."""


def build_profile(stage: StageName, declared: str | None, model: str, kb: KnowledgeBase) -> Profile:
    """Build the request settings of `stage`: all parameters of the Modelfile that the model was
    trained for.

    `declared` is the name of that Modelfile in the model's card. Raises UsageError for an unknown
    name.
    """
    name = bundled.find_prompt_modelfile(stage, declared, model)
    path, options = bundled.modelfile(name).path, typed_parameters(bundled.modelfile(name))
    missing = [name for name in _REQUIRED_OPTIONS if name not in options]
    if missing:
        raise UsageError(
            f"{path}: PARAMETER {missing[0]} is missing; servers of different versions use"
            " different defaults",
            "add the PARAMETER line to the Modelfile",
        )
    reserve, context = kb.models.tokens[f"{stage}_reserve"], options["num_ctx"]
    if isinstance(context, int) and reserve >= context:
        raise UsageError(
            f"kb entry model.tokens: {stage}_reserve {reserve:,} leaves no room for a prompt in"
            f" num_ctx {context:,} of {path}",
            "lower the reserve in the knowledge base, or raise num_ctx in the Modelfile",
        )
    return Profile(model=model, options=options, probe=_probe_text(stage, name, kb), modelfile=name)


def _probe_text(stage: StageName, modelfile: str, kb: KnowledgeBase) -> str:
    """Return the prompt that warms a model up: of a text, or of a record."""
    own = {STAGE: sentiment_text}.get(stage)
    return build_probe(stage, modelfile, kb).text if own is None else own(_PROBE_TEXT)


_PROBE_TEXT = "Operating profit rose to $12.5 million, and the outlook was left unchanged."


def build_probe(stage: StageName, modelfile: str, kb: KnowledgeBase) -> Conversation:
    """Build the prompt of the bundled test record (`modelfiles/probe.json`)."""
    fail = FAIL.read(exact_json.decode((bundled_dir("modelfiles") / "probe.json").read_bytes()))
    if fail is None:
        raise UsageError("modelfiles/probe.json is not a fail record", "install finops again")
    record = RUN_TASKS[stage].record_of(fail, kb)
    if isinstance(record, NotApplicable):
        raise UsageError(
            f"modelfiles/probe.json has no stage 2: {record.reason}", "install finops again"
        )
    return RUN_TASKS[stage].task(record, kb, modelfile).prompt
