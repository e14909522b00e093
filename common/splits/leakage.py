"""What leaks between the parts of a split: shared patients and slides, duplicate images.

Exact duplicates are found by the hash of the decoded pixels, near ones (re-saved, resized,
brightened, turned or mirrored copies; one field photographed twice) by a perceptual hash.

    python -m common.splits report --split-file runs/.../split.csv --data-dir D
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common import notices
from common.datasets import listed
from common.errors import InputError
from common.splits.draw import sorted_rows
from common.splits.parts import GROUPS, PARTS, shared_groups

HASH_SIDE = 16  # the hash keeps 16 x 16 of the lowest frequencies: 256 bits
# Bits in which two hashes differ (128 for unrelated images). Measured on 213 BreakHis fields at
# 100X: re-compressed, resized, brightened, blurred or slightly cropped copies of 71 of them differ
# in at most 40 bits, 3 % crops in 54 in the middle; of 22,578 pairs of different fields, most of
# them tissue of the same twelve cases, one pair differs in 52 bits (one field photographed twice)
# and all others, in any of eight orientations, in 90 or more. 64 lies between; with the spread of
# unrelated pairs (mean 128, sd 9.4 bits at the lower end) it is 6.8 sd away, so that the 250
# million comparisons of 7,909 images in eight orientations give no chance hit.
NEAR_BITS = 64
SHOWN_PAIRS = 100  # pairs that a leakage report lists; all of them are counted
PAIRS_OF_PARTS = (("train", "test"), ("train", "validation"), ("validation", "test"))

_BLOCK = 512


def report(
    split: pd.DataFrame, data_dir: str | os.PathLike | None = None, *, near: bool = True
) -> dict[str, Any]:
    """Find what the parts of a split share: patients, slides, and images.

    Parameters
    ----------
    split : DataFrame
        An index with `part`, or a split.csv as `read` gives it.
    data_dir : path, optional
        Folder of the images. Without it only the names are compared, no images.
    near : bool
        Look for near duplicates too, not for exact ones alone.

    Returns
    -------
    dict
        Ready for JSON. `parts` {part: images}; `groups` {"case" | "slide" | "folder": {`unknown`
        images, `groups`, `shared` groups in more than one part, `pairs` {"train-test": {`groups`,
        `names`, `images` of the second part whose group also lies in the first, `share`}}}};
        `exact` and `near` (None where not looked for): {`pairs` in all, `across` parts,
        `by_parts`, `label_conflicts` pairs whose labels differ, `test_images` with a twin that is
        trained on, `share`, `worst` list of pairs across parts, nearest first: {`a`, `a_part`,
        `b`, `b_part`, `bits`, `turned`, `same_label`}}; `near` holds exact copies too only in
        `test_images`; `notes` for readers.

    Raises
    ------
    InputError
        If an image is missing or cannot be read.

    Notes
    -----
    Exact duplicates have the same decoded pixels, whatever the files' bytes. Near duplicates have
    perceptual hashes (signs of the 16 x 16 lowest DCT frequencies of the grey image against their
    median) that differ in at most `NEAR_BITS` of 256 bits, in any of the eight orientations by
    flips and quarter turns. Neighbouring fields of a slide look alike to the eye but not to this
    hash: they do not count as duplicates.
    """
    used = split[split["part"] != ""].reset_index(drop=True)
    order = sorted_rows(used)
    used = used.iloc[order].reset_index(drop=True)
    sizes = {part: int((used["part"] == part).sum()) for part in PARTS}
    report: dict[str, Any] = {
        "images": len(used),
        "parts": sizes,
        "groups": {group: _group_report(used, group) for group in GROUPS},
        "exact": None,
        "near": None,
        "near_bits": NEAR_BITS,
        "synthetic": bool(used["synthetic"].any()) if "synthetic" in used else None,
        "notes": [],
    }
    notes = report["notes"]
    unknown = report["groups"]["case"]["unknown"]
    if unknown:
        notes.append(
            f"slides and patients of {unknown} of {len(used)} images are unknown: patient leakage "
            "cannot be excluded"
        )
    if data_dir is None:
        notes.append("no data folder was given: images were not compared")
        return report
    pixels, frequencies = fingerprints(data_dir, used["image"], near=near)
    if report["synthetic"] is None:
        from common.datasets import is_synthetic

        report["synthetic"] = is_synthetic(data_dir, list(used["image"]))
    exact = _exact_pairs(pixels)
    report["exact"] = _pair_report(used, exact)
    if near:
        found = _near_pairs(frequencies)
        copies = {(a, b) for a, b, *_ in exact}
        others = [pair for pair in found if pair[:2] not in copies]
        report["near"] = _pair_report(used, others, with_twins=exact)
    return report


def text(report: Mapping[str, Any]) -> str:
    """Turn what `leakage` returned into lines for a terminal."""
    parts = report["parts"]
    lines = [
        f"{report['images']} images: "
        + ", ".join(f"{part} {parts[part]}" for part in PARTS if parts[part])
    ]
    if report["synthetic"]:
        lines.insert(0, notices.SYNTHETIC)
    for group, found in report["groups"].items():
        if not found["groups"]:
            lines.append(f"{group + 's':<8}unknown")
            continue
        lines.append(
            f"{group + 's':<8}{found['shared']} of {found['groups']} in more than one part"
        )
        for name, pair in found["pairs"].items():
            first, second = name.split("-")
            # A case holds its slides and folders: for these the line that matters is enough.
            if pair["groups"] and (group == "case" or name == "train-test"):
                lines.append(
                    f"        {pair['images']} of {parts[second]} {second} images "
                    f"({pair['share']:.1%}) belong to a {group} that {_verb(first)}"
                )
    for kind, title in (("exact", "exact duplicates"), ("near", "near duplicates")):
        found = report[kind]
        if found is None:
            lines.append(f"{title}: not looked for")
            continue
        limit = f" (at most {report['near_bits']} of 256 bits differ)" if kind == "near" else ""
        lines.append(
            f"{title}{limit}: {_many(found['pairs'], 'pair')}, {found['across']} across parts"
        )
        if parts["test"] and found["test_images"]:
            what = "an exact copy" if kind == "exact" else "an exact or near copy"
            lines.append(
                f"        {found['test_images']} of {parts['test']} test images "
                f"({found['share']:.1%}) have {what} among the training images"
            )
        if found["label_conflicts"]:
            lines.append(f"        {_many(found['label_conflicts'], 'pair')} with different labels")
        for pair in found["worst"][:5]:
            turned = ", turned or flipped" if pair["turned"] else ""
            lines.append(
                f"        {_file(pair['a'])} ({pair['a_part']}) and {_file(pair['b'])} "
                f"({pair['b_part']}): {pair['bits']} bits{turned}"
            )
    return "\n".join(lines + [f"note: {note}" for note in report["notes"]])


def fingerprints(
    data_dir: str | os.PathLike, images: Sequence[str], *, near: bool = True
) -> tuple[list[bytes], np.ndarray | None]:
    """Hash the decoded pixels of images, and take their lowest frequencies.

    Parameters
    ----------
    data_dir : path
    images : sequence of str
        Paths below `data_dir`.
    near : bool
        Take the frequencies too.

    Returns
    -------
    pixels : list of bytes
        SHA-256 of each image's shape and RGB pixels.
    frequencies : ndarray or None
        Shape (n, 16, 16), float32: lowest DCT coefficients of the grey image at 64 x 64.
    """
    from concurrent.futures import ThreadPoolExecutor

    root = Path(data_dir)
    missing = [name for name in images if not (root / name).is_file()]
    if missing:
        raise InputError(
            f"{root}: {len(missing)} of {len(images)} images of the split are not there: "
            f"{listed(missing)}; give the --data-dir that the split was made on"
        )

    def one(name: str) -> tuple[bytes, np.ndarray | None]:
        return _fingerprint(root / name, near)

    # Decoding and hashing release the interpreter lock, so threads are enough.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(one, images))
    pixels = [result[0] for result in results]
    if not near:
        return pixels, None
    return pixels, np.stack([result[1] for result in results])


def _fingerprint(path: Path, near: bool) -> tuple[bytes, np.ndarray | None]:
    import hashlib

    from common import images

    image = np.ascontiguousarray(images.read(path))
    digest = hashlib.sha256(str(image.shape).encode())
    digest.update(image.data)
    if not near:
        return digest.digest(), None
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    # Four samples per kept period; a square, so that a quarter turn is a transpose.
    side = 4 * HASH_SIDE
    small = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    return digest.digest(), cv2.dct(small)[:HASH_SIDE, :HASH_SIDE]


def _orientations(frequencies: np.ndarray) -> list[np.ndarray]:
    """Frequencies of the eight orientations of images, the given one first.

    A flip changes the sign of the odd frequencies along its axis; a transpose transposes.
    """
    sign = np.where(np.arange(HASH_SIDE) % 2, -1.0, 1.0).astype(np.float32)
    found = []
    for base in (frequencies, frequencies.transpose(0, 2, 1)):
        for rows in (1.0, sign[:, None]):
            for columns in (1.0, sign[None, :]):
                found.append(base * rows * columns)
    return found


def _hashes(frequencies: np.ndarray) -> np.ndarray:
    """Bits of the perceptual hash, packed; shape (n, 4), uint64."""
    flat = frequencies.reshape(len(frequencies), -1)
    # The mean (first coefficient) is left out: brightness and contrast do not change the others'
    # order.
    bits = flat > np.median(flat[:, 1:], axis=1, keepdims=True)
    bits[:, 0] = False
    return np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint64)


def _exact_pairs(pixels: Sequence[bytes]) -> list[tuple[int, int, int, bool]]:
    """Pairs (a < b, bits 0, not turned) of images with the same pixels."""
    same: dict[bytes, list[int]] = {}
    for row, digest in enumerate(pixels):
        same.setdefault(digest, []).append(row)
    return [
        (rows[i], rows[j], 0, False)
        for rows in same.values()
        for i in range(len(rows))
        for j in range(i + 1, len(rows))
    ]


def _near_pairs(frequencies: np.ndarray) -> list[tuple[int, int, int, bool]]:
    """Pairs (a < b, bits that differ, whether turned) within `NEAR_BITS`; every pair once."""
    plain, *turned = [_hashes(turn) for turn in _orientations(frequencies)]
    best: dict[tuple[int, int], tuple[int, bool]] = {}
    for hashes, is_turned in [(plain, False), *((hashes, True) for hashes in turned)]:
        for start in range(0, len(plain), _BLOCK):
            # One image of a pair is turned, never both: pairs with a < b are all there are.
            rows = plain[start : start + _BLOCK, None]
            columns = hashes[None, start:]
            bits = np.zeros(np.broadcast_shapes(rows.shape[:2], columns.shape[:2]), np.uint16)
            for word in range(rows.shape[-1]):
                bits += np.bitwise_count(rows[..., word] ^ columns[..., word])
            for i, j in np.argwhere(bits <= NEAR_BITS):
                if i < j:
                    pair = (start + int(i), start + int(j))
                    found = (int(bits[i, j]), is_turned)
                    best[pair] = min(best.get(pair, found), found)
    return sorted((*pair, *found) for pair, found in best.items())


def _group_report(split: pd.DataFrame, group: str) -> dict[str, Any]:
    if group not in split:  # a user's own file may hold images and parts alone
        split = split.assign(**{group: ""})
    known = split[split[group] != ""]
    pairs = {}
    for first, second in PAIRS_OF_PARTS:
        left = set(known.loc[known["part"] == first, group])
        right = known.loc[known["part"] == second, group]
        shared = sorted(left & set(right))
        images = int(right.isin(shared).sum())
        total = int((split["part"] == second).sum())
        pairs[f"{first}-{second}"] = {
            "groups": len(shared),
            "names": shared,
            "images": images,
            "share": images / total if total else None,
        }
    return {
        "unknown": len(split) - len(known),
        "groups": int(known[group].nunique()),
        "shared": len(shared_groups(known, group)),
        "pairs": pairs,
    }


def _pair_report(
    split: pd.DataFrame,
    pairs: Sequence[tuple[int, int, int, bool]],
    with_twins: Sequence[tuple[int, int, int, bool]] = (),
) -> dict[str, Any]:
    """Count pairs by their parts and list the worst across parts."""
    parts = split["part"].to_numpy()
    labels = split["label"].to_numpy() if "label" in split else np.full(len(split), "")
    position = {part: i for i, part in enumerate(PARTS)}
    by_parts = {"-".join(names): 0 for names in PAIRS_OF_PARTS}
    across = []
    for a, b, bits, turned in pairs:
        if parts[a] == parts[b]:
            continue
        first, second = sorted((a, b), key=lambda row: position[parts[row]])
        by_parts[f"{parts[first]}-{parts[second]}"] += 1
        across.append(
            (parts[[first, second]].tolist() != ["train", "test"], bits, first, second, turned)
        )
    twins = {
        row
        for a, b, *_ in (*pairs, *with_twins)
        for row, other in ((a, b), (b, a))
        if parts[row] == "test" and parts[other] == "train"
    }
    tested = int((parts == "test").sum())
    images = split["image"].to_numpy()
    return {
        "pairs": len(pairs),
        "across": len(across),
        "by_parts": by_parts,
        "label_conflicts": sum(labels[a] != labels[b] for a, b, *_ in pairs),
        "test_images": len(twins),
        "share": len(twins) / tested if tested else None,
        "worst": [
            {
                "a": images[first],
                "a_part": parts[first],
                "b": images[second],
                "b_part": parts[second],
                "bits": bits,
                "turned": turned,
                "same_label": bool(labels[first] == labels[second]),
                "exact": not with_twins and bits == 0,
            }
            for _, bits, first, second, turned in sorted(across)[:SHOWN_PAIRS]
        ],
    }


def _verb(part: str) -> str:
    return {"train": "is also trained on", "validation": "is also validated on"}[part]


def _many(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def _file(image: str) -> str:
    return image.rpartition("/")[2]
