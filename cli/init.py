"""`degen init`: write a configuration file, from questions or from options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from degen.scanning.settings import RUN_FOLDER, Settings, meanings

from . import options, output
from .completion import complete_corpus, complete_series

if TYPE_CHECKING:
    from degen.gate.new_config import NewConfig

RULE = "loss.rise < max(0.02, 1%)"  # what is proposed where somebody is asked


def init(
    *,
    series: Annotated[
        list[str] | None,
        typer.Option(
            help="What to measure and judge, as `degen scan` takes it; again for more.",
            show_default="you are asked",
            autocompletion=complete_series,
        ),
    ] = None,
    corpus: Annotated[str, typer.Option(help=meanings()["corpus"], autocompletion=complete_corpus)] = Settings.corpus,
    out: Annotated[str | None, typer.Option("--out", "-o", help=options.OUT.help, show_default=False)] = None,
    rule: options.Rules = None,
    pyproject: Annotated[
        bool, typer.Option("--pyproject", help="Add [tool.degen] to pyproject.toml instead of writing degen.toml.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a degen.toml that is there.")] = False,
) -> None:
    """Write a configuration file, from questions or from options.

    It is written into the working folder, where `degen gate`, `degen scan` and `degen rank` then need no arguments.
    Paths in it are relative to the file. On a terminal, without options, you are asked; elsewhere --series is needed.
    """
    from degen.gate.new_config import NewConfig, write_config
    from degen.scanning.config_file import OWN, PROJECT

    file = Path(PROJECT if pyproject else OWN)
    own_corpus = corpus if corpus != Settings.corpus else None  # the default need not be written
    asked = not any((series, own_corpus, out, rule)) and sys.stdin.isatty() and sys.stderr.isatty()
    if asked:
        if file.exists() and not pyproject and not force:  # before the questions, not behind them
            write_config(NewConfig(["-"]), file)
        config = _ask()
    else:
        config = NewConfig(series or [], own_corpus, out, rule or [])
    write_config(config, file, force)
    judged = "degen gate judges it" if config.rules else "degen scan measures it"
    output.result(f"{file}: written; {judged} without arguments")


def _ask() -> NewConfig:
    """Return what somebody at a terminal says; an empty line takes what is proposed, or leaves a key out."""
    from degen.gate.new_config import NewConfig

    series = _question("What shall be measured? A folder of checkpoints, a suite, org/name on the hub", "runs/my-model")
    corpus = _question("On which text? A file, a folder, a name of `degen corpora`; empty for the demo's", "")
    out = _question("Into which run folder", RUN_FOLDER)
    rules: list[str] = []
    if _yes("Shall `degen gate` judge it by rules?"):
        rules = _ask_rules()
    return NewConfig([series], corpus or None, out, rules)


def _ask_rules() -> list[str]:
    """Return the rules that somebody types, until an empty line; one that cannot be parsed is asked for again."""
    rules = [_valid_rule("The rule", RULE)]
    while rule := _valid_rule("Another rule; empty for no more", ""):
        rules.append(rule)
    return rules


def _valid_rule(text: str, proposed: str) -> str:
    """Return a rule that can be parsed, or an empty text; the reason why one cannot is on stderr."""
    from degen.errors import DegenError
    from degen.gate.parser import parse_rule

    while rule := _question(text, proposed):
        try:
            parse_rule(rule)
        except DegenError as error:
            output.warn(str(error))
        else:
            break
    return rule


def _yes(text: str) -> bool:
    return bool(typer.confirm(text, default=True, err=True))


def _question(text: str, proposed: str) -> str:
    reply: str = typer.prompt(text, default=proposed, show_default=bool(proposed), err=True)
    return reply.strip()
