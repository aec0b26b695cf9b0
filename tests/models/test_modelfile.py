"""The Modelfile: its format, its errors, and its parameters with the types of the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.errors import UsageError
from finops_cli.kb.load import bundled_dir
from finops_cli.models.modelfile import Message, Modelfile, read_modelfile, typed_parameters
from finops_cli.models.ollama_options import OPTIONS
from tests.support.cures import cured_by

FENCE = '"""'


def modelfile(folder: Path, text: str) -> Modelfile:
    path = folder / "Modelfile"
    path.write_bytes(text.encode())
    return read_modelfile(path)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("FROM ./a.gguf", "bases", ("./a.gguf",)),
        ("from qwen3:8b", "bases", ("qwen3:8b",)),
        ("\n# a comment\n  FROM\t a b.gguf  \n", "bases", ("a b.gguf",)),
        ('FROM "a b.gguf"', "bases", ("a b.gguf",)),
        ("FROM a\nFROM mmproj.gguf", "bases", ("a", "mmproj.gguf")),
        ("\ufeffFROM a", "bases", ("a",)),
        ("FROM a # b", "bases", ("a # b",)),
        ("# finops: thinks\nFROM a", "thinks", True),
        ('FROM a\nSYSTEM "one\n# finops: thinks\nend"', "thinks", False),
        ("FROM a\nSYSTEM one two", "system", "one two"),
        ('FROM a\nSystem "one"', "system", "one"),
        ('FROM a\nSYSTEM "one\n# two\nSYSTEM three"', "system", "one\n# two\nSYSTEM three"),
        (f"FROM a\nSYSTEM {FENCE}one  \n\n  two\n{FENCE}", "system", "one  \n\n  two\n"),
        (f'FROM a\nSYSTEM {FENCE}say "yes"{FENCE}  ', "system", 'say "yes"'),
        (f"FROM a\r\nSYSTEM {FENCE}one\r\ntwo{FENCE}\r\n", "system", "one\ntwo"),
        ("FROM a\nSYSTEM 'one'", "system", "'one'"),
        ('FROM a\nSYSTEM say "yes"', "system", 'say "yes"'),
        ('FROM a\nSYSTEM ""', "system", ""),
        ("FROM a\nSYSTEM a\u2028b\x0cc", "system", "a\u2028b\x0cc"),
        ("FROM a", "system", None),
        (
            f"FROM a\nTEMPLATE {FENCE}{{{{ .System }}}}\n{{{{ .Prompt }}}}{FENCE}",
            "template",
            "{{ .System }}\n{{ .Prompt }}",
        ),
        ("FROM a\nADAPTER l.gguf", "adapters", ("l.gguf",)),
        ("FROM a\nDRAFT d.gguf", "drafts", ("d.gguf",)),
        (f"FROM a\nLICENSE MIT\nLICENSE {FENCE}x\ny{FENCE}", "licenses", ("MIT", "x\ny")),
        (
            "FROM a\nMESSAGE user hi: you\nmessage Assistant yes\nMESSAGE user again",
            "messages",
            (Message("user", "hi: you"), Message("assistant", "yes"), Message("user", "again")),
        ),
        (
            f"FROM a\nMESSAGE system {FENCE}one\ntwo{FENCE}",
            "messages",
            (Message("system", "one\ntwo"),),
        ),
        ("FROM a\nRENDERER qwen3.5\nPARSER qwen3", "renderer", "qwen3.5"),
        ("FROM a\nRENDERER qwen3.5\nPARSER qwen3", "parser", "qwen3"),
        ("FROM a\nREQUIRES v0.30.0-rc1", "requires", "0.30.0-rc1"),
        (
            "FROM a\nPARAMETER Top_K 4\nparameter stop x",
            "parameters",
            (("top_k", "4"), ("stop", "x")),
        ),
    ],
)
def test_modelfile_format_is_read_as_ollama_reads_it(
    text: str, field: str, value: object, tmp_path: Path
) -> None:
    """Instructions in any case, comments, quoted and bare values, multi-line texts and repeated
    instructions are read as Ollama reads them.
    """
    assert getattr(modelfile(tmp_path, text), field) == value


def test_modelfile_in_utf_16_is_read_by_its_byte_order_mark(tmp_path: Path) -> None:
    """A Modelfile in UTF-16 with a byte order mark is read."""
    (tmp_path / "Modelfile").write_bytes("FROM a\r\nSYSTEM é".encode("utf-16"))
    assert read_modelfile(tmp_path / "Modelfile").system == "é"


