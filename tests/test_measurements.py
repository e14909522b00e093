"""What tables show that is no score: counts of networks, benches; with and without run folders."""

from __future__ import annotations

import importlib
import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from common import config as configuration
from common import measurements, reproduce, results, tables
from common.errors import InputError
from common.papers import PAPERS
from common.reproduce.collect import collect
from common.reproduce.commands import Options, commands
from common.reproduce.plan import text
from common.reproduce.states import Place, states

BENCH = {
    "machine": {"device": "AMD EPYC 7R13"}, "run": "0123456789", "precision": "int8",
    "synthetic": False, "finished": "2026-01-02T03:04:05+00:00", "threads": 2, "runs": 100,
    "mean_ms": 80.0, "sd_ms": 5.0, "peak_memory_mib": 100.0, "valid": True, "invalid_because": "",
}  # fmt: skip


def made(runs_dir: Path) -> Path:
    folder = runs_dir / measurements.FOLDER / measurements.MADE
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def bench(runs_dir: Path, name: str, **changed) -> None:
    (made(runs_dir) / f"{name}.json").write_text(json.dumps({**BENCH, **changed}))


# --- counts --------------------------------------------------------------------------------------


@pytest.fixture
def counted(tmp_path):
    """Counts of Table 6 in a folder without any run."""
    from gan_fusion.config import HONEST, PRESETS

    found = []
    for row, trained in (("T14-breakhis-fusion", 71_577_620), ("T14-breakhis-counts", 37_494_676)):
        values = {"parameters.trainable": trained, "parameters.cpp": 0}
        found += [(PRESETS[name], values) for name in (row, HONEST[row])]
    file = made(tmp_path / "runs") / "gan_fusion--complexity.json"
    measurements.write_counts(file, "gan_fusion", found, synthetic=False)
    return tmp_path / "runs"


def trainable(table):
    rows = table[table.metrics_key == "parameters.trainable"]
    return rows[["printed", "ours", "status", "honest_ours"]].values.tolist()


EXPECTED = [
    ["37494676", 71_577_620, "above", 71_577_620],
    ["37494676", 37_494_676, "consistent", 37_494_676],
]


def test_counts_fill_their_rows_with_and_without_the_folder(counted, tmp_path):
    table = tables.rows("gan_fusion", counted)
    assert trainable(table) == EXPECTED
    assert set(table[table.metrics_key == "parameters.cpp"].ours) == {0}
    assert set(table[table.metrics_key == "parameters.total"].status) == {"not run"}
    assert set(table[table.unit == "percent"].status) == {"not run", "impossible as printed"}
    shown = tables.markdown(tables.load("gan_fusion", counted))
    (line,) = [line for line in shown.splitlines() if "| 37494676 | 71577620 " in line]
    assert "| –             | +34082944  | above " in line
    assert "[" not in line.split("above")[1].split("|")[1]  # the twin's count has no interval
    assert "ours: counted on the built network" in shown
    counts = table[table.metrics_key == "parameters.trainable"]
    assert set(counts.measured) == {"counted on the built network"}
    assert not counts.leaks.any()  # what flatters a score
    assert set(counts.command.str.split(" --only ").str[1]) == {"complexity"}  # needs no data
    # Collected twice it is the same, and tables stand without the folder.
    for _ in range(2):
        collect(Place(counted), "gan_fusion", tmp_path / "results")
    lines = results.read(tmp_path / "results" / "gan_fusion.csv")
    assert len(lines) == 8
    assert results.recorded(lines) == []
    paper = tables.load("gan_fusion", tmp_path / "nowhere", tmp_path / "results")
    from common.tables.comparison import compared

    assert trainable(compared(paper)) == EXPECTED
    # Another paper's default config has the same hash.
    assert not tables.load("ernet", counted).measured


def test_counts_of_a_demo_or_of_another_network_fill_nothing(tmp_path):
    from dataclasses import replace

    from ernet.config import PRESETS

    row = PRESETS["T1-ernet50"]
    file = made(tmp_path) / "ernet--complexity.json"
    measurements.write_counts(file, "ernet", [(row, {"parameters": 23_550_000})], synthetic=True)
    assert not tables.load("ernet", tmp_path).measured
    real = made(tmp_path) / "later.json"
    measurements.write_counts(real, "ernet", [(row, {"parameters": 1})], synthetic=False)
    assert list(tables.load("ernet", tmp_path).measured) == ["T1-ernet50"]
    real.unlink()
    other = replace(row, network="ernet18")
    measurements.write_counts(file, "ernet", [(other, {"parameters": 1})], synthetic=False)
    table = tables.rows("ernet", tmp_path)
    assert list(table[table.ours == 1e-6].preset) == ["T1-ernet18"]
    measurements.write_counts(
        file, "ernet", [(row, {"parameters": 25_561_000, "flops": 3_870_000_000})], synthetic=False
    )
    table = tables.rows("ernet", tmp_path).set_index(["preset", "metric"])
    assert table.loc[("T1-ernet50", "parameters, M"), "status"] == "consistent"
    flops = table.loc[("T1-ernet50", "FLOPs, G")]
    assert (flops.ours, flops.status) == (3.87, "not comparable")
    assert "multiply-accumulates" in flops.reason


