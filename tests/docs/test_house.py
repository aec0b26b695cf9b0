"""House rules that a number or a list of words can hold."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
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
    " conveyor crew ingredients beginnings survey examiner examine reopened promises"
)
"""Words of an earlier vocabulary; the names that replaced them are plain."""


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(text: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def long_functions(text: str, limit: int) -> list[str]:
    return [f.name for f in functions(text) if (f.end_lineno or 0) - f.lineno >= limit]


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= FILE_LINES
    assert long_functions(text, FUNCTION_LINES) == []


def test_a_folder_holds_few_modules() -> None:
    """A folder with more is two subjects."""
    modules = Counter(relative(path.parent) for path in MODULES if path.stem != "__init__")
    crowded = {folder for folder, count in modules.items() if count > FOLDER_MODULES}
    assert crowded <= CROWDED


def room_proportions(lines: Mapping[str, int]) -> dict[str, float]:
    """The rooms' proportions of the package's lines; `lines` is by path within the package."""
    rooms: Counter[str] = Counter()
    for path, count in lines.items():
        rooms[path.partition("/")[0]] += count
    return {room: count / rooms.total() for room, count in rooms.items()}


def test_no_room_holds_more_than_a_fifth_of_the_lines() -> None:
    lines = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in MODULES}
    large = {room for room, part in room_proportions(lines).items() if part > ROOM_PROPORTION}
    assert large == set()


def test_no_module_is_named_like_one_of_the_standard_library() -> None:
    alike = {relative(path) for path in MODULES if path.stem in sys.stdlib_module_names}
    assert alike <= LIKE_STDLIB | {relative(path) for path in MODULES if path.stem == "__main__"}


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
    """Modules that import each other in a circle, in order; empty if there are none."""
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


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle_in(import_graph()) == []


def participles_in(text: str) -> list[str]:
    """Functions named by a past participle; a property is a noun and may be one."""
    return [
        function.name
        for function in functions(text)
        if function.name.strip("_").partition("_")[0] in PARTICIPLES
        and not any("property" in ast.unparse(each) for each in function.decorator_list)
    ]


def test_functions_are_named_by_verbs() -> None:
    found = {name: relative(path) for path in MODULES for name in participles_in(path.read_text())}
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


def test_no_name_holds_a_dead_word() -> None:
    found = {
        name: relative(path)
        for path in SOURCES
        if path != Path(__file__)
        for name in {
            *dead_names_in(path.read_text()),
            *({path.stem} if words_of(path.stem) & DEAD_WORDS else ()),
        }
    }
    assert found == {}


def test_each_rule_finds_a_planted_defect() -> None:
    """A rule that finds nothing proves nothing."""
    assert long_functions("def f():\n" + "    x = 1\n" * 50, 50) == ["f"]
    assert long_functions("def f():\n" + "    x = 1\n" * 49, 50) == []
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
