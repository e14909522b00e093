"""What the papers say is held to what the code does; the discrepancies reckon right."""

import dataclasses
import importlib
import re
from pathlib import Path

import pytest

from common import protocols, tables
from common.config import ASSUMED, DEVIATION
from common.errors import InputError
from common.forensics import discrepancies as arithmetic
from common.papers import PAPERS
from common.protocols.__main__ import main

ROOT = Path(__file__).parent.parent

COUNTS = {"her2scoring": 18, "breakhis": 18, "ernet": 31, "gan_fusion": 38, "wrn_edge": 24}
LETTERS = {"her2scoring": "H", "breakhis": "B", "ernet": "E", "gan_fusion": "G", "wrn_edge": "W"}

NOT_THE_PAPERS = {"mixed_precision", "deterministic", "own_classes", "stain_augmentation"}
"""Settings that are about the machine alone, a user's own images, or what no paper does."""

# --- discrepancies -----------------------------------------------------------------------------


def test_129_discrepancies():
    found = {package: list(protocols.discrepancies(package)) for package in COUNTS}
    for package, ids in found.items():
        letter = LETTERS[package]
        assert ids == [f"{letter}{n:02}" for n in range(1, COUNTS[package] + 1)]
    assert sum(map(len, found.values())) == 129


@pytest.mark.parametrize("package", PAPERS)
def test_discrepancies_are_whole(package):
    for each in protocols.discrepancies(package).values():
        for field in dataclasses.fields(each):
            text = getattr(each, field.name)
            if field.name == "found_by":
                continue
            assert isinstance(text, str) and text.strip() == text != "", (each.id, field.name)
            # The page puts the sentences together.
            assert not text.endswith("."), (each.id, field.name)


def test_every_id_that_is_mentioned_exists():
    known = {i for package in PAPERS for i in protocols.discrepancies(package)}
    mentioned = {}
    for path in mentioning():
        for found in re.findall(r"\b[BEGHW]\d\d\b", path.read_text(encoding="utf-8")):
            mentioned.setdefault(found, path)
    assert len(mentioned) >= 129  # the READMEs alone have all
    assert {i: path for i, path in mentioned.items() if i not in known} == {}


def mentioning():
    """Files that speak of discrepancies: code, data, pages and notebooks."""
    for folder in (*PAPERS, "common", "docs", "tests", "benchmarks", "notebooks"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".md", ".csv", ".toml", ".ipynb", ".html"):
                yield path
    yield from ROOT.glob("*.md")


@pytest.mark.parametrize("package", PAPERS)
def test_every_discrepancy_is_told_in_a_document(package):
    """With all that is said of it, in the paper's README; and none that the data lack."""
    readme = (ROOT / package / "README.md").read_text(encoding="utf-8")
    told = re.findall(r"^- \*\*([A-Z]\d\d)\*\* \(", readme, re.M)
    assert told == list(protocols.discrepancies(package))
    for each in protocols.discrepancies(package).values():
        for said in (each.where, each.claim, each.problem, each.evidence, each.resolution):
            assert said in readme, each.id


NUMBER = r"\d+(?:\.\d+)?(?:e\d+)?"
SUM = re.compile(rf"((?:\(\s*)*{NUMBER}(?:\)*\s*[-+*/]\s*\(*{NUMBER})+\)*)\s=\s(-?{NUMBER})")


def sums(text):
    """Sums written out in a text, with what they are said to be, as text."""
    return SUM.findall(text)


def agrees(left, right):
    """Whether a sum has the stated value to its printed decimals, or has it as a percentage."""
    value = eval(left, {"__builtins__": {}})  # digits and operators alone, by SUM
    if "e" in right:
        return value == pytest.approx(float(right), rel=5e-3)
    decimals = len(right.partition(".")[2])
    half = 0.5000001 * 10**-decimals
    return min(abs(value - float(right)), abs(100 * value - float(right))) <= half


def test_sums_are_found_and_checked():
    assert sums("so 8 * 24 = 192, which is 193 - 192 = 1 fewer") == [
        ("8 * 24", "192"),
        ("193 - 192", "1"),
    ]
    assert sums("50. (1 + 2) / 4 = 75 %, F = 3 = 3") == [("(1 + 2) / 4", "75")]
    assert agrees("382/407", "93.86") and not agrees("382/407", "93.91")
    assert agrees("96.05 - 94.43", "1.62") and not agrees("96.05 - 94.43", "2.5")
    assert agrees("458/1390", "32.9") and not agrees("458/1390", "33.0")


