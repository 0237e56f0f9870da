"""`ucred demo` shows a stranger what was found and put right, and where to look further."""

import re
from pathlib import Path
from typing import Final

from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal

_COMMAND: Final = re.compile(r'^ +\S*ucred\S* --env-file "(.+)" (breaks|explain) ?(\S*) *$', re.MULTILINE)


def test_the_commands_of_the_demo_can_be_typed_as_they_stand(plain: Rehearsal, tmp_path: Path) -> None:
    """Each stands on a line of its own, however long the path, and works when the sandbox is gone."""
    said = plain.process("demo", "--purchases", "20", "--folder", str(tmp_path / "a folder of mine" / "demo"))

    assert (said.code, said.err) == (0, "")
    assert "What was put right" in said.out
    further = _COMMAND.findall(said.out)
    assert [command for _, command, _ in further] == ["breaks", "explain"]
    for env_file, command, name in further:
        looked = plain.ucred("--env-file", env_file, command, *([name] if name else []))
        assert (looked.code, looked.err) == (0, "")
        assert name in looked.out
