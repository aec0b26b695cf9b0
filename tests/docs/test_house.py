"""House rules of the repository that a number or a list of words can check."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import pytest

from tests.support.program import ROOT


def words(text: str) -> set[str]:
    return set(text.split())


PACKAGE = ROOT / "finops_cli"
MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = [*MODULES, *sorted((ROOT / "tests").rglob("*.py")), *(ROOT / "benchmarks").glob("*.py")]
FILE_LINES, FUNCTION_LINES, FOLDER_MODULES, ROOM_PROPORTION = 400, 50, 20, 0.2
CROWDED = {"finops_cli/commands"}
"""Folders that may hold more modules: in `commands` each verb is a file."""
LIKE_STDLIB = {
    "finops_cli/training/planning/inspect.py",  # read with its folder: planning inspects a request
    "finops_cli/verify/codecs.py",  # the word for what it holds; `codecs` is rarely imported
}
PARTICIPLES = words(
    "told said heard shown marked judged counted compared concluded quoted dealt drawn"
    " chosen spoken worked written passed asked begun borne singled fought decoded encoded"
    " rendered replaced explained"
    " refused watched opened measured expected compiled translated trained"
)
"""Words that a function's name may not begin with: a function is called by what it does."""
DEAD_WORDS = words(
    "foundry standin sitting sittings speaker speakers spoken duel duels fought tolerated stations"
    " conveyor crew ingredients beginnings survey examiner examine reopened"
)
"""Words of an earlier vocabulary; the names that replaced them are plain."""


TEST_FILES = sorted((ROOT / "tests").rglob("test_*.py"))
TEST_NAME_LENGTH, FOLDER_TEST_FILES = 60, 20
ARTICLES = words("a an the what it they")
"""Words that the name of a test may not begin with: a name begins with the unit under test."""
MARKERS = words("slow cli llama train ollama calendars")
MARKERS_OF_PYTEST = words("parametrize skipif filterwarnings usefixtures xfail")


def relative_path(path: Path) -> str:
    return str(path.relative_to(ROOT))


@lru_cache(maxsize=1)
def parse(text: str) -> ast.Module:
    """Parse a file once for the rules that read it one after the other."""
    return ast.parse(text)