def test_modelfile_without_system_has_no_prompt(tmp_path: Path) -> None:
    """A Modelfile without SYSTEM is read, but asking for its prompt raises UsageError."""
    assert modelfile(tmp_path, "FROM a\nSYSTEM x").prompt == "x"
    with pytest.raises(UsageError, match="SYSTEM is missing"):
        _ = modelfile(tmp_path, "FROM a").prompt


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SYSTEM x", "FROM is missing"),
        ("# FROM a", "FROM is missing"),
        (
            "# finops: thinks\n# finops: thinkz\nFROM a",
            ":2: # finops: thinkz is unknown; accepted: # finops: thinks",
        ),
        ("FROM a\n\nSYSTEM x\nSYSTEM y", ":4: SYSTEM is given twice"),
        (
            "FROM a\nSYSTME x",
            ":2: SYSTME is not an instruction. Expected one of: ADAPTER, DRAFT, FROM, LICENSE",
        ),
        ("FROM", ":1: FROM has no value"),
        ('FROM ""', ":1: FROM takes a name or a path"),
        ('FROM "a\nb"', ":1: FROM takes a name or a path, on this line"),
        ("FROM a\nPARAMETER stop", ":2: PARAMETER stop has no value"),
        ("FROM a\nPARAMETER", ":2: PARAMETER has no value"),
        (
            "FROM a\nPARAMETER stop ''\nMESSAGE tool x",
            ":3: MESSAGE takes a role .system, user, assistant.",
        ),
        (
            "FROM a\nREQUIRES soon",
            ":2: REQUIRES takes a version of Ollama such as 0.30.0, not soon",
        ),
        (f"FROM a\nSYSTEM {FENCE}x\ny", f":2: .* no closing {FENCE}"),
        (f"FROM a\nSYSTEM {FENCE}x{FENCE} y", ":2: .* no closing"),
        ('FROM a\nSYSTEM "x', ':2: .* no closing "'),
    ],
)
def test_invalid_modelfile_names_line_and_accepted_values(
    text: str, message: str, tmp_path: Path
) -> None:
    """An invalid Modelfile raises UsageError with the line and what is accepted there."""
    with pytest.raises(UsageError, match=message):
        modelfile(tmp_path, text)


def test_modelfile_in_latin_1_suggests_utf_8(tmp_path: Path) -> None:
    """A Modelfile in another encoding raises UsageError with the fix to save it as UTF-8."""
    (tmp_path / "Modelfile").write_bytes("FROM a\nSYSTEM é".encode("latin-1"))
    with pytest.raises(UsageError, check=cured_by("save it as UTF-8")):
        read_modelfile(tmp_path / "Modelfile")


LINE = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters='"'), max_size=20
)
NAME = LINE.map(str.strip).filter(bool)
TEXT = st.lists(LINE, min_size=1, max_size=4).map("\n".join)


@st.composite
def modelfiles(draw: st.DrawFn) -> Modelfile:
    many, once = st.lists(NAME, max_size=3).map(tuple), st.none() | TEXT
    messages = st.builds(Message, st.sampled_from(["system", "user", "assistant"]), TEXT)
    parameters = st.lists(st.tuples(st.sampled_from([*OPTIONS]), NAME), max_size=4).map(tuple)
    return Modelfile(
        path=Path("Modelfile"),
        bases=draw(st.lists(NAME, min_size=1, max_size=3).map(tuple)),
        parameters=draw(parameters),
        template=draw(once),
        system=draw(once),
        adapters=draw(many),
        licenses=draw(st.lists(TEXT, max_size=2).map(tuple)),
        messages=draw(st.lists(messages, max_size=3).map(tuple)),
        renderer=draw(st.none() | NAME),
        parser=draw(st.none() | NAME),
        requires=draw(st.none() | st.just("0.30.1")),
        drafts=draw(many),
    )


def render_modelfile(file: Modelfile, upper: bool, fence: str) -> str:
    """The file as text, an instruction a line; texts between `fence`s, names bare."""
    lines = [("FROM", base) for base in file.bases]
    lines += [(f"PARAMETER {name}", text) for name, text in file.parameters]
    texts = {"TEMPLATE": file.template, "SYSTEM": file.system}
    lines += [(name, f"{fence}{text}{fence}") for name, text in texts.items() if text is not None]
    lines += [("LICENSE", f"{fence}{text}{fence}") for text in file.licenses]
    lines += [
        (f"MESSAGE {message.role}", f"{fence}{message.content}{fence}") for message in file.messages
    ]
    names = {"RENDERER": file.renderer, "PARSER": file.parser, "REQUIRES": file.requires}
    lines += [(name, text) for name, text in names.items() if text is not None]
    lines += [("ADAPTER", text) for text in file.adapters] + [
        ("DRAFT", text) for text in file.drafts
    ]
    return "\n# between\n".join(f"{name if upper else name.lower()} {text}" for name, text in lines)


