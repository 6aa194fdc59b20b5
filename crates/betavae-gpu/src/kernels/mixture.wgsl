// The aggregate posterior as a mixture of the posteriors of a batch (Chen et al. 2018, appendix C).

const HALF_LN_TAU: f32 = 0.9189385;

// ln N(z; mean, variance) of a latent of a sample under the posterior of another image.
fn log_density(sample: u32, other: u32, latent: u32) -> f32 {
    let log_var = log_var_of(other, latent);
    let distance = maps[Z + sample * LATENTS + latent] - mean_of(other, latent);
    return -0.5 * (distance * distance * exp(-log_var) + log_var) - HALF_LN_TAU;
}

fn log_weight(sample: u32, other: u32) -> f32 {
    if other == sample {
        return LOG_OWN;
    }
    return select(LOG_OTHER, LOG_NEXT, other == (sample + 1u) % BATCH);
}