def test_every_printed_count_is_counted_and_needs_no_data(tmp_path):
    place = Place(tmp_path)
    for paper in PAPERS:
        printed = tables.published(paper)
        kinds = printed["metrics_key"].map(measurements.kind_of)
        found = {item.kind for item in reproduce.items([paper])}
        assert ("complexity" in found) == ("complexity" in set(kinds))
        assert ("bench" in found) == ("bench" in set(kinds))
        assert not (printed["unit"].isin(["M", "G", "ms", "MB", "parameters"]) & kinds.isna()).any()
    (item,) = reproduce.items(["gan_fusion"], table="T6")
    state = states([item], place)
    assert state[item.key].name == "ready"
    assert commands(item, {item.key: item}, state, place, Options()) == [
        ["-m", "gan_fusion.complexity", "--json",
         str(tmp_path / "reproduce" / "made" / "gan_fusion--complexity.json")],
    ]  # fmt: skip
    measurements.write_counts(
        made(tmp_path) / "gan_fusion--complexity.json", "gan_fusion", [], synthetic=False
    )
    done = states([item], place)[item.key]
    assert done.name == "done"
    assert "0.0" in text([item], {item.key: done}, _hours([item], place))


def _hours(found, place):
    from common.reproduce.hours import estimates

    return estimates(found, states(found, place), place)


def test_counts_made_by_other_code_are_stale(tmp_path):
    (item,) = reproduce.items(["ernet"], only="complexity")
    file = made(tmp_path) / "ernet--complexity.json"
    measurements.write_counts(file, "ernet", [], synthetic=False)
    said = json.loads(file.read_text())
    file.write_text(json.dumps({**said, "commit": "f" * 40}))
    state = states([item], Place(tmp_path))[item.key]
    assert state.name in ("stale", "done")  # done where no repository says which code this is
    assert state.done


def test_the_demo_counts_its_own_networks():
    for paper in ("ernet", "gan_fusion"):
        (item,) = reproduce.items([paper], demo=True, only="complexity")
        assert "--demo" in item.step.commands[0]


@pytest.mark.slow
@pytest.mark.parametrize("paper", ["ernet", "gan_fusion"])
def test_command_counts_the_demo(paper, tmp_path):
    file = tmp_path / "counts.json"
    importlib.import_module(f"{paper}.complexity").main(["--demo", "--json", str(file)])
    found = measurements.read(file)
    assert found
    assert all(each.synthetic and each.paper == paper for each in found)
    presets = importlib.import_module(f"{paper}.experiments").DEMO_PRESETS
    hashes = {configuration.config_sha256(preset) for preset in presets.values()}
    assert {each.config_sha256 for each in found} <= hashes


@pytest.mark.slow
def test_described_reading_has_71577620_trainable_parameters(capsys):
    from gan_fusion import complexity

    complexity.main([])
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("trainable")]
    assert line.split() == ["trainable", "37,494,676", "71,577,620", "37,494,676"]
    (line,) = [line for line in lines if line.startswith("total")]
    assert line.split() == ["total", "37,793,640", "71,952,086", "37,767,702"]


# --- benches -------------------------------------------------------------------------------------


def shown(rows):
    return rows[["row", "ours", "status"]].values.tolist()


