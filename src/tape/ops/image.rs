//! Image input.

use super::{OpSpec, no_gradient};
use crate::kernels::image as kernels;
use crate::tape::{Graph, Lowering, Node, Shape, TapeError, Value};

/// u8 RGB images through an affine map each, resampled and scaled to [-1, 1]. Inputs: the bytes, four a word, and eight floats
/// an image of which six are its matrix (see [`kernels::image`](crate::kernels::image)); output `[N, H, W, 3]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageInput {
    /// Images.
    pub batch: usize,
    /// Height and width of the bytes' images.
    pub source: [usize; 2],
    /// Height and width of the output.
    pub size: [usize; 2],
}

impl ImageInput {
    fn kernel(&self) -> kernels::ImageInput {
        kernels::ImageInput {
            n: self.batch,
            source: self.source,
            size: self.size,
            grey: false,
        }
    }
}

impl OpSpec for ImageInput {
    fn name(&self) -> &'static str {
        "image_input"
    }

    fn outputs(&self, _: &str, _: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        let [h, w] = self.size;
        Ok(vec![Shape::rows(&[self.batch, h, w, 3])])
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
        let operands = [lowering.input(0), lowering.input(1), lowering.output(0)];
        lowering.call(self.kernel().call(), &operands)
    }
}
