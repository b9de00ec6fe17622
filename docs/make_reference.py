"""Write the pages of the reference when the site is built: a hook of mkdocs, which calls `on_files`.

One page for each package, with every public name: what its `__init__.py` imports `as` itself. Nothing is imported.
"""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "dluxshera"
PACKAGES = ("params", "optics", "instrument", "inference", "ptychography", "plotting", "config", "campaigns", "legacy")
MODULES = {  # of a package, documented whole
    "optics": ("telescope_fields",),
    "inference": ("run_artifacts", "run_listing", "run_comparison"),
    "config": ("runs", "fit_runs", "run_signals", "scan_run_writer"),
}
HEAD = """# Reference

Every public name of every package, from its docstring. `import dluxshera as ds` has these at the top level:

| name | package |
|---|---|
"""


def public_names(init: Path) -> dict[str, str]:
    """What an `__init__.py` imports under its own name, with the module that it comes from."""
    tree = ast.parse(init.read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module]
    return {name.asname: node.module for node in imports for name in node.names if name.asname == name.name}


def package_page(package: str) -> str:
    """All public names of a package, then its modules that are documented whole."""
    names = public_names(PACKAGE / package / "__init__.py")
    own = "    options: {members: false, show_root_heading: false}\n"
    blocks = [f"# dluxshera.{package}\n", f"::: dluxshera.{package}\n{own}"]
    blocks += [f"::: dluxshera.{package}.{name}\n" for name in sorted(names, key=str.lower)]
    for module in MODULES.get(package, ()):
        members = [node.name for node in _definitions(PACKAGE / package / f"{module}.py")]
        blocks.append(f"::: dluxshera.{package}.{module}\n    options: {{members: {members}}}\n")
    return "\n".join(blocks)


def _definitions(path: Path) -> list[ast.FunctionDef | ast.ClassDef]:
    """Public functions and classes of a module."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return [n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]


def top_page() -> str:
    """Names of `dluxshera` itself, with links."""
    names = public_names(PACKAGE / "__init__.py")
    packages = {name: module.partition(".")[0] for name, module in names.items()}
    rows = sorted(packages.items(), key=lambda row: (PACKAGES.index(row[1]), row[0].lower()))
    return HEAD + "".join(f"| `ds.{name}` | [{package}]({package}.md) |\n" for name, package in rows)


def on_files(files, config):
    """Add the pages to the files of the site."""
    from mkdocs.structure.files import File  # the tests read this file without mkdocs

    pages = {"reference/index.md": top_page()} | {f"reference/{name}.md": package_page(name) for name in PACKAGES}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files
