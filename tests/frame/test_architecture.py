"""The import rules of docs/architecture.md, read off the code; no ignore list."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "breakeven"

# Lower numbers may import nothing of higher ones. Rooms of one layer may import each other.
LAYERS: dict[str, int] = {
    name: height
    for height, names in enumerate(
        [
            ["errors"],
            ["yaml12", "quantity", "artifacts", "changes", "extras", "economics"],
            ["config", "task", "pipeline"],
            ["ledger", "tasks", "data"],
            ["metrics", "transforms"],
            ["training", "trust"],
            ["models"],
            ["packaging"],
            ["serving"],
            ["measuring", "watching"],
            ["stages"],
            ["recipes", "billing"],
            ["project"],
            ["report", "refresh"],
            ["console"],
            ["cli", "__main__", "__init__"],
        ]
    )
    for name in names
}
HEAVY = {
    "torch", "transformers", "peft", "sklearn", "scipy", "onnx", "onnxruntime", "onnxscript", "tokenizers", "fastapi",
    "starlette", "uvicorn", "sqlalchemy", "polars", "httpx", "rich", "model_signing", "sigstore", "jinja2", "fastexcel",
    "reportlab", "fontTools", "drafthorse", "pypdf", "lxml", "PIL",
}  # fmt: skip


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


@functools.cache
def read(path: Path) -> tuple[list[str], list[tuple[str, int]]]:
    """What a module imports, and the lines of its functions. The tree itself would burden every later collection."""
    nodes = statements(ast.parse(path.read_text()))
    functions = [(node.name, (node.end_lineno or 0) - node.lineno) for node in nodes
                 if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]  # fmt: skip
    return imports(nodes), functions


def statements(tree: ast.Module) -> list[ast.AST]:
    """Every statement, however deep: expressions, ten times as many, import and define nothing."""
    found: list[ast.AST] = [tree]
    for node in found:
        for name in ("body", "orelse", "handlers", "finalbody", "cases"):
            found += getattr(node, name, ())
    return found


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(nodes: list[ast.AST]) -> list[str]:
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += (
                [node.module] if node.module != "breakeven" else [f"breakeven.{alias.name}" for alias in node.names]
            )
    return found


def rising(path: Path) -> list[str]:
    """What a module imports from above itself."""
    here = room(path)
    others = [(name, name.split(".")[1]) for name in read(path)[0] if name.startswith("breakeven.")]
    return [f"{path.relative_to(SOURCE)} imports {name}, which stands above it"
            for name, other in others if other != "__init__" and LAYERS.get(other, 0) > LAYERS[here]]  # fmt: skip


def test_imports_point_down_only() -> None:
    assert [line for path in modules() for line in rising(path)] == []


# What every command imports before it knows what to do; a framework in any of these would be paid for by all.
LIGHT = """
import sys, pkgutil, importlib
import breakeven.project, breakeven.cli, breakeven.report, breakeven.recipes, breakeven.billing
for module in pkgutil.iter_modules(breakeven.cli.__path__):
    if module.name != "__main__":
        importlib.import_module(f"breakeven.cli.{module.name}")
from breakeven import tasks
for name in tasks.TABLE:
    task = tasks.find(name)
    for model in task.models:
        task.model(model).load().settings
"""


def test_heavy_packages_are_imported_on_use() -> None:
    code = f"{LIGHT}\nprint([name for name in {sorted(HEAVY)!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_room_has_its_layer() -> None:
    assert {room(path) for path in modules()} - set(LAYERS) == set()


def test_economics_knows_no_file_clock_or_network() -> None:
    forbidden = {
        "os",
        "pathlib",
        "time",
        "socket",
        "httpx",
        "urllib",
        "io",
        "subprocess",
        "tempfile",
        "shutil",
        "random",
    }
    for path in (SOURCE / "economics").rglob("*.py"):
        names = {name.split(".")[0] for name in read(path)[0]}
        assert not names & forbidden, f"{path.name} imports {sorted(names & forbidden)}"
        assert "now(" not in path.read_text(), f"{path.name} reads a clock"


def test_stages_name_no_concrete_task() -> None:
    names = {path.stem for path in (SOURCE / "tasks").glob("*.py")} - {"__init__"}
    for path in (SOURCE / "stages").glob("*.py"):
        text = path.read_text()
        for name in names:
            assert name not in text and name.replace("_", "-") not in text, f"{path.name} names the task {name}"


def test_nothing_is_pickled() -> None:
    for path in modules():
        names = {name.split(".")[0] for name in read(path)[0]}
        assert not names & {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}, path.name
        assert "torch.load(" not in path.read_text(), path.name


def test_the_top_module_and_the_help_are_light() -> None:
    code = (
        "import sys, breakeven, breakeven.cli; from breakeven.cli import breakeven as b; "
        f"heavy = {sorted(HEAVY | {'numpy', 'pydantic'})!r}; print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_files_and_functions_stay_small() -> None:
    for path in modules():
        text = path.read_text()
        assert text.count("\n") <= 400, f"{path.relative_to(SOURCE)} has {text.count(chr(10))} lines"
        for name, lines in read(path)[1]:
            assert lines < 60, f"{path.name}: {name} is too long"
