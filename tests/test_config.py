"""Flags made from dataclasses: presets, bounds, sources, identity."""

import dataclasses
import re
import subprocess
import sys

import pytest

import breakhis.config
import ernet.config
import gan_fusion.config
import her2scoring.config
import wrn_edge.config
from common import config as configuration
from common.config import Execution
from common.errors import InputError

PAPERS = {
    "her2scoring": her2scoring.config,
    "breakhis": breakhis.config,
    "ernet": ernet.config,
    "gan_fusion": gan_fusion.config,
    "wrn_edge": wrn_edge.config,
}


def parse(paper, *arguments):
    module = PAPERS[paper]
    return configuration.parse(
        module.Config, module.PRESETS, package=paper, description="", arguments=arguments
    )


def test_flags_differ_from_the_defaults_only_where_given():
    request = parse("her2scoring", "--stain", "ihc", "--classes", "3", "--dropout", "0.25")
    expected = dataclasses.replace(
        her2scoring.config.Config(), stain="ihc", classes=3, dropout=0.25
    )
    assert request.config == expected
    assert request.preset == "custom"


def test_a_config_that_equals_a_row_carries_its_name():
    request = parse("her2scoring", "--stain", "he", "--classes", "4", "--seed", "7")
    assert request.preset == "T3-convnext_tiny-he"


def test_preset_sets_the_values_from_which_other_flags_differ():
    request = parse("breakhis", "--preset", "T2-8class-vgg19-oversampled-honest", "--epochs", "3")
    assert request.config.network == "vgg19"
    assert request.config.split == "patient"
    assert request.config.oversample == "after"
    assert request.config.epochs == 3
    assert request.preset == "T2-8class-vgg19-oversampled-honest-changed"


def test_demo_is_short_for_its_preset():
    assert parse("her2scoring", "--demo") == parse("her2scoring", "--preset", "demo")
    with pytest.raises(InputError, match="leave out --preset"):
        parse("her2scoring", "--demo", "--preset", "T1-resnet50")


def test_unknown_preset_names_near_ones():
    with pytest.raises(InputError, match="did you mean T1-resnet50"):
        parse("her2scoring", "--preset", "T1-resnet5")


@pytest.mark.parametrize(
    ("flag", "value", "bounds"),
    [("--epochs", "0", "at least 1"), ("--dropout", "1.5", "between 0 and 0.99")],
)
def test_values_out_of_bounds_are_refused(flag, value, bounds):
    with pytest.raises(InputError, match=f"{flag} {value}: must be {bounds}"):
        parse("her2scoring", flag, value)


def test_data_dir_comes_from_the_environment_unless_given(monkeypatch, tmp_path):
    monkeypatch.setenv("HISTOPAPERS_DATA", str(tmp_path))
    assert parse("breakhis").execution.data_dir == tmp_path
    assert str(parse("breakhis", "--data-dir", "here").execution.data_dir) == "here"


@pytest.mark.parametrize("paper", PAPERS)
def test_every_value_states_its_source(paper):
    for row in configuration.sources(PAPERS[paper].Config()):
        assert row["help"], row["name"]
        # A section or table of the paper, or a marker that is followed by a reason. Two papers
        # number their sections, two in Roman numerals; gan_fusion's have names.
        source = row["source"]
        assert re.match(r"[IVTF]|\d|eq\. \d|datasets|methods|results|abstract", source) or any(
            source.startswith(mark) and len(source) > len(mark) + 5
            for mark in (configuration.ASSUMED, configuration.DEVIATION)
        ), f"{row['name']}: {source!r}"
    assert not {f.name for f in dataclasses.fields(Execution)} & {
        f.name for f in dataclasses.fields(PAPERS[paper].Config)
    }


@pytest.mark.parametrize("paper", PAPERS)
def test_presets_are_distinct_and_survive_json(paper):
    module = PAPERS[paper]
    configs = list(module.PRESETS.values())
    assert len(set(configs)) == len(configs)
    for config in configs:
        configuration.check(config)
        again = configuration.from_dict(module.Config, configuration.to_dict(config))
        assert again == config


def test_row_presets_are_those_of_the_papers():
    rows = [name for name in her2scoring.config.PRESETS if name != "demo"]
    assert len(rows) == 12
    tables = breakhis.config.HONEST
    assert len(tables) == 8
    assert all(twin in breakhis.config.PRESETS for twin in tables.values())


def test_differences_ignore_seeds_and_fold():
    a = breakhis.config.Config()
    b = dataclasses.replace(a, seed=1, split_seed=2, fold=3)
    assert configuration.differences(a, b) == []
    assert configuration.differences(
        a, configuration.to_dict(dataclasses.replace(b, epochs=50))
    ) == ["epochs"]


def test_a_config_of_another_version_is_refused():
    values = {**configuration.to_dict(her2scoring.config.Config()), "colour": "mauve"}
    with pytest.raises(InputError, match="unknown fields colour"):
        configuration.from_dict(her2scoring.config.Config, values)


@pytest.mark.parametrize("paper", PAPERS)
def test_help_prints_sources_without_a_framework(paper):
    code = (
        f"import sys; sys.argv = ['x', '--help']\n"
        f"from {paper} import train\n"
        f"try:\n    train.main()\n"
        f"finally:\n"
        f"    heavy = {{'keras', 'tensorflow', 'sklearn', 'matplotlib', 'cv2'}}\n"
        f"    loaded = heavy & set(sys.modules)\n"
        f"    assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (paper_says, *_) = [
        row["source"]
        for row in configuration.sources(PAPERS[paper].Config())
        if not row["source"].startswith((configuration.ASSUMED, configuration.DEVIATION))
    ]
    assert f"[{paper_says}]" in " ".join(done.stdout.replace("│", " ").split())
    assert "ASSUMED" in done.stdout
    assert "--preset NAME" in done.stdout
