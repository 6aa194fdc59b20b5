// KL + lambda_od * (squares of covariances) + lambda_d * (squares of variances - 1): weights are lambda_od and lambda_d.

// What a covariance is away from that of independent latents of variance 1.
fn off_identity(i: u32) -> f32 {
    return maps[COVARIANCE + i] - select(0.0, 1.0, i % LATENTS == i / LATENTS);
}

fn constraint(thread: u32, kl: f32, own: u32) -> f32 {
    var squares = vec2<f32>(0.0, 0.0);
    for (var i = thread; i < LATENTS * LATENTS; i += 256u) {
        let square = off_identity(i) * off_identity(i);
        squares += select(vec2<f32>(square, 0.0), vec2<f32>(0.0, square), i % LATENTS == i / LATENTS);
    }
    let off_diagonal = sum_of_workgroup(thread, squares.x);
    let diagonal = sum_of_workgroup(thread, squares.y);
    if thread == 0u {
        results[own] = off_diagonal;
        results[own + 1u] = diagonal;
    }
    return kl + step.weights.x * off_diagonal + step.weights.y * diagonal;
}

// Both (i, j) and (j, i) have a covariance, and a variance is a square: hence 4.
fn constraint_gradient(image: u32, latent: u32) -> vec3<f32> {
    var by_mean = 0.0;
    for (var other = 0u; other < LATENTS; other++) {
        let weight = select(step.weights.x, step.weights.y, other == latent);
        by_mean += weight * off_identity(latent * LATENTS + other) * (mean_of(image, other) - maps[MEANS + other]);
    }
    var by_log_var = 0.0;
    if OF_SAMPLES {
        by_log_var = 2.0 * step.weights.y * off_identity(latent * LATENTS + latent) * exp(log_var_of(image, latent));
    }
    return kl_gradient(image, latent) + vec3<f32>(0.0, 4.0 * by_mean, by_log_var) / f32(BATCH);
}
