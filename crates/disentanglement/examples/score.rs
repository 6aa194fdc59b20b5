//! Scores of codes that this program makes itself: `cargo run --release -p disentanglement --example score`

use disentanglement::{
    BINS, Codes, Factors, Labelled, Pool, Predictor, Random, ScoreName, Split, Suite,
    SuiteSettings, dci, mig,
};

fn main() -> Result<(), disentanglement::Error> {
    // Three factors; two latents are one factor each, the third mixes two, the last is noise.
    let mut random = Random::new(1, 0);
    let factors: Vec<i64> = (0..6000).flat_map(|i| [i % 3, i / 3 % 6, i / 18 % 40]).collect();
    let code = |y: &[i64]| {
        let [a, b, c] = [y[0], y[1], y[2]].map(|class| class as f64);
        [a, 0.1 * c, b - 0.05 * c, 0.0].map(|z| z + 0.05 * random.normal())
    };
    let codes: Vec<f64> = factors.chunks(3).flat_map(code).collect();
    let data = Labelled::new(Codes::new(&codes, 4)?, Factors::new(&factors, 3)?)?;

    println!("MIG {:.3}", mig(&data, BINS).score);
    let split = Split::draw(&data, 4000, 2000, &mut Random::new(0, 0))?;
    println!("DCI disentanglement {:.3}\n", dci(&split, Predictor::default()).disentanglement);

    // Or several by name, with intervals.
    let (pool, settings) = (Pool::new(data)?, &SuiteSettings::default());
    let suite = Suite { pool: &pool, log_var: None, others: &[], settings };
    let wanted = [ScoreName::FactorVae, ScoreName::Sap, ScoreName::Modularity];
    for (name, score) in suite.run(&wanted, &|_, _| ())?.scores {
        println!("{:<12}{:.3} ({:.3} .. {:.3})", name.name(), score.value, score.low, score.high);
    }
    Ok(())
}
