"""Types of the native module. Callers use `fedcredit.kernels`, which checks shapes and ranges with better messages."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

__version__: Final[str]

class BadPoint(ValueError):
    """Bytes that are not a canonical, non-identity group element."""

class BadFilter(ValueError):
    """Bytes that are not a compact set, or an update that does not fit one."""

class ServeFailed(ValueError):
    """The server of verification cannot do that. Its one argument is a list of (code, place, what)."""

class NoAssignment(ValueError):
    """No OKVS for these keys under this seed."""

class BadServing(ValueError):
    """An index, a program, a token or a snapshot that is none: a list of code, place and what."""

# Digest, identifiers, group, OPRF, OKVS: kernels/digest.py, identifiers.py, group.py, okvs.py.

def blake3(data: bytes, start: int = 0) -> bytes: ...
def blake3_derive(context: str, material: bytes, length: int) -> bytes: ...
def blake3_keyed(key: bytes, rows: npt.NDArray[np.uint8], strip: bool, out_width: int) -> npt.NDArray[np.uint8]: ...
def blake3_keyed_xor(key: bytes, rows: npt.NDArray[np.uint8], strip: bool, out: npt.NDArray[np.uint8]) -> None: ...
def digest_lookup(table: npt.NDArray[np.uint8], wanted: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]: ...
def digest_find_repeat(table: npt.NDArray[np.uint8]) -> int | None: ...
def identifiers_normalise(
    cells: npt.NDArray[np.uint8], n: int, kind: str, max_bytes: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], list[int]]: ...
def identifiers_join(columns: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]: ...
def identifiers_repeats(ids: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]: ...
def identifiers_in_order(ids: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]: ...
def identifiers_csv_lines(
    ids: npt.NDArray[np.uint8],
    parts: int,
    rows: npt.NDArray[np.int64],
    columns: list[npt.NDArray[np.uint8]],
    at: npt.NDArray[np.int64],
) -> bytes: ...
def expand_message_xmd(message: bytes, dst: bytes, length: int) -> bytes: ...
def hash_to_group(
    rows: npt.NDArray[np.uint8], lengths: npt.NDArray[np.uint32] | None, dst: bytes
) -> npt.NDArray[np.uint8]: ...
def group_multiply(encoded: npt.NDArray[np.uint8], scalar: bytes) -> npt.NDArray[np.uint8]: ...
def group_multiply_times(
    encoded: npt.NDArray[np.uint8], scalar: bytes, times: int, portable: bool
) -> npt.NDArray[np.uint8]: ...
def group_multiply_each(encoded: npt.NDArray[np.uint8], scalars: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]: ...
def group_multiply_base(scalars: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]: ...
def group_add(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]: ...
def group_subtract(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]: ...
def group_check(encoded: npt.NDArray[np.uint8]) -> None: ...
def scalars_from_wide(wide: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]: ...
def scalars_invert(scalars: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]: ...
def oprf_blind(
    rows: npt.NDArray[np.uint8], lengths: npt.NDArray[np.uint32] | None, scalar: bytes
) -> npt.NDArray[np.uint8]: ...
def oprf_blind_each(
    rows: npt.NDArray[np.uint8], lengths: npt.NDArray[np.uint32] | None, scalars: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]: ...
def oprf_evaluate(
    rows: npt.NDArray[np.uint8], lengths: npt.NDArray[np.uint32] | None, key: bytes, out_width: int
) -> npt.NDArray[np.uint8]: ...
def oprf_finalize(
    rows: npt.NDArray[np.uint8],
    lengths: npt.NDArray[np.uint32] | None,
    evaluated: npt.NDArray[np.uint8],
    scalar: bytes,
    out_width: int,
) -> npt.NDArray[np.uint8]: ...
def oprf_finalize_each(
    rows: npt.NDArray[np.uint8],
    lengths: npt.NDArray[np.uint32] | None,
    evaluated: npt.NDArray[np.uint8],
    scalars: npt.NDArray[np.uint8],
    out_width: int,
) -> npt.NDArray[np.uint8]: ...
def okvs_slots(n: int) -> int: ...
def okvs_encode(
    keys: npt.NDArray[np.uint8], values: npt.NDArray[np.uint8], seed: bytes, fill: npt.NDArray[np.uint8]
) -> None: ...
def okvs_decode_xor(
    store: npt.NDArray[np.uint8], n: int, keys: npt.NDArray[np.uint8], seed: bytes, out: npt.NDArray[np.uint8]
) -> None: ...

# Compact sets of pseudorandom values: kernels/filter.py. A set is flat bytes.

def filter_size(n: int, bits: int) -> int: ...
def filter_encode(values: npt.NDArray[np.uint8], bits: int, out: npt.NDArray[np.uint8]) -> None: ...
def filter_check(packed: npt.NDArray[np.uint8], n: int, bits: int) -> None: ...
def filter_contains(
    packed: npt.NDArray[np.uint8], n: int, bits: int, wanted: npt.NDArray[np.uint8]
) -> npt.NDArray[np.bool_]: ...
def filter_difference(
    old: npt.NDArray[np.uint8], n_old: int, new: npt.NDArray[np.uint8], n_new: int, bits: int
) -> tuple[int, npt.NDArray[np.uint8], int, npt.NDArray[np.uint8]]: ...
def filter_apply(
    old: npt.NDArray[np.uint8],
    n_old: int,
    removed: npt.NDArray[np.uint8],
    n_removed: int,
    added: npt.NDArray[np.uint8],
    n_added: int,
    bits: int,
    out: npt.NDArray[np.uint8],
) -> None: ...
def filter_digest(packed: npt.NDArray[np.uint8]) -> bytes: ...

# Transfers, one-hot sharing, sums per bin: kernels/onehot.py. Arrays are flat; blocks are pairs of words.

def cot_receive(
    seeds_flat: npt.NDArray[np.uint8], first: int, choices: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]: ...
def cot_send(
    seeds_flat: npt.NDArray[np.uint8], delta: tuple[int, int], first: int, corrections: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]: ...
def onehot_level_sums(
    n_rows: int,
    bins: npt.NDArray[np.uint16],
    expand_key: bytes,
    delta: tuple[int, int],
    feature: int,
    first: int,
    q: npt.NDArray[np.uint64],
) -> npt.NDArray[np.uint64]: ...
def onehot_asker_sums(
    n_rows: int,
    bins: npt.NDArray[np.uint16],
    expand_key: bytes,
    delta: tuple[int, int],
    roots: npt.NDArray[np.uint64],
    features: npt.NDArray[np.uint32],
    mask_keys: bytes,
    n_values: int,
    rows: npt.NDArray[np.uint32],
    nodes: npt.NDArray[np.uint32],
    n_nodes: int,
    values: npt.NDArray[np.uint64] | None,
    keep: npt.NDArray[np.uint64] | None,
    sums: npt.NDArray[np.uint64],
) -> npt.NDArray[np.uint64]: ...
def onehot_holder_sums(
    n_rows: int,
    bins: npt.NDArray[np.uint16],
    expand_key: bytes,
    level_keys: npt.NDArray[np.uint64],
    codes: npt.NDArray[np.uint8],
    features: npt.NDArray[np.uint32],
    mask_keys: bytes,
    n_values: int,
    rows: npt.NDArray[np.uint32],
    nodes: npt.NDArray[np.uint32],
    n_nodes: int,
    corrections: npt.NDArray[np.uint64],
    by_position: bool,
    keep: npt.NDArray[np.uint64] | None,
    sums: npt.NDArray[np.uint64],
) -> None: ...
def bin_sums(
    codes: npt.NDArray[np.uint8],
    n_rows: int,
    bins: npt.NDArray[np.uint16],
    features: npt.NDArray[np.uint32],
    rows: npt.NDArray[np.uint32],
    nodes: npt.NDArray[np.uint32],
    n_nodes: int,
    values: npt.NDArray[np.uint64],
    sums: npt.NDArray[np.uint64],
) -> None: ...
def vector_sums(
    vectors: npt.NDArray[np.uint64],
    n_rows: int,
    bins: npt.NDArray[np.uint16],
    n_values: int,
    rows: npt.NDArray[np.uint32],
    nodes: npt.NDArray[np.uint32],
    n_nodes: int,
    sums: npt.NDArray[np.uint64],
) -> None: ...

# ElGamal and Schnorr: kernels/elgamal.py.

@final
class ElGamalKey:
    def __new__(cls, point: bytes, portable: bool) -> ElGamalKey: ...
    def encrypt(self, messages: npt.NDArray[np.uint8], randomness: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]: ...

def elgamal_open(secret: bytes, parts: npt.NDArray[np.uint8], portable: bool) -> npt.NDArray[np.uint8]: ...
def elgamal_doubles(first: int, n: int) -> npt.NDArray[np.uint8]: ...
def elgamal_masked(
    values: npt.NDArray[np.int64], masks: npt.NDArray[np.uint8], negative: Sequence[bool]
) -> npt.NDArray[np.uint8]: ...
def schnorr_prove(secret: bytes, nonce: bytes, context: bytes) -> bytes: ...
def schnorr_verify(point: bytes, context: bytes, proof: bytes) -> bool: ...

# Oblivious lookup: kernels/lookup.py.

def lookup_choose(
    base: bytes, side: int, scalars: npt.NDArray[np.uint8], indices: npt.NDArray[np.uint32], portable: bool
) -> npt.NDArray[np.uint8]: ...
def lookup_answer(
    base: bytes,
    secret: bytes,
    key: bytes,
    first: int,
    side: int,
    edges: Sequence[int],
    last: int,
    points: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.uint32],
    portable: bool,
) -> npt.NDArray[np.uint8]: ...
def lookup_read(
    point: bytes,
    key: bytes,
    first: int,
    side: int,
    scalars: npt.NDArray[np.uint8],
    indices: npt.NDArray[np.uint32],
    tables: npt.NDArray[np.uint8],
    portable: bool,
) -> npt.NDArray[np.uint8]: ...

# Masks of words, and shares of secrets: kernels/masks.py. Keys and shares are flat.

def masks_add(into: npt.NDArray[np.uint64], keys: bytes, subtract: list[bool], first: int) -> None: ...
def shamir_split(
    secrets: npt.NDArray[np.uint8], coefficients: npt.NDArray[np.uint8], threshold: int, out: npt.NDArray[np.uint8]
) -> None: ...
def shamir_combine(
    places: npt.NDArray[np.uint8], shares: npt.NDArray[np.uint8], at: int, out: npt.NDArray[np.uint8]
) -> None: ...

# Paillier: kernels/paillier.py. Numbers are big-endian rows.

@final
class PaillierTable: ...

@final
class PaillierOwnTables: ...

@final
class PaillierPublic:
    def __new__(cls, n: bytes, portable: bool) -> PaillierPublic: ...
    def add(self, a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]: ...
    def power(self, c: npt.NDArray[np.uint8], k: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]: ...
    def combined(
        self, c: npt.NDArray[np.uint8], digits: npt.NDArray[np.uint64], bits: int, slot_bits: int
    ) -> npt.NDArray[np.uint8]: ...
    def sums(
        self, c: npt.NDArray[np.uint8], groups: npt.NDArray[np.uint32], n_groups: int
    ) -> npt.NDArray[np.uint8]: ...
    def table(self, base: bytes, exponent_bytes: int) -> PaillierTable: ...
    def encrypt(
        self, table: PaillierTable, m: npt.NDArray[np.uint8], r: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.uint8]: ...
    def randomise(
        self, table: PaillierTable, c: npt.NDArray[np.uint8], r: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.uint8]: ...

@final
class PaillierOwner:
    def __new__(
        cls, n: bytes, p: tuple[bytes, bytes, bytes], q: tuple[bytes, bytes, bytes], portable: bool
    ) -> PaillierOwner: ...
    def tables(self, base: bytes, exponent_bytes: int) -> PaillierOwnTables: ...
    def encrypt(
        self, tables: PaillierOwnTables, m: npt.NDArray[np.uint8], r: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.uint8]: ...
    def decrypt(self, c: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]: ...

# Ring-LWE: kernels/rlwe.py. Ciphertexts are rows of bytes, answers rows of words.

@final
class RlweOwner:
    def __new__(cls, secret: bytes) -> RlweOwner: ...
    def public(self, public: bytes, secret: bytes) -> npt.NDArray[np.uint8]: ...
    def encrypt(
        self, values: npt.NDArray[np.int64], slots: bool, public: bytes, secret: bytes
    ) -> npt.NDArray[np.uint8]: ...
    def decrypt_slots(self, c: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]: ...
    def decrypt_inner(self, c: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]: ...

@final
class RlwePublic:
    def __new__(cls, public: bytes, b: npt.NDArray[np.uint8]) -> RlwePublic: ...
    def slot_products(
        self,
        public: bytes,
        c: npt.NDArray[np.uint8],
        plain: npt.NDArray[np.int64],
        masks: npt.NDArray[np.int64],
        secret: bytes,
    ) -> npt.NDArray[np.uint64]: ...
    def inner_products(
        self,
        public: bytes,
        c: npt.NDArray[np.uint8],
        columns: npt.NDArray[np.int64],
        masks: npt.NDArray[np.int64],
        secret: bytes,
    ) -> npt.NDArray[np.uint64]: ...
    def coded_products(
        self,
        public: bytes,
        c: npt.NDArray[np.uint8],
        codes: npt.NDArray[np.uint8],
        features: npt.NDArray[np.uint32],
        groups: npt.NDArray[np.uint8],
        weights: npt.NDArray[np.int64],
        first: npt.NDArray[np.uint32],
        masks: npt.NDArray[np.int64],
        secret: bytes,
    ) -> npt.NDArray[np.uint64]: ...

@final
class RlwePrepared:
    def __new__(cls, numbers: npt.NDArray[np.int32], limbs: int, bits: int, pairs: bool) -> RlwePrepared: ...

def rlwe_limb_sums(
    numbers: npt.NDArray[np.int32],
    limbs: int,
    bits: int,
    pairs: bool,
    first: int,
    count: int,
    share: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]: ...
def rlwe_limb_products(
    key: RlwePublic,
    public: bytes,
    c: npt.NDArray[np.uint8],
    numbers: npt.NDArray[np.int32],
    limbs: int,
    bits: int,
    pairs: bool,
    first: int,
    masks: npt.NDArray[np.int64],
    secret: bytes,
) -> npt.NDArray[np.uint64]: ...
def rlwe_prepared_products(
    key: RlwePublic,
    public: bytes,
    c: npt.NDArray[np.uint8],
    prepared: RlwePrepared,
    first: int,
    masks: npt.NDArray[np.int64],
    secret: bytes,
) -> npt.NDArray[np.uint64]: ...
def rlwe_first_bad(polynomials: npt.NDArray[np.uint8]) -> int | None: ...
def rlwe_bunch_products(
    key_seed: bytes,
    keys: npt.NDArray[np.uint8],
    public: bytes,
    c: npt.NDArray[np.uint8],
    columns: npt.NDArray[np.int64],
    masks: npt.NDArray[np.int64],
    secret: bytes,
) -> npt.NDArray[np.uint64]: ...

# A vector that passes from party to party: kernels/rlwe_chain.py.

@final
class RlweChainOwner:
    def __new__(cls, degree: int, secret: bytes) -> RlweChainOwner: ...
    def public(self, public: bytes, secret: bytes) -> npt.NDArray[np.uint8]: ...
    def encrypt(
        self, values: npt.NDArray[np.int64], blocks: int, primes: int, public: bytes, secret: bytes
    ) -> npt.NDArray[np.uint8]: ...
    def open(
        self, answers: npt.NDArray[np.uint8], blocks: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]: ...

@final
class RlweChainPublic:
    def __new__(cls, degree: int, public: bytes, b: npt.NDArray[np.uint8]) -> RlweChainPublic: ...
    def keep(
        self,
        vectors: npt.NDArray[np.uint8],
        fresh: bytes | None,
        primes: int,
        last: bool,
        first: npt.NDArray[np.uint32],
        bit: npt.NDArray[np.uint32],
        value: npt.NDArray[np.uint8],
        bits: npt.NDArray[np.uint8],
        released: npt.NDArray[np.uint8],
        blocks: int,
        secret: bytes,
    ) -> npt.NDArray[np.uint8]: ...

def rlwe_chain_first_bad(degree: int, primes: int, polynomials: npt.NDArray[np.uint8]) -> int | None: ...

# GF(2^128), VOLE: kernels/gf128.py, kernels/vole.py. An element is 16 bytes, or two words, low word first.

def gf128_scale_add(values: npt.NDArray[np.uint8], factor: tuple[int, int], into: npt.NDArray[np.uint8]) -> None: ...
def vole_plant(
    key: bytes,
    trees: int,
    leaves: int,
    delta: tuple[int, int],
    q: npt.NDArray[np.uint64],
    roots: npt.NDArray[np.uint64],
    into: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]: ...
def vole_regrow(
    key: bytes,
    trees: int,
    leaves: int,
    t: npt.NDArray[np.uint64],
    places: npt.NDArray[np.uint32],
    noise: npt.NDArray[np.uint64],
    levels: npt.NDArray[np.uint64],
    totals: npt.NDArray[np.uint64],
    into: npt.NDArray[np.uint64],
) -> None: ...
def vole_compress_sender(
    key: bytes, trees: int, leaves: int, scratch: npt.NDArray[np.uint64], b: npt.NDArray[np.uint8]
) -> None: ...
def vole_compress_receiver(
    key: bytes,
    trees: int,
    leaves: int,
    scratch: npt.NDArray[np.uint64],
    a: npt.NDArray[np.uint8],
    c: npt.NDArray[np.uint8],
) -> None: ...

# Audit logs in bulk: kernels/log.py.

@final
class LoadTarget:
    def __new__(
        cls, address: str, name: str, certificate: bytes, chain: list[bytes], key: bytes, path: str, timeout_ms: int
    ) -> LoadTarget: ...

def load_run(
    target: LoadTarget,
    pool: list[bytes],
    *,
    rate: float | None,
    poisson: bool,
    under_way: int,
    seed: int,
    connections: int,
    threads: int,
    warm_up_s: float,
    measured_s: float,
    patience_s: float,
    check_every: int,
    provider: tuple[str, str, bytes] | None,
) -> dict[str, Any]: ...
def log_leaves(lines: bytes) -> npt.NDArray[np.uint8]: ...
def log_level_up(nodes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]: ...
def log_first_bad(lines: bytes, first: int, line: int, text: int, batch: int, events: list[bytes]) -> int | None: ...

# Index files and programs over them: kernels/index.py.

def normal_text(text: str) -> str: ...

@final
class IndexBuilder:
    def __new__(
        cls, item: str, key: str, columns: Sequence[tuple[str, str, bool]], has_normal_keys: bool, max_bytes: int
    ) -> IndexBuilder: ...
    def columns(self) -> list[str]: ...
    def push(
        self,
        keys: tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]],
        days: npt.NDArray[np.int32] | None,
        days_known: npt.NDArray[np.bool_] | None,
        columns: list[tuple[Any, npt.NDArray[np.bool_] | None]],
    ) -> None: ...
    def finish(self, path: Path) -> int: ...

@final
class ServedIndex:
    def __new__(cls, path: Path) -> ServedIndex: ...
    @staticmethod
    def of_bytes(data: bytes) -> ServedIndex: ...
    def about(self) -> tuple[str, str, bool, int, int, int, tuple[int, int] | None]: ...
    def columns(self) -> list[tuple[str, str, bool]]: ...
    def count(self, keys: list[str]) -> npt.NDArray[np.uint32]: ...

@final
class IndexProgram:
    def __new__(cls, text: str, matched: list[str], indexes: list[ServedIndex | None]) -> IndexProgram: ...
    def answer(
        self,
        codes: list[str],
        names: list[str],
        arguments: list[tuple[str, Any]],
        institution: str | None,
        asof: int,
        is_complete: bool,
        max_age_days: int | None,
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.int32]]: ...
    def measure(
        self, codes: list[str], arguments: list[tuple[str, Any]], asof: int, repeat: int
    ) -> tuple[float, float, float, float]: ...

# The server of verification: kernels/serving.py.

def verify_reads(data: bytes, batch: bool) -> bool: ...

@final
class VerificationServer:
    """The server of verification. It runs from `start` to `stop`, on threads of its own, without the GIL."""

    @staticmethod
    def start(
        settings: str,
        snapshot: str,
        trust: str,
        certificate: bytes,
        key: bytes,
        signing_key: bytes,
        log_key: bytes,
    ) -> VerificationServer: ...
    @property
    def port(self) -> int: ...
    def swap(self, snapshot: str) -> None: ...
    def reload_trust(self, trust: str, certificate: bytes, key: bytes) -> None: ...
    def record(self, event: str, facts: list[tuple[str, str | int | bool]]) -> str: ...
    def stats(self) -> str: ...
    def drain(self, seconds: float) -> bool: ...
    def stop(self) -> None: ...

# Rulings on questions, and consent tokens: kernels/desk.py.

@final
class ServingDesk:
    def __new__(cls, log_key: bytes, snapshot: str, bounds: tuple[int, int, int] | None = None) -> ServingDesk: ...
    def reload(self, snapshot: str) -> None: ...
    def subject_tag(self, subject: str) -> bytes: ...
    def held(self) -> list[int]: ...
    def rule(
        self,
        party: str,
        authority: bytes,
        subject: str,
        subject_name: str,
        predicate: str,
        arguments: Sequence[tuple[str, Any]],
        purpose: str,
        consent: str,
        now_ms: int,
    ) -> dict[str, Any]: ...
    def rule_batch(
        self,
        party: str,
        authority: bytes,
        purpose: str,
        consents: list[str],
        kinds: Sequence[tuple[str, Sequence[tuple[str, Any]]]],
        checks: list[tuple[str, int, int]],
        now_ms: int,
        repeat: int,
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint32], bytes, float]: ...
    def replay(self, at_s: int, requester: str, records: bytes) -> None: ...
    def race(
        self,
        threads: int,
        party: str,
        authority: bytes,
        subject: str,
        predicate: str,
        arguments: Sequence[Sequence[tuple[str, Any]]],
        purpose: str,
        consent: str,
        now_ms: int,
    ) -> list[tuple[str, str]]: ...

@final
class ConsentReader:
    def __new__(cls, issuers: list[tuple[bytes, str | None, str | None]]) -> ConsentReader: ...
    def read(self, token: str) -> tuple[str | None, tuple[bytes, str, int] | None]: ...
    def read_many(
        self, tokens: list[str]
    ) -> tuple[
        list[str | tuple[int, str, str, int, int, int, str, bytes]],
        list[tuple[str, tuple[str, ...], bytes, str, str, str, tuple[str, ...], tuple[str, ...], tuple[str, ...], int]],
    ]: ...
    def decide(
        self,
        token: str,
        provider: str,
        region: str,
        requester: str,
        authority: bytes,
        purpose: str,
        subject: str,
        predicate: str,
        items: list[str],
        is_personal: bool,
        now_s: int,
        revocations: tuple[int, int],
        revoked: list[bytes],
    ) -> str | None: ...
