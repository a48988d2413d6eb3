"""Commands that are imported when they are needed, and help in panels by subject.

`degen --help` imports no command, so that it is there at once.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from .command_table import COMMANDS, EXAMPLES
from .option_panels import PANEL_EXAMPLES, RUN

ARGUMENTS = "Arguments"
OPTIONS = "Options"  # the panel of options that belong to no subject


class PanelCommand(TyperCommand):
    """A command whose help shows its options in panels by subject, some with an example."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, the options that the command has alone, those of a scan, and those of no subject."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                is_argument = parameter.param_type_name == "argument"
                panel = ARGUMENTS if is_argument else getattr(parameter, "rich_help_panel", None) or OPTIONS
                panels.setdefault(panel, []).append(record)
        order = {ARGUMENTS: 0, **{panel: 2 + i for i, panel in enumerate(PANEL_EXAMPLES)}, OPTIONS: 99}
        for panel in sorted(panels, key=lambda panel: order.get(panel, 1)):
            with formatter.section(panel):
                formatter.write_dl(panels[panel])
            if RUN in panels and panel in PANEL_EXAMPLES:
                _write_example(formatter, PANEL_EXAMPLES[panel].format(command=ctx.command_path))


class LazyGroup(TyperGroup):
    """The group of all commands; each is imported when it is run or asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands: MutableMapping[str, Any] = LazyCommands()

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, in the order of the help."""
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a line for each command, panel by panel, with an example each."""
        width = max(map(len, COMMANDS))
        for panel, example in EXAMPLES.items():
            rows = [(name.ljust(width), entry.line) for name, entry in COMMANDS.items() if entry.panel == panel]
            with formatter.section(panel):
                formatter.write_dl(rows)
            _write_example(formatter, example)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return the commands that a word begins, without importing one; the options of `degen` for a dash."""
        from typer._click.shell_completion import CompletionItem

        names = [name for name in COMMANDS if name.startswith(incomplete)]
        items = [CompletionItem(name, help=COMMANDS[name].line) for name in names]
        return items if items else super(TyperGroup, self).shell_complete(ctx, incomplete)


class LazyCommands(MutableMapping[str, Any]):
    """The commands by name, each built from its module when it is looked up."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            self._built[name] = _build(name)
        return self._built[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._built[name] = command

    def __delitem__(self, name: str) -> None:
        del self._built[name]

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def _build(name: str) -> Any:
    """Return a command, its module imported; KeyError for a name that is none."""
    target = getattr(import_module(f"degen.cli.{COMMANDS[name].module}"), name)
    if isinstance(target, typer.Typer):
        group = get_group(target)
        group.name = name
        return group
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(name, cls=PanelCommand)(target)
    return get_command(app)


def _write_example(formatter: Any, example: str) -> None:
    formatter.write(f"{'':{formatter.current_indent + 2}}Example: {example}\n")
