# SPDX-License-Identifier: GPL-3.0-or-later
"""Says in an MP4 file what it is. Standard library only; no `bpy` module use.

A comment and a description where players look for them (iTunes' list, which FFmpeg writes and reads, too), and an XMP
packet with IPTC's digital source type. Sources: ISO/IEC 14496-12 (boxes), Adobe's XMP specification, part 3 (where the
packet lies), IPTC Photo Metadata Standard (the type).
"""

from __future__ import annotations

import struct
from pathlib import Path
from xml.sax.saxutils import escape

from ..errors import ArtalkError

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeSynthetic"
_XMP = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:dc="http://purl.org/dc/elements/1.1/"><Iptc4xmpExt:DigitalSourceType>{kind}</Iptc4xmpExt:DigitalSourceType>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def add_words(path: Path, description: str, comment: str) -> None:
    """Writes both into an MP4 file. Raises ArtalkError for what is no MP4 file."""
    data = path.read_bytes()
    try:
        boxes = _boxes(data, 0, len(data))
        name, start, _ = boxes[-1]
        if not boxes or boxes[0][0] != b"ftyp":
            raise ValueError
        if name == b"moov":  # at the end, as Blender leaves it: what lies before keeps its place
            data = data[:start] + _with_texts(data[start:], {b"\xa9cmt": comment, b"desc": description})
    except (ValueError, IndexError, struct.error):
        raise ArtalkError(f"“{path.name}” is no whole MP4 file.", "Make the movie again.") from None
    packet = _PACKET.format(kind=SOURCE_TYPE, text=escape(description)).encode()
    path.write_bytes(data + _box(b"uuid", _XMP + packet))


def _boxes(data: bytes, start: int, end: int) -> list[tuple[bytes, int, int]]:
    """(name, start, end) of the boxes in a row. Raises ValueError where they don't fit."""
    found = []
    while start < end:
        size, name = struct.unpack_from(">I4s", data, start)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
        if size < 8 or start + size > end:
            raise ValueError
        found.append((name, start, start + size))
        start += size
    return found


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def _with_texts(moov: bytes, texts: dict[bytes, str]) -> bytes:
    """A moov box with more entries in its list, which is made where there is none."""
    entries = b"".join(_box(name, _box(b"data", struct.pack(">II", 1, 0) + text.encode()))
                       for name, text in texts.items())
    return _grown(moov, (b"moov", b"udta", b"meta", b"ilst"), entries)


def _grown(box: bytes, way: tuple[bytes, ...], content: bytes) -> bytes:
    """A box in which, at the end of the way, `content` comes last; boxes on it that are missing are made."""
    if len(way) == 1:
        return _box(way[0], box[8:] + content)
    head = 12 if way[0] == b"meta" else 8  # of a full box: version and flags
    inner = next((place for place in _boxes(box, head, len(box)) if place[0] == way[1]), None)
    if inner is None:
        empty = {b"meta": bytes(4) + _box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))}
        fresh = _grown(_box(way[1], empty.get(way[1], b"")), way[1:], content)
        return _box(way[0], box[8:] + fresh)
    _, start, end = inner
    return _box(way[0], box[8:start] + _grown(box[start:end], way[1:], content) + box[end:])
