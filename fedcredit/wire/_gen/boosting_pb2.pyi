from fedcredit.wire._gen import array_pb2 as _array_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FeatureBins(_message.Message):
    __slots__ = ("groups", "missing")
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    groups: _array_pb2.Array
    missing: _array_pb2.Array
    def __init__(self, groups: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., missing: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class TreeStart(_message.Message):
    __slots__ = ("tree", "features")
    TREE_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    tree: int
    features: _array_pb2.Array
    def __init__(self, tree: _Optional[int] = ..., features: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class SumNodes(_message.Message):
    __slots__ = ("n_nodes",)
    N_NODES_FIELD_NUMBER: _ClassVar[int]
    n_nodes: int
    def __init__(self, n_nodes: _Optional[int] = ...) -> None: ...

class NodeSlots(_message.Message):
    __slots__ = ("first", "slots")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    first: int
    slots: _array_pb2.Array
    def __init__(self, first: _Optional[int] = ..., slots: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class SplitQueries(_message.Message):
    __slots__ = ("features", "bins", "missing_left")
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    BINS_FIELD_NUMBER: _ClassVar[int]
    MISSING_LEFT_FIELD_NUMBER: _ClassVar[int]
    features: _array_pb2.Array
    bins: _array_pb2.Array
    missing_left: _array_pb2.Array
    def __init__(self, features: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., bins: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., missing_left: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class Sides(_message.Message):
    __slots__ = ("first", "bits")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    first: int
    bits: _array_pb2.Array
    def __init__(self, first: _Optional[int] = ..., bits: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class TreeEnd(_message.Message):
    __slots__ = ("more", "trees", "kept")
    MORE_FIELD_NUMBER: _ClassVar[int]
    TREES_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    more: bool
    trees: int
    kept: _array_pb2.Array
    def __init__(self, more: _Optional[bool] = ..., trees: _Optional[int] = ..., kept: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...
