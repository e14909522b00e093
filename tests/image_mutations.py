"""Small PNG, JPEG and TIFF files, whole and damaged: the cases of `fuzz_images`."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

Mutation = Callable[[bytearray, random.Random], bytes]


# --- whole files -------------------------------------------------------------------------------


def picture(seed: int, height: int = 24, width: int = 37) -> np.ndarray:
    """Smooth noise: RGB (height, width, 3) uint8, different in every pixel row."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def originals() -> list[tuple[str, bytes]]:
    """Whole files of many kinds that `read` accepts: (format, bytes)."""
    rgb = picture(0)
    opaque = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    upright = Image.Exif()
    upright[0x0112] = 1
    upright[0x010E] = "a description"

    def pillow(image: np.ndarray, kind: str, **options) -> tuple[str, bytes]:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, kind, **options)
        return kind, buffer.getvalue()

    restarts = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2])[1].tobytes()
    return [
        pillow(rgb, "PNG"),
        pillow(opaque, "PNG"),
        pillow(rgb, "PNG", exif=upright, dpi=(96, 96)),
        ("PNG", interlaced(rgb)),
        ("PNG", several_idat(rgb)),
        pillow(rgb, "JPEG", quality=90, subsampling=0),
        pillow(rgb, "JPEG", quality=75),
        pillow(rgb, "JPEG", progressive=True, exif=upright),
        ("JPEG", restarts),
        pillow(rgb, "TIFF"),
        pillow(rgb, "TIFF", compression="tiff_lzw"),
        pillow(rgb, "TIFF", compression="tiff_adobe_deflate", tiffinfo={317: 2}),
        pillow(rgb, "TIFF", compression="packbits"),
        pillow(rgb, "TIFF", compression="jpeg"),
        pillow(rgb, "TIFF", big_tiff=True),
        pillow(opaque, "TIFF"),
        ("TIFF", big_endian_strips(rgb)),
    ]


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def png(image: np.ndarray, raw: bytes, interlace: int, pieces: int) -> bytes:
    header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, 2, 0, 0, interlace)
    data = zlib.compress(raw)
    step = -(-len(data) // pieces)
    parts = [chunk(b"IDAT", data[i : i + step]) for i in range(0, len(data), step)]
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(parts) + chunk(b"IEND", b"")


def interlaced(image: np.ndarray) -> bytes:
    """PNG with Adam7 interlacing, which Pillow reads but does not write."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
              (1, 0, 2, 1))  # fmt: skip
    rows = [
        b"\0" + row.tobytes()
        for top, left, down, right in passes
        for row in image[top::down, left::right]
        if row.size
    ]
    return png(image, b"".join(rows), 1, 1)


def several_idat(image: np.ndarray) -> bytes:
    return png(image, b"".join(b"\0" + row.tobytes() for row in image), 0, 4)


def big_endian_strips(image: np.ndarray, rows: int = 7) -> bytes:
    """Big-endian TIFF whose pixels lie in several strips."""
    strips = [image[i : i + rows].tobytes() for i in range(0, len(image), rows)]
    n, entries = len(strips), 10
    at = 8 + 2 + 12 * entries + 4
    bits, offsets, lengths = at, at + 6, at + 6 + 4 * n
    first = lengths + 4 * n
    starts = [first + sum(map(len, strips[:i])) for i in range(n)]
    short, long = 3, 4
    tags = [
        (256, long, 1, image.shape[1]), (257, long, 1, image.shape[0]), (258, short, 3, bits),
        (259, short, 1, 1 << 16), (262, short, 1, 2 << 16), (273, long, n, offsets),
        (277, short, 1, 3 << 16), (278, long, 1, rows), (279, long, n, lengths),
        (284, short, 1, 1 << 16),
    ]  # fmt: skip
    return (
        struct.pack(">2sHIH", b"MM", 42, 8, entries)
        + b"".join(struct.pack(">HHII", *tag) for tag in tags) + struct.pack(">I", 0)
        + struct.pack(">3H", 8, 8, 8) + struct.pack(f">{n}I", *starts)
        + struct.pack(f">{n}I", *map(len, strips)) + b"".join(strips)
    )  # fmt: skip


# --- mutations of any file ---------------------------------------------------------------------


def flip_bits(data: bytearray, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def set_byte(data: bytearray, rng: random.Random) -> bytes:
    data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
    return bytes(data)


def truncate(data: bytearray, rng: random.Random) -> bytes:
    return bytes(data[: rng.randrange(len(data))])


def cut_out(data: bytearray, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    del data[start : start + rng.choice((1, 2, 4, 16, 200))]
    return bytes(data)


def insert(data: bytearray, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    data[at:at] = rng.choice((rng.randbytes(rng.randrange(1, 40)), bytes(8), b"\xff" * 4))
    return bytes(data)


def repeat(data: bytearray, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    piece = data[start : start + rng.choice((1, 4, 12, 60))]
    data[start:start] = piece * rng.randrange(1, 4)
    return bytes(data)


def blank(data: bytearray, rng: random.Random) -> bytes:
    """Zero a stretch, as a failed sector does."""
    start, length = rng.randrange(len(data)), rng.choice((4, 32, 512))
    data[start : start + length] = bytes(len(data[start : start + length]))
    return bytes(data)


ANY = (flip_bits, flip_bits, set_byte, truncate, cut_out, insert, repeat, blank)


# --- mutations that know the format ------------------------------------------------------------


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, at = [], 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        chunks.append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def mutate_png(data: bytearray, rng: random.Random) -> bytes:
    """Change chunks and make their checksums right again."""
    chunks = png_chunks(bytes(data))
    i, j = rng.randrange(len(chunks)), rng.randrange(len(chunks))
    what = rng.choice(("swap", "repeat", "drop", "header", "content", "length", "rename", "end"))
    if what == "swap":
        chunks[i], chunks[j] = chunks[j], chunks[i]
    elif what == "repeat":
        chunks.insert(j, chunks[i])
    elif what == "drop":
        del chunks[i]
    elif what == "header":
        kind, content = chunks[0]
        fields = list(struct.unpack(">IIBBBBB", content))
        field = rng.randrange(7)
        fields[field] = rng.choice(
            (0, 1, fields[field] + 1, max(fields[field] - 1, 0), 2 * fields[field], 2**31 - 1, 5000)
            if field < 2
            else (0, 1, 2, 3, 4, 6, 7, 8, 16, 255)
        )
        chunks[0] = kind, struct.pack(">IIBBBBB", *fields)
    elif what == "content" and chunks[i][1]:
        chunks[i] = chunks[i][0], rng.choice(ANY)(bytearray(chunks[i][1]), rng)
    elif what == "rename":
        name = rng.choice((b"tRNS", b"PLTE", b"eXIf", b"acTL", b"gAMA", b"IDAT", b"QUUX", b"quux"))
        chunks[i] = name, chunks[i][1]
    elif what == "end":
        chunks.insert(i, (b"IEND", b""))
    whole = bytearray(data[:8] + b"".join(chunk(kind, content) for kind, content in chunks))
    if what == "length":
        at = 8 + sum(12 + len(content) for _, content in chunks[:i])
        lie = rng.choice((0, 1, len(chunks[i][1]) + 1, 2**31 - 1, 2**32 - 1, 3))
        struct.pack_into(">I", whole, at, lie)
    return bytes(whole)


def jpeg_segments(data: bytes) -> tuple[list[bytes], bytes]:
    """Segments up to and with the first start of scan, and all that follows it."""
    segments, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        length = struct.unpack_from(">H", data, at + 2)[0]
        segments.append(data[at : at + 2 + length])
        at += 2 + length
        if segments[-1][1] == 0xDA:
            break
    return segments, data[at:]


def mutate_jpeg(data: bytearray, rng: random.Random) -> bytes:
    segments, scan = jpeg_segments(bytes(data))
    i, j = rng.randrange(len(segments)), rng.randrange(len(segments))
    what = rng.choice(
        ("swap", "repeat", "drop", "length", "header", "content", "scan", "marker", "end", "half")
    )
    if what == "swap":
        segments[i], segments[j] = segments[j], segments[i]
    elif what == "repeat":
        segments.insert(j, segments[i])
    elif what == "drop":
        del segments[i]
    elif what == "length":
        lie = rng.choice((0, 1, 2, len(segments[i]) - 1, len(segments[i]) + 5, 65535))
        segments[i] = segments[i][:2] + struct.pack(">H", lie) + segments[i][4:]
    elif what == "header":
        for k, segment in enumerate(segments):
            if 0xC0 <= segment[1] <= 0xC2:
                body = bytearray(segment)
                at = rng.randrange(4, len(body))
                body[at] = rng.choice((0, 1, 2, 3, 4, 8, 12, 0x11, 0x22, 0x44, body[at] + 1 & 255))
                segments[k] = bytes(body)
    elif what == "content":
        segments[i] = segments[i][:4] + rng.choice(ANY)(bytearray(segments[i][4:] or b"\0"), rng)
    elif what == "scan":
        scan = rng.choice(ANY)(bytearray(scan or b"\0"), rng)
    elif what == "marker":
        at = rng.randrange(len(scan) + 1)
        marker = rng.choice((0xD0, 0xD3, 0xD8, 0xC0, 0xC4, 0xDA, 0xDB, 0xFE, 0xE1, 0x01))
        scan = scan[:at] + bytes([0xFF, marker]) + scan[at:]
    elif what == "end":
        at = rng.randrange(len(scan) + 1)
        scan = scan[:at] + b"\xff\xd9" + scan[at:]
    elif what == "half":
        scan = scan[: rng.randrange(len(scan) + 1)] + b"\xff\xd9"
    return bytes(data[:2]) + b"".join(segments) + scan


def tiff_entries(data: bytes) -> tuple[str, bool, list[int]]:
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    offset = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    count = struct.unpack_from(order + ("Q" if big else "H"), data, offset)[0]
    first, size = (offset + 8, 20) if big else (offset + 2, 12)
    return order, big, [first + size * k for k in range(min(count, 40))]


def mutate_tiff(data: bytearray, rng: random.Random) -> bytes:
    order, big, entries = tiff_entries(bytes(data))
    i, j = rng.choice(entries), rng.choice(entries)
    size = 20 if big else 12
    what = rng.choice(
        ("tag", "kind", "count", "value", "value", "swap", "repeat", "next", "number")
    )
    if what == "tag":
        known = (256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 322, 330, 347)
        struct.pack_into(order + "H", data, i, rng.choice((*known, 0, 65535)))
    elif what == "kind":
        struct.pack_into(order + "H", data, i + 2, rng.choice((0, 1, 2, 3, 4, 5, 13, 16, 17, 255)))
    elif what == "count":
        lie = rng.choice((0, 1, 2, 3, 4, 1000, 2**31 - 1, 2**32 - 1))
        struct.pack_into(order + ("Q" if big else "I"), data, i + 4, lie)
    elif what == "value":
        at = i + (12 if big else 8)
        old = struct.unpack_from(order + "I", data, at)[0]
        new = rng.choice((0, 1, 2, 3, 5, 6, 8, 32773, old + 1, max(old - 1, 0), old ^ 8, 2**31, 7))
        if rng.random() < 0.5:
            struct.pack_into(order + "H", data, at, new & 0xFFFF)
        else:
            struct.pack_into(order + "I", data, at, new & 0xFFFFFFFF)
    elif what == "swap":
        data[i : i + size], data[j : j + size] = data[j : j + size], data[i : i + size]
    elif what == "repeat":
        data[i : i + size] = data[j : j + size]
    elif what == "next":
        at = entries[-1] + size
        struct.pack_into(order + "I", data, at, rng.choice((8, entries[0] - 2, at, 2**31, 1)))
    elif what == "number":
        struct.pack_into(order + "H", data, entries[0] - 2, rng.choice((0, 1, 5, 60, 65535)))
    return bytes(data)


OWN: dict[str, Mutation] = {"PNG": mutate_png, "JPEG": mutate_jpeg, "TIFF": mutate_tiff}


def mutant(number: int, files: list[tuple[str, bytes]]) -> tuple[str, bytes, bytes, str]:
    """Make case `number`: its format, its bytes, the file before, and what was done to it."""
    rng = random.Random(number)
    kind, original = files[number % len(files)]
    data, done = original, []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if rng.random() < 0.06:
            other = rng.choice(files)[1]
            data = data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other)) :]
            done.append("splice")
            continue
        change = OWN[kind] if rng.random() < 0.6 else rng.choice(ANY)
        try:
            data = change(bytearray(data), rng) or b"\0"
        except (struct.error, IndexError, ValueError):
            continue  # an earlier mutation left nothing that this one could work on
        done.append(change.__name__)
    return kind, data, original, "+".join(done)
