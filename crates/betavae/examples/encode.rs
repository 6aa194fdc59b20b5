//! Uses a trained model in a program: encodes images, changes one latent, decodes again.
//!
//! ```sh
//! cargo run --release -- train --out run
//! cargo run --release -p betavae --example encode -- run
//! ```

use betavae::Device;
use betavae::checkpoint::Trained;
use betavae::data::dsprites::DSprites;
use betavae::evaluate::load;
use betavae::figures::mosaic;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: encode RUN_FOLDER_OR_MODEL.safetensors")?;
    let device = Device::flex();
    let trained = Trained::load(path.as_ref(), &device)?;
    let latents = trained.model.latents();

    // Four images [4, H, W, C] in [0, 1]; any tensor of that shape will do.
    let images = load(&DSprites::new(), &[0, 200_000, 400_000, 600_000], &device)?;
    let posterior = trained.model.encode(images); // mean and log_var [4, D]
    println!("mean {}", posterior.mean);

    // The latent that carries most information, moved by one standard deviation of the prior.
    let strongest = trained.latents_by_kl()[0];
    let moved = posterior
        .mean
        .slice_assign([0..4, strongest..strongest + 1], betavae::Tensor::ones([4, 1], &device));
    println!("latent {strongest} of {latents} set to 1");
    mosaic(trained.model.decode(moved)).save("moved.png")?;
    println!("wrote moved.png");
    Ok(())
}
