use crate::activation::{Activation::*, Window};
use crate::elementwise::Nll;
use crate::simd::Level;
use crate::stack::{Layer, Stack};
use std::time::Instant;
fn med(n: usize, mut f: impl FnMut()) -> f64 { for _ in 0..5 {f();} let mut t: Vec<f64> = (0..n).map(|_| {let s=Instant::now(); f(); s.elapsed().as_secs_f64()*1e3}).collect(); t.sort_by(f64::total_cmp); t[0] }
#[test]
#[ignore]
fn speed() {
    let b = 64;
    let w = Window { stride: 2, padding: 1 };
    let down = |_| Layer { transposed: None, filters: 32, kernel: 4, window: w, activation: Relu };
    let enc: Vec<_> = (0..4).map(down).collect();
    let mut dec: Vec<_> = enc.iter().map(|l| Layer { transposed: Some([0; 2]), ..*l }).collect();
    dec[3].filters = 1; dec[3].activation = Identity;
    for level in Level::supported() {
        let p = |c: [usize; 4]| c.map(|n| (vec![0.01f32; n * 32 * 16], vec![0.0f32; 32]));
        let (pe, pd) = (p([1, 32, 32, 32]), p([32, 32, 32, 1]));
        let pe: Vec<_> = pe.iter().map(|(w, b)| (&w[..], &b[..])).collect();
        let pd: Vec<_> = pd.iter().map(|(w, b)| (&w[..], &b[..])).collect();
        let x: Vec<f32> = (0..b * 4096).map(|i| ((i * 7919) % 13) as f32 / 13.0).collect();
        let h: Vec<f32> = (0..b * 512).map(|i| ((i * 7919) % 13) as f32 / 13.0).collect();
        let t0 = Instant::now();
        let (e, d) = (Stack::prepared(level, [64, 64, 1], &enc), Stack::prepared(level, [4, 4, 32], &dec));
        let plan = t0.elapsed().as_secs_f64() * 1e3;
        let (y, saved) = e.forward(&x, &pe, true);
        let gf = 12.06e6 * b as f64 / 1e6;
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let r = |ms: f64, f: f64| format!("{ms:.2} ms {:.0} GF/s", gf * f / ms);
                let i = med(41, || { e.forward(&x, &pe, false); });
                let f = med(41, || { e.forward(&x, &pe, true); });
                let bw = med(41, || { e.backward(&y, &y, saved.as_ref().unwrap(), &pe, false); });
                let d = med(41, || { d.nll(&h, &x, &pd, Nll::Bernoulli, true); });
                println!("{level:?} t{threads} plan {plan:.2}: infer {} fwd {} bwd {} dec+nll {}", r(i, 1.), r(f, 1.), r(bw, 1.913), r(d, 3.));
            });
        }
    }
}
