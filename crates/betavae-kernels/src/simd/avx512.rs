//! [`Simd`] on AVX-512 F, with the dot products of AVX-512 BF16 where the processor has them.

use std::arch::x86_64::*;
use std::mem::transmute;

use super::{Simd, SimdKernel, emulated, gemm_tile};

/// Proof that the processor has AVX-512 F and, with `BF16`, AVX-512 BF16.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const BF16: bool>(());

impl<const BF16: bool> Avx512<BF16> {
    pub(crate) fn new() -> Option<Self> {
        let bf16 = !BF16 || is_x86_feature_detected!("avx512bf16");
        (is_x86_feature_detected!("avx512f") && bf16).then_some(Self(()))
    }
}

/// # Safety
/// The processor has AVX-512 F, which the token proves.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn run<K: SimdKernel>(simd: Avx512<false>, kernel: K) -> K::Output {
    kernel.run(simd)
}

/// # Safety
/// The processor has AVX-512 F and BF16, which the token proves.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn run_bf16<K: SimdKernel>(simd: Avx512<true>, kernel: K) -> K::Output {
    kernel.run(simd)
}

// SAFETY of every block below: the token exists only on processors with AVX-512 F; pointers are as
// the trait's callers promise.
#[allow(clippy::undocumented_unsafe_blocks)]
impl<const BF16: bool> Simd for Avx512<BF16> {
    type V = __m512;
    const LANES: usize = 16;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m512) {
        unsafe { _mm512_storeu_ps(to, v) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        unsafe { _mm512_sqrt_ps(a) }
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        unsafe { _mm512_roundscale_ps::<0>(a) }
    }
    #[inline(always)]
    fn pow2(self, n: __m512) -> __m512 {
        unsafe { _mm512_scalef_ps(_mm512_set1_ps(1.0), n) }
    }
    #[inline(always)]
    fn where_positive(self, c: __m512, a: __m512, b: __m512) -> __m512 {
        unsafe {
            let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(c, _mm512_setzero_ps());
            _mm512_mask_blend_ps(positive, b, a)
        }
    }
    #[inline(always)]
    fn dot_pairs(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe {
            if BF16 {
                // The three types are 512 bits without invalid patterns.
                return _mm512_dpbf16_ps(
                    c,
                    transmute::<__m512, __m512bh>(a),
                    transmute::<__m512, __m512bh>(b),
                );
            }
            let (a, b) = (_mm512_castps_si512(a), _mm512_castps_si512(b));
            let mask = _mm512_set1_epi32(0xffff_0000_u32 as i32);
            let high_a = _mm512_castsi512_ps(_mm512_and_si512(a, mask));
            let high_b = _mm512_castsi512_ps(_mm512_and_si512(b, mask));
            let low_a = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(a));
            let low_b = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(b));
            _mm512_fmadd_ps(low_a, low_b, _mm512_fmadd_ps(high_a, high_b, c))
        }
    }
    #[inline(always)]
    fn sum(self, v: __m512) -> f32 {
        unsafe {
            let halves = _mm512_castps_pd(v);
            let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(halves));
            let eight = _mm256_add_ps(_mm512_castps512_ps256(v), high);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(first_lanes(count), from) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, v: __m512, count: usize) {
        unsafe { _mm512_mask_storeu_ps(to, first_lanes(count), v) }
    }

    #[inline(always)]
    fn pair_neighbours(self, low: __m512, high: __m512) -> __m512 {
        if !BF16 {
            return emulated::pair_neighbours(self, low, high);
        }
        // SAFETY: the processor has AVX-512 BF16; both types are 512 bits without invalid patterns.
        unsafe { transmute::<__m512bh, __m512>(_mm512_cvtne2ps_pbh(high, low)) }
    }
    #[inline(always)]
    fn pair_lanes(self, low: __m512, high: __m512) -> __m512 {
        if !BF16 {
            return emulated::pair_lanes(self, low, high);
        }
        // SAFETY: as above, with 256 bits.
        unsafe {
            let low = transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(low));
            let high = transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(high));
            let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(high));
            _mm512_castsi512_ps(_mm512_or_si512(_mm512_cvtepu16_epi32(low), high))
        }
    }

    gemm_tile!(8, 4);
}

/// The mask of the first `count` lanes.
#[inline(always)]
fn first_lanes(count: usize) -> __mmask16 {
    if count >= 16 { 0xffff } else { (1 << count) - 1 }
}
