"""The reply of a worker: an answer, or the failure that it reports."""

from __future__ import annotations

from finops_cli.domain import limits
from finops_cli.models import failures
from finops_cli.models.llama_cpp.messages import GenerationResult


def require_whole_text(result: GenerationResult, context_size: int) -> str:
    """Return the text of a complete answer of a model with `context_size` tokens.

    Raises the failure of an incomplete one.
    """
    if result.end == "context":
        raise failures.ContextExceeded(
            f"the prompt is {result.prompt_tokens:,} tokens, the context"
            f" has room for {context_size:,}"
        )
    if result.end == "refused":
        raise failures.Rejected(result.text)
    if len(result.text) > limits.REPLY_CHARS:
        raise failures.TooLong(
            f"{len(result.text):,} characters were received", result.text[: limits.REPLY_CHARS]
        )
    if result.end == "length":
        cut = failures.Truncated(f"the answer was cut after {result.tokens:,} tokens", result.text)
        cut.prompt_tokens = result.prompt_tokens
        raise cut
    return result.text


def refuse_invalid_unicode(prompt: str) -> None:
    """Raise Rejected for a prompt that cannot be encoded."""
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise failures.Rejected(
            f"the prompt is not valid Unicode: {error.reason} at character {error.start:,}"
        ) from error
