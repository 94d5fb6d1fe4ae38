"""The few parts of protocol buffers' wire format that a log of scalars needs, and the frame around each record.

A message is a sequence of (key, value), key = number * 8 + type, integers as varints (Protocol Buffers, "Encoding").
A record of TensorFlow's format is its length (8 bytes), a checksum of the length, the bytes, and a checksum of them.
"""

import struct
from collections.abc import Generator

# The wire types, by their numbers in the encoding.
VARINT, DOUBLE, BYTES, FLOAT = 0, 1, 2, 5
# Castagnoli's polynomial, bits reversed (RFC 3720, appendix B.4), and the mask of TensorFlow's record format.
_POLYNOMIAL, _MASK = 0x82F63B78, 0xA282EAD8


def _table() -> tuple[int, ...]:
    entries: list[int] = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        entries.append(crc)
    return tuple(entries)


# A byte at a time: eight times as fast as bit by bit, which a long log would notice.
_TABLE = _table()


def checksum(data: bytes) -> int:
    """The masked CRC-32C of TensorFlow's record format."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def frame(record: bytes) -> bytes:
    """A record with its length and its two checksums."""
    length = struct.pack("<Q", len(record))
    return length + struct.pack("<I", checksum(length)) + record + struct.pack("<I", checksum(record))


def varint(value: int) -> bytes:
    """An integer, seven bits a byte, the lowest first; negative ones as 64-bit two's complement."""
    value &= 0xFFFFFFFFFFFFFFFF
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def field(number: int, kind: int, value: int | float | bytes) -> bytes:
    """One field of a message."""
    key = varint(number << 3 | kind)
    if isinstance(value, bytes):
        return key + varint(len(value)) + value
    if kind == VARINT:
        return key + varint(int(value))
    return key + struct.pack("<d" if kind == DOUBLE else "<f", value)


def fields(message: bytes) -> Generator[tuple[int, int, int | float | bytes]]:
    """The fields of a message: (number, type, value).

    Raises
    ------
    ValueError
        If it is cut off or of no known type.
    """
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _read_varint(message, at)
            yield number, kind, value
            continue
        if kind == BYTES:
            size, at = _read_varint(message, at)
        elif kind in (DOUBLE, FLOAT):
            size = 8 if kind == DOUBLE else 4
        else:
            raise ValueError(f"no such type of field: {kind}")
        part = message[at : at + size]
        if len(part) < size:
            raise ValueError("the message is cut off")
        at += size
        if kind == BYTES:
            yield number, kind, part
        else:
            yield number, kind, struct.unpack("<d" if kind == DOUBLE else "<f", part)[0]


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("an integer is cut off")
