//! The recorded graph: values, nodes, and reverse-mode gradients as more nodes.

use super::ops::Op;
use super::{Shape, TapeError};
use std::collections::HashMap;

/// A value of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub(super) u32);

impl Value {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Written by the host before a step.
    Input,
    /// In the flat parameter buffer, from this element on.
    Parameter(usize),
    /// In the flat state buffer (running statistics), from this element on.
    State(usize),
    /// In the flat gradient buffer, from this element on.
    Gradient(usize),
    /// In the plan's arena.
    Arena,
}

/// What is known of a value.
#[derive(Clone, Debug)]
pub struct Info {
    /// Its name: the parameter's, the input's, or its layer's.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// Where it lives.
    pub place: Place,
    /// Whether it is stored as f16: an activation, or the gradient of one, in a plan of that precision.
    pub half: bool,
}

impl Info {
    /// The bytes that it is stored in.
    pub fn bytes(&self) -> u64 {
        let element = if self.half { 2 } else { 4 };
        element * self.shape.len() as u64
    }
}

/// One operation with its operands.
#[derive(Clone, Debug)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// What it reads (and, of states, updates).
    pub inputs: Vec<Value>,
    /// What it writes.
    pub outputs: Vec<Value>,
    /// The layer that recorded it.
    pub layer: String,
}

/// A named range of the parameters or states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The name, as in torchvision.
    pub name: String,
    /// The shape, in the kernels' layout.
    pub shape: Shape,
    /// The first element in the flat buffer.
    pub offset: usize,
    /// The shape in which it travels in files, as in torchvision: OIHW, `[K, C]` or `[C]`.
    pub torch_shape: Vec<usize>,
}

/// The graph of one step. Model code records operations; [`Graph::gradients`] appends their gradients.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub(super) values: Vec<Info>,
    pub(super) nodes: Vec<Node>,
    parameters: Vec<(Slot, Value)>,
    states: Vec<(Slot, Value)>,
    lens: [usize; 2],
    scope: Vec<String>,
}

