//! How fast a data set is read: random batches, as training wants them.
//!
//! `cargo run --release --example read -- INPUT [IMAGES] [THREADS]`

use std::time::Instant;

use betavae::data::order::{BatchOrder, Sampling};
use betavae::data::{open_name_or_path, read_batch};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let input = arguments.first().ok_or("give a data set")?;
    let images: usize = arguments.get(1).map_or(Ok(200_000), |text| text.parse())?;
    if let Some(threads) = arguments.get(2) {
        rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    }
    let start = Instant::now();
    let data = open_name_or_path(input, 1)?;
    println!("{}, opened in {:.2} s", data.description(), start.elapsed().as_secs_f64());

    let order = BatchOrder::new(Sampling::Replacement, 1, data.len(), 64)?;
    let start = Instant::now();
    let mut sum = 0.0;
    for step in 1..=(images / 64) as u64 {
        let (epoch, indices) = order.batch(step);
        sum += read_batch(&*data, &indices, epoch)?[0];
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{:.0} images/s (sum of first pixels {sum})", (images / 64 * 64) as f64 / seconds);
    Ok(())
}
