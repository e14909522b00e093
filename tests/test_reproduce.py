"""All rows by one command: what is planned, what is done, who does it, what fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from common import backend, reproduce
from common.datasets import synthetic
from common.errors import InputError
from common.papers import PAPERS
from common.reproduce import doctor, worker
from common.reproduce.__main__ import main
from common.reproduce.commands import Options
from common.reproduce.executor import GONE, Local, shares
from common.reproduce.hours import estimates
from common.reproduce.job import Job
from common.reproduce.plan import entries, text
from common.reproduce.runner import TRIES, Runner
from common.reproduce.show import Board, counted, summary
from common.reproduce.states import Place, states
from tests.sketch import epochs, processes, start, until

ROOT = Path(__file__).parent.parent


# --- the plan ------------------------------------------------------------------------------------


def test_plan_of_the_five_papers():
    found = reproduce.items()
    count = Counter((item.paper, item.kind, item.module) for item in found if not item.step)
    assert count == {
        ("her2scoring", "training", "train"): 12,
        ("breakhis", "training", "train"): 16,  # eight rows, eight twins
        ("ernet", "training", "train"): 120,  # twelve rows and twins by five folds
        ("gan_fusion", "training", "train_gan"): 24,
        ("gan_fusion", "training", "train"): 52,
        ("wrn_edge", "training", "train"): 48,  # eight rows and twins by three seeds
    }
    assert Counter(item.kind for item in found if item.step) == {
        "generation": 4, "export": 16, "bench": 16, "complexity": 2,
    }  # fmt: skip
    order = [item.key for item in found]
    assert len(set(order)) == len(order)
    for item in found:
        assert all(order.index(need) < order.index(item.key) for need in item.needs)
        assert (item.amount > 0) == (item.step is None)
        assert item.dataset in (("bci", "breakhis", "bach") if item.kind != "complexity" else ("",))


def test_a_row_that_needs_generated_images_brings_its_gan():
    found = reproduce.items(["gan_fusion"], row="T12-fusion-trad-gan", twins="no")
    assert [item.key for item in found] == [
        "gan_fusion/T12-gan/seed=0",
        "gan_fusion/T12-gan/seed=0/generation 64 of each class",
        "gan_fusion/T12-fusion-trad-gan/seed=0",
    ]
    assert found[2].config.generated == 4 * 64
    both = reproduce.items(["gan_fusion"], row="T12-fusion-trad-gan", seeds=2)
    assert len(both) == 2 * 2 * 3
    for item in both:  # a seed's classifier takes the images of that seed's GAN
        assert all(f"seed={item.round['seed']}" in need for need in item.needs)


def test_a_reduced_grid_has_the_first_rounds_of_each_row():
    whole = [item.key for item in reproduce.items(demo=True, twins="no")]
    found = [item.key for item in reproduce.items(demo=True, twins="no", rounds=2)]
    assert set(found) < set(whole)
    folds = Counter(key.split("/")[1] for key in found if key.startswith("ernet/"))
    assert folds.pop("complexity") == 1
    assert set(folds.values()) == {2}
    assert "ernet/T1-ernet18/fold=1,seed=0" in found
    assert "wrn_edge/T1-40X/seed=43" in found
    assert "wrn_edge/T1-40X/seed=44" not in found
    assert [key for key in found if key.endswith("/export")]
    with pytest.raises(InputError, match="--rounds 0: must be 1 or more"):
        reproduce.items(demo=True, rounds=0)


def test_the_papers_own_ways_are_planned_when_asked():
    rows = reproduce.items(["her2scoring"])
    both = reproduce.items(["her2scoring"], as_printed=True)
    assert len(both) == len(rows) + 8
    by_key = {item.key: item for item in both}
    row = by_key["her2scoring/T1-resnet50/seed=0"]
    assert row.needs == ("her2scoring/T1-resnet50-as-printed/seed=0",)  # one training, two runs
    assert row.amount == 0
    assert by_key["her2scoring/T3-resnet50-he/seed=0"].needs == ()
    found = reproduce.items(["gan_fusion"], row="T11-fusion-trad-gan-as-printed", twins="no")
    assert [item.preset for item in found] == [
        "T9-batch32-as-printed", "T9-batch32-as-printed", "T11-fusion-trad-gan-as-printed",
    ]  # fmt: skip
    assert len(reproduce.items(["gan_fusion"], as_printed=True, twins="no")) > len(
        reproduce.items(["gan_fusion"], twins="no")
    )
    assert len(reproduce.items(["her2scoring"], row="T1-resnet50", as_printed=True)) == 2


def test_rounds_are_the_papers_and_more_seeds_are_theirs_each():
    def rounds(**settings):
        return [item.round for item in reproduce.items(**settings) if item.step is None]

    folds = rounds(papers=["ernet"], row="T1-ernet50", twins="no")
    assert folds == [{"seed": 0, "split_seed": 0, "fold": fold} for fold in range(5)]
    assert len(rounds(papers=["ernet"], row="T1-ernet50", twins="no", seeds=3)) == 15
    trials = rounds(papers=["wrn_edge"], row="T1-40X", twins="only")
    assert trials == [{"seed": 42}, {"seed": 43}, {"seed": 44}]
    assert len(rounds(papers=["wrn_edge"], row="T1-40X", twins="no", seeds=5)) == 5


def test_tables_and_twins_are_chosen():
    counts, *t1 = reproduce.items(["ernet"], table="T1", twins="no")
    assert (counts.key, counts.kind) == ("ernet/complexity", "complexity")
    assert {item.preset for item in t1} == {f"T1-ernet{depth}" for depth in (18, 34, 50, 101)}
    _, *twins = reproduce.items(["ernet"], table="T1", twins="only")
    assert {item.preset for item in twins} == {f"{item.preset}-honest" for item in t1}
    with pytest.raises(InputError, match=r"^--row T9-none --twins yes: no experiment of ernet$"):
        reproduce.items(["ernet"], row="T9-none")
    with pytest.raises(InputError, match=r"^--only bench --twins yes: no experiment of ernet$"):
        reproduce.items(["ernet"], only="bench")
    with pytest.raises(InputError, match=r"--paper nobody: none of her2scoring"):
        reproduce.items(["nobody"])


@pytest.mark.parametrize("paper", PAPERS)
def test_demo_has_the_same_chains(paper):
    whole, small = (reproduce.items([paper], twins="no", demo=demo) for demo in (False, True))
    assert {item.kind for item in small} == {item.kind for item in whole}
    assert {item.module for item in small} == {item.module for item in whole}
    assert all(item.config.image_size == 32 for item in small)
    assert sum(item.amount for item in small) < 1e-3 * sum(item.amount for item in whole)


def test_hash_of_a_config_is_that_of_its_record():
    from common import config
    from ernet.config import PRESETS, Config

    first = config.first_defaults(Config)
    for preset in PRESETS.values():
        said = json.loads(json.dumps(config.to_dict(preset)))
        assert config.config_sha256(preset) == config.config_sha256(said, first)
        del said["deterministic"]  # of a version that did not have it
        assert config.config_sha256(preset) == config.config_sha256(said, first)
    hashes = {config.config_sha256(preset) for preset in PRESETS.values()}
    assert len(hashes) == len(PRESETS)


# --- a paper that trains in no time ------------------------------------------------------------


def run(place, *, jobs=1, **settings):
    found = reproduce.items(["sketch"], **settings)
    board = Board(place)
    code = Runner(found, place, Options(), Local(jobs), board).run()
    return code, found


def test_one_that_fails_stops_only_what_needs_it(sketch, capsys):
    code, found = run(sketch)
    assert code == 1
    names = {item.key: states(found, sketch)[item.key].name for item in found}
    assert names.pop("sketch/T1-broken/seed=0") == "failed"
    assert names.pop("sketch/T1-broken/seed=0/generation") == "waiting"
    assert len(names) == 8
    assert set(names.values()) == {"done"}
    assert "sketch/T1-with/seed=0" in names
    said = capsys.readouterr().err
    assert "sketch/T1-broken/seed=0 FAILED" in said
    assert "error: this network is broken" in said
    failed = states(found, sketch)["sketch/T1-broken/seed=0"]
    assert failed.words == "error: this network is broken"
    shown = summary(found, states(found, sketch), sketch)
    assert "this network is broken" in shown
    assert "| sketch T1-a train" in shown
    assert not list((sketch.folder / "claims").iterdir())


@pytest.mark.parametrize(
    ("log", "lines", "reason"),
    [
        ("a\nerror: no.\nDo:\n  b\nc\nended with 2\n", ["error: no.", "Do:", "  b"], "error: no."),
        ("a\nb\nc\nd\n\nended with 1\n", ["b", "c", "d"], "d"),
        ("error: of before\nended with 2\n\n2026-01-02T03:04:05+00:00 python a\nb\n", ["b"], "b"),
        ("error: one\nerror: two\n", ["error: two"], "error: two"),
        ("", [], "ended with 2"),
    ],
)  # fmt: skip
def test_of_a_failed_command_its_error_is_shown_from_its_first_line(tmp_path, log, lines, reason):
    file = tmp_path / "log.txt"
    file.write_text(log)
    assert worker.complaint(file, 3) == lines
    assert worker._reason(file, 2) == reason


class Unlucky(Local):
    """Ends the first jobs before they have done anything."""

    def __init__(self, code):
        super().__init__()
        self.code, self.left = code, TRIES + 1
        self.over = {}

    def start(self, key, job):
        if self.left:
            self.left -= 1
            self.over[key] = self.code
        else:
            super().start(key, job)

    def ended(self):
        over, self.over = self.over, {}
        return over or super().ended()


def test_a_lost_place_is_no_failure_and_killed_over_and_over_is_one(sketch, capsys):
    (sketch.runs_dir / "pace.txt").write_text("0")
    (item,) = reproduce.items(["sketch"], row="T1-with", twins="no")[:1]
    assert Runner([item], sketch, Options(), Unlucky(-9), Board(sketch)).run() == 1
    assert f"was killed {TRIES} times" in sketch.failure(item).read_text()
    assert Runner([item], sketch, Options(), Unlucky(GONE), Board(sketch)).run() == 0
    said = capsys.readouterr().err
    assert said.count("lost its place; it is begun again") == TRIES + 1


def test_nothing_is_done_twice_and_what_failed_is_tried_again(sketch):
    run(sketch, row="T1-a", twins="no")
    before = {file: file.read_text() for file in sketch.runs_dir.rglob("epochs.txt")}
    assert len(before) == 2
    code, found = run(sketch, row="T1-a", twins="no")
    assert code == 0
    assert {file: file.read_text() for file in sketch.runs_dir.rglob("epochs.txt")} == before
    assert all(text == "0\n1\n2\n" for text in before.values())
    assert counted(states(found, sketch)) == "2 of 2 done"


def test_killed_it_leaves_no_process_and_goes_on_where_it_was(sketch):
    (sketch.runs_dir / "pace.txt").write_text("0.3")
    process = start(sketch)
    until(lambda: any(text.count("\n") == 2 for text in epochs(sketch).values()))
    process.kill()
    process.communicate()
    until(lambda: not processes(sketch))
    found = reproduce.items(["sketch"], row="T1-a")
    assert Counter(state.name for state in states(found, sketch).values())["interrupted"] == 1
    (sketch.runs_dir / "pace.txt").write_text("0.01")
    code, found = run(sketch, row="T1-a")
    assert code == 0
    # The one that was killed trained at most the epoch again in which it was.
    assert all(text in ("0\n1\n2\n", "0\n1\n1\n2\n") for text in epochs(sketch).values())
    assert not list((sketch.folder / "claims").iterdir())


def test_ctrl_c_ends_it_and_says_how_on(sketch):
    (sketch.runs_dir / "pace.txt").write_text("0.3")
    process = start(sketch)
    until(lambda: epochs(sketch))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted: 1 at work" in said
    assert "the same command goes on" in said
    assert "Traceback" not in said
    assert not processes(sketch)
    found = reproduce.items(["sketch"], row="T1-a")
    names = {state.name for state in states(found, sketch).values()}
    assert "failed" not in names
    assert "running" not in names


@pytest.mark.parametrize(
    "ends", ["raise KeyboardInterrupt", "sys.exit('cannot be imported')", "sys.exit(0)"]
)
def test_told_to_end_it_has_not_failed(ends, tmp_path):
    text = f"import signal, sys, time; from pathlib import Path\ndef end(*_): {ends}\n"
    text += "signal.signal(signal.SIGINT, end); Path(sys.argv[1]).touch(); time.sleep(20)"
    begun, after = tmp_path / "begun", tmp_path / "after"
    second = ["-c", f"open({str(after)!r}, 'w')"]
    job = Job("p/a", [["-c", text, str(begun)], second], *(tmp_path / name for name in "clf"))
    job.write(tmp_path / "job.json")
    process = subprocess.Popen(
        [sys.executable, "-m", "common.reproduce.worker", str(tmp_path / "job.json")]
    )
    until(begun.exists)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert not job.failure.exists()
    assert not job.claim.exists()
    assert not after.exists()


def test_two_at_once_share_the_work(sketch):
    (sketch.runs_dir / "pace.txt").write_text("0.1")
    both = [start(sketch), start(sketch)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert len(epochs(sketch)) == 4
    assert set(epochs(sketch).values()) == {"0\n1\n2\n"}  # no epoch twice
    done = [text.count(" done in ") for _, text in said]
    assert sum(done) >= 4
    assert min(done) >= 1


def test_what_another_host_has_is_left_alone_until_it_is_given_up(sketch, monkeypatch):
    found = reproduce.items(["sketch"], row="T1-a", twins="no")
    claim = sketch.claim(found[0])
    claim.parent.mkdir(parents=True)
    claim.write_text(json.dumps({"token": "0" * 32, "host": "node7", "pid": 3, "began": "1"}))
    state = states(found, sketch)[found[0].key]
    assert (state.name, state.words) == ("running", "on node7, process 3")
    os.utime(claim, (0, 0))
    assert states(found, sketch)[found[0].key].name == "ready"
    assert run(sketch, row="T1-a", twins="no")[0] == 0


def test_a_damaged_or_partial_run_is_not_done(sketch):
    run(sketch, row="T1-a", twins="no")
    found = reproduce.items(["sketch"], row="T1-a", twins="no")
    first, second = sorted(sketch.runs_dir.glob("sketch/*/config.json"))
    values = json.loads(first.read_text())
    first.write_text(json.dumps({**values, "n_images": 8}))
    second.write_text("{")
    assert {state.name for state in states(found, sketch).values()} == {"ready"}


def test_plan_says_hours_and_from_where(sketch, capsys):
    found = reproduce.items(["sketch"])
    state = states(found, sketch)
    hours = estimates(found, state, sketch)
    assert {each.source for each in hours.values()} == {"guess"}
    run(sketch, row="T1-a", twins="no")
    for file in sketch.runs_dir.glob("sketch/*/environment.json"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "seconds": 7200}))
    state = states(found, sketch)
    hours = estimates(found, state, sketch)
    by_key = {item.key: hours[item.key] for item in found}
    assert by_key["sketch/T1-a/fold=0,seed=0"].hours == 2
    assert by_key["sketch/T1-a/fold=0,seed=0"].source == "runs"
    assert by_key["sketch/T1-b/fold=1,seed=0"].hours == pytest.approx(2)  # at that speed
    assert by_key["sketch/T1-b/fold=1,seed=0"].source == "rate"
    shown = text(found, state, hours)
    assert "| T1-a " in shown
    listed = entries(found, state, hours)
    assert [entry["key"] for entry in listed] == [item.key for item in found]
    entry = listed[0]
    assert (entry["state"], entry["seed"], entry["split_seed"]) == ("done", 0, None)
    assert Path(entry["run"]).is_dir()


def test_shares_of_the_cores(monkeypatch):
    cores = sorted(os.sched_getaffinity(0))
    assert shares(1) == [()]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert len(Local().slots) == 1
    monkeypatch.setattr("common.reproduce.executor._free_gib", lambda: 1e6)
    assert len(Local(small=True).slots) == min(len(cores), backend.cores())  # a demo's
    monkeypatch.setattr("common.reproduce.executor._free_gib", lambda: 1)
    assert len(Local(small=True).slots) == 1
    assert len(Local(1, small=True).slots) == 1
    if len(cores) >= 2:
        a, b = shares(2)
        assert len(a) == len(b) == len(cores) // 2
        assert not set(a) & set(b)
    with pytest.raises(InputError, match="this process has"):
        shares(10_000)


# --- before the hours are spent ------------------------------------------------------------------


def findings(items, place, **options):
    found = doctor.examine(items, states(items, place), place, Options(**options))
    return {finding.what: finding for finding in found}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data-dir", "empty"], "empty: no image of BACH"),
        (["--data-dir", "part"], r"bach: 4 of 400 images in .*part; rows are of the whole"),
        (["--data-dir", "whole", "--patients", "none.csv"], "none.csv: no such list of patients"),
        (["--data-dir", "whole", "--cache-dir", "file/cache"], r"file/cache \(--cache-dir\): "),
    ],
)
def test_nothing_begins_where_it_would_fail(tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    synthetic.bach(tmp_path / "part", per_class=1, size=(16, 16))
    if "whole" in flags:
        (tmp_path / "part").rename("whole")
        monkeypatch.setattr("common.datasets.bach.EXPECTED_COUNTS", {"all": 4})
    row = ["--paper", "gan_fusion", "--row", "T14-bach-fusion", "--executor", "local"]
    with pytest.raises(InputError, match=message):
        main(["run", *row, *flags])
    assert not (tmp_path / "runs").exists()
    assert "begins" not in capsys.readouterr().err


def test_doctor_finds_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras" / "models").mkdir(parents=True)
    monkeypatch.setenv("HISTOPAPERS_CACHE", str(tmp_path / "cache"))
    synthetic.breakhis(
        tmp_path / "data" / "breakhis", patients=8, images_per_patient=1, size=(16, 16)
    )
    found = reproduce.items(["breakhis"], row="T2-binary-resnet50")
    place = Place(tmp_path / "runs")
    seen = findings(found, place, data_dir=str(tmp_path / "data"))
    assert not seen["data"].fine
    assert "breakhis: 32 of 7909 images in" in seen["data"].words
    assert not seen["weights"].fine
    assert "not on this machine: resnet50;" in seen["weights"].words
    assert seen["disk"].fine
    assert seen["runs"].fine
    assert list(tmp_path.glob("**/.doctor")) == []
    (tmp_path / "keras" / "models" / "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5").touch()
    assert findings(found, place, data_dir=str(tmp_path / "data"))["weights"].fine
    seen = findings(found, place, data_dir=str(tmp_path / "nowhere"))
    assert "no such folder" in seen["data"].words
    fusion = reproduce.items(["gan_fusion"], row="T14-breakhis-fusion", twins="no")
    missing = findings(fusion, place, data_dir=str(tmp_path / "data"))["weights"].words
    assert "not on this machine: densenet201, nasnet_mobile, resnet101;" in missing


@pytest.mark.slow
def test_doctor_times_networks_and_the_plan_uses_it(tmp_path):
    place = Place(tmp_path / "runs", synthetic=True)
    found = reproduce.items(["wrn_edge"], row="T1-40X", twins="no", demo=True)
    state = states(found, place)
    (rate,) = doctor.measure(found, state, place).values()
    assert 1e6 < rate < 1e15
    hours = estimates(found, state, place)
    trainings = [item for item in found if item.step is None]
    assert {hours[item.key].source for item in trainings} == {"doctor"}
    assert hours[trainings[0].key].hours == pytest.approx(trainings[0].amount / rate / 3600)


def test_commands_beside_rows_of_several_trainings_make_the_whole_row():
    from common import tables

    for paper in ("ernet", "gan_fusion", "wrn_edge"):
        commands = tables.rows(paper, "nowhere")["command"].unique()
        whole = [line for line in commands if line.startswith("python -m common.reproduce run")]
        assert whole
        for line in whole:
            arguments, _, words = line.partition("  # ")
            given = arguments.split()[3:]
            chosen = dict(zip(given[1::2], given[2::2], strict=True))
            found = reproduce.items(
                [paper], row=chosen["--row"], twins=chosen["--twins"], only=chosen.get("--only")
            )
            if "--only" in chosen:
                assert chosen["--only"] in {item.kind for item in found}
                continue
            found = [item for item in found if item.kind != "complexity"]
            kinds = Counter(item.kind for item in found)
            assert len(found) > 1
            assert {item.preset for item in found if not item.needs} <= {
                chosen["--row"], *(word.strip(",") for word in words.split())
            }  # fmt: skip
            assert all((kind in words) for kind in kinds if kind not in ("training", "generation"))
            assert ("images" in words) == ("generation" in kinds)
