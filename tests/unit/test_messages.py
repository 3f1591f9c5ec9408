"""Messages of commands are plain lines in a job's log, and do not overwrite a progress bar."""

import ast
import logging
import subprocess
import sys

import pytest

from calvaria.cli.messages import set_up_messages
from tests.conftest import ROOT
from tests.unit.test_progress import in_terminal


@pytest.fixture
def package():
    """The logger of the package, restored afterwards."""
    logger = logging.getLogger("calvaria")
    level, handlers = logger.level, logger.handlers
    yield logger
    logger.setLevel(level)
    logger.handlers = handlers


def test_a_log_gets_every_message_once_and_as_it_is(package, capsys):
    set_up_messages()
    set_up_messages()
    logging.getLogger("calvaria.stages.people").info("people: %s", "set/001 [red] and 100%")
    package.warning("calvaria: scan.nii: warning: vault cut off")
    package.debug("nothing")
    assert capsys.readouterr().err == (
        "people: set/001 [red] and 100%\ncalvaria: scan.nii: warning: vault cut off\n"
    )


def test_a_terminal_keeps_its_bar_below_the_messages():
    written = in_terminal(
        "import logging\n"
        "from calvaria.cli.messages import set_up_messages\n"
        "from calvaria.utils.progress import Progress\n"
        "set_up_messages()\n"
        "counter = Progress('ingest', 3, 'skulls')\n"
        "logging.getLogger('calvaria.x').warning('ingest: LEFT OUT a [b]')\n"
        "for _ in range(3): counter.advance()",
        NO_COLOR="1",
    )
    assert "ingest: LEFT OUT a [b]" in written
    assert written.rindex("3/3") > written.index("LEFT OUT")


def test_python_shows_warnings_only_unless_asked():
    code = (
        "import logging\n"
        "from calvaria.cli import messages\n"
        "logging.getLogger('calvaria.x').info('quiet')\n"
        "logging.getLogger('calvaria.x').warning('loud')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "loud\n"


def test_only_the_handler_and_the_progress_lines_print_to_standard_error():
    printing = {
        path.name
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword) and node.arg == "file" and ast.unparse(node.value) == "sys.stderr"
    }
    assert printing == {"messages.py", "progress.py"}