def test_a_bench_stands_beside_all_devices_and_is_judged_on_its_own(tmp_path, monkeypatch):
    """Of a run that is known from results alone."""
    from wrn_edge.config import PRESETS

    line = dict.fromkeys(results.COLUMNS, "")
    line |= {
        "run_id": BENCH["run"], "paper": "wrn_edge", "preset": "T1-200X-aug", "metric": "accuracy",
        "config_sha256": configuration.config_sha256(PRESETS["T1-200X-aug"]), "value": "0.9",
        "unit": "fraction", "tier": results.TIERS[0], "synthetic": "False", "seed": "42",
    }  # fmt: skip
    results.write(tmp_path / "wrn_edge.csv", [line])

    def latencies():
        from common.tables.comparison import compared

        table = compared(tables.load("wrn_edge", tmp_path, tmp_path))
        return table[table.metrics_key == "latency_ms"], table[table.metrics_key == "memory_mb"]

    before, _ = latencies()
    assert set(before.status) == {"not run"}
    bench(tmp_path, "here")
    found, memory = latencies()
    assert set(found.ours) == {80.0}
    assert set(found.status) == set(memory.status) == {"not comparable"}
    assert found.difference.isna().all()
    assert found.reason.iloc[0] == (
        "other device: ours on AMD EPYC 7R13, the paper's on Raspberry Pi 4 (1 GB)"
    )
    assert found.measured.iloc[0] == (
        "100 timed inferences of the int8 model with 2 threads, on AMD EPYC 7R13"
    )
    assert memory.ours.iloc[0] == pytest.approx(104.8576)
    pi = {"device": "Raspberry Pi 4 Model B Rev 1.4"}
    bench(tmp_path, "brought from the device", machine=pi, mean_ms=500.0)
    found, memory = latencies()
    assert shown(found)[0] == ["Raspberry Pi 4 (1 GB)", 500.0, "below"]
    assert found.low.iloc[0] == pytest.approx(500 - 1.96 * 0.5)
    assert found.difference.iloc[0] == pytest.approx(500 - 1065)
    assert found.difference_high.iloc[0] < 0
    assert set(found.status.iloc[1:]) == {"not comparable"}
    assert "whole process" in memory.reason.iloc[0]
    bench(tmp_path, "brought from the device", machine=pi, mean_ms=500.0, valid=False)
    assert set(latencies()[0].status) == {"not comparable"}
    bench(tmp_path, "here", synthetic=True)
    assert set(latencies()[0].status) == {"not run"}
    bench(tmp_path, "here", run="another")
    assert set(latencies()[0].status) == {"not run"}


def test_a_bench_is_collected_and_read_again(tmp_path):
    line = dict.fromkeys(results.COLUMNS, "")
    first = {
        **line, "run_id": "r", "metric": "latency_ms", "unit": "ms", "value": "500", "low": "499",
        "high": "501", "hardware": "Raspberry Pi 4", "predictions_sha256": "a" * 64,
        "config_sha256": "c", "tier": results.TIERS[0], "synthetic": "False", "paper": "wrn_edge",
    }  # fmt: skip
    other = {**first, "hardware": "here", "predictions_sha256": "b" * 64}
    results.write(tmp_path / "x.csv", [first, other])
    found = results.measured(results.read(tmp_path / "x.csv"))
    assert [(each.device, each.kind) for each in found] == [
        ("Raspberry Pi 4", "bench"), ("here", "bench"),
    ]  # fmt: skip
    assert found[0].intervals == {"latency_ms": (499, 501)}
    assert results.recorded(results.read(tmp_path / "x.csv")) == []


def finished_run(runs_dir: Path) -> Path:
    """A run of wrn_edge's row of Table 6, as a training leaves it, with one test image."""
    import pandas as pd

    from common import evaluation
    from common.datasets import breakhis
    from common.files import write_json
    from wrn_edge.config import PRESETS

    folder = runs_dir / "wrn_edge" / "run"
    folder.mkdir(parents=True)
    count = breakhis.expected_images(("200X",))
    write_json(folder / "config.json", {
        "schema": 1, "package": "wrn_edge", "preset": "T1-200X-aug", "run_id": BENCH["run"],
        "config": configuration.to_dict(PRESETS["T1-200X-aug"]), "classes": ["benign", "malignant"],
        "positive": "malignant", "n_images": count, "expected_images": count, "synthetic": False,
        "leaks": ["patients"], "finished": "2026-01-01T00:00:00",
    })  # fmt: skip
    write_json(folder / "environment.json", {"cpu": "the training's", "seconds": 9, "threads": 8})
    frame = pd.DataFrame({
        "image": ["a.png"], "case": ["1"], "slide": "", "magnification": "200X", "part": "test",
        "label": "benign", "p_benign": 0.9, "p_malignant": 0.1,
    })  # fmt: skip
    evaluation.write_predictions(folder / "predictions.csv", frame)
    evaluation.evaluate_run(folder)
    return folder


