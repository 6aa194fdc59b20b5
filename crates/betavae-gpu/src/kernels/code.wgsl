// The code of a batch: HEADS is [BATCH, 2 LATENTS], means before log-variances.

fn mean_of(image: u32, latent: u32) -> f32 {
    return maps[HEADS + image * 2u * LATENTS + latent];
}

fn log_var_of(image: u32, latent: u32) -> f32 {
    return maps[HEADS + (image * 2u + 1u) * LATENTS + latent];
}

// The gradient of the KL by z, mean and log-variance.
fn kl_gradient(image: u32, latent: u32) -> vec3<f32> {
    let by_log_var = 0.5 * exp_m1(log_var_of(image, latent));
    return vec3<f32>(0.0, mean_of(image, latent), by_log_var) / f32(BATCH);
}
