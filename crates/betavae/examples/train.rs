//! Trains a small beta-VAE on Gaussian blobs with the library alone, and draws what it learned.
//!
//! ```sh
//! cargo run --release -p betavae --example train
//! ```

use betavae::Device;
use betavae::burn::module::Module;
use betavae::checkpoint::{Description, Trained};
use betavae::config::Recipe;
use betavae::data::Dataset;
use betavae::data::blobs::Blobs;
use betavae::evaluate::{kl_per_latent, subset};
use betavae::figures::{Traversal, TraversalOptions};
use betavae::train::Trainer;
use std::sync::Arc;

const RECIPE: &str = r#"
    seed = 3
    [model]
    architecture = "custom"
    widths = [8, 16, 16]
    hidden = [64]
    latents = 4
    [objective]
    kind = "b"          # gamma * |KL - C|, C from 0 to 6 nats
    gamma = 30.0
    c_max = 6.0
    c_steps = 600
    [optimizer]
    learning_rate = 2e-3
    [train]
    steps = 800
    batch = 32
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = Arc::new(Blobs::new());
    let config = Recipe::from_toml(RECIPE)?.resolve(data.shape())?;
    let mut trainer = Trainer::new(config, data.clone(), &Device::flex())?;
    for step in 1..=trainer.config().train().steps {
        let terms = trainer.step()?;
        if step % 100 == 0 {
            println!("{step:4}  {}", terms.summary());
        }
    }

    // Inference needs no gradients: `valid` gives the plain network.
    let model = trainer.model().valid();
    let kl_per_latent = kl_per_latent(&model, &*data, &subset(4096, 512))?;
    let description = Description::new(trainer.config(), trainer.steps_taken(), kl_per_latent);
    let trained = Trained { model, description, path: "blobs".into() };
    let centre = vec![0.0; trained.model.latents()];
    let options = TraversalOptions { range: 2.0, frames: 9, centre };
    Traversal::new(&trained, &options).figure("blobs").save("blobs.png")?;
    println!("wrote blobs.png");
    Ok(())
}