@pytest.mark.slow
@given(modelfiles(), st.booleans(), st.sampled_from(['"', FENCE]))
def test_rendered_modelfile_is_read_back_unchanged(
    file: Modelfile, upper: bool, fence: str
) -> None:
    """Any names and texts, in upper or lower case and either kind of quotes, are read back
    unchanged.
    """
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        read = modelfile(Path(folder), render_modelfile(file, upper, fence))
    for field in Modelfile.__struct_fields__:
        if field not in ("path", "lines"):
            assert getattr(read, field) == getattr(file, field)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("num_ctx 2048", 2048),
        ("num_predict -1", -1),
        ("temperature 0.1", 0.1),
        ("temperature 1", 1.0),
        ("top_p .9", 0.9),
        ("min_p 1e-2", 0.01),
        ("repeat_penalty 1.0", 1.0),
        ('seed "7"', 7),
        ("use_mmap true", True),
        ("stop 1", ["1"]),
    ],
)
def test_modelfile_parameter_has_the_type_of_its_option(
    line: str, value: object, tmp_path: Path
) -> None:
    """A parameter becomes an integer, a number, a boolean or a text, as its option requires."""
    [found] = typed_parameters(modelfile(tmp_path, f"FROM a\nPARAMETER {line}")).values()
    assert (found, type(found)) == (value, type(value))


def test_modelfile_stops_are_a_list_and_numbers_are_exact(tmp_path: Path) -> None:
    """Repeated stop parameters become a list, and 0.1 stays 0.1 in the request."""
    text = (
        'FROM a\nPARAMETER stop "<|im_end|>"\nPARAMETER temperature 0.1\nPARAMETER stop'
        ' """a\nb"""\nPARAMETER repeat_penalty 1.0'
    )
    parameters = json.dumps(typed_parameters(modelfile(tmp_path, text)))
    assert (
        parameters == r'{"stop": ["<|im_end|>", "a\nb"], "temperature": 0.1, "repeat_penalty": 1.0}'
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "num_ctxx 2048",
            ":2: PARAMETER num_ctxx: Ollama has no such option; did you mean num_ctx?",
        ),
        ("zzz 1", "accepted: num_ctx, num_batch"),
        (
            "mirostat 1",
            ":2: PARAMETER mirostat: Ollama no longer has this option; leave the line out",
        ),
        ("num_ctx 2048.0", ":2: PARAMETER num_ctx takes a whole number, not 2048.0"),
        ("num_ctx 9999999999999999", "num_ctx takes a whole number"),
        ("num_ctx 1_000", "num_ctx takes a whole number"),
        ("temperature warm", "temperature takes a number, not warm"),
        ("temperature nan", "temperature takes a number"),
        ("temperature 1e999", "temperature takes a number"),
        ("use_mmap 1", "use_mmap takes true or false, not 1"),
        ("top_k 1\nPARAMETER top_k 2", ":3: PARAMETER top_k is given twice"),
    ],
)
def test_modelfile_parameter_that_the_api_ignores_is_refused(
    line: str, message: str, tmp_path: Path
) -> None:
    """An unknown parameter name or a value of the wrong type is refused, because the API would not
    report it.
    """
    with pytest.raises(UsageError) as refused:
        typed_parameters(modelfile(tmp_path, f"FROM a\nPARAMETER {line}"))
    assert message in refused.value.one_line()


@pytest.mark.parametrize("quotes", ['"', FENCE])
def test_text_of_many_lines_is_read_once(quotes: str, tmp_path: Path) -> None:
    """A text may have as many lines as the file allows, and each is looked at once: no line copies
    those before it.
    """
    text = "a line\n\n" * 60_000
    assert modelfile(tmp_path, f"FROM a\nSYSTEM {quotes}{text}{quotes}").system == text
    with pytest.raises(UsageError, match="has no closing"):
        modelfile(tmp_path, f"FROM a\nSYSTEM {quotes}{text}")


def test_stops_are_collected_in_one_list(tmp_path: Path) -> None:
    """Thousands of stops are thousands of entries, in order; the text of each is kept."""
    stops = [f"stop {number}" for number in range(20_000)]
    lines = "".join(f"PARAMETER stop {stop}\n" for stop in stops)
    assert typed_parameters(modelfile(tmp_path, f"FROM a\n{lines}")) == {"stop": stops}


@pytest.mark.parametrize("stage", ["triage", "resolver", "sentiment"])
def test_bundled_modelfile_has_file_prompt_and_settings(stage: str) -> None:
    """Each bundled Modelfile has a file, a system prompt and a sufficient context. The JSON stages
    have their fixed sampling settings.
    """
    file = read_modelfile(bundled_dir("modelfiles") / f"{stage}.Modelfile")
    settings: dict[str, Any] = typed_parameters(file)
    assert file.bases[0].endswith(".gguf")
    assert file.system
    assert settings["num_ctx"] > settings["num_predict"]
    if stage != "sentiment":
        assert (settings["temperature"], settings["top_k"], settings["repeat_penalty"]) == (
            0.1,
            40,
            1.0,
        )
