"""Which image of one list is which of another, whose paths begin elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from common.review.names import stem
from common.splits.audit import names_of

ALONE = 0.9
"""Share of a list that ends of paths must tell apart to say by themselves which image is meant."""


@dataclass(frozen=True)
class Matched:
    """Images of a list as another names them.

    Attributes
    ----------
    names : dict of str to str
        Image -> its name in the other list.
    unclear : frozenset of str
        Images of which nothing says which of several they are.
    possible : frozenset of str
        Names of the other list that these may be.
    """

    names: dict[str, str]
    unclear: frozenset[str]
    possible: frozenset[str]


def match(images: Iterable[str], others: Iterable[str]) -> Matched:
    """Find images in another list by the longest end of the path that only one of it has.

    An end counts if it is all of one of the two paths, or tells the images of both lists apart: of
    p1/1.png, p1/2.png and p2/1.png the last is no b/p3/1.png, but a/IMG_7.png is b/IMG_7.png.

    Parameters
    ----------
    images : iterable of str
        Paths or names, with either slash, with or without ending.
    others : iterable of str
        The other list.

    Returns
    -------
    Matched
        Without images that the other list lacks.
    """
    ours, theirs = ({name: _path(name) for name in names if name} for names in (images, others))
    depth = max(_telling(ours.values()), _telling(theirs.values()))
    by_end: dict[tuple[str, ...], list[str]] = {}
    by_path: dict[tuple[str, ...], list[str]] = {}
    for name, path in theirs.items():
        by_path.setdefault(path, []).append(name)
        for end in _ends(path):
            by_end.setdefault(end, []).append(name)
    claims: dict[str, list[tuple[float, str]]] = {}
    unclear: set[str] = set()
    several: dict[tuple[tuple[str, ...], bool], list[str]] = {}
    for image, path in ours.items():
        if image in theirs:
            claims.setdefault(image, []).append((float("inf"), image))
            continue
        for end in _ends(path):
            whole = len(end) >= min(depth, len(path))
            there = (by_end if whole else by_path).get(end, [])
            if len(there) == 1:
                claims.setdefault(there[0], []).append((len(end), image))
            elif there:
                unclear.add(image)
                several[end, whole] = there
            if there:
                break
    possible = {name for there in several.values() for name in there}
    names = {}
    for name, claim in claims.items():
        longest = max(claim)[0]
        best = [image for length, image in claim if length == longest]
        if len(best) == 1:
            names[best[0]] = name
        unclear.update(image for _, image in claim if image not in names)
        possible.add(name)
    return Matched(names, frozenset(unclear), frozenset(possible - set(names.values())))


def _path(name: str) -> tuple[str, ...]:
    return (*names_of(name)[:-1], stem(name).casefold())


def _ends(path: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    """Ends of a path, the longest first."""
    return (path[i:] for i in range(len(path)))


def _telling(paths: Iterable[tuple[str, ...]]) -> int:
    """How many folders and names from the end tell the paths of a list apart."""
    paths = set(paths)
    longest = max(map(len, paths), default=1)
    for depth in range(1, longest):
        times: dict[tuple[str, ...], int] = {}
        for path in paths:
            times[path[-depth:]] = times.get(path[-depth:], 0) + 1
        if sum(n == 1 for n in times.values()) >= ALONE * len(paths):
            return depth
    return longest
