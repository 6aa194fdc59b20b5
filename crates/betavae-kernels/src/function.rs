//! Operators with a backward pass of their own, like `torch.autograd.Function`, between Burn's tensors and
//! the kernels' slices. The operators themselves are in `ops`.
//!
//! A [`Function`] gets contiguous slices of f32. [`apply`] takes the primitives out of tensors on Burn's
//! CPU backend Flex, runs the forward pass, and registers the backward pass on the tape of Burn's
//! autodiff.

use std::fmt::Debug;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor, TensorData};

type FlexTensor = FloatTensor<Flex>;
type Tracked = FloatTensor<Autodiff<Flex>>;

/// An operator of `N` tensors with one result.
pub(crate) trait Function<const N: usize>: Clone + Send + Sync + Debug + 'static {
    /// What the backward pass needs besides inputs and output.
    type Saved: Send + Sync + Debug + 'static;

    /// The output. `differentiate` is whether [`Function::backward`] may follow.
    fn forward(&self, inputs: [&[f32]; N], differentiate: bool) -> ForwardResult<Self::Saved>;

    /// The gradients of the inputs, flat, from the gradient of the output. Those that are not in
    /// `needs_gradient` may be `None`.
    fn backward(
        &self,
        inputs: [&[f32]; N],
        forward: &ForwardResult<Self::Saved>,
        gradient: &[f32],
        needs_gradient: [bool; N],
    ) -> [Option<Vec<f32>>; N];
}

/// The output of [`Function::forward`], and what it saves for [`Function::backward`].
#[derive(Debug)]
pub(crate) struct ForwardResult<S> {
    pub(crate) output: FlexTensor,
    pub(crate) saved: S,
}

impl<S> ForwardResult<S> {
    pub(crate) fn new(output: Vec<f32>, shape: impl Into<Vec<usize>>, saved: S) -> Self {
        Self { output: tensor_from(output, &shape.into()), saved }
    }

    pub(crate) fn output(&self) -> &[f32] {
        slice(&self.output)
    }
}

/// The primitive of a tensor on the CPU backend.
pub(crate) enum Operand {
    /// One without autodiff.
    Untracked(FlexTensor),
    /// One whose operations may be on the tape.
    Tracked(Tracked),
}

impl Operand {
    /// `None` on other backends and for other types than f32, where [`crate::reference`] is used.
    pub(crate) fn of<const D: usize>(tensor: &Tensor<D>) -> Option<Self> {
        if tensor.dtype() != DType::F32 {
            return None;
        }
        if tensor.is_autodiff() {
            tensor.clone().try_into_primitive::<Autodiff<Flex>>().ok().map(Self::Tracked)
        } else {
            tensor.clone().try_into_primitive::<Flex>().ok().map(Self::Untracked)
        }
    }
}

/// A contiguous tensor of these values.
pub(crate) fn tensor_from(values: Vec<f32>, shape: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.to_vec()))
}

fn slice(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().unwrap_or_else(|| unreachable!("`apply` made it contiguous f32"))
}

/// Runs a function, and registers its backward pass on the tape if an input is tracked.
pub(crate) fn apply<F: Function<N>, const N: usize, const D: usize>(
    function: F,
    operands: [Operand; N],
) -> (Tensor<D>, Arc<ForwardResult<F::Saved>>) {
    if operands.iter().all(|operand| matches!(operand, Operand::Untracked(_))) {
        let inputs = operands.map(|operand| match operand {
            Operand::Untracked(tensor) => tensor.to_contiguous(),
            Operand::Tracked(_) => unreachable!("none is tracked"),
        });
        let result = Arc::new(in_pool(|| function.forward(inputs.each_ref().map(slice), false)));
        return (Tensor::from_primitive::<Flex>(result.output.clone()), result);
    }
    let tracked = operands.map(|operand| match operand {
        Operand::Untracked(tensor) => Tracked::new(tensor),
        Operand::Tracked(tensor) => tensor,
    });
    let nodes = tracked.each_ref().map(Tracked::node);
    let inputs = tracked.map(|tensor| tensor.into_primitive().to_contiguous());
    let prepared =
        TapeNode(function.clone()).prepare::<NoCheckpointing>(nodes).compute_bound().stateful();
    let differentiate = matches!(prepared, OpsKind::Tracked(_));
    let result = in_pool(|| function.forward(inputs.each_ref().map(slice), differentiate));
    let result = Arc::new(result);
    let output = result.output.clone();
    let output = match prepared {
        OpsKind::Tracked(prepared) => prepared.finish((inputs, result.clone()), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    (Tensor::from_primitive::<Autodiff<Flex>>(output), result)
}

/// Runs `work` inside the thread pool, from where giving tasks to its threads costs less.
fn in_pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| work())
}

/// A function's entry on Burn's tape.
#[derive(Debug)]
struct TapeNode<F>(F);

impl<F: Function<N>, const N: usize> Backward<Flex, N> for TapeNode<F> {
    type State = ([FlexTensor; N], Arc<ForwardResult<F::Saved>>);

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let (inputs, forward) = &ops.state;
        let needs_gradient = ops.parents.each_ref().map(Option::is_some);
        let input_gradients = in_pool(|| {
            let inputs = inputs.each_ref().map(slice);
            self.0.backward(inputs, forward, slice(&gradient), needs_gradient)
        });
        for ((parent, gradient), input) in ops.parents.iter().zip(input_gradients).zip(inputs) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                let shape: Vec<usize> = input.layout().shape().iter().copied().collect();
                gradients.register::<Flex>(parent.id, tensor_from(gradient, &shape));
            }
        }
    }
}
