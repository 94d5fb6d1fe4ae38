"""A contract for import-linter: a module whose name begins with an underscore is used in its own folder only."""

from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, output


class PrivateModules(Contract):
    """Fails for each import of `a.b._c` by a module that is not in `a.b` or below it."""

    type_name = "private"

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002 (the interface has it)
        """Look at every import of the house."""
        broken = [
            f"{importer} -> {module}"
            for module in sorted(graph.modules)
            if (folder := private_to(module)) is not None
            for importer in sorted(graph.find_modules_that_directly_import(module))
            if not f"{importer}.".startswith(f"{folder}.")
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """One line for each import that is not allowed."""
        lines: list[Any] = check.metadata["broken"]
        for line in lines:
            output.print_error(line)


def private_to(module: str) -> str | None:
    """The folder that may use a module; None where every folder may."""
    folders = module.split(".")
    for depth, name in enumerate(folders):
        if name.startswith("_") and depth:
            return ".".join(folders[:depth])
    return None
