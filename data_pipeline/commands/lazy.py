"""A program of commands, each imported when it is called; `--help` reads the sources instead."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from data_pipeline.system.lazy import docstring
from data_pipeline.system.version import version as installed


def program(
    name: str, summary: str, commands: Mapping[str, str], groups: Mapping[str, str] | None = None
) -> typer.Typer:
    """The command line `name`: of every command the module that holds its function, of every group what to say of it.

    A command's function has the command's name. A group's module holds a `Typer` of that name.
    """
    texts = dict(groups or {})

    class Commands(TyperGroup):
        """Placeholders that become commands when they are called."""

        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            for command, module in commands.items():
                text = texts.get(command) or docstring(module, command).partition("\n\n")[0]
                self.commands[command] = TyperCommand(command, help=inspect.cleandoc(text))

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            """The command that the arguments call, imported."""
            called, _, rest = super().resolve_command(ctx, args)
            return called, None if called is None else _loaded(called, commands[called]), rest

    app = typer.Typer(
        name=name, help=summary, cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False,
    )  # fmt: skip

    def show(wanted: bool) -> None:
        if wanted:
            typer.echo(f"{name} {installed()}")
            raise typer.Exit

    @app.callback(help=summary)
    def _options(
        version: Annotated[
            bool, typer.Option("--version", callback=show, is_eager=True, help="Show the version and exit.")
        ] = False,
        quiet: Annotated[
            bool, typer.Option("--quiet", help="Print errors alone; the exit code tells the rest.")
        ] = False,
        log_json: Annotated[
            bool, typer.Option("--log-json", help="Print one JSON object a line on stderr, nothing on stdout.")
        ] = False,
    ) -> None:
        """Options of the program itself; `running.run` takes the last two wherever they stand."""

    return app


def _loaded(name: str, module: str) -> Any:
    """The command or group `name` of a module."""
    found = getattr(import_module(module), name)
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)  # `get_command` makes a command of a group of one
        group.name = name
        return group
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name)(found)
    return typer.main.get_command(alone)
