//! Operators with derivatives of their own, between Burn's tensors and the kernels' slices: what
//! `torch.autograd.Function` is there.
//!
//! A [`Function`] sees contiguous slices of f32. [`apply`] takes the primitives out of tensors on
//! Burn's CPU backend Flex, runs it, and registers its derivative on the tape of Burn's autodiff.

use std::fmt::Debug;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor, TensorData};

type Plain = FloatTensor<Flex>;
type Tracked = FloatTensor<Autodiff<Flex>>;

/// An operator of `N` tensors with one result.
pub(crate) trait Function<const N: usize>: Clone + Send + Sync + Debug + 'static {
    /// What the way back needs besides inputs and output.
    type Saved: Send + Sync + Debug + 'static;

    /// The output; `differentiate` says whether [`Function::backward`] may follow.
    fn forward(&self, inputs: [&[f32]; N], differentiate: bool) -> Forward<Self::Saved>;

    /// The gradients of the `wanted` inputs, flat, for the gradient of the output.
    fn backward(
        &self,
        inputs: [&[f32]; N],
        done: &Forward<Self::Saved>,
        gradient: &[f32],
        wanted: [bool; N],
    ) -> [Option<Vec<f32>>; N];
}

/// What [`Function::forward`] makes.
#[derive(Debug)]
pub(crate) struct Forward<S> {
    pub(crate) output: Plain,
    pub(crate) saved: S,
}

impl<S> Forward<S> {
    pub(crate) fn new(output: Vec<f32>, shape: impl Into<Vec<usize>>, saved: S) -> Self {
        Self { output: plain(output, &shape.into()), saved }
    }

    pub(crate) fn output(&self) -> &[f32] {
        slice(&self.output)
    }
}

/// A tensor on the CPU backend, taken out of Burn's wrapper.
pub(crate) enum Operand {
    Plain(Plain),
    Tracked(Tracked),
}

impl Operand {
    /// `None` on other backends and for other types than f32: there, the readable twins work.
    pub(crate) fn of<const D: usize>(tensor: &Tensor<D>) -> Option<Self> {
        if tensor.dtype() != DType::F32 {
            return None;
        }
        if tensor.is_autodiff() {
            tensor.clone().try_into_primitive::<Autodiff<Flex>>().ok().map(Self::Tracked)
        } else {
            tensor.clone().try_into_primitive::<Flex>().ok().map(Self::Plain)
        }
    }
}

/// A contiguous tensor of these values.
pub(crate) fn plain(values: Vec<f32>, shape: &[usize]) -> Plain {
    Plain::from_data(TensorData::new(values, shape.to_vec()))
}

fn slice(tensor: &Plain) -> &[f32] {
    tensor.as_slice().unwrap_or_else(|| unreachable!("made contiguous f32 in `apply`"))
}

/// Runs a function and puts it on the tape if an input is tracked.
pub(crate) fn apply<F: Function<N>, const N: usize, const D: usize>(
    function: F,
    operands: [Operand; N],
) -> (Tensor<D>, Arc<Forward<F::Saved>>) {
    if operands.iter().all(|operand| matches!(operand, Operand::Plain(_))) {
        let inputs = operands.map(|operand| match operand {
            Operand::Plain(tensor) => tensor.to_contiguous(),
            Operand::Tracked(_) => unreachable!("all are plain"),
        });
        let done = Arc::new(in_pool(|| function.forward(inputs.each_ref().map(slice), false)));
        return (Tensor::from_primitive::<Flex>(done.output.clone()), done);
    }
    let tracked = operands.map(|operand| match operand {
        Operand::Plain(tensor) => Tracked::new(tensor),
        Operand::Tracked(tensor) => tensor,
    });
    let nodes = tracked.each_ref().map(Tracked::node);
    let inputs = tracked.map(|tensor| tensor.into_primitive().to_contiguous());
    let prepared =
        Tape(function.clone()).prepare::<NoCheckpointing>(nodes).compute_bound().stateful();
    let differentiate = matches!(prepared, OpsKind::Tracked(_));
    let done = in_pool(|| function.forward(inputs.each_ref().map(slice), differentiate));
    let done = Arc::new(done);
    let output = done.output.clone();
    let output = match prepared {
        OpsKind::Tracked(prepared) => prepared.finish((inputs, done.clone()), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    (Tensor::from_primitive::<Autodiff<Flex>>(output), done)
}

/// From inside the thread pool, handing out the pieces of an operator costs less.
fn in_pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| work())
}

/// A function on Burn's tape.
#[derive(Debug)]
struct Tape<F>(F);

impl<F: Function<N>, const N: usize> Backward<Flex, N> for Tape<F> {
    type State = ([Plain; N], Arc<Forward<F::Saved>>);

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let (inputs, done) = &ops.state;
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = in_pool(|| {
            self.0.backward(inputs.each_ref().map(slice), done, slice(&gradient), wanted)
        });
        for ((parent, found), input) in ops.parents.iter().zip(found).zip(inputs) {
            if let (Some(parent), Some(found)) = (parent, found) {
                let shape: Vec<usize> = input.layout().shape().iter().copied().collect();
                gradients.register::<Flex>(parent.id, plain(found, &shape));
            }
        }
    }
}