@pytest.mark.parametrize(
    ("package", "at_least"),
    [("her2scoring", 25), ("breakhis", 15), ("ernet", 35), ("gan_fusion", 45), ("wrn_edge", 30)],
)
def test_sums_in_the_evidence_are_right(package, at_least):
    found = [
        (each.id, left, right)
        for each in protocols.discrepancies(package).values()
        for left, right in sums(each.evidence)
    ]
    assert len(found) >= at_least
    assert [line for line in found if not agrees(*line[1:])] == []


# --- protocols ---------------------------------------------------------------------------------


def settings(package):
    """Default and source of each setting; the GAN's with `gan.` before its name."""
    module = importlib.import_module(f"{package}.config")
    classes = {"": module.Config}
    if hasattr(module, "OTHER_PRESETS"):
        classes["gan."] = type(next(iter(module.OTHER_PRESETS.values())))
    return {
        prefix + field.name: (field.default, field.metadata["source"])
        for prefix, kind in classes.items()
        for field in dataclasses.fields(kind)
        if field.name not in NOT_THE_PAPERS
    }


def by_setting(entries):
    found = {}
    for entry in entries.values():
        if entry.field:
            found.setdefault(entry.field, []).append(entry)
    return found


@pytest.mark.parametrize("package", PAPERS)
def test_every_setting_is_stated_or_left_open(package):
    read = protocols.protocol(package)
    stated, left_open = by_setting(read.stated), by_setting(read.open)
    assert set(stated) | set(left_open) == set(settings(package))
    assert set(stated) & set(left_open) == set()
    assert [name for name, entries in left_open.items() if len(entries) > 1] == []


@pytest.mark.parametrize("package", PAPERS)
def test_what_is_open_is_assumed(package):
    has = settings(package)
    for entry in protocols.protocol(package).open.values():
        if entry.field:
            default, source = has[entry.field]
            assert entry.default == default, entry.name
            assert source.startswith(ASSUMED), (entry.name, source)


@pytest.mark.parametrize("package", PAPERS)
def test_what_is_stated_is_followed_or_a_deviation(package):
    has = settings(package)
    unmarked = set()
    for name, entries in by_setting(protocols.protocol(package).stated).items():
        default, source = has[name]
        for entry in entries:
            if entry.ours is None:
                assert default in entry.values, entry.name
            elif " " not in str(entry.ours):
                # A few words on what a setting does are not its value.
                assert entry.ours == default != entry.values[0], entry.name
        if all(entry.ours is None for entry in entries):
            assert not source.startswith((ASSUMED, DEVIATION)), (name, source)
        elif not source.startswith(DEVIATION):
            unmarked.add(name)
    assert unmarked == set()


def test_sources_that_are_no_section_are_in_the_protocol():
    """Both ways: a deviation in the settings has its reason in the protocol."""
    for package in PAPERS:
        stated = by_setting(protocols.protocol(package).stated)
        for name, (_, source) in settings(package).items():
            if source.startswith(DEVIATION):
                assert any(e.ours is not None for e in stated[name]), (package, name)


def test_our_own_split_of_breakhis_is_not_the_papers():
    """781 benign test images, as its protocol says, where the paper's scores give 749 (B14)."""
    import pandas as pd

    from breakhis import data
    from breakhis.config import PRESETS

    types = {
        "B_A": 444, "B_F": 1014, "B_PT": 453, "B_TA": 569,
        "M_DC": 3451, "M_LC": 626, "M_MC": 792, "M_PC": 560,
    }  # fmt: skip
    # A split over images knows names and labels alone, and the order of the names.
    names = [f"SOB_{name}-14-{i:04}.png" for name, n in types.items() for i in range(n)]
    labels = [name.split("-")[0].split("_")[2] for name in names]
    index = pd.DataFrame({"image": names, "label": labels})
    row = PRESETS["T2-8class-resnet50-oversampled"]
    split = data.make_split(index, row, None)
    tested = split[split.part == "test"]
    assert (len(tested), tested.image.str.startswith("SOB_B").sum()) == (2373, 781)
    assert "781 benign" in protocols.protocol("breakhis").open["split_seed"].why
    trained, _ = data.make_samples(split, row)
    assert (trained.part == "train").sum() == 14_568


