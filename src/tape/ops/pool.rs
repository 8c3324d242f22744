//! Pooling.

use super::norm::map_part;
use super::{OpSpec, no_gradient};
use crate::kernels::pool as kernels;
use crate::tape::{Graph, Lowering, Node, Shape, TapeError, Value};

/// The largest value of each window, padding counted as -∞. Input `[N,H,W,C]` and, where fusion put a normalisation and a rectifier
/// into its pass, its statistics and map; outputs `[N,Ho,Wo,C]` and the positions of the winners, which the gradient needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2d {
    /// The window's side.
    pub kernel: usize,
    /// The step between windows.
    pub stride: usize,
    /// The border around the input.
    pub padding: usize,
}

/// The gradient of [`MaxPool2d`]. Inputs `grad_y` and the winners; output of the shape given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxPool2dGrad {
    /// The forward pass.
    pub pool: MaxPool2d,
    /// The shape of its input.
    pub x: Shape,
}

/// The mean of each window, without padding. Input `[N,H,W,C]`, output `[N,Ho,Wo,C]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool2d {
    /// The window's side.
    pub kernel: usize,
    /// The step between windows.
    pub stride: usize,
}

/// The gradient of [`AvgPool2d`]. Input `grad_y`; output of the shape given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvgPool2dGrad {
    /// The forward pass.
    pub pool: AvgPool2d,
    /// The shape of its input.
    pub x: Shape,
}

/// The mean over height and width. Input `[N,H,W,C]`, output `[N,C]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalAvgPool2d;

/// The gradient of [`GlobalAvgPool2d`]. Input `grad_y`; output of the shape given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalAvgPool2dGrad {
    /// The shape of the pooled input.
    pub x: Shape,
}

fn checked(
    op: &'static str,
    layer: &str,
    x: &Shape,
    window: usize,
    stride: usize,
    padding: usize,
) -> Result<Shape, TapeError> {
    let shape = image(op, layer, x)?;
    let error = || TapeError::Window {
        layer: layer.to_owned(),
        op,
        window: [window; 2],
        padding: [padding; 2],
        input: [shape[1], shape[2]],
    };
    let side = |size: usize| {
        let room = (size + 2 * padding).checked_sub(window)?;
        Some(room.checked_div(stride)? + 1)
    };
    let (Some(ho), Some(wo)) = (side(shape[1]), side(shape[2])) else {
        return Err(error());
    };
    Ok(Shape::rows(&[shape[0], ho, wo, shape[3]]))
}

fn image(op: &'static str, layer: &str, x: &Shape) -> Result<[usize; 4], TapeError> {
    x.nhwc().ok_or_else(|| TapeError::Shape {
        layer: layer.to_owned(),
        op,
        input: "x",
        asked: x.dims().to_vec(),
        allowed: "it must be [N, H, W, C]".to_owned(),
    })
}

/// The kernels' shape of a pooling whose input was checked when it was recorded.
fn recorded(x: &Shape, window: usize, stride: usize, padding: usize) -> kernels::PoolShape {
    let [n, h, w, c] = x.nhwc().unwrap_or_default();
    kernels::PoolShape {
        n,
        h,
        w,
        c,
        window: [window; 2],
        stride: [stride; 2],
        padding: [padding; 2],
    }
}

impl MaxPool2d {
    fn shape(&self, x: &Shape) -> kernels::PoolShape {
        recorded(x, self.kernel, self.stride, self.padding)
    }
}

impl AvgPool2d {
    fn shape(&self, x: &Shape) -> kernels::PoolShape {
        recorded(x, self.kernel, self.stride, 0)
    }
}

impl OpSpec for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn outputs(&self, layer: &str, inputs: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        let y = checked(
            self.name(),
            layer,
            inputs[0],
            self.kernel,
            self.stride,
            self.padding,
        )?;
        // A byte an element.
        let winners = Shape::raw(y.len() / 4);
        Ok(vec![y, winners])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        upstream: &[Option<Value>],
        _: &[bool],
    ) -> Result<Vec<Option<Value>>, TapeError> {
        let Some(grad_y) = upstream[0] else {
            return Ok(vec![None]);
        };
        let grad = MaxPool2dGrad {
            pool: *self,
            x: graph.shape(node.inputs[0]).clone(),
        };
        Ok(vec![Some(graph.record1(grad, &[grad_y, node.outputs[1]])?)])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError> {
        let shape = self.shape(lowering.input_shape(0));
        let mapped = lowering.input_count() > 1;
        let map = if mapped {
            map_part(lowering, 1, shape.c)
        } else {
            lowering.scratch(4)
        };
        let (x, y, winners) = (lowering.input(0), lowering.output(0), lowering.output(1));
        let pool = kernels::MaxPool2d { shape, mapped };
        lowering.call(pool.call(), &[x, y, winners, map])
    }
}

