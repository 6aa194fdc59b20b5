//! The epilogue of a matrix product: bias and activation, or an activation's gradient, applied to sums
//! while they are in registers. Whole rows in memory are in `elementwise`.

use crate::activation::Activation;
use crate::math;
use crate::simd::Simd;

/// What happens to a sum before it is stored, while it is in a register.
#[derive(Clone, Copy)]
pub(crate) enum Epilogue<'a> {
    /// The sum is stored.
    Store,
    /// The sum is added to the output.
    Accumulate,
    /// activation(sum + bias\[n\]) is stored: a layer's forward pass.
    BiasActivation { bias: &'a [f32], activation: Activation },
    /// sum * activation'(..) is stored, where `outputs` has the activation's outputs at the offsets of
    /// the output: the backward pass of the activation of the layer before.
    ActivationGradient { outputs: &'a [f32], activation: Activation },
}

impl Epilogue<'_> {
    /// Applies the epilogue to `count` lanes of sums of the channels from `channel` on, which are to be
    /// stored at `to`, offset `at` of the output.
    ///
    /// # Safety
    /// `count` floats are readable at `to`, in `bias` from `channel` on, and in `outputs` from `at` on.
    #[inline(always)]
    pub(crate) unsafe fn apply<S: Simd>(
        self,
        simd: S,
        sum: S::V,
        to: *const f32,
        at: usize,
        channel: usize,
        count: usize,
    ) -> S::V {
        // SAFETY: as the caller promises.
        unsafe {
            match self {
                Epilogue::Store => sum,
                Epilogue::Accumulate => simd.add(simd.load_first(to, count), sum),
                Epilogue::BiasActivation { bias, activation } => {
                    let bias = simd.load_first(bias.as_ptr().add(channel), count);
                    math::activate(simd, activation, simd.add(sum, bias))
                }
                Epilogue::ActivationGradient { outputs, activation } => {
                    let output = simd.load_first(outputs.as_ptr().add(at), count);
                    math::multiply_slope(simd, activation, output, sum)
                }
            }
        }
    }

    /// The slope below 0 of its activation; `None` for tanh, or without activation.
    pub(crate) fn negative_slope(self) -> Option<f32> {
        match self {
            Epilogue::Store | Epilogue::Accumulate => None,
            Epilogue::BiasActivation { activation, .. }
            | Epilogue::ActivationGradient { activation, .. } => activation.negative_slope(),
        }
    }

    /// # Panics
    /// If what the epilogue reads is too short for `n` channels, or for an output that ends at `end`.
    pub(crate) fn check(self, n: usize, end: usize) {
        match self {
            Epilogue::BiasActivation { bias, .. } => assert!(bias.len() >= n, "bias is too short"),
            Epilogue::ActivationGradient { outputs, .. } => {
                assert!(end <= outputs.len(), "`outputs` is too short");
            }
            Epilogue::Store | Epilogue::Accumulate => {}
        }
    }
}
