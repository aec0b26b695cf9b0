"""The meaning of each problem of the service, and its cure."""

from __future__ import annotations

from typing import NamedTuple


class ProblemText(NamedTuple):
    """A kind of problem, for whoever meets it."""

    status: int
    title: str
    meaning: str
    cure: str


PROBLEMS: dict[str, ProblemText] = {
    "broken-rules": ProblemText(
        422,
        "The override breaks rules",
        "The checker compared the override with the rules and found rules that it breaks.",
        "Correct the override, or tick each rule that it knowingly breaks and give the reason.",
    ),
    "busy": ProblemText(
        503,
        "The service has too much to do",
        "As many requests are in work as the service takes. Nothing was done with yours.",
        "Send it again after the seconds of the header Retry-After.",
    ),
    "changed": ProblemText(
        412,
        "The file has changed",
        "The header If-Match names another version of the file than the one that is here now.",
        "Read the file from its beginning; the header ETag names the version.",
    ),
    "client-busy": ProblemText(
        429,
        "Your token has too many requests in work",
        "One token may have a limited number of requests in work, so that others get their turn.",
        "Wait for the answers of earlier requests; for many records, start a job.",
    ),
    "deadline": ProblemText(
        504,
        "The time of the request is over",
        "The header Finops-Deadline gave the answer fewer seconds than it took. Nothing is kept.",
        "Give it more seconds, send fewer records, or start a job.",
    ),
    "deleted": ProblemText(
        410,
        "This was deleted",
        "It was here, and somebody deleted it, or it was kept as long as the service keeps such"
        " things. The audit log says when.",
        "Upload the file again, or start the job again.",
    ),
    "disk-full": ProblemText(
        507,
        "The disk of the service is full",
        "Nothing of your request was stored.",
        "Free space in the data folder, or ask whoever runs the service; then send it again.",
    ),
    "export": ProblemText(
        503,
        "The export could not be written",
        "The process that writes the file has ended.",
        "Try it again. If it happens again, export fewer fails.",
    ),
    "exports-busy": ProblemText(
        503,
        "Other exports are being written",
        "A limited number of exports is written at once.",
        "Try it again in a few seconds.",
    ),
    "foreign-page": ProblemText(
        403,
        "The request came from another page",
        "A page of another site, or an old tab, sent a form to the service. Nothing was done.",
        "Open the desk by its own address and do it there. A program sends its token in the header"
        " Authorization and no cookie.",
    ),
    "form": ProblemText(
        400,
        "The form arrived damaged",
        "The end of the form is missing, or it is not a form of the desk.",
        "Send it again from the page.",
    ),
    "guard": ProblemText(
        503,
        "The guard has ended",
        "The process that looks for personal data has ended, so nothing was stored.",
        "Send the file again. If it happens again, look into the log of the service.",
    ),
    "head-too-large": ProblemText(
        431,
        "The head of the request is too large",
        "The address and the headers of the request have more bytes than the service reads.",
        "Send shorter headers, or put long values into the body.",
    ),
    "in-use": ProblemText(
        409,
        "A job reads this file",
        "A file cannot be deleted while a job needs it.",
        "Stop the job, or wait until it ends.",
    ),
    "in-work": ProblemText(
        409,
        "The same request is in work",
        "Another request with the same Idempotency-Key has not ended yet.",
        "Wait, then send it again with the same key: it gets the same answer.",
    ),
    "internal": ProblemText(
        500,
        "The service has a fault",
        "The program did something that it should not. Your data is as it was before.",
        "Please report it as a bug, with the request number.",
    ),
    "jobs-busy": ProblemText(
        503,
        "Too many jobs wait",
        "The queue of jobs is full.",
        "Wait until a job ends, or stop one that is not needed.",
    ),
    "key-reused": ProblemText(
        422,
        "The key belongs to another request",
        "An Idempotency-Key names one request with one content.",
        "Make a new key for the new request.",
    ),
    "media-type": ProblemText(
        415,
        "The content has a type that is not accepted here",
        "The body is packed, or the header Content-Type names a type that this path does not take.",
        "Send it unpacked, with the type that the message names.",
    ),
    "method": ProblemText(
        405,
        "The path does not take this method",
        "The path exists, and answers other methods than the one of the request.",
        "Use one of the methods in the header Allow.",
    ),
    "model-down": ProblemText(
        503,
        "No model answers",
        "Each server of models has failed several times in a row. The service goes on trying.",
        "Wait for the seconds of Retry-After. Whoever runs the service can start it with"
        " --when-down engine: then the rules answer in the meantime.",
    ),
    "no-output": ProblemText(
        409,
        "The output is not there",
        "The job has not written anything yet, or its output was deleted.",
        "Wait for its start, or start the job again.",
    ),
    "not-found": ProblemText(
        404,
        "This does not exist",
        "The address, or the thing that it names, is not known here.",
        "Check the address. The pages in the menu, and /openapi.json for programs, list what there"
        " is.",
    ),
    "not-installed": ProblemText(
        501,
        "A package is missing",
        "What you asked for needs a package that is not installed where the service runs.",
        "Ask whoever runs the service to install what the message names.",
    ),
    "not-json": ProblemText(
        400,
        "The body is not JSON",
        "The text of the request cannot be read as JSON.",
        "Correct it at the place that the message names. A CSV goes through an upload.",
    ),
    "not-ready": ProblemText(
        503,
        "Something is missing",
        "A part that the answer needs does not work or is not installed.",
        "Do what the message names as the fix.",
    ),
    "proposal": ProblemText(
        409,
        "The proposal has changed",
        "The override that you looked at does not wait for a second person any more.",
        "Load the fail again and decide on what it shows now.",
    ),
    "range": ProblemText(
        416,
        "The range lies outside the file",
        "The header Range asks for bytes that the file does not have.",
        "Ask for bytes within the length in the header Content-Range.",
    ),
    "record": ProblemText(
        422,
        "The record cannot be used",
        "A field is missing or has a value that the rules do not accept. Each one is listed with"
        " its value and what is accepted.",
        "Correct the fields and send the record again.",
    ),
    "request": ProblemText(
        400,
        "The request cannot be read",
        "The request does not follow HTTP.",
        "Send it again from a browser or a usual client.",
    ),
    "right": ProblemText(
        403,
        "Your role may not do this",
        "Each token has a role: a reader sees, an analyst decides, an operator runs files and jobs,"
        " an auditor reads the audit log, an admin may do everything.",
        "Ask whoever runs the service for a token of another role.",
    ),
    "state": ProblemText(
        409,
        "It is in another state now",
        "Somebody or something was faster: the job or the fail is not as you saw it.",
        "Load the page again and look at what stands now.",
    ),
    "stopping": ProblemText(
        503,
        "The service is stopping",
        "It finishes what is in work and takes nothing new. Jobs go on when it starts again.",
        "Wait until it has started again.",
    ),
    "streams-busy": ProblemText(
        503,
        "Other streams are running",
        "A limited number of streams of JSON Lines runs at once.",
        "Try it again soon, or upload the file and start a job.",
    ),
    "token": ProblemText(
        401,
        "A token is needed",
        "The request has no token, or one that is wrong or has expired.",
        "Sign in, or send the header Authorization: Bearer TOKEN. `finops token new` makes tokens.",
    ),
    "too-large": ProblemText(
        413,
        "It is too large",
        "The request is larger than this path takes.",
        "Split it. A file with many records goes through an upload and a job.",
    ),
    "too-many-wrong-tokens": ProblemText(
        429,
        "Too many wrong tokens",
        "Wrong tokens came from your address, one after the other. Somebody may be guessing.",
        "Wait a minute, then use the right token.",
    ),
    "uploads-busy": ProblemText(
        503,
        "Other uploads are running",
        "A limited number of files is received at once.",
        "Try it again when one of them has ended.",
    ),
    "wrong-host": ProblemText(
        421,
        "The service has another address",
        "The request names a host that the service does not answer to. This protects it from pages"
        " that point a foreign name at it.",
        "Use the address that the service printed at its start, or start it with --allow-host.",
    ),
    "wrong-value": ProblemText(
        422,
        "A value is not accepted",
        "A parameter or a field has a value that the message names.",
        "Use one of the values that the message lists.",
    ),
}
"""Each problem by its name."""
