from fedcredit.wire._gen import array_pb2 as _array_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PairKey(_message.Message):
    __slots__ = ("point",)
    POINT_FIELD_NUMBER: _ClassVar[int]
    point: bytes
    def __init__(self, point: _Optional[bytes] = ...) -> None: ...

class SetSize(_message.Message):
    __slots__ = ("rows",)
    ROWS_FIELD_NUMBER: _ClassVar[int]
    rows: int
    def __init__(self, rows: _Optional[int] = ...) -> None: ...

class BlindedItems(_message.Message):
    __slots__ = ("points",)
    POINTS_FIELD_NUMBER: _ClassVar[int]
    points: _array_pb2.Array
    def __init__(self, points: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class EvaluatedItems(_message.Message):
    __slots__ = ("points",)
    POINTS_FIELD_NUMBER: _ClassVar[int]
    points: _array_pb2.Array
    def __init__(self, points: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class StoreSeed(_message.Message):
    __slots__ = ("seed",)
    SEED_FIELD_NUMBER: _ClassVar[int]
    seed: bytes
    def __init__(self, seed: _Optional[bytes] = ...) -> None: ...

class StoreSlots(_message.Message):
    __slots__ = ("slots",)
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    slots: _array_pb2.Array
    def __init__(self, slots: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class Release(_message.Message):
    __slots__ = ("released", "rows")
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    released: bool
    rows: int
    def __init__(self, released: _Optional[bool] = ..., rows: _Optional[int] = ...) -> None: ...

class AlignedTags(_message.Message):
    __slots__ = ("tags",)
    TAGS_FIELD_NUMBER: _ClassVar[int]
    tags: _array_pb2.Array
    def __init__(self, tags: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class BlindedSlots(_message.Message):
    __slots__ = ("slots",)
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    slots: _array_pb2.Array
    def __init__(self, slots: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class ItemMasks(_message.Message):
    __slots__ = ("masks",)
    MASKS_FIELD_NUMBER: _ClassVar[int]
    masks: _array_pb2.Array
    def __init__(self, masks: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class AlignedPlaces(_message.Message):
    __slots__ = ("bits",)
    BITS_FIELD_NUMBER: _ClassVar[int]
    bits: _array_pb2.Array
    def __init__(self, bits: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class FilterHeld(_message.Message):
    __slots__ = ("key", "version", "digest")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    version: int
    digest: bytes
    def __init__(self, key: _Optional[bytes] = ..., version: _Optional[int] = ..., digest: _Optional[bytes] = ...) -> None: ...

class FilterProgress(_message.Message):
    __slots__ = ("done", "total")
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    done: int
    total: int
    def __init__(self, done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class FilterOffer(_message.Message):
    __slots__ = ("key", "version", "entries", "bits", "digest", "whole", "removed", "added")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    version: int
    entries: int
    bits: int
    digest: bytes
    whole: bool
    removed: int
    added: int
    def __init__(self, key: _Optional[bytes] = ..., version: _Optional[int] = ..., entries: _Optional[int] = ..., bits: _Optional[int] = ..., digest: _Optional[bytes] = ..., whole: _Optional[bool] = ..., removed: _Optional[int] = ..., added: _Optional[int] = ...) -> None: ...

class FilterPiece(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: _array_pb2.Array
    def __init__(self, data: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...
