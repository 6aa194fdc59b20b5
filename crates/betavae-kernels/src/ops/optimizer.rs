//! Operators that update parameters, and the check that parameters are finite. State over steps is the
//! caller's.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{Tensor, TensorData};

use crate::function::Operand;
use crate::optimizer::{self, AdamStep};
use crate::simd::simd_level;
use crate::{elementwise, reference};

/// Whether all elements of all tensors are finite, neither infinite nor NaN.
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

/// One update of Adam (Kingma and Ba 2015), in PyTorch's order of operations. Returns the new parameter,
/// first moment and second moment. Tensors that are not shared are updated in place.
///
/// # Shapes
/// - all tensors: \[N\]
pub fn adam(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    first_moment: Tensor<1>,
    second_moment: Tensor<1>,
    step: AdamStep,
) -> [Tensor<1>; 3] {
    if !all_untracked([&parameter, &gradient, &first_moment, &second_moment]) {
        return reference::adam(parameter, gradient, first_moment, second_moment, step);
    }
    let gradient = Owned::new(gradient);
    let [mut parameter, mut first_moment, mut second_moment] =
        [parameter, first_moment, second_moment].map(Owned::new);
    optimizer::adam(
        simd_level(),
        step,
        parameter.values(),
        gradient.read(),
        first_moment.values(),
        second_moment.values(),
    );
    [parameter, first_moment, second_moment].map(Owned::into_tensor)
}

/// One update of Adagrad (Duchi et al. 2011), in PyTorch's order of operations. Returns the new parameter
/// and sum of squared gradients. Tensors that are not shared are updated in place.
///
/// # Shapes
/// - all tensors: \[N\]
pub fn adagrad(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    sum: Tensor<1>,
    learning_rate: f64,
    epsilon: f64,
) -> [Tensor<1>; 2] {
    if !all_untracked([&parameter, &gradient, &sum]) {
        return reference::adagrad(parameter, gradient, sum, learning_rate, epsilon);
    }
    let gradient = Owned::new(gradient);
    let [mut parameter, mut sum] = [parameter, sum].map(Owned::new);
    let rates = [learning_rate as f32, epsilon as f32];
    optimizer::adagrad(simd_level(), rates, parameter.values(), gradient.read(), sum.values());
    [parameter, sum].map(Owned::into_tensor)
}

fn all_untracked<const N: usize>(tensors: [&Tensor<1>; N]) -> bool {
    tensors.into_iter().all(|tensor| matches!(Operand::of(tensor), Some(Operand::Untracked(_))))
}

/// A contiguous tensor on the CPU backend whose values can be changed, and are copied first only if they
/// are shared.
struct Owned(FloatTensor<Flex>);

impl Owned {
    fn new(tensor: Tensor<1>) -> Self {
        let tensor = tensor
            .try_into_primitive::<Flex>()
            .unwrap_or_else(|error| unreachable!("checked by `all_untracked`: {error:?}"));
        let whole = tensor.is_contiguous()
            && tensor.layout().start_offset() == 0
            && tensor.bytes().len() == 4 * tensor.layout().num_elements();
        // A view of a part of a tensor is copied, because writing to it could change the rest.
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
