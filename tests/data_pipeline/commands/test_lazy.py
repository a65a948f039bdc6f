"""Commands that are imported when they are called: help, options, groups and mistakes are as if they were there."""

import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data_pipeline.commands.app import COMMANDS, app
from data_pipeline.commands.lazy import program

ROOT = Path(__file__).resolve().parents[3]
FAR_AWAY = '''
"""Says what comes from far away."""
import typer

def far_away(word: str, times: int = 1) -> None:
    """Say a word.

    Often, if need be.
    """
    typer.echo(word * times)
'''
MANY = '''
"""Several things at once."""
import typer

many = typer.Typer(help="Many things.")

@many.command()
def one(word: str) -> None:
    """Say one word."""
    typer.echo(f"one {word}")
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """An app of two modules that note when they are imported."""
    for name, text in (("toy_far", FAR_AWAY), ("toy_many", MANY)):
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield program("toy", "A toy.", {"far_away": "toy_far", "many": "toy_many"}, {"many": "Several things at once."})
    for name in ("toy_far", "toy_many"):
        sys.modules.pop(name, None)


def test_help_lists_what_is_not_imported(toy):
    shown = CliRunner().invoke(toy, ["--help"]).output
    assert "Say a word." in shown
    assert "Often" not in shown
    assert "Several things at once." in shown
    assert not {"toy_far", "toy_many"} & set(sys.modules)


def test_a_command_is_imported_when_it_is_called(toy):
    assert CliRunner().invoke(toy, ["far_away", "ha", "--times", "2"]).output == "haha\n"
    assert "toy_many" not in sys.modules
    shown = CliRunner().invoke(toy, ["far_away", "--help"]).output
    assert "Often, if need be." in shown
    assert "--times" in shown


def test_a_group_has_its_own_commands(toy):
    assert CliRunner().invoke(toy, ["many", "one", "word"]).output == "one word\n"
    assert "Say one word." in CliRunner().invoke(toy, ["many", "--help"]).output


def test_mistakes_are_told(toy):
    mistaken = CliRunner().invoke(toy, ["far_way"])
    assert mistaken.exit_code == 2
    assert "far_away" in mistaken.output
    assert CliRunner().invoke(toy, ["far_away"]).exit_code == 2


def test_dino_data_lists_its_commands_and_tells_its_version():
    shown = CliRunner().invoke(app, ["--help"]).output
    assert [name for name in COMMANDS if name not in shown] == []
    assert "Read files of a product" in shown
    assert CliRunner().invoke(app, ["--version"]).output == f"dino-data {metadata.version('dino-ocean')}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_dino_data_has_help(name):
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output


def test_help_of_dino_data_takes_less_than_a_second_of_the_processor():
    program = (
        "import sys, time\n"
        "from data_pipeline.commands.app import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    print('seconds', time.process_time())\n"
    )
    start = time.perf_counter()
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert float(told.stdout.split()[-1]) < 1.0, time.perf_counter() - start
