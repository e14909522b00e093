"""Flags made from dataclasses: presets, bounds, sources, identity."""

import dataclasses
import functools
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import golden_ids
import pytest

import breakhis.config
import ernet.config
import gan_fusion.config
import her2scoring.config
import wrn_edge.config
from common import config as configuration
from common import runs
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


def test_a_call_asks_for_what_the_command_line_asks_for():
    row = breakhis.config.Config(network="vgg19")
    asked = configuration.request(
        breakhis.config.Config, breakhis.config.PRESETS, row,
        package="breakhis", epochs=3, dropout=0, data_dir="/data", fresh=True,
    )  # fmt: skip
    assert asked.config == dataclasses.replace(row, epochs=3, dropout=0.0)
    assert type(asked.config.dropout) is float  # 0 would be another run than 0.0
    assert asked.execution == Execution(data_dir=Path("/data"), fresh=True)
    assert asked.preset == "custom"
    words = shlex.split(asked.command)
    assert words[:3] == ["python", "-m", "breakhis.train"]
    assert parse("breakhis", *words[3:]) == asked


@pytest.mark.parametrize("paper", PAPERS)
def test_the_command_of_a_call_gives_the_same_request(paper):
    module = PAPERS[paper]
    for name in module.PRESETS:
        asked = configuration.request(module.Config, module.PRESETS, package=paper, preset=name)
        assert asked.preset == name
        assert parse(paper, *shlex.split(asked.command)[3:]) == asked


def test_a_call_names_what_is_wrong_with_it():
    ask = functools.partial(
        configuration.request, breakhis.config.Config, breakhis.config.PRESETS, package="breakhis"
    )
    with pytest.raises(TypeError, match="no setting 'epoch'; did you mean epochs"):
        ask(epoch=3)
    with pytest.raises(TypeError, match="a config or a preset, not both"):
        ask(breakhis.config.Config(), preset="demo")
    with pytest.raises(InputError, match="T2-binary-resnet50"):
        ask(preset="T2-binary-resnet5")
    with pytest.raises(InputError, match="--epochs 0: must be at least 1"):
        ask(epochs=0)
    request = ask(preset="demo")
    assert ask(request) is request
    with pytest.raises(TypeError, match="a request is complete"):
        ask(request, epochs=3)


@dataclasses.dataclass(frozen=True)
class Old:
    """A Config before a setting was added and a default changed."""

    rate: float = configuration.hp(0.1, "", "")
    classes: int = configuration.hp(2, "", "")


@dataclasses.dataclass(frozen=True)
class New:
    """The same paper later."""

    rate: float = configuration.hp(0.2, "", "", first=0.1)
    classes: int = configuration.hp(2, "", "")
    blur: int = configuration.hp(0, "", "")


def test_a_config_is_known_by_what_differs_from_the_first_defaults():
    assert configuration.identity(Old()) == {}
    assert configuration.identity(New()) == {"rate": 0.2}
    assert configuration.identity(New(rate=0.1)) == {}
    assert configuration.identity(New(rate=0.1, blur=1)) == {"blur": 1}
    # An older run's config lacks the new field and means its first default.
    old = configuration.to_dict(Old(classes=4))
    assert configuration.differences(New(rate=0.1, classes=4), old) == []
    assert configuration.differences(New(classes=4), old) == ["rate"]
    assert configuration.from_dict(New, old) == New(rate=0.1, classes=4)


def test_a_value_that_is_recorded_is_no_flag():
    @dataclasses.dataclass(frozen=True)
    class Config:
        rate: float = configuration.hp(0.1, "rate", "II")
        counted: int = configuration.hp(3, "counted", "II", flag=False)

    presets = {"five": Config(counted=5)}
    ask = functools.partial(configuration.parse, Config, presets, package="x", description="")
    assert ask(arguments=["--preset", "five"]).config == Config(counted=5)
    with pytest.raises(InputError, match="Unrecognized options: --counted, 4;"):
        ask(arguments=["--counted", "4"])


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
    own_way = her2scoring.config.AS_PRINTED
    assert len(own_way) == 8 and {name[:2] for name in own_way} == {"T1", "T2"}
    rows = [
        name
        for name in her2scoring.config.PRESETS
        if name != "demo" and name not in own_way.values()
    ]
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


def test_ids_of_all_presets_are_those_they_always_had():
    """A new setting must not change them; see golden_ids.py when this fails."""
    now, before = golden_ids.present(), golden_ids.pinned()
    assert now.keys() == before.keys()
    for title, kinds in before.items():
        for kind, values in kinds.items():
            assert now[title][kind] == values, f"{title}: {kind}"


def test_a_new_setting_and_a_new_default_leave_pinned_ids_alone():
    """The first default is what is pinned: with it, a default may change."""
    ids = {
        name: runs.run_id("x", configuration.to_dict(config), "", "none", first)
        for name, config, first in (
            ("old", Old(), configuration.first_defaults(Old)),
            ("same", New(rate=0.1), configuration.first_defaults(New)),
            ("main", New(), configuration.first_defaults(New)),
        )
    }
    assert ids["old"] == ids["same"] != ids["main"]


def test_what_papers_may_choose_is_what_there_is():
    from typing import get_args

    from common import images, splits

    assert set(get_args(configuration.ResizeFilter)) == set(images.FILTERS)
    assert get_args(configuration.Group) == splits.GROUPS


@pytest.mark.parametrize("paper", ["breakhis", "ernet", "gan_fusion", "wrn_edge"])
def test_one_idea_has_one_flag_in_every_paper(paper):
    package = importlib.import_module(paper)
    one = package.Config
    values = []
    for name in ("magnification", "magnifications"):
        parsed = configuration.parse(
            one, package.PRESETS, package=paper, description="", arguments=[f"--{name}", "100X"]
        )
        called = [
            configuration.request(one, package.PRESETS, package=paper, **{name: value})
            for value in ("100X", ("100X",), ["100X"])
            # Under the field's own name, a value is what the field holds.
            if not hasattr(one(), name) or type(value) is type(getattr(one(), name))
        ]
        values += [each.config for each in (parsed, *called)]
    assert all(value == values[0] for value in values) and values[0] != one()


def test_a_setting_given_under_two_names_is_refused():
    from wrn_edge import PRESETS, Config

    with pytest.raises(TypeError, match="zoom and scale are the same setting"):
        configuration.request(Config, PRESETS, package="wrn_edge", zoom=0.1, scale=0.2)


def test_help_fits_a_terminal_of_80_columns(capsys, monkeypatch):
    from wrn_edge import PRESETS, Config

    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        configuration.parse(
            Config, PRESETS, package="wrn_edge", description="word " * 40, arguments=["--help"]
        )
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) == 80 and "--magnification" in "".join(lines)
