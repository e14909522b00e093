"""Commands that are killed anywhere end with the same bytes; `benchmarks.kill_anywhere` has all."""

import random

import pytest
from test_runs import record

from benchmarks import kill_anywhere
from common import runs, writers
from common.datasets import synthetic
from gan_fusion.gan import folder as generated


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cache", "stain"])
def test_a_killed_command_ends_with_the_same_bytes(name, tmp_path_factory):
    work = tmp_path_factory.getbasetemp() / "kills"
    if not work.exists():
        work.mkdir()
        kill_anywhere.prepare(work)
    result = kill_anywhere.try_command(name, work, 4, random.Random(0))
    assert result.kills == 4 and result.writes == 2 and result.files > 2


def left(folder):
    """What a killed process was writing: a file and a folder with one."""
    folder.mkdir(parents=True, exist_ok=True)
    prefix = writers.half_prefix().rsplit("-", 2)[0]  # ours, begun at another time
    (folder / f"{prefix}-1-a.json").write_text("{")
    (folder / f"{prefix}-1-b").mkdir()
    (folder / f"{prefix}-1-b" / "c.txt").write_text("half")


def halves(folder):
    return list(folder.rglob(f"{writers.HALF}*"))


def test_a_half_bundle_in_a_run_folder_stops_no_training(tmp_path):
    with runs.open_run(tmp_path, record()) as run:
        left(run.path)
        left(run.path / "checkpoint")
    with runs.open_run(tmp_path, record()) as again:
        assert again.path == run.path and not halves(again.path)


def test_a_command_killed_at_its_first_file_finds_a_folder_of_its_own(tmp_path):
    left(tmp_path / "images")
    assert generated.claim(tmp_path / "images", {"count": 3})["finished"] is None
    left(tmp_path / "tissue")
    synthetic.bci(tmp_path / "tissue", slides=4, patches_per_slide=1, size=32)
    assert not halves(tmp_path)
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / f"{writers.HALF}mine").touch()  # what is not known to be ours stays
    with pytest.raises(ValueError, match="holds other files"):
        generated.claim(tmp_path / "strange", {"count": 3})
    assert len(halves(tmp_path / "strange")) == 1
