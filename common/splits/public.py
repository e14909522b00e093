"""Splits that others publish and build on, audited: the page docs/audits.md."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from common import datasets
from common.errors import InputError
from common.splits.audit import Audit, audit
from common.splits.lists import Listed

FILE = Path(__file__).with_name("public.toml")
COMMAND = "python -m common.splits public --page docs/audits.md"


@dataclass(frozen=True)
class Protocol:
    """A split by slides as it is published.

    Attributes
    ----------
    key, title : str
    dataset : str
        One of `common.datasets.MODULES`.
    source : str
        Where its list stands.
    says : str
        What it says of patients, in its own words.
    types : tuple of str
        Whose slides it takes.
    magnifications : tuple of str
    test : tuple of str
        Slides or folders that are held out; all others of the types are trained on.
    """

    key: str
    title: str
    dataset: str
    source: str
    says: str
    types: tuple[str, ...]
    magnifications: tuple[str, ...]
    test: tuple[str, ...]

    def split(self) -> Listed:
        """List the folders of its two parts.

        Raises
        ------
        InputError
            If a slide that it names is none of the data set.
        """
        from common.datasets import breakhis

        held = {}
        for name in self.test:
            told = breakhis.named(name)
            if told is None or not told["folder"]:
                raise InputError(f"{FILE}: {self.key}: {name} is no folder of BreakHis")
            held[told["folder"]] = name
        known = {folder: breakhis.named(folder) or {} for folder in breakhis.folders()}
        taken = [folder for folder, told in known.items() if told["type"] in self.types]
        split = Listed(self.title)
        split.add([folder for folder in taken if folder not in held], "train")
        split.add(held, "test")
        return split

    def images(self, folders: set[str]) -> int:
        """Count the images of folders at its magnifications.

        Parameters
        ----------
        folders : set of str
        """
        from common.datasets import breakhis

        columns = [breakhis.MAGNIFICATIONS.index(name) for name in self.magnifications]
        return sum(breakhis.folders()[name][i] for name in folders for i in columns)


def protocols() -> list[Protocol]:
    """Read the published splits that this library knows."""
    with FILE.open("rb") as file:
        entries = tomllib.load(file)["protocol"]
    lists = ("types", "magnifications", "test")
    return [Protocol(**entry | {key: tuple(entry[key]) for key in lists}) for entry in entries]


def audited(protocol: Protocol) -> Audit:
    """Audit a published split, from the names of its folders alone.

    Parameters
    ----------
    protocol : Protocol
    """
    return audit(protocol.split(), datasets.get(protocol.dataset))


def page() -> str:
    """Write docs/audits.md."""
    from common.datasets import breakhis

    lines = [_HEAD.format(command=COMMAND, cases=breakhis.CASES, **breakhis.EXPECTED_GROUPS)]
    found = [(protocol, audited(protocol)) for protocol in protocols()]
    for protocol, result in found:
        k, n, images, total = _share(protocol, result)
        lines.append(
            f"| {protocol.title} | {result.parts['train']}, {result.parts['test']} | "
            f"**{k} of {n}** | {images} of {total} ({100 * images / total:.1f} %) |"
        )
    for protocol, result in found:
        k, n, images, total = _share(protocol, result)
        trained = protocol.images(set(_folders(protocol, "train")))
        lines += [
            f"\n## {protocol.title}\n",
            f"Source: {protocol.source}. It says: “{protocol.says}”\n",
            f"It takes {', '.join(protocol.types)} at {', '.join(protocol.magnifications)}: "
            f"{result.parts['train']} folders",
            f"({trained} images) are trained on, {n} ({total}) tested on. {k} of the {n} have a",
            f"case number that is trained on, with {images} of the {total} images:\n",
            "| case | tested on | trained on | test images |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {each.name} | {', '.join(each.names[1])} | {', '.join(each.names[0])} | "
            f"{protocol.images(_held(each.names[1]))} |"
            for each in result.shared
            if each.group == "case"
        ]
    return "\n".join([*lines, _FOOT])


_HEAD = """\
# Public splits, audited

Made by `{command}`; the lists stand in
`common/splits/public.toml`, with their sources. Facts only: which case numbers lie on both sides,
and how many test images that concerns.

{cases}
The data set's paper speaks of 82 patients; its {folder} folders have {case} case numbers. Which of
them are one person is not published: no line here says that a patient is shared, and none that
none is.

| split | folders: train, test | test folders whose case is trained on | their images |
|---|---|---|---|"""

_FOOT = """
## The official five folds

`dsfold1.txt` to `dsfold5.txt` come with the data set's own page and are not given out here;
Kaggle's copy has them as `Folds.csv`. They are drawn over slide folders. Whoever has them asks:

```
python -m common.splits audit dsfold1.txt dsfold2.txt dsfold3.txt dsfold4.txt dsfold5.txt
python -m common.splits audit Folds.csv --csv shared.csv
```

Every case number on both sides of a fold is named, and with `--data-dir D` every image, too, that
has an exact or near copy there.

## Any other split

```
python -m common.splits audit FILE [FILE ...] [--dataset breakhis] [--data-dir D]
```

reads a table with a column of parts or of folds (a run's split.csv, too), a column for each part,
lists of names (`--train A.txt --test B.txt`, or files that are named so), JSON lists, and a folder
for each part. Names may be paths of either kind, images, pieces or copies of images, folders,
slides (`14-22549AB`, `22549AB`) or case numbers. The exit code is 0 where nothing is shared, 1
where something is, 2 where the file cannot be read.
"""


def _folders(protocol: Protocol, part: str) -> list[str]:
    split = protocol.split()
    return [name for name, where in zip(split.names, split.parts, strict=True) if where == part]


def _held(names: tuple[str, ...]) -> set[str]:
    from common.datasets import breakhis

    return {(breakhis.named(name) or {})["folder"] for name in names}


def _share(protocol: Protocol, result: Audit) -> tuple[int, int, int, int]:
    """Test folders whose case is trained on, and all; their images, and all."""
    shared = {name for each in result.shared if each.group == "case" for name in each.names[1]}
    tested = _held(tuple(_folders(protocol, "test")))
    held = _held(tuple(shared))
    return len(held), len(tested), protocol.images(held), protocol.images(tested)
