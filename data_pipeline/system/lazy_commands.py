"""A command line whose commands are imported when they are called: its help is read from their source."""

import ast
import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


def lazy_group(places: Mapping[str, str]) -> type[TyperGroup]:
    """A class for `typer.Typer(cls=...)` with the commands name -> module.

    A module holds a function, or a Typer with commands of its own, that is called as the command with _ for -.
    """

    class LazyGroup(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            for name, module in places.items():
                self.add_command(_LazyCommand(name, module))

    return LazyGroup


class _LazyCommand(TyperCommand):
    """What stands for a command until it is called, with the first line of its help."""

    def __init__(self, name: str, module: str) -> None:
        super().__init__(name, help=_summary(module, _attribute(name)))
        self.module = module

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the command itself, which is imported here."""
        held = getattr(importlib.import_module(self.module), _attribute(str(self.name)))
        if isinstance(held, typer.Typer):
            command: Any = typer.main.get_group(held)
        else:
            alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            alone.command(self.name)(held)
            command = typer.main.get_command(alone)
        return command.make_context(info_name, args, parent=parent, **extra)


def _attribute(name: str) -> str:
    return name.replace("-", "_")


def _summary(module: str, function: str) -> str:
    """The first line of the docstring of a function, or of its module where the function is none, not imported."""
    specification = importlib.util.find_spec(module)
    if specification is None or specification.origin is None:
        raise ModuleNotFoundError(f"there is no module {module!r} for a command")
    tree = ast.parse(Path(specification.origin).read_text(encoding="utf-8"))
    found = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    return (ast.get_docstring(next(found, tree)) or "").partition("\n")[0]
