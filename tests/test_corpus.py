"""What was planted in a dirty file comes back, all of it, by line and column, and nothing else does."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks import corpus


def test_every_planted_defect_is_returned_and_none_invented(tmp_path: Path) -> None:
    made = corpus.make(tmp_path, 3_000)
    told = corpus.child(sys.executable, corpus.TOOLS["qiongxin"], made.rules_file, tmp_path / "answer.json")
    found = corpus.score(told["found"], made)
    assert len(made.truth) > 100
    assert found["missed"] == {} and found["invented"] == {}
    assert found["with_column"] == len(made.truth)
