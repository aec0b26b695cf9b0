"""Why a model gave no answer that could be checked, as one tree.

Each class has its rule (`finops kb show RULE`) and its policy.

ModelError                      from a server                       from a llama.cpp worker process
+-- Unreachable     server      no connection                       not started, model not loaded
+-- Busy            server      503, 429
+-- Crashed         crashed     5xx, an error line in the stream    it died, or sent no message
|   +-- ConnectionLost crashed  the stream broke, or is not HTTP
+-- Incomplete      once more   the stream ended without `done`
+-- Interrupted     crashed     [DONE] without `finish_reason`: another request came
+-- Truncated       once more   done_reason length                  the limit of tokens
+-- EmptyGeneration once more   done_reason load, unload, none
+-- ReasoningOnly   once more   text in `thinking`, none in `response`
+-- TooLong         once more   longer than any answer can be       the same
+-- TimedOut        settle      the time of the record ran out      the same
|   +-- Silent      settle      no byte for a while in the middle of an answer
+-- ContextExceeded settle      the prompt is longer than the context   the same
+-- PromptTruncated settle      it read less than it was sent
+-- Rejected        settle      any other 4xx                       unusable prompt or schema
+-- ModelMissing    give up     404: the endpoint has lost the model
+-- Unauthorized    give up     401, 403: the key is missing or wrong

Policies: `server` and `crashed` requests are sent again to the same place (kb: `model.retries`);
`once more` lets the verification loop ask differently; `settle` leaves the record to the violation
policy; `give up` takes the endpoint out of use at once, and for good if its test fails in the same
way; an endpoint that passes its test gets the request once more. NoEndpointLeft ends a run; it is a
MissingPiece, because something has to be started.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from finops_cli.errors import MissingPiece

Policy = Literal["server", "crashed", "once more", "settle", "give up"]


class ModelError(Exception):
    """A request without an answer that can be checked.

    `detail` describes the failure for people, `received` is the text so far, and `overcome` lists
    the rules of earlier failures of the request.
    """

    rule: ClassVar[str]
    policy: ClassVar[Policy]
    endpoint_failed: ClassVar[bool] = False
    """True if the failure counts for the endpoint's breaker."""
    cure: str = "see the server's log, or run `finops doctor` to check the model file"
    """The fix if every request fails like this."""

    def __init__(self, detail: str, received: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.received = received
        self.overcome: tuple[str, ...] = ()


class Unreachable(ModelError):
    rule, policy, endpoint_failed = "reply.unreachable", "server", True
    cure = "start the server with `ollama serve`, or name a model file that can be loaded"


class Busy(ModelError):
    rule, policy, endpoint_failed = "reply.busy", "server", True
    retry_after: float | None = None
    """The seconds that the server asks to wait."""
    cure = "wait until other requests are finished, or send fewer at once (--workers)"


class Crashed(ModelError):
    rule, policy, endpoint_failed = "reply.crashed", "crashed", True


class ConnectionLost(Crashed):
    rule = "reply.connection_lost"


class Incomplete(ModelError):
    rule, policy = "reply.incomplete", "once more"


class Interrupted(ModelError):
    rule, policy = "reply.interrupted", "crashed"


class Truncated(ModelError):
    rule, policy = "reply.truncated", "once more"
    prompt_tokens: int | None = None
    """Tokens of the prompt as counted by the server. The count is complete, although the answer is
    not.
    """


class EmptyGeneration(ModelError):
    rule, policy = "reply.empty", "once more"


class ReasoningOnly(ModelError):
    rule, policy = "reply.reasoning_only", "once more"


class TooLong(ModelError):
    rule, policy = "reply.too_large", "once more"


class TimedOut(ModelError):
    rule, policy, endpoint_failed = "reply.timeout", "settle", True
    cure = "increase --timeout"


class Silent(TimedOut):
    rule = "reply.silence"
    cure = "see the server's log, or increase `silence` in kb entry model.timeouts"


class ContextExceeded(ModelError):
    rule, policy = "reply.context", "settle"


class PromptTruncated(ModelError):
    rule, policy = "reply.prompt_truncated", "settle"


class Rejected(ModelError):
    rule, policy, endpoint_failed = "reply.rejected", "settle", True


class ModelMissing(ModelError):
    rule, policy, endpoint_failed = "reply.model_missing", "give up", True
    cure = "make the model with `finops create`"


class Unauthorized(ModelError):
    rule, policy, endpoint_failed = "reply.unauthorized", "give up", True
    cure = "give the key that the server asks for"


class NoEndpointLeft(MissingPiece):
    """No endpoint is left. The output so far is complete."""


class EndpointsDown(NoEndpointLeft):
    """No endpoint answers at the moment. Only a service, which does not wait, raises it."""

    def __init__(self, message: str, cure: str, seconds: float) -> None:
        super().__init__(message, cure)
        self.seconds = seconds
        """Seconds until an endpoint is tried again."""
