"""The options that commands share: told once, after a command's own."""

from __future__ import annotations

import re

import pytest

from vlm_tsc.use import explain, explore, predict
from vlm_tsc.use.machine import MachineOptions


@pytest.mark.parametrize("command", [explain, explore, predict])
def test_help_tells_them_last(command, capsys):
    with pytest.raises(SystemExit):
        command.main(["--help"])
    groups = re.findall(r"^(\w+):$", capsys.readouterr().out, re.M)
    assert len(groups) > 1 and groups.index("machine") == len(groups) - 1


def test_only_what_was_given_wins_over_the_run():
    assert MachineOptions().given() == {}
    assert MachineOptions(precision="fp32", debug=True).given() == {"precision": "fp32"}