impl OpSpec for MaxPool2dGrad {
    fn name(&self) -> &'static str {
        "max_pool2d_grad"
    }

    fn outputs(&self, _: &str, _: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        Ok(vec![self.x.clone()])
    }

    fn gradient(
        &self,
        _: &mut Graph,
        node: &Node,
        _: &[Option<Value>],
        _: &[bool],
    ) -> Result<Vec<Option<Value>>, TapeError> {
        Err(no_gradient(node))
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError> {
        let shape = self.pool.shape(&self.x);
        let operands = [lowering.input(0), lowering.input(1), lowering.output(0)];
        lowering.call(kernels::MaxPool2dGrad { shape }.call(), &operands)
    }
}

impl OpSpec for AvgPool2d {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn outputs(&self, layer: &str, inputs: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        let y = checked(self.name(), layer, inputs[0], self.kernel, self.stride, 0)?;
        Ok(vec![y])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        upstream: &[Option<Value>],
        _: &[bool],
    ) -> Result<Vec<Option<Value>>, TapeError> {
        let Some(grad_y) = upstream[0] else {
            return Ok(vec![None]);
        };
        let grad = AvgPool2dGrad {
            pool: *self,
            x: graph.shape(node.inputs[0]).clone(),
        };
        Ok(vec![Some(graph.record1(grad, &[grad_y])?)])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError> {
        let shape = self.shape(lowering.input_shape(0));
        let operands = [lowering.input(0), lowering.output(0)];
        lowering.call(kernels::AvgPool2d { shape }.call(), &operands)
    }
}

impl OpSpec for AvgPool2dGrad {
    fn name(&self) -> &'static str {
        "avg_pool2d_grad"
    }

    fn outputs(&self, _: &str, _: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        Ok(vec![self.x.clone()])
    }

    fn gradient(
        &self,
        _: &mut Graph,
        node: &Node,
        _: &[Option<Value>],
        _: &[bool],
    ) -> Result<Vec<Option<Value>>, TapeError> {
        Err(no_gradient(node))
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError> {
        let shape = self.pool.shape(&self.x);
        let operands = [lowering.input(0), lowering.output(0)];
        lowering.call(kernels::AvgPool2dGrad { shape }.call(), &operands)
    }
}

impl OpSpec for GlobalAvgPool2d {
    fn name(&self) -> &'static str {
        "global_avg_pool2d"
    }

    fn outputs(&self, layer: &str, inputs: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        let [n, _, _, c] = image(self.name(), layer, inputs[0])?;
        Ok(vec![Shape::rows(&[n, c])])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        upstream: &[Option<Value>],
        _: &[bool],
    ) -> Result<Vec<Option<Value>>, TapeError> {
        let Some(grad_y) = upstream[0] else {
            return Ok(vec![None]);
        };
        let grad = GlobalAvgPool2dGrad {
            x: graph.shape(node.inputs[0]).clone(),
        };
        Ok(vec![Some(graph.record1(grad, &[grad_y])?)])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError> {
        let [n, h, w, c] = lowering.input_shape(0).nhwc().unwrap_or_default();
        let kernel = kernels::GlobalAvgPool2d { n, h, w, c };
        let operands = [lowering.input(0), lowering.output(0)];
        lowering.call(kernel.call(), &operands)
    }
}

impl OpSpec for GlobalAvgPool2dGrad {
    fn name(&self) -> &'static str {
        "global_avg_pool2d_grad"
    }

    fn outputs(&self, _: &str, _: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        Ok(vec![self.x.clone()])
    }

    fn gradient(
        &self,
        _: &mut Graph,
        node: &Node,
        _: &[Option<Value>],
        _: &[bool],
    ) -> Result<Vec<Option<Value>>, TapeError> {
        Err(no_gradient(node))
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError> {
        let [n, h, w, c] = self.x.nhwc().unwrap_or_default();
        let kernel = kernels::GlobalAvgPool2dGrad { n, h, w, c };
        let operands = [lowering.input(0), lowering.output(0)];
        lowering.call(kernel.call(), &operands)
    }
}
