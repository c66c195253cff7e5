"""The envelope of every message between two parties, and what comes back for it.

A frame is a protobuf `Frame`, written so that its body lies last and untouched: encoding joins once, decoding reads
the header and leaves the body where it is. All sizes are checked against the bytes received before anything is parsed.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field

from fedcredit.errors import ConfigError, FedcreditError, PeerLost
from fedcredit.ids import PartyId, party_id
from fedcredit.kernels.digest import blake3
from fedcredit.wire._gen import frame_pb2 as pb
from fedcredit.wire.message import MessageInvalid, read_proto

__all__ = [
    "ABORT_STAGE",
    "ABORT_TAG",
    "MAX_BODY_BYTES",
    "MAX_FRAME_BYTES",
    "PEER_LEFT",
    "SSID_BYTES",
    "Abort",
    "Frame",
    "Receipt",
    "check_stage",
    "is_code",
]

SSID_BYTES = 32
HASH_BYTES = 32
MAX_FRAME_BYTES = 8 << 20
MAX_HEADER_BYTES = 1 << 10
MAX_BODY_BYTES = MAX_FRAME_BYTES - 2 * MAX_HEADER_BYTES
MAX_RECEIPT_BYTES = 1 << 10

ABORT_TAG = 0
ABORT_STAGE = "abort"
PEER_LEFT = "PEER_LEFT"  # of a stream that ends because its receiver leaves in good order

_STAGE = re.compile(r"[a-z0-9][a-z0-9._/-]{0,63}")
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_HEADER_KEY, _BODY_KEY = 0x0A, 0x12  # protobuf keys of fields 1 and 2, length-delimited


@dataclass(frozen=True, slots=True)
class Frame:
    """One message in its envelope. `body_hash` is filled in by `encode`, and checked by `check_body` after `decode`.

    Reveals: to the network, sizes and times alone (TLS); to the receiver, its job, stage and place in the sequence.
    Assumes: a link that authenticates its sender; `sender` is only a claim until compared with it.
    """

    ssid: bytes
    stage: str
    sender: PartyId
    seq: int
    tag: int
    body: bytes | memoryview = field(repr=False)
    epoch: int = 0
    body_hash: bytes = field(default=b"", repr=False)
    encoded: bytes = field(default=b"", repr=False, compare=False)

    def encode(self) -> bytes:
        """The bytes on the wire. Raises MessageInvalid if the body is too large to travel."""
        if len(self.body) > MAX_BODY_BYTES:
            raise MessageInvalid(
                "frame", f"a body of {len(self.body)} bytes; {MAX_BODY_BYTES} is the most", "TOO_LARGE"
            )
        header = pb.FrameHeader(
            ssid=self.ssid,
            epoch=self.epoch,
            stage=self.stage,
            sender=self.sender,
            seq=self.seq,
            tag=self.tag,
            body_hash=self.body_hash or blake3(bytes(self.body)),
        ).SerializeToString()
        lead = (bytes([_HEADER_KEY]), _varint(len(header)), header, bytes([_BODY_KEY]), _varint(len(self.body)))
        return b"".join((*lead, self.body))

    @classmethod
    def decode(cls, data: bytes) -> Frame:
        """The frame in `data`, its body a view of `data`, its hash not checked yet. Raises MessageInvalid."""
        if len(data) > MAX_FRAME_BYTES:
            raise MessageInvalid("frame", f"more than {MAX_FRAME_BYTES} bytes", "TOO_LARGE")
        start, end = _section(data, 0, _HEADER_KEY, "header")
        if end - start > MAX_HEADER_BYTES:
            raise MessageInvalid("frame.header", f"more than {MAX_HEADER_BYTES} bytes", "TOO_LARGE")
        header = pb.FrameHeader()
        read_proto(header, data[start:end], "frame.header")
        start, end = _section(data, end, _BODY_KEY, "body")
        if end != len(data):
            raise MessageInvalid("frame.body", "bytes after the body")
        if len(header.body_hash) != HASH_BYTES:
            raise MessageInvalid("frame.body_hash", f"not {HASH_BYTES} bytes")
        return cls(
            ssid=_ssid(header.ssid),
            stage=check_stage(header.stage, reserved=header.tag == ABORT_TAG),
            sender=_party(header.sender, "frame.sender"),
            seq=header.seq,
            tag=header.tag,
            body=memoryview(data)[start:],
            epoch=header.epoch,
            body_hash=header.body_hash,
            encoded=data,
        )

    def check_body(self) -> None:
        """Hash the body of a decoded frame. Raises MessageInvalid (DATA_CORRUPT) if it is not what the sender sent."""
        if blake3(self.encoded, len(self.encoded) - len(self.body)) != self.body_hash:
            raise MessageInvalid("frame.body", "the hash does not fit the body", "DATA_CORRUPT")


@dataclass(frozen=True, slots=True)
class Abort:
    """The sender ends the job, or its part in this start of it.

    Reveals: where it gave up, the error's code and kind, and which other party of the job it has lost, if any.
    Assumes: as `Frame`; whom it names is the sender's word.
    """

    stage: str
    code: str
    status: int
    lost: PartyId | None = None

    @classmethod
    def of(cls, stage: str, error: FedcreditError) -> Abort:
        """What peers are told of `error`."""
        lost = None
        if isinstance(error, PeerLost):
            with contextlib.suppress(ConfigError):
                lost = party_id(error.culprit)
        return cls(stage, error.code, error.exit_status, lost)

    def encode(self) -> bytes:
        """The body of a frame with `ABORT_TAG`."""
        lost = self.lost or ""
        return pb.Abort(stage=self.stage, code=self.code, status=self.status, lost=lost).SerializeToString()

    @classmethod
    def decode(cls, data: bytes | memoryview) -> Abort:
        """The abort in a frame's body. Raises MessageInvalid."""
        body = pb.Abort()
        read_proto(body, data[:MAX_RECEIPT_BYTES], "abort")
        if not is_code(body.code) or body.status > 255:
            raise MessageInvalid("abort", "not an error code and exit status")
        lost = _party(body.lost, "abort.lost") if body.lost else None
        return cls(check_stage(body.stage), body.code, body.status, lost)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The receiver has taken every frame of a stage below `next_seq`; `refused` says why it takes no more.

    With `hang_up` it is about the whole stream, which ends for that reason. A message, and not only gRPC's status,
    because the status is lost to a client that is in the middle of a write.

    Reveals: how far the receiver is. Assumes: as `Frame`.
    """

    ssid: bytes
    epoch: int
    stage: str
    next_seq: int
    refused: str = ""
    hang_up: str = ""

    @classmethod
    def hanging_up(cls, code: str) -> Receipt:
        """The last receipt of a stream."""
        return cls(bytes(SSID_BYTES), 0, ABORT_STAGE, 0, hang_up=code)

    def encode(self) -> bytes:
        """The bytes on the wire."""
        if self.hang_up:
            return pb.Receipt(hang_up=self.hang_up).SerializeToString()
        return pb.Receipt(
            ssid=self.ssid, epoch=self.epoch, stage=self.stage, next_seq=self.next_seq, refused=self.refused
        ).SerializeToString()

    @classmethod
    def decode(cls, data: bytes) -> Receipt:
        """The receipt in `data`. Raises MessageInvalid."""
        body = pb.Receipt()
        if len(data) > MAX_RECEIPT_BYTES:
            raise MessageInvalid("receipt", f"more than {MAX_RECEIPT_BYTES} bytes", "TOO_LARGE")
        read_proto(body, data, "receipt")
        if not all(is_code(code) for code in (body.refused, body.hang_up) if code):
            raise MessageInvalid("receipt", "not an error code")
        if body.hang_up:
            return cls.hanging_up(body.hang_up)
        stage = check_stage(body.stage, reserved=body.stage == ABORT_STAGE)
        return cls(_ssid(body.ssid), body.epoch, stage, body.next_seq, body.refused)


def check_stage(stage: str, *, reserved: bool = False) -> str:
    """`stage`, if it may name one: up to 64 of a-z 0-9 . _ / -; not "abort", or only that if `reserved`.

    Raises: MessageInvalid.
    """
    if not _STAGE.fullmatch(stage) or (stage == ABORT_STAGE) is not reserved:
        raise MessageInvalid("stage", "not a stage's name: up to 64 of a-z 0-9 . _ / -")
    return stage


def is_code(text: str) -> bool:
    """Whether `text` has the form of a stable error code."""
    return _CODE.fullmatch(text) is not None


def _ssid(ssid: bytes) -> bytes:
    if len(ssid) != SSID_BYTES:
        raise MessageInvalid("ssid", f"not {SSID_BYTES} bytes")
    return ssid


def _party(name: str, where: str) -> PartyId:
    try:
        return party_id(name)
    except ConfigError:
        raise MessageInvalid(where, "not a party's name") from None


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _section(data: bytes, at: int, key: int, name: str) -> tuple[int, int]:
    """Start and end of the length-delimited field `key` at `at`, within `data`."""
    if at >= len(data) or data[at] != key:
        raise MessageInvalid(f"frame.{name}", "missing, or out of order")
    length = 0
    for shift in range(4):  # four bytes of seven bits hold any length up to MAX_FRAME_BYTES
        at += 1
        if at >= len(data):
            break
        length |= (data[at] & 0x7F) << 7 * shift
        if data[at] < 0x80:
            if length > len(data) - at - 1:
                raise MessageInvalid(f"frame.{name}", "claims more bytes than there are")
            return at + 1, at + 1 + length
    raise MessageInvalid(f"frame.{name}", "no length")