def test_a_bench_stands_without_its_run_once_it_is_collected(tmp_path):
    from common.tables.comparison import compared

    runs_dir = tmp_path / "runs"
    finished_run(runs_dir)
    bench(runs_dir, "wrn_edge--T1-200X-aug--seed=42--bench")
    bench(runs_dir, "of no run here", run="another")
    here = tables.rows("wrn_edge", runs_dir)
    for _ in range(2):
        collect(Place(runs_dir), "wrn_edge", tmp_path / "results")
    lines = results.read(tmp_path / "results" / "wrn_edge.csv")
    timed = [line for line in lines if line["metric"] in ("latency_ms", "memory_mb")]
    assert len(timed) == 2
    for line in timed:
        assert (line["run_id"], line["hardware"], line["threads"], line["seconds"]) == (
            BENCH["run"], "AMD EPYC 7R13", "2", "",
        )  # fmt: skip
        assert line["leaks"] == ""
    assert {line["hardware"] for line in lines if line not in timed} == {"the training's"}
    shutil.rmtree(runs_dir)
    alone = compared(tables.load("wrn_edge", runs_dir, tmp_path / "results"))
    for table in (here, alone):
        found = table[table.metrics_key == "latency_ms"]
        assert set(found.ours) == {80.0}
        assert found.reason.str.startswith("other device: ours on AMD EPYC 7R13").all()


@pytest.mark.parametrize(
    "content",
    ["{", json.dumps({**BENCH, "mean_ms": "fast"}), json.dumps({"kind": "complexity"})],
)
def test_a_damaged_file_is_named(content, tmp_path):
    (made(tmp_path) / "damaged.json").write_text(content)
    with pytest.raises(InputError, match=r"damaged\.json"):
        measurements.find(tmp_path)


def test_files_of_another_kind_are_passed_over(tmp_path):
    (made(tmp_path) / "else.json").write_text('{"finished": "now"}')
    assert measurements.find(tmp_path) == []
    assert measurements.find(tmp_path / "nowhere") == []


# --- the commands that tables print --------------------------------------------------------------


@pytest.mark.parametrize(
    "package",  # gan_fusion prints a hundred commands
    [pytest.param(p, marks=[pytest.mark.slow] * (p == "gan_fusion")) for p in PAPERS],
)
def test_every_printed_command_is_understood_and_makes_its_row(package, monkeypatch):
    from common.reproduce import __main__ as command
    from common.tables import as_printed
    from common.tables.comparison import compared

    paper = tables.load(package, "nowhere")
    table = compared(paper)
    asked = {(line.preset, line.command) for line in table.itertuples()}
    asked |= {(line.honest, line.honest_command) for line in table.itertuples()}
    asked = {(preset, line) for preset, line in asked if line}
    _, own = as_printed.experiment_lines(paper)
    asked |= {(None, line) for line in own}
    seen = []
    monkeypatch.setattr(command, "_run", lambda chosen: seen.append(command._chosen(chosen)) or 0)
    for preset, line in sorted(asked, key=str):
        program, *given = shlex.split(line, comments=True)
        assert program == "python"
        assert given[0] == "-m"
        if given[1] == "common.reproduce":
            assert command.main(given[2:]) == 0
            found, _ = seen.pop()
            names = {item.preset for item in found}
            assert preset is None or preset in names or names == {""}
            continue
        module = importlib.import_module(given[1])
        module = importlib.import_module(module.main.__module__)
        requests = []
        monkeypatch.setattr(module, "train", requests.append)
        monkeypatch.setattr(sys, "argv", [line, *given[2:]])
        module.main()
        (request,) = requests
        assert preset in (None, request.preset)
        assert request.config == paper.presets[request.preset]
        assert getattr(request.config, "gan", "none") == "none"  # it would need images


def test_experiments_say_how_many_images_of_which_class():
    from gan_fusion import experiments

    count = 0
    both = (
        (experiments.EXPERIMENTS, {**experiments._ALL}),
        (experiments.DEMO_EXPERIMENTS, experiments.DEMO_PRESETS),
    )
    for found, presets in both:
        for name, each in found.items():
            config = presets[name]
            wanted = getattr(config, "gan", "none")
            assert (each.needed is None) == (wanted == "none")
            if each.needed is None:
                continue
            count += 1
            assert each.needed.preset == wanted.removesuffix("-changed")
            (given,) = each.needed.step.commands
            labels = presets[each.needed.preset].labels
            drawn = list(given[given.index("--labels") + 1 :]) if "--labels" in given else []
            assert tuple(drawn) == labels
            classes = len(labels) or config.classes
            assert int(given[given.index("--count") + 1]) * classes == config.generated > 0
    assert count == 2 * 10
