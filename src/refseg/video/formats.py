"""Formats of video files: a closed list, recognised by their first bytes, without playlists."""

from pathlib import Path

DEMUXERS = (
    "mov,matroska,webm,avi,flv,asf,ogg,mpegts,mpeg,mpegvideo,m4v,h264,hevc,dv,mxf,ivf,yuv4mpegpipe,wav"  # wav: sound
)
"""Demuxers that FFmpeg may use. Its other demuxers take texts and pictures for videos, or open further files."""
_BEGINNINGS = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),  # ASF, WMV
    b"OggS",
    b"YUV4MPEG2 ",
    b"DKIF",  # IVF
    bytes.fromhex("060e2b34020501010d0102"),  # MXF
    bytes.fromhex("1f0700"),  # DV
)
_BOXES = frozenset(b"ftyp styp moov moof mdat wide free skip pnot sidx uuid".split())  # MP4, MOV
_START = b"\0\0\1"
_START_CODES = frozenset(bytes.fromhex("ba b3 b0 e0 09 27 47 67 40 42 46"))  # MPEG, H.264, H.265 without a container
_PACKETS, _SYNC, _IN_A_ROW = (188, 192, 204), 0x47, 5  # MPEG-TS
_HEAD_BYTES = max(_PACKETS) * (_IN_A_ROW + 1)


def is_video_file(path: Path) -> bool:
    """Whether a file begins as a video of a known format; only its first bytes are read."""
    with path.open("rb") as file:
        return begins_as_video(file.read(_HEAD_BYTES))


def begins_as_video(content: bytes) -> bool:
    """Whether the first bytes of a file are those of a video of a known format."""
    head = content[:_HEAD_BYTES]
    if head.startswith(_BEGINNINGS) or head[4:8] in _BOXES:
        return True
    if head.startswith(b"RIFF"):
        return head[8:12] in (b"AVI ", b"AVIX")
    if head.startswith((_START, b"\0" + _START)):
        return head[head.index(_START) + 3] in _START_CODES if len(head) > 4 else False
    return any(_is_packed(head, size) for size in _PACKETS)


def _is_packed(head: bytes, size: int) -> bool:
    starts = (head[start::size][:_IN_A_ROW] for start in range(size))
    return bytes([_SYNC]) * _IN_A_ROW in starts
