"""The house: its layers, its public names, its two colours."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tframex
from tests.conftest import ROOT
from tframex import agents, model, sync, systems, tools

PACKAGE = ROOT / "tframex"

# Each layer may import only from those above it in this list.
LAYERS = [
    ["errors", "_types", "servers"],
    ["completion"],
    ["events"],
    ["_address", "_checks", "_logging", "files", "tasks", "tokens"],
    ["text"],
    ["chunking"],
    ["exchange"],
    ["client"],
    ["local"],
    ["model"],
    ["tools"],
    ["agents"],
    ["systems"],
    ["sync"],
    ["testing"],
    ["cli"],
    ["__main__"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


# What breaks a rule of the house today. Whoever mends one takes it off its list; nothing is added.
PRIVATE_IMPORTS: set[str] = set()
# Of the official client's, by the same name.
PRIVATE_USES = {"model/_official.py: _client"}
OPENAI_IMPORTS = {"model/_official.py"}


def imports(path: Path, *, run_time: bool = False) -> set[str]:
    """The modules a file imports, also inside functions and (unless only at run time) for type checking."""
    found = set()
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if run_time and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]


def home(path: Path) -> str:
    """The package or module directly below `tframex` that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_layer_imports_only_from_those_below_it(path: Path) -> None:
    own = home(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "tframex" and parts[1:] != ["__version__"]:
            assert RANK[parts[1]] < RANK[own] or parts[1] == own, f"{own} imports {parts[1]}"
        assert parts[0] != "httpx", "the official client speaks httpx2; httpx is only what a user may inject"


def test_no_package_imports_a_private_module_of_another() -> None:
    """What a package has for others is in the `__all__` of its `__init__`."""
    found = set()
    for path in FILES:
        for name in imports(path):
            top, *parts = name.split(".")
            private = any(part.startswith("_") and not part.startswith("__") for part in parts[1:])
            if top == "tframex" and private and parts[0] != home(path):
                found.add(f"{name_of(path)}: {name}")
    assert found == PRIVATE_IMPORTS


def test_no_package_reaches_into_a_private_attribute_of_another() -> None:
    """What is private is used where it is made: in its package."""
    made: dict[str, set[str]] = {}
    used: list[tuple[Path, str]] = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = made.setdefault(home(path), set())
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.add(node.name)
            elif isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                if ast.unparse(node.value) in ("self", "cls"):
                    names.add(node.attr)
                else:
                    used.append((path, node.attr))
    ours = set().union(*made.values())
    found = {f"{name_of(path)}: {name}" for path, name in used if name in ours - made[home(path)]}
    assert found == PRIVATE_USES


def test_no_file_has_more_than_260_lines() -> None:
    found = {name_of(path) for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > 260}
    assert found == set()


def test_only_the_exchange_and_the_drop_in_import_openai() -> None:
    """Others name it at most for type checkers; from_client alone must know an official client when it sees one."""
    found = {
        name_of(path)
        for path in FILES
        if home(path) not in ("exchange", "client")
        and any(name.split(".")[0] == "openai" for name in imports(path, run_time=True))
    }
    assert found == OPENAI_IMPORTS


def test_sync_names_openai_only_for_type_checkers() -> None:
    code = "import sys, tframex.sync; print('openai' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT).strip() == b"False"


@pytest.mark.parametrize(
    "name",
    [
        "tframex",
        "tframex.agents",
        "tframex.model",
        "tframex.sync",
        "tframex.systems",
        "tframex.testing",
        "tframex.tools",
    ],
)
def test_public_names_are_sorted_and_importable(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__all__ == sorted(module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    for public in module.__all__:
        assert getattr(module, public) is not None
        assert public in dir(module)


def test_the_names_of_the_seed_are_importable_from_everywhere_they_should_be() -> None:
    for home, names in {
        "tframex.model": ("BaseModel", "VLLMModel"),
        "tframex.agents": ("BaseAgent", "BasicAgent", "ContextAgent"),
        "tframex.systems": ("BaseSystem", "ChainOfAgents", "MultiCallSystem"),
    }.items():
        for name in names:
            assert getattr(importlib.import_module(home), name) is getattr(tframex, name)
            assert hasattr(sync, name)


def test_type_checkers_see_the_public_names_that_there_are() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname: f"{node.module}.{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {name: f"{tframex._HOME[name]}.{name}" for name in tframex.__all__ if name != "__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = tframex.Nonsense


def test_importing_tframex_prints_nothing_and_starts_nothing() -> None:
    code = (
        "import sys, threading, logging, tframex; "
        "assert threading.active_count() == 1; assert not logging.getLogger('tframex').handlers; "
        "assert not {'openai', 'anyio', 'structlog', 'tiktoken', 'msgspec'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_the_version_is_the_package_s() -> None:
    from importlib.metadata import version

    assert tframex.__version__ == version("tframex")


# -- the pair --------------------------------------------------------------------------------------------------------

PAIRS = [
    (model.BaseModel, sync.BaseModel),
    (model.VLLMModel, sync.VLLMModel),
    (model.EndpointCounter, sync.EndpointCounter),
    (agents.BaseAgent, sync.BaseAgent),
    (agents.BasicAgent, sync.BasicAgent),
    (agents.ContextAgent, sync.ContextAgent),
    (agents.Conversation, sync.Conversation),
    (agents.ToolAgent, sync.ToolAgent),
    (systems.BaseSystem, sync.BaseSystem),
    (systems.ChainOfAgents, sync.ChainOfAgents),
    (systems.LongTextSystem, sync.LongTextSystem),
    (systems.MapReduceSystem, sync.MapReduceSystem),
    (systems.MultiCallSystem, sync.MultiCallSystem),
    (tools.MCPTools, sync.MCPTools),
]

# A tool is the same in both colours: a synchronous function runs in a thread, an asynchronous one is awaited.
TOOLS = {"AskAgain", "Tool", "ToolContext", "ToolFailure", "Toolset", "tool"}


def public_methods(cls: type) -> dict[str, Any]:
    return {
        name: inspect.getattr_static(cls, name)
        for name in dir(cls)
        if not name.startswith("_") and name != "register" and callable(getattr(cls, name))
    }


def signature(function: Any) -> tuple[list[tuple[Any, ...]], str]:
    function = function.__func__ if isinstance(function, classmethod) else function
    found = inspect.signature(function)
    parameters = [(p.name, p.kind, p.default, str(p.annotation)) for p in found.parameters.values()]
    return parameters, str(found.return_annotation)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda cls: cls.__name__)
def test_the_two_colours_have_the_same_methods(ours: type, theirs: type) -> None:
    missing = set(public_methods(ours)) - set(public_methods(theirs))
    assert not missing, f"tframex.sync.{theirs.__name__} lacks {missing}"
    for name, method in public_methods(ours).items():
        parameters, returns = signature(method)
        twin_parameters, twin_returns = signature(public_methods(theirs)[name])
        assert twin_parameters == parameters, f"{ours.__name__}.{name}"
        # AsyncIterator[T] with Iterator[T]; a generator can also be closed, and takes nothing.
        returns = re.sub(r"^Async(Iterator|Generator)\[(.*?)(, None)?\]$", r"Generator[\2, None, None]", returns)
        assert twin_returns == returns, f"{ours.__name__}.{name}"
        assert inspect.getdoc(public_methods(theirs)[name]) == inspect.getdoc(method), f"{ours.__name__}.{name}"


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda cls: cls.__name__)
def test_the_two_colours_are_made_alike_and_say_the_same(ours: type, theirs: type) -> None:
    assert theirs.__doc__ == ours.__doc__
    assert (ours.__doc__ or "").strip()
    if "__init__" in vars(theirs):

        def arguments(cls: Any) -> list[tuple[Any, ...]]:
            return [(p.name, p.kind, p.default, str(p.annotation)) for p in inspect.signature(cls).parameters.values()]

        assert arguments(theirs) == arguments(ours)
    properties = {
        name for name in dir(ours) if isinstance(inspect.getattr_static(ours, name), property) and name[0] != "_"
    }
    assert properties <= set(dir(theirs))


def test_everything_in_sync_is_in_both() -> None:
    pairs = {theirs.__name__ for _, theirs in PAIRS}
    assert set(sync.__all__) == pairs | {"LocalServer", "blocking"} | TOOLS