/// Ranges in flat buffers start at multiples of 64 elements: 256 bytes, the largest offset alignment of WebGPU.
pub(super) const ALIGN: usize = 64;
/// Parameters and states start at multiples of twice that, so that the parameters' halves start at multiples of 256 bytes too.
const SLOT_ALIGN: usize = 2 * ALIGN;

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records what `body` records under the layer name `name`, dotted behind the names around it.
    ///
    /// # Errors
    /// Those of `body`.
    pub fn layer<T, E>(
        &mut self,
        name: impl Into<String>,
        body: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.scope.push(name.into());
        let result = body(self);
        self.scope.pop();
        result
    }

    /// The dotted name of the current layer.
    pub fn path(&self) -> String {
        self.scope.join(".")
    }

    /// A value that the host writes before a step.
    pub fn input(&mut self, name: &str, shape: Shape) -> Value {
        self.value(name.to_owned(), shape, Place::Input)
    }

    /// Declares the trained parameter `name` of the current layer, which travels in the shape that its kind has in
    /// torchvision.
    ///
    /// # Errors
    /// [`TapeError::DuplicateParameter`].
    pub fn parameter(&mut self, name: &str, shape: Shape) -> Result<Value, TapeError> {
        let torch_shape = shape.torch();
        self.parameter_as(name, shape, torch_shape)
    }

    /// Declares a trained parameter that travels in another shape of the same elements in the same order.
    ///
    /// # Errors
    /// [`TapeError::DuplicateParameter`].
    pub fn parameter_as(
        &mut self,
        name: &str,
        shape: Shape,
        torch_shape: Vec<usize>,
    ) -> Result<Value, TapeError> {
        let (mut slot, value) = self.slot(name, shape, Place::Parameter)?;
        slot.torch_shape = torch_shape;
        self.parameters.push((slot, value));
        Ok(value)
    }

    /// Declares the state `name` of the current layer: kept between steps, updated by operations, not trained.
    ///
    /// # Errors
    /// [`TapeError::DuplicateParameter`].
    pub fn state(&mut self, name: &str, shape: Shape) -> Result<Value, TapeError> {
        let (slot, value) = self.slot(name, shape, Place::State)?;
        self.states.push((slot, value));
        Ok(value)
    }

    fn slot(
        &mut self,
        name: &str,
        shape: Shape,
        place: fn(usize) -> Place,
    ) -> Result<(Slot, Value), TapeError> {
        let path = self.path();
        let name = match path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        let kind = usize::from(matches!(place(0), Place::State(_)));
        let slots = [&self.parameters, &self.states][kind];
        if slots.iter().any(|(slot, _)| slot.name == name) {
            return Err(TapeError::DuplicateParameter { name });
        }
        let offset = self.lens[kind];
        self.lens[kind] = (offset + shape.len()).next_multiple_of(SLOT_ALIGN);
        let value = self.value(name.clone(), shape.clone(), place(offset));
        let slot = Slot {
            name,
            torch_shape: shape.torch(),
            shape,
            offset,
        };
        Ok((slot, value))
    }

    /// The trained parameters in the order of the flat buffer.
    pub fn parameters(&self) -> impl Iterator<Item = &Slot> {
        self.parameters.iter().map(|(slot, _)| slot)
    }

    /// The states in the order of the flat buffer.
    pub fn states(&self) -> impl Iterator<Item = &Slot> {
        self.states.iter().map(|(slot, _)| slot)
    }

    /// The values of the trained parameters, in order.
    pub fn parameter_values(&self) -> Vec<Value> {
        self.parameters.iter().map(|(_, value)| *value).collect()
    }

    /// The length of the flat parameter buffer in elements.
    pub fn parameter_len(&self) -> usize {
        self.lens[0]
    }

    /// The length of the flat state buffer in elements.
    pub fn state_len(&self) -> usize {
        self.lens[1]
    }

    /// What is known of a value.
    pub fn info(&self, value: Value) -> &Info {
        &self.values[value.index()]
    }

    /// The shape of a value.
    pub fn shape(&self, value: Value) -> &Shape {
        &self.info(value).shape
    }

    pub(super) fn value(&mut self, name: String, shape: Shape, place: Place) -> Value {
        // A graph has far fewer than 2³² values.
        let value = Value(self.values.len() as u32);
        self.values.push(Info {
            name,
            shape,
            place,
            half: false,
        });
        value
    }

    /// Records an operation and returns its outputs.
    ///
    /// # Errors
    /// [`TapeError::Shape`] or [`TapeError::Window`] when the inputs do not fit.
    pub fn record(&mut self, op: impl Into<Op>, inputs: &[Value]) -> Result<Vec<Value>, TapeError> {
        let op = op.into();
        let layer = self.path();
        let shapes: Vec<&Shape> = inputs.iter().map(|value| self.shape(*value)).collect();
        let shapes = op.spec().outputs(&layer, &shapes)?;
        let outputs: Vec<Value> = shapes
            .into_iter()
            .map(|shape| self.value(layer.clone(), shape, Place::Arena))
            .collect();
        self.nodes.push(Node {
            op,
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
            layer,
        });
        Ok(outputs)
    }

    /// Records an operation with one output.
    ///
    /// # Errors
    /// As [`Graph::record`].
    pub fn record1(&mut self, op: impl Into<Op>, inputs: &[Value]) -> Result<Value, TapeError> {
        Ok(self.record(op, inputs)?[0])
    }

    /// Appends the operations that compute the gradients of a scalar with respect to `wrt`, given for each seed value
    /// that scalar's gradient with respect to it. `None` where a value does not influence any seed.
    ///
    /// # Errors
    /// [`TapeError::NoGradient`] where an operation on the way has none.
    pub fn gradients(
        &mut self,
        seeds: &[(Value, Value)],
        wrt: &[Value],
    ) -> Result<Vec<Option<Value>>, TapeError> {
        let needed = self.depends_on(wrt);
        let mut upstream: HashMap<Value, Value> = HashMap::new();
        for &(value, gradient) in seeds {
            self.accumulate(&mut upstream, value, gradient)?;
        }
        for index in (0..self.nodes.len()).rev() {
            let node = self.nodes[index].clone();
            let grads: Vec<_> = node
                .outputs
                .iter()
                .map(|o| upstream.get(o).copied())
                .collect();
            let wanted: Vec<bool> = node.inputs.iter().map(|i| needed[i.index()]).collect();
            if grads.iter().all(Option::is_none) || !wanted.contains(&true) {
                continue;
            }
            self.scope.push(node.layer.clone());
            let inputs = node.op.spec().gradient(self, &node, &grads, &wanted);
            self.scope.pop();
            for (input, gradient) in node.inputs.iter().zip(inputs?) {
                if let Some(gradient) = gradient {
                    self.accumulate(&mut upstream, *input, gradient)?;
                }
            }
        }
        Ok(wrt
            .iter()
            .map(|value| upstream.get(value).copied())
            .collect())
    }

    /// Which values depend on any of `roots` (the roots included).
    fn depends_on(&self, roots: &[Value]) -> Vec<bool> {
        let mut depends = vec![false; self.values.len()];
        for root in roots {
            depends[root.index()] = true;
        }
        for node in &self.nodes {
            if node.inputs.iter().any(|input| depends[input.index()]) {
                for output in &node.outputs {
                    depends[output.index()] = true;
                }
            }
        }
        depends
    }

    fn accumulate(
        &mut self,
        upstream: &mut HashMap<Value, Value>,
        value: Value,
        gradient: Value,
    ) -> Result<(), TapeError> {
        let sum = match upstream.get(&value) {
            None => gradient,
            Some(&other) => self.record1(super::ops::Add { relu: false }, &[other, gradient])?,
        };
        upstream.insert(value, sum);
        Ok(())
    }

    /// Makes the flat gradient buffer hold the gradients of the parameters, as [`Graph::gradients`] gave them.
    pub fn keep_gradients(&mut self, gradients: &[Option<Value>]) {
        for ((slot, _), gradient) in self.parameters.iter().zip(gradients) {
            if let Some(gradient) = gradient {
                self.values[gradient.index()].place = Place::Gradient(slot.offset);
            }
        }
    }
}
