"""The lines between the parts of the house: who may import whom. Read from the source, without running it."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from pipelines.pipeline import STAGES

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "pyarrow", "dask", "distributed", "pandas", "numpy", "great_expectations", "cv2", "PIL", "retinaface"}


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, at_module_level: bool = False) -> Iterator[str]:
    """Yield the full names of everything that a module imports (``from a import b`` gives a and a.b)."""
    for node in _statements(ast.parse(path.read_text()), at_module_level):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _statements(tree: ast.AST, at_module_level: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        checked_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if at_module_level and (inside or checked_only):
            continue
        yield node
        yield from _statements(node, at_module_level)


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("path", modules("pipelines"), ids=name_of)
def test_the_library_knows_nothing_of_airflow(path: Path) -> None:
    assert [name for name in imports(path) if within(name, "airflow")] == []


@pytest.mark.parametrize("path", modules("pipelines/stages"), ids=name_of)
def test_a_stage_imports_neither_dask_nor_another_stage(path: Path) -> None:
    found = [name for name in imports(path) if within(name, "dask", "distributed", "pipelines.stages")]
    assert found == []


@pytest.mark.parametrize("path", modules("pipelines/commons") + modules("pipelines/vision"), ids=name_of)
def test_commons_and_vision_know_nothing_of_stages(path: Path) -> None:
    forbidden = (
        "pipelines.stages",
        "pipelines.engine",
        "pipelines.pipeline",
        "pipelines.releases",
        "pipelines.config",
    )
    assert [name for name in imports(path) if within(name, *forbidden)] == []


@pytest.mark.parametrize(
    ("folder", "above"),
    [
        ("storage", ("wit", "releases", "removals", "engine", "stages", "pipeline")),
        ("releases", ("removals", "stages")),
    ],
)
def test_what_is_below_knows_nothing_of_what_is_above(folder: str, above: tuple[str, ...]) -> None:
    forbidden = tuple(f"pipelines.{name}" for name in above)
    for path in modules(f"pipelines/{folder}"):
        assert [name for name in imports(path) if within(name, *forbidden)] == [], path


def test_only_the_leases_of_commons_know_dask() -> None:
    knowing = {
        path.name
        for path in modules("pipelines/commons") + modules("pipelines/vision")
        if any(within(name, "dask", "distributed") for name in imports(path))
    }
    assert knowing <= {"leases.py"}


@pytest.mark.parametrize("path", modules("dags"), ids=name_of)
def test_a_dag_imports_nothing_heavy_when_it_is_parsed(path: Path) -> None:
    assert [name for name in imports(path, at_module_level=True) if within(name, *HEAVY)] == []


@pytest.mark.parametrize("path", modules("pipelines/stages"), ids=name_of)
def test_a_stage_loads_torch_only_when_it_runs_a_network(path: Path) -> None:
    """A worker that only writes files, and every command line, does without its 200 MB and its second."""
    known = {name_of(module): module for module in modules("pipelines")}
    seen, waiting = {name_of(path)}, [path]
    while waiting:
        for name in set(imports(waiting.pop(), at_module_level=True)) - seen:
            seen.add(name)
            waiting += [known[name]] if name in known else []
    assert [name for name in seen if within(name, "torch", "retinaface")] == []


def test_there_are_no_import_circles() -> None:
    known = {name_of(path): path for path in modules("pipelines")}
    graph = {
        name: {imported for imported in imports(path, at_module_level=True) if imported in known and imported != name}
        for name, path in known.items()
    }
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"import circle: {' → '.join(error.args[1])}")


def test_the_files_in_stages_are_the_stages() -> None:
    assert {path.stem for path in modules("pipelines/stages")} - {"__init__"} == set(STAGES)


def test_the_top_level_is_the_one_that_was_agreed() -> None:
    for entry in ("dags", "plugins", "pipelines", "expectations", "tests", "docker", "airflow.cfg", "README.md"):
        assert (ROOT / entry).exists(), entry
