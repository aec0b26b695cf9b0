"""Why a model said nothing that could be judged: one tree, each class with its rule (`finops kb
show RULE`) and its policy.

NoReply                         from a server                           from the process of a model
file +-- Unreachable     server      no connection                           not started, or the
model not loaded +-- Busy            server      503, 429 +-- Crashed         crashed     5xx, an
error line in the stream        it died, or said what is no message |   +-- Torn        crashed
the stream broke, or is no protocol +-- Incomplete      once more   the stream ended without `done`
+-- Cut             once more   done_reason length                      the limit of tokens +--
NotGenerated    once more   done_reason load, unload, none +-- Flood           once more   more than
any answer can be             the same +-- Overdue         settle      the time of the record ran
out          the same +-- ContextExceeded settle      the prompt is longer than the context   the
same +-- PromptCut       settle      it read less than it was sent +-- Refused         settle
any other 4xx                           prompt or schema is no use +-- ModelGone       give up
404: the endpoint has lost the model

`server` and `crashed` are sent again where they were sent (`answer.retries`); `once more` is for
the loop to ask differently; `settle` leaves the record to the policy; `give up` holds the endpoint
back at once, for good when a try ends so too. EverythingDown, which ends a run, is a MissingPiece:
something has to be started.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from finops_cli.errors import MissingPiece

Policy = Literal["server", "crashed", "once more", "settle", "give up"]


class NoReply(Exception):
    """`detail` is what was seen, for people; `received` the text so far; `overcome` the rules of
    earlier failures of the request.
    """

    rule: ClassVar[str]
    policy: ClassVar[Policy]
    endpoint_failed: ClassVar[bool] = False
    """Whether it counts against the endpoint's breaker."""
    cure: ClassVar[str] = "see the server's log, or what `finops doctor` says of the model file"
    """What to do where every request ends so."""

    def __init__(self, detail: str, received: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.received = received
        self.overcome: tuple[str, ...] = ()


class Unreachable(NoReply):
    rule, policy, endpoint_failed = "reply.unreachable", "server", True
    cure = "start the server with `ollama serve`, or name a model file that can be loaded"


class Busy(NoReply):
    rule, policy, endpoint_failed = "reply.busy", "server", True
    cure = "wait until others have done, or ask less at once: --workers"


class Crashed(NoReply):
    rule, policy, endpoint_failed = "reply.crashed", "crashed", True


class Torn(Crashed):
    rule = "reply.torn"


class Incomplete(NoReply):
    rule, policy = "reply.incomplete", "once more"


class Cut(NoReply):
    rule, policy = "reply.length", "once more"
    prompt_tokens: int | None = None
    """What was counted: the answer was cut, the count is whole."""


class NotGenerated(NoReply):
    rule, policy = "reply.not_generated", "once more"


class Flood(NoReply):
    rule, policy = "reply.flood", "once more"


class Overdue(NoReply):
    rule, policy, endpoint_failed = "reply.overdue", "settle", True
    cure = "give it more time: --deadline"


class ContextExceeded(NoReply):
    rule, policy = "reply.context", "settle"


class PromptCut(NoReply):
    rule, policy = "reply.prompt_cut", "settle"


class Refused(NoReply):
    rule, policy, endpoint_failed = "reply.refused", "settle", True


class ModelGone(NoReply):
    rule, policy, endpoint_failed = "reply.model_gone", "give up", True
    cure = "make the model with `finops create`"


class EverythingDown(MissingPiece):
    """No endpoint is left; what was written so far is whole."""
