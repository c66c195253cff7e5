"""How gRPC is set and used on every link: names, sizes, keepalive, and nothing that is not needed."""

from __future__ import annotations

from fedcredit.transport.limits import Limits

__all__ = [
    "ACCEPTED",
    "CARRY",
    "RELAY_ACCEPT",
    "RELAY_DIAL",
    "RELAY_JOIN",
    "RELAY_JOINED",
    "channel_options",
    "server_options",
]

CARRY = "/fedcredit.v1.Frames/Carry"
ACCEPTED = ("fedcredit-frames", "1")
"""In the initial metadata of a stream that the receiver has let in. Until then the sender does not write: a client in
the middle of a write loses the status that says why it was refused."""

RELAY_JOIN, RELAY_DIAL, RELAY_ACCEPT = (f"/fedcredit.v1.Relay/{method}" for method in ("Join", "Dial", "Accept"))
RELAY_JOINED = ("fedcredit-relay", "1")
"""In the initial metadata of a Join that the relay has taken."""

Options = tuple[tuple[str, int | str], ...]

_MAX_METADATA_BYTES = 8 << 10
_IDENTITY_ONLY = 1  # bit set of compression algorithms: none

# A line of 10 s each way works: a ping comes back after 20 s, and a connection stands after three rounds (TCP, TLS, the
# settings of HTTP/2). A peer that is dead without a word is noticed 26 s after its last byte at the latest.
_PING_AFTER_MS, _PING_TIMEOUT_MS, _CONNECT_MS = 4_000, 22_000, 70_000

# Half of what kept CVE-2023-44487 and its like cheap is that servers tolerate pings and streams without end.
_COMMON: Options = (
    ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
    ("grpc.keepalive_time_ms", _PING_AFTER_MS),
    ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", _PING_TIMEOUT_MS),  # what gRPC really waits for, a minute by default
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_ONLY),
    ("grpc.http2.max_frame_size", 1 << 20),
)


def server_options(limits: Limits) -> Options:
    """Options of a party's server."""
    window: Options = ()
    if limits.stream_window_bytes:
        # With probing off, the window stays what it was at first.
        window = (("grpc.http2.lookahead_bytes", limits.stream_window_bytes), ("grpc.http2.bdp_probe", 0))
    return (
        *_COMMON,
        *window,
        *_sizes(limits),
        ("grpc.so_reuseport", 0),
        ("grpc.max_concurrent_streams", limits.calls_per_peer),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING_AFTER_MS // 2),
        ("grpc.http2.max_ping_strikes", 2),
    )


def channel_options(limits: Limits, host: str) -> Options:
    """Options of a channel to the party that TLS must find named as `host`."""
    return (
        *_COMMON,
        *_sizes(limits),
        ("grpc.ssl_target_name_override", host),
        ("grpc.enable_retries", 0),
        # Processes of one job start within a second of each other; later attempts are 10 s apart at most, jittered.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 10_000),
        ("grpc.min_reconnect_backoff_ms", _CONNECT_MS),  # what one attempt may take, in spite of its name
    )


def _sizes(limits: Limits) -> Options:
    return (
        ("grpc.max_receive_message_length", limits.frame_bytes),
        ("grpc.max_send_message_length", limits.frame_bytes),
    )
