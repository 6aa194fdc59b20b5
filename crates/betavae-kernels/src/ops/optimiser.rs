//! Updates of parameters, and whether they are still numbers.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{Tensor, TensorData};

use crate::function::Operand;
use crate::optimizer::{self, AdamStep};
use crate::simd::level;
use crate::{elementwise, reference};

/// Whether all elements of all tensors are finite.
pub fn all_finite(tensors: &[Tensor<1>]) -> bool {
    tensors.iter().all(|tensor| match tensor.clone().try_into_primitive::<Flex>() {
        Ok(tensor) => match tensor.as_slice::<f32>() {
            Some(values) => elementwise::all_finite(values),
            None => {
                elementwise::all_finite(tensor.to_contiguous().as_slice::<f32>().unwrap_or(&[]))
            }
        },
        Err(_) => reference::all_finite(tensor.clone()),
    })
}

/// One update of Adam (Kingma and Ba 2015) as PyTorch writes it; all tensors are \[N\]. Returns the
/// new parameter, first and second moment; in place where a tensor is not shared.
pub fn adam(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    first: Tensor<1>,
    second: Tensor<1>,
    step: AdamStep,
) -> [Tensor<1>; 3] {
    if !all_plain([&parameter, &gradient, &first, &second]) {
        return reference::adam(parameter, gradient, first, second, step);
    }
    let gradient = Owned::new(gradient);
    let [mut parameter, mut first, mut second] = [parameter, first, second].map(Owned::new);
    optimizer::adam(
        level(),
        step,
        parameter.values(),
        gradient.read(),
        first.values(),
        second.values(),
    );
    [parameter, first, second].map(Owned::into_tensor)
}

/// One update of Adagrad (Duchi et al. 2011) as PyTorch writes it; all tensors are \[N\]. Returns the
/// new parameter and sum of squared gradients; in place where a tensor is not shared.
pub fn adagrad(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    sum: Tensor<1>,
    learning_rate: f64,
    epsilon: f64,
) -> [Tensor<1>; 2] {
    if !all_plain([&parameter, &gradient, &sum]) {
        return reference::adagrad(parameter, gradient, sum, learning_rate, epsilon);
    }
    let gradient = Owned::new(gradient);
    let [mut parameter, mut sum] = [parameter, sum].map(Owned::new);
    let rates = [learning_rate as f32, epsilon as f32];
    optimizer::adagrad(level(), rates, parameter.values(), gradient.read(), sum.values());
    [parameter, sum].map(Owned::into_tensor)
}

fn all_plain<const N: usize>(tensors: [&Tensor<1>; N]) -> bool {
    tensors.into_iter().all(|tensor| matches!(Operand::of(tensor), Some(Operand::Plain(_))))
}

/// A contiguous tensor on the CPU backend whose values may change; copied only if shared.
struct Owned(FloatTensor<Flex>);

impl Owned {
    fn new(tensor: Tensor<1>) -> Self {
        let tensor = tensor
            .try_into_primitive::<Flex>()
            .unwrap_or_else(|error| unreachable!("checked by `all_plain`: {error:?}"));
        let whole = tensor.is_contiguous()
            && tensor.layout().start_offset() == 0
            && tensor.bytes().len() == 4 * tensor.layout().num_elements();
        // A view of a part must not write into the whole.
        Self(if whole { tensor } else { Self::copy(&tensor) })
    }

    fn copy(tensor: &FloatTensor<Flex>) -> FloatTensor<Flex> {
        let data: TensorData = tensor.to_contiguous().into_data();
        FloatTensor::<Flex>::from_data(data)
    }

    fn values(&mut self) -> &mut [f32] {
        self.0.storage_mut()
    }

    fn read(&self) -> &[f32] {
        self.0.as_slice().unwrap_or_else(|| unreachable!("contiguous f32"))
    }

    fn into_tensor(self) -> Tensor<1> {
        Tensor::from_primitive::<Flex>(self.0)
    }
}
