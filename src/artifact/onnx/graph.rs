//! Building a graph node by node. What a node makes is called by the node's name.

use half::bf16;
use prost::bytes::Bytes;

use super::proto::{Attribute, DataType, Dimension, Graph, INT, INTS, Node, Shape, Tensor, TensorType, Type, ValueInfo};

/// A graph in the making.
#[derive(Debug, Default)]
pub(super) struct Builder {
    pub(super) graph: Graph,
}

impl Builder {
    /// Adds a node; its result's name, which is `name`.
    pub(super) fn node(&mut self, op: &str, name: &str, inputs: &[&str], attributes: Vec<Attribute>) -> String {
        self.graph.node.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.to_owned()],
            name: Some(name.to_owned()),
            op_type: Some(op.to_owned()),
            attribute: attributes,
        });
        name.to_owned()
    }

    /// Adds a conversion.
    pub(super) fn cast(&mut self, name: &str, input: &str, to: DataType) -> String {
        self.node("Cast", name, &[input], vec![int("to", to as i64)])
    }

    /// Adds constant f32 numbers.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize], numbers: &[f32]) -> String {
        self.constant(name, DataType::Float, shape, numbers.iter().flat_map(|n| n.to_le_bytes()).collect())
    }

    /// Adds constant integers, for operators that take places and lengths.
    pub(super) fn integers(&mut self, name: &str, numbers: &[i64]) -> String {
        let bytes = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.constant(name, DataType::Int64, &[numbers.len()], bytes)
    }

    /// Adds constant numbers rounded to bf16, stored as such and widened in the graph.
    pub(super) fn rounded(&mut self, name: &str, shape: &[usize], numbers: &[f32]) -> String {
        let bytes = numbers.iter().flat_map(|n| bf16::from_f32(*n).to_le_bytes()).collect();
        let stored = self.constant(name, DataType::Bfloat16, shape, bytes);
        self.cast(&format!("{name}/f32"), &stored, DataType::Float)
    }

    /// Adds constant 8-bit integers, stored as such and widened in the graph.
    pub(super) fn steps(&mut self, name: &str, shape: &[usize], numbers: &[i8]) -> String {
        let bytes = numbers.iter().map(|n| n.cast_unsigned()).collect();
        let stored = self.constant(name, DataType::Int8, shape, bytes);
        self.cast(&format!("{name}/f32"), &stored, DataType::Float)
    }

    fn constant(&mut self, name: &str, kind: DataType, shape: &[usize], bytes: Vec<u8>) -> String {
        self.graph.initializer.push(Tensor {
            dims: shape.iter().map(|&n| n as i64).collect(),
            data_type: Some(kind as i32),
            name: Some(name.to_owned()),
            raw_data: Some(Bytes::from(bytes)),
        });
        name.to_owned()
    }
}

/// An attribute that is a number.
pub(super) fn int(name: &str, value: i64) -> Attribute {
    Attribute { name: Some(name.to_owned()), i: Some(value), ints: Vec::new(), kind: Some(INT) }
}

/// An attribute that is several numbers.
pub(super) fn ints(name: &str, values: &[i64]) -> Attribute {
    Attribute { name: Some(name.to_owned()), i: None, ints: values.to_vec(), kind: Some(INTS) }
}

/// An input or output `[pictures, …shape]`, with what is to be known of it.
pub(super) fn value(name: &str, kind: DataType, shape: &[usize], doc: &str) -> ValueInfo {
    let pictures = Dimension { length: None, name: Some("pictures".to_owned()) };
    let lengths = shape.iter().map(|&n| Dimension { length: Some(n as i64), name: None });
    let shape = Shape { dim: std::iter::once(pictures).chain(lengths).collect() };
    let tensor = TensorType { elem_type: Some(kind as i32), shape: Some(shape) };
    let kind = Some(Type { tensor_type: Some(tensor) });
    ValueInfo { name: Some(name.to_owned()), kind, doc_string: Some(doc.to_owned()) }
}
