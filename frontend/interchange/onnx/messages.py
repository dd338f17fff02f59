"""ONNX's messages: the fields of onnx.proto that are read and written here, by their numbers there."""

from __future__ import annotations

from typing import Any

from ingot.interchange.onnx.wire import Message

__all__ = [
    "AttributeProto", "Dimension", "FunctionProto", "GraphProto", "ModelProto", "NodeProto", "OperatorSetId", "StringPair", "TensorProto",
    "TensorType", "TypeProto", "ValueInfo",
]  # fmt: skip


class StringPair(Message):
    key: str
    value: str
    FIELDS = {1: "key string", 2: "value string"}


class TensorProto(Message):
    dims: list[int]
    data_type: int
    segment: Any
    float_data: list[float]
    int32_data: list[int]
    string_data: list[Any]
    int64_data: list[int]
    name: str
    doc_string: str
    raw_data: Any
    external_data: list[StringPair]
    data_location: int
    double_data: list[float]
    uint64_data: list[int]
    FIELDS = {
        1: "dims int*", 2: "data_type int", 3: "segment bytes", 4: "float_data float*", 5: "int32_data int*",
        6: "string_data bytes*", 7: "int64_data int*", 8: "name string", 12: "doc_string string",
        9: "raw_data bytes", 13: "external_data StringPair*", 14: "data_location int", 10: "double_data double*",
        11: "uint64_data int*",
    }  # fmt: skip


class SparseTensorProto(Message):
    values: TensorProto | None
    indices: TensorProto | None
    dims: list[int]
    FIELDS = {1: "values TensorProto", 2: "indices TensorProto", 3: "dims int*"}


class Dimension(Message):
    """`dim_value` is None where the dim has a name, or neither."""

    dim_value: int | None
    dim_param: str
    FIELDS = {1: "dim_value int?", 2: "dim_param string"}


class TensorShape(Message):
    dim: list[Dimension]
    FIELDS = {1: "dim Dimension*"}


class TensorType(Message):
    elem_type: int
    shape: TensorShape | None
    FIELDS = {1: "elem_type int", 2: "shape TensorShape"}


class Element(Message):
    """The type within a sequence or an optional."""

    elem_type: Any
    FIELDS = {1: "elem_type TypeProto"}


class TypeProto(Message):
    tensor_type: TensorType | None
    sequence_type: Element | None
    map_type: Any
    optional_type: Element | None
    sparse_tensor_type: TensorType | None
    FIELDS = {
        1: "tensor_type TensorType", 4: "sequence_type Element", 5: "map_type bytes", 9: "optional_type Element",
        8: "sparse_tensor_type TensorType",
    }  # fmt: skip


class ValueInfo(Message):
    name: str
    type: TypeProto | None
    doc_string: str
    FIELDS = {1: "name string", 2: "type TypeProto", 3: "doc_string string"}


class AttributeProto(Message):
    name: str
    ref_attr_name: str
    type: int
    f: float | None
    i: int | None
    s: Any
    t: TensorProto | None
    g: GraphProto | None
    sparse_tensor: SparseTensorProto | None
    tp: TypeProto | None
    floats: list[float]
    ints: list[int]
    strings: list[Any]
    tensors: list[TensorProto]
    graphs: list[GraphProto]
    FIELDS = {
        1: "name string", 21: "ref_attr_name string", 13: "doc_string string", 20: "type int", 2: "f float?",
        3: "i int?", 4: "s bytes?", 5: "t TensorProto", 6: "g GraphProto", 22: "sparse_tensor SparseTensorProto",
        14: "tp TypeProto", 7: "floats float*", 8: "ints int*", 9: "strings bytes*", 10: "tensors TensorProto*",
        11: "graphs GraphProto*",
    }  # fmt: skip


class NodeProto(Message):
    input: list[str]
    output: list[str]
    name: str
    op_type: str
    domain: str
    overload: str
    attribute: list[AttributeProto]
    doc_string: str
    FIELDS = {
        1: "input string*", 2: "output string*", 3: "name string", 4: "op_type string", 7: "domain string",
        8: "overload string", 5: "attribute AttributeProto*", 6: "doc_string string",
    }  # fmt: skip


class GraphProto(Message):
    node: list[NodeProto]
    name: str
    initializer: list[TensorProto]
    sparse_initializer: list[SparseTensorProto]
    doc_string: str
    input: list[ValueInfo]
    output: list[ValueInfo]
    value_info: list[ValueInfo]
    FIELDS = {
        1: "node NodeProto*", 2: "name string", 5: "initializer TensorProto*",
        15: "sparse_initializer SparseTensorProto*", 10: "doc_string string", 11: "input ValueInfo*",
        12: "output ValueInfo*", 13: "value_info ValueInfo*",
    }  # fmt: skip


class OperatorSetId(Message):
    domain: str
    version: int
    FIELDS = {1: "domain string", 2: "version int"}


class FunctionProto(Message):
    name: str
    input: list[str]
    output: list[str]
    attribute: list[str]
    attribute_proto: list[AttributeProto]
    node: list[NodeProto]
    doc_string: str
    opset_import: list[OperatorSetId]
    domain: str
    overload: str
    FIELDS = {
        1: "name string", 4: "input string*", 5: "output string*", 6: "attribute string*",
        11: "attribute_proto AttributeProto*", 7: "node NodeProto*", 8: "doc_string string",
        9: "opset_import OperatorSetId*", 10: "domain string", 13: "overload string",
    }  # fmt: skip


class ModelProto(Message):
    ir_version: int
    opset_import: list[OperatorSetId]
    producer_name: str
    producer_version: str
    domain: str
    model_version: int
    doc_string: str
    graph: GraphProto | None
    metadata_props: list[StringPair]
    functions: list[FunctionProto]
    FIELDS = {
        1: "ir_version int", 8: "opset_import OperatorSetId*", 2: "producer_name string", 3: "producer_version string",
        4: "domain string", 5: "model_version int", 6: "doc_string string", 7: "graph GraphProto",
        14: "metadata_props StringPair*", 25: "functions FunctionProto*",
    }  # fmt: skip
