"""Numbers of one system in several tables, of systems that share images, and of unknown size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from common.forensics.beside import matrices_of, score_finding
from common.forensics.finding import Finding, lines, listing
from common.forensics.groups import matrix_findings
from common.forensics.half import half_of_size, triples
from common.forensics.reading import UNITS, Number, by_score, without_means
from common.forensics.readings import size_of, two_classes
from common.forensics.rounding import ZERO, Printed, shown
from common.forensics.shares import MOST_SIZES, OF_ALL, sizes_that_fit

Tables = Mapping[str, Sequence[Number]]
"""Numbers of one system by the table in which they stand."""


def system_findings(tables: Tables) -> Iterator[Finding]:
    """Judge what several tables print of one system.

    Parameters
    ----------
    tables : mapping of str to sequence of Number
        Of one system and one path of keys.

    Yields
    ------
    Finding
    """
    if len(tables) < 2:
        return
    everything = [number for each in tables.values() for number in each]
    twice = list(_twice(everything))
    yield from twice
    yield from _by_counts(tables)
    yield from _by_right_ones(tables)
    if not twice:
        yield from _joined(tables)


def _twice(everything: Sequence[Number]) -> Iterator[Finding]:
    """One quantity with values that no exact value rounds to."""
    same: dict[tuple[str, str, int], list[Number]] = {}
    for number in everything:
        if number.unit in UNITS:
            same.setdefault((number.key, number.unit, number.rounds), []).append(number)
    for numbers in same.values():
        if max(n.printed.low for n in numbers) > min(n.printed.high for n in numbers):
            text = " and ".join(
                dict.fromkeys(f"{n.printed.text} in {n.table or 'one place'}" for n in numbers)
            )
            yield Finding("printed twice", lines(numbers), False, text, 0)


def _by_counts(tables: Tables) -> Iterator[Finding]:
    """Scores in one table against the counts in another."""
    for place, group in tables.items():
        found = matrices_of(group)
        if not found:
            continue
        for other, numbers in tables.items():
            if other == place:
                continue
            for number in numbers:
                finding = score_finding(number, found)
                if finding is None or finding.possible:
                    continue
                yield Finding(
                    "elsewhere", (number.line,), None if number.rounds > 1 else False,
                    f"by the counts in {place}: {finding.shown}", None, "",
                    finding.repairs if number.rounds == 1 else {}, number.rounds > 1,
                    together=True,
                )  # fmt: skip


def _by_right_ones(tables: Tables) -> Iterator[Finding]:
    """An accuracy, and a matrix, against right images of all images in another table."""
    for place, group in tables.items():
        counts = {n.score: n for n in group if not n.of_class and n.exact_count is not None}
        right, total = counts.get("correct"), counts.get("n")
        if right is None or total is None or not total.exact_count:
            continue
        k, n = right.exact_count or 0, total.exact_count
        for other, numbers in tables.items():
            rest = [x for x in numbers if x.unit in ("percent", "fraction")]
            if other == place or not rest:
                continue
            rounds = max(x.rounds for x in rest)
            for number in rest:
                exact = Fraction(k, n)
                if number.score != "accuracy" or number.of_class or number.printed.holds(exact):
                    continue
                text = f"by the counts in {place}: {k}/{n} = {number.printed.said(exact)}, not "
                yield Finding(
                    "elsewhere", lines((number, right, total)),
                    None if number.rounds > 1 else False, text + number.printed.text,
                    differs=number.rounds > 1, together=True,
                )  # fmt: skip
            scores = [x for x in rest if x.score not in OF_ALL]
            if two_classes(rest) and len(scores) > 1:
                yield from _one_matrix_of(scores, right, total, rounds, place)


def _one_matrix_of(
    scores: Sequence[Number], right: Number, total: Number, rounds: int, place: str
) -> Iterator[Finding]:
    """Whether one matrix of so many images and right ones has all scores."""
    for finding in matrix_findings([*scores, right, total]):
        if finding.possible is not False:
            continue
        text = (
            f"no matrix with the {right.printed.text} right of {total.printed.text} in {place} "
            f"has {' and '.join(f'{x.label} {x.printed.text}' for x in scores)}"
        )
        yield Finding(
            "elsewhere", lines((*scores, right, total)), None if rounds > 1 else False, text,
            differs=rounds > 1, together=True,
        )  # fmt: skip


def _joined(tables: Tables) -> Iterator[Finding]:
    """Matrices that give the scores of all tables, of runs alike."""
    rounds = {n.rounds for each in tables.values() for n in each}
    if rounds != {1}:
        return
    alone = [list(matrix_findings(each)) for each in tables.values()]
    if any(finding.possible is False for each in alone for finding in each):
        return
    if sum(bool(each) for each in alone) < 2:
        return
    seen: dict[str, Number] = {}
    for each in tables.values():
        for number in each:
            seen.setdefault(number.key, number)
    for finding in matrix_findings(without_means(list(seen.values()))):
        text = f"{', '.join(filter(None, tables))} together: {finding.shown}"
        yield Finding(
            finding.rule, finding.lines, finding.possible, text, finding.number, finding.counts,
            finding.repairs,
            # Then the make-up of the test set follows, which may be printed nowhere.
            remark=finding.number == 1,
        )  # fmt: skip


def part_findings(numbers: Sequence[Number]) -> Iterator[Finding]:
    """Judge an accuracy of all images by those of their parts.

    Parameters
    ----------
    numbers : sequence of Number
        Of one system; parts have a path, ``by_magnification.40X``.

    Yields
    ------
    Finding
    """
    for whole in numbers:
        if whole.path or whole.key != "accuracy":
            continue
        kinds: dict[str, dict[str, Number]] = {}
        for part in numbers:
            kind, _, name = part.path.partition(".")
            if name and part.score == "accuracy" and not part.of_class:
                kinds.setdefault(kind, {})[name] = part
        for parts in kinds.values():
            if len(parts) > 1:
                yield _whole_of(whole, list(parts.values()))


def _whole_of(whole: Number, parts: Sequence[Number]) -> Finding:
    low = min(part.printed.low for part in parts)
    high = max(part.printed.high for part in parts)
    exact, rule, where = whole.printed, "parts", lines((whole, *parts))
    if exact.high < low or exact.low > high:
        text = f"{exact.text} is outside its parts' {_text(parts)}"
        return Finding(rule, where, False, text, 0)
    sizes = [part.n_only for part in parts]
    if None in sizes:
        return Finding(rule, where, True, f"between its parts' {_text(parts)}")
    total = sum(size or 0 for size in sizes)
    ends = [
        sum((getattr(part.printed, end) * part.n[0] for part in parts if part.n), ZERO) / total
        for end in ("low", "value", "high")
    ]
    possible = exact.low <= ends[2] and exact.high >= ends[0]
    terms = " + ".join(f"{part.printed.text} * {part.n_only}" for part in parts)
    text = f"({terms}) / {total} = {exact.said(ends[1])}"
    size = whole.n_only
    if possible:
        return Finding(rule, where, True, text)
    if size is None and whole.taken != total:
        text += f", not {exact.text}; of what test set that is, is not printed"
        return Finding(rule, where, None, text, differs=True)
    return Finding(
        rule,
        where,
        False,
        f"{text}, not {exact.text}",
        0,
        repairs={whole.line: exact.said(ends[1])},
    )


def _text(parts: Sequence[Number]) -> str:
    return listing(part.printed.text for part in parts)


def merged_findings(systems: Mapping[str, Sequence[Number]]) -> Iterator[Finding]:
    """Judge an accuracy on merged classes by that on the classes before.

    Parameters
    ----------
    systems : mapping of str to sequence of Number
        All numbers by system.

    Yields
    ------
    Finding
    """
    for numbers in systems.values():
        for coarse in numbers:
            if not coarse.merges or coarse.key != "accuracy":
                continue
            for fine in systems.get(coarse.merges, ()):
                if fine.key != "accuracy":
                    continue
                possible = coarse.printed.high >= fine.printed.low
                apart = shown(
                    (coarse.printed.value - fine.printed.value) * coarse.printed.scale,
                    coarse.printed.decimals,
                )
                text = f"{coarse.printed.text} - {fine.printed.text} = {apart}"
                n = coarse.n_only or coarse.taken
                if n:
                    pair = [round(each.printed.value * n) for each in (coarse, fine)]
                    text += f" points, {pair[0]} - {pair[1]} = {pair[0] - pair[1]} images of {n}"
                if not possible:
                    text += "; the same predictions with classes merged cannot be right less often"
                yield Finding(
                    "merged classes", lines((coarse, fine)), possible, text,
                    None if possible else 0,
                )  # fmt: skip


# --- test sets of unknown size -------------------------------------------------------------------


def size_findings(
    numbers: Sequence[Number], groups: Sequence[Sequence[Number]]
) -> Iterator[Finding]:
    """Judge numbers whose test set's size is not printed but bounded, and the same for all.

    Parameters
    ----------
    numbers : sequence of Number
        All.
    groups : sequence of sequence of Number
        Those of one system and table.

    Yields
    ------
    Finding
    """
    unknown: dict[tuple[int, int], list[Number]] = {}
    for number in numbers:
        n = number.n
        shares = number.score in OF_ALL and not number.of_class and number.rounds == 1
        if n is not None and 1 < len(n) <= MOST_SIZES and shares and number.unit != "images":
            unknown.setdefault((n[0], n[-1]), []).append(number)
    for (first, last), found in unknown.items():
        values = list({(n.printed.text, n.printed.decimals): n.printed for n in found}.values())
        if len(values) < 2:
            continue
        hits = np.zeros(last - first + 1, dtype=int)
        for value in values:
            hits[sizes_that_fit(value, range(max(first, 1), last + 1)) - first] += 1
        best = int(hits.max())
        if best == len(values):
            fitting = np.flatnonzero(hits == best) + first
            text = f"{len(fitting)} sizes from {first} to {last} give all {len(values)} values, "
            yield Finding(
                "size", lines(found), True, f"{text}{int(fitting[0])} first", len(fitting)
            )
            continue
        size = first + _least_by_chance(hits, values, first)
        yield from _against_size(found, groups, size, len(values), hits, first)


def _least_by_chance(hits: np.ndarray, values: Sequence[Printed], first: int) -> int:
    """Position of the size that is least likely to give so many values by chance."""
    n = np.arange(first, first + len(hits))
    chance = np.clip(n * float(max(value.unit for value in values)), 1e-9, 1 - 1e-9)
    # The first term of the binomial tail, in logarithms; it decides.
    ways = np.array([math.log(math.comb(len(values), k)) for k in range(len(values) + 1)])
    missed = len(values) - hits
    return int(np.argmin(ways[hits] + hits * np.log(chance) + missed * np.log(1 - chance)))


def _against_size(
    found: Sequence[Number],
    groups: Sequence[Sequence[Number]],
    n: int,
    values: int,
    hits: np.ndarray,
    first: int,
) -> Iterator[Finding]:
    """Judge numbers by the size that explains them best, as none explains all."""
    last = first + len(hits) - 1
    size = np.arange(first, last + 1)
    others = hits[(size != n) & (size < 2 * n)]
    start = (
        f"no n from {first} to {last} gives all {values} values; n = {n} gives "
        f"{int(hits[n - first])}, any other below {min(2 * n, last)} at most "
        f"{int(others.max(initial=0))}"
    )
    fit = [x for x in found if len(x.printed.counts(n))]
    yield Finding("size", lines(fit), True, start, None, remark=True)
    for group in groups:
        for finding in half_of_size(group, n) if set(group) & set(found) else ():
            if finding.possible:
                yield replace(finding, shown=f"if n = {n}: {finding.shown}")
        odd = [x for x in group if x in found and not len(x.printed.counts(n))]
        for number in odd:
            text, mended = _of_the_others(number, group, n)
            yield Finding(
                "size", (number.line,), False, f"{start}: {text}", 0,
                repairs={number.line: mended}, together=True,
            )  # fmt: skip


def _of_the_others(number: Number, group: Sequence[Number], n: int) -> tuple[str, str]:
    """What a share out of n must be by the other scores of its row, or what is nearest to it."""
    scores = by_score(group)
    use: dict[str, Printed | None] = {}
    for name in ("precision_micro_at_half", "recall_micro_at_half", "accuracy"):
        beside = scores.get(name)
        use[name] = beside.printed if beside is not None and beside is not number else None
    exact = number.printed
    known = use["precision_micro_at_half"] or use["recall_micro_at_half"]
    options = {round(exact.value * n), int(exact.value * n), int(exact.value * n) + 1}
    why = f"{exact.text} is no count out of {n}"
    if known and number.score in ("accuracy", "recall_micro_at_half"):
        by_others: set[int] = set()
        for k, _, right in triples(n, *use.values()):
            by_others.update(right if number.score == "accuracy" else (k,))
        if by_others:
            options = by_others
            near = sorted(by_others, key=lambda k: abs(Fraction(k, n) - exact.value))[:2]
            why += " and the others leave " + listing(
                f"{k}/{n} = {exact.said(Fraction(k, n))}" for k in near
            )
    nearest = min(options, key=lambda k: abs(Fraction(k, n) - exact.value))
    return why, exact.said(Fraction(nearest, n))


def images_findings(numbers: Sequence[Sequence[Number]]) -> Iterator[Finding]:
    """Name systems of the same test images whose counts are of other numbers of images.

    Parameters
    ----------
    numbers : sequence of sequence of Number
        Each of one system and table.

    Yields
    ------
    Finding
    """
    known: dict[tuple[str, str], list[tuple[Sequence[Number], tuple[int, int]]]] = {}
    for group in numbers:
        sizes = size_of(group)
        for name, matrix in matrices_of(group).items():
            if group[0].images and sizes is not None and matrix.n in sizes:
                size = matrix.tp + matrix.fn, matrix.fp + matrix.tn
                known.setdefault((group[0].images, name), []).append((group, size))
    for (_, name), found in known.items():
        all_sizes = [size for _, size in found]
        usual = max(all_sizes, key=all_sizes.count)
        first = next(group for group, size in found if size == usual)
        for group, size in found:
            if size == usual:
                continue
            counts = [n for each in (first, group) for n in each if n.of_class == name]
            text = " and ".join(
                f"{pair[0]} + {pair[1]} = {sum(pair)} in {each[0].table or each[0].measured}"
                for each, pair in ((first, usual), (group, size))
            )
            yield Finding("size", lines(counts), False, f"one test set: {text} images", 0)