def functions(text: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """List the functions of a file; no expression is searched, because none holds a function."""
    blocks: list[ast.AST] = [parse(text)]
    for node in blocks:
        for field in ("body", "orelse", "handlers", "finalbody", "cases"):
            inner = getattr(node, field, ())
            blocks += inner if isinstance(inner, list) else ()
    return [node for node in blocks if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def long_functions(text: str, limit: int) -> list[str]:
    return [f.name for f in functions(text) if (f.end_lineno or 0) - f.lineno >= limit]


@pytest.mark.parametrize("path", SOURCES, ids=relative_path)
def test_files_and_functions_are_within_their_length(path: Path) -> None:
    """A file has at most 400 lines, and a function at most 50."""
    text = path.read_text()
    assert len(text.splitlines()) <= FILE_LINES
    assert long_functions(text, FUNCTION_LINES) == []


def test_package_folder_has_at_most_20_modules() -> None:
    """A folder of the package has at most 20 modules, because more are two subjects."""
    modules = Counter(relative_path(path.parent) for path in MODULES if path.stem != "__init__")
    crowded = {folder for folder, count in modules.items() if count > FOLDER_MODULES}
    assert crowded <= CROWDED


def room_proportions(lines: Mapping[str, int]) -> dict[str, float]:
    """The rooms' proportions of the package's lines; `lines` is by path within the package."""
    rooms: Counter[str] = Counter()
    for path, count in lines.items():
        rooms[path.partition("/")[0]] += count
    return {room: count / rooms.total() for room, count in rooms.items()}


def test_no_subpackage_has_over_a_fifth_of_the_lines() -> None:
    """No subpackage has more than a fifth of the lines of the package."""
    lines = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in MODULES}
    large = {room for room, part in room_proportions(lines).items() if part > ROOM_PROPORTION}
    assert large == set()


def test_no_module_is_named_like_a_standard_library_module() -> None:
    """A module does not have the name of a module of the standard library, with two listed
    exceptions.
    """
    shared = {relative_path(path) for path in MODULES if path.stem in sys.stdlib_module_names}
    assert shared <= LIKE_STDLIB | {
        relative_path(path) for path in MODULES if path.stem == "__main__"
    }


def imports_of(source: str, package: str, known: set[str]) -> Iterator[str]:
    """Modules of `known` that `source` imports when it is loaded, typing and late imports too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                parent = package.rsplit(".", node.level - 1)[0]
                module = f"{parent}.{module}" if module else parent
            for alias in node.names:
                full = f"{module}.{alias.name}"
                if full in known or module in known:
                    yield full if full in known else module


def circle_in(graph: Mapping[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, in order; empty without a circle."""
    done: set[str] = set()
    for start in graph:
        path: list[str] = []
        stack = [(start, iter(sorted(graph[start])))] if start not in done else []
        while stack:
            module, rest = stack[-1]
            if len(path) < len(stack):
                path.append(module)
            following = next(rest, None)
            if following is None:
                done.add(module)
                stack.pop()
                path.pop()
            elif following in path:
                return [*path[path.index(following) :], following]
            elif following not in done:
                stack.append((following, iter(sorted(graph[following]))))
    return []


def import_graph() -> dict[str, set[str]]:
    names = {
        path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in MODULES
    }
    known = set(names.values())
    return {
        name: set(
            imports_of(
                path.read_text(),
                name if path.stem == "__init__" else name.rpartition(".")[0],
                known,
            )
        )
        - {name}
        for path, name in names.items()
    }


@pytest.mark.slow
def test_modules_do_not_import_each_other_in_a_circle() -> None:
    """The imports of the package, typing and late ones included, have no circle."""
    assert circle_in(import_graph()) == []


def participles_in(text: str) -> list[str]:
    """Functions named by a past participle; a property is a noun and may be one."""
    return [
        function.name
        for function in functions(text)
        if function.name.strip("_").partition("_")[0] in PARTICIPLES
        and not any("property" in ast.unparse(each) for each in function.decorator_list)
    ]


@pytest.mark.slow
def test_function_names_do_not_start_with_a_participle() -> None:
    """A function is named by what it does, so its name does not start with a past participle."""
    found = {
        name: relative_path(path) for path in MODULES for name in participles_in(path.read_text())
    }
    assert found == {}


def dead_names_in(text: str) -> set[str]:
    """Names in `text` that hold a dead word, as one of their words."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        for field in ("name", "id", "attr", "arg", "asname"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                names.add(value)
    return {name for name in names if words_of(name) & DEAD_WORDS}


def words_of(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


@pytest.mark.slow
def test_no_name_contains_a_word_of_the_old_vocabulary() -> None:
    """No name of a module, class, function or variable contains a word of the earlier
    vocabulary.
    """
    found = {
        name: relative_path(path)
        for path in SOURCES
        if path != Path(__file__)
        for name in {
            *dead_names_in(path.read_text()),
            *({path.stem} if words_of(path.stem) & DEAD_WORDS else ()),
        }
    }
    assert found == {}


def list_tests(text: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [function for function in functions(text) if function.name.startswith("test_")]


def badly_named_tests(text: str) -> list[str]:
    """Names of tests that are too long, or that begin with an article."""
    return [
        test.name
        for test in list_tests(text)
        if len(test.name) > TEST_NAME_LENGTH or test.name.split("_")[1] in ARTICLES
    ]


def undocumented_tests(text: str) -> list[str]:
    """Names of tests without a docstring that ends in a full stop."""
    return [
        test.name for test in list_tests(text) if not (ast.get_docstring(test) or "").endswith(".")
    ]


def unknown_markers(text: str) -> set[str]:
    """Markers in `text`, written as `pytest.mark.NAME`, that are in neither list."""
    used = {
        node.attr
        for node in ast.walk(parse(text))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and ast.unparse(node.value) == "pytest.mark"
    }
    return used - MARKERS - MARKERS_OF_PYTEST


@pytest.mark.parametrize("path", TEST_FILES, ids=relative_path)
def test_tests_have_short_names_docstrings_and_known_markers(path: Path) -> None:
    """A test has a name of at most 60 characters that begins with the unit under test, a docstring
    and only known markers.
    """
    text = path.read_text()
    assert badly_named_tests(text) == []
    assert undocumented_tests(text) == []
    assert unknown_markers(text) == set()
    assert ast.get_docstring(parse(text))


def test_markers_are_declared_in_pyproject() -> None:
    """The markers that tests may use are those that pyproject.toml declares."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]
    declared = {line.partition(":")[0] for line in settings["ini_options"]["markers"]}
    assert declared == MARKERS


def crowded_folders(files: Iterable[str]) -> set[str]:
    """Folders that hold more test files than a folder may."""
    counts = Counter(file.rpartition("/")[0] for file in files)
    return {folder for folder, count in counts.items() if count > FOLDER_TEST_FILES}


def test_test_folder_has_at_most_20_test_files() -> None:
    """A folder of tests has at most 20 test files, because more are two subjects."""
    assert crowded_folders(map(relative_path, TEST_FILES)) == set()


def test_each_house_rule_finds_a_planted_defect() -> None:
    """Each function of this module that searches for defects finds one that is planted."""
    assert long_functions("def f():\n" + "    x = 1\n" * 50, 50) == ["f"]
    assert long_functions("def f():\n" + "    x = 1\n" * 49, 50) == []
    within = "class A:\n  if x:\n    pass\n  else:\n    try:\n      pass\n    except E:\n"
    within += "      match x:\n        case 1:\n          with y:\n            async def f():\n"
    assert long_functions(within + "              x = 1\n" * 50, 50) == ["f"]
    assert room_proportions({"a/b.py": 3, "a/c/d.py": 3, "e.py": 4}) == {"a": 0.6, "e.py": 0.4}
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    known = {"p.a", "p.b", "p.c"}
    source = "from p import a\nfrom p.b import x\nimport p.c\nfrom os import path"
    assert set(imports_of(source, "p", known)) == known
    assert set(imports_of("from . import a\nfrom .b import x", "p", known)) == {"p.a", "p.b"}
    source = "class A:\n    @property\n    def told(self): ...\n    def _told_by(self): ...\n"
    assert participles_in(source) == ["_told_by"]
    assert dead_names_in("def open_speaker(kb): ...\nclass StandIn: ...") == {"open_speaker"}
    assert dead_names_in("loudspeakers = outstanding = 1") == set()


def test_each_rule_about_tests_finds_a_planted_defect() -> None:
    """A long name, an article, a missing docstring, an unknown marker and a full folder
    are found.
    """
    good = '@pytest.mark.slow\ndef test_unit_works() -> None:\n    """It works."""\n'
    long_name = f"test_{'x' * 56}"
    assert badly_named_tests(good + f"def {long_name}(): ...") == [long_name]
    assert badly_named_tests("def test_a_unit_works(): ...") == ["test_a_unit_works"]
    assert undocumented_tests("def test_unit_works(): ...") == ["test_unit_works"]
    assert undocumented_tests('def test_unit_works():\n    """Fragment"""') == ["test_unit_works"]
    assert unknown_markers("@pytest.mark.slwo\ndef test_unit_works(): ...") == {"slwo"}
    assert (badly_named_tests(good), undocumented_tests(good)) == ([], [])
    assert unknown_markers(good) == set()
    files = [f"tests/full/test_{number}.py" for number in range(21)]
    assert crowded_folders([*files, "tests/few/test_1.py"]) == {"tests/full"}
    assert crowded_folders(files[1:]) == set()


def test_decisions_have_a_number_each() -> None:
    """No two pages of decisions share a number, and each title begins with it."""
    pages = sorted((ROOT / "docs/decisions").glob("0*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    titles = [page.read_text("utf-8").partition(".")[0] for page in pages]
    assert len(set(numbers)) == len(pages) > 30
    assert titles == [f"# {number}" for number in numbers]