# --- pages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", PAPERS)
def test_readme_has_what_the_data_say(package, tmp_path):
    page = (ROOT / package / "README.md").read_text(encoding="utf-8")
    copy = tmp_path / "README.md"
    copy.write_text(page, encoding="utf-8")
    # `python -m common.protocols readme` writes them anew.
    assert not protocols.update_readme(copy, package)
    assert not tables.update_readme(copy, package)
    flat = " ".join(page.split())
    about = protocols.protocol(package).paper
    assert about.title in flat
    for author in about.authors:
        assert author.split()[-1] in flat
    assert about.doi in flat
    # The block is the only list of them: another would be a second copy.
    rest = page.split(protocols.BEGIN)[0] + page.split(arithmetic.END)[1]
    assert not re.search(r"^- \**[BEGHW]\d\d", rest, re.MULTILINE)


def test_show_prints_one_entry_or_all(capsys):
    assert main(["show", "her2scoring", "H03", "--dropout"]) == 0
    printed = capsys.readouterr().out
    assert "382/407 = 93.86" in printed and "left open: 0.5" in printed and "H04" not in printed
    assert main(["show", "her2scoring"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\nH{n:02}  " in printed for n in range(1, 19))
    with pytest.raises(InputError, match="nowhere: neither"):
        main(["show", "her2scoring", "nowhere"])
    with pytest.raises(InputError, match="no paper"):
        main(["show", "numpy"])


def test_readme_command_leaves_what_is_right(capsys):
    before = (ROOT / "breakhis" / "README.md").read_bytes()
    assert main(["readme", "breakhis"]) == 0
    assert (ROOT / "breakhis" / "README.md").read_bytes() == before
    assert "as it is" in capsys.readouterr().out


# --- the reader --------------------------------------------------------------------------------

PAPER = """
[paper]
title = "T"
authors = ["A"]
venue = "V"
year = 2020
licence = "none"
trainings = "1"
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write a package `quick` with the two files."""
    folder = tmp_path / "quick"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    def write(protocol="", discrepancies=""):
        (folder / "protocol.toml").write_text(PAPER + protocol)
        (folder / "discrepancies.toml").write_text(discrepancies)
        return "quick"

    return write


def test_reader_gives_records(package):
    name = package(
        '[stated.rate]\nwhere = "2"\nsays = "s"\nvalues = [1, 2]\n'
        '[stated.sizes]\nwhere = "3"\nsays = "s"\nvalue = [8, 4]\nfield = "sizes"\n'
        '[open.seed]\ndefault = 0\nwhy = "w"\n'
    )
    read = protocols.protocol(name)
    assert read.paper == protocols.Paper("T", ("A",), "V", 2020, "none", "1")
    assert read.stated["rate"] == protocols.Stated("rate", "2", "s", (1, 2))
    assert read.stated["sizes"].values == ((8, 4),)
    assert read.open == {"seed": protocols.Open("seed", 0, "w")}
    assert read.deviations == [] and protocols.discrepancies(name) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[stated.rate]\nwhere = "2"\nsays = "s"',
            "needs one of value and values",
        ),
        ('[stated.rate]\nsays = "s"\nvalue = 1', r"\[stated.rate\]: lacks where"),
        ('[stated.a]\nwhere = "2"\nsays = "s"\nvalue = 1\nours = 2', "ours and why go together"),
        ('[open.seed]\ndefault = 0\nwhy = "w"\nwhen = 1', r"\[open.seed\]: unknown when"),
        ("[odd]", r"unknown section \[odd\]"),
        ("x = ", "protocol.toml: "),
    ],
)
def test_reader_names_what_is_wrong_in_a_protocol(package, text, message):
    with pytest.raises(InputError, match=message):
        protocols.protocol(package(text))


def test_reader_names_what_is_wrong_in_a_discrepancy(package):
    whole = {"where": "2", "claim": "c", "problem": "p", "evidence": "e", "resolution": "r"}
    lines = "".join(f'{key} = "{value}"\n' for key, value in whole.items())
    with pytest.raises(InputError, match=r"\[Q01\]: lacks severity"):
        protocols.discrepancies(package("", f"[Q01]\n{lines}"))
    with pytest.raises(InputError, match=r"\[Q01\]: severity is one of high, medium, low"):
        protocols.discrepancies(package("", f'[Q01]\nseverity = "dire"\n{lines}'))
    name = package("", f'[Q01]\nseverity = "low"\n{lines}')
    assert protocols.discrepancies(name)["Q01"].claim == "c"


def test_missing_files_are_named(tmp_path, monkeypatch):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"protocol\.toml: no such file"):
        protocols.protocol("bare")
