//! Encodes and decodes without a tensor library: `betavae export MODEL --output model.bvae`, then
//! `cargo run --release -p betavae-infer --example run -- model.bvae`.

use betavae_infer::Program;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: run model.bvae")?;
    let program = Program::from_bytes(&std::fs::read(path)?)?;
    let z = vec![0.0; program.latents];
    let image = program.decode(&z); // [H, W, C] from 0 to 1
    let posterior = program.encode(&image); // D means, then D log-variances
    println!("the mean of the prior is decoded to {:?} and encoded as", program.image);
    println!("{:.3?}", &posterior[..program.latents]);
    Ok(())
}
