// alpha * mutual information + beta * total correlation + gamma * dimension-wise KL: weights are alpha, beta, gamma.

fn mixture(sample: u32, latent: u32) -> f32 {
    return maps[MIXTURES + sample * (LATENTS + 1u) + latent];
}

fn constraint(thread: u32, kl: f32, own: u32) -> f32 {
    var sums = vec3<f32>(0.0, 0.0, 0.0);
    for (var image = thread; image < BATCH; image += 256u) {
        var of_own = 0.0;
        var of_prior = 0.0;
        var marginals = 0.0;
        for (var latent = 0u; latent < LATENTS; latent++) {
            let z = maps[Z + image * LATENTS + latent];
            of_own += log_density(image, image, latent);
            of_prior -= 0.5 * z * z + HALF_LN_TAU;
            marginals += mixture(image, latent);
        }
        let joint = mixture(image, LATENTS);
        sums += vec3<f32>(of_own - joint, joint - marginals, marginals - of_prior);
    }
    let information = sum_of_workgroup(thread, sums.x) / f32(BATCH);
    let correlation = sum_of_workgroup(thread, sums.y) / f32(BATCH);
    let dimension_wise = sum_of_workgroup(thread, sums.z) / f32(BATCH);
    if thread == 0u {
        results[own] = information;
        results[own + 1u] = correlation;
        results[own + 2u] = dimension_wise;
    }
    return dot(step.weights, vec3<f32>(information, correlation, dimension_wise));
}

// The derivative of a sample's share by the density of its latent under a posterior.
fn by_density(sample: u32, other: u32, latent: u32) -> f32 {
    let of_joint = exp(maps[DENSITIES + sample * BATCH + other] - mixture(sample, LATENTS));
    let density = log_weight(sample, other) + log_density(sample, other, latent);
    let of_marginal = exp(density - mixture(sample, latent));
    let w = step.weights;
    return (w.y - w.x) * of_joint + (w.z - w.y) * of_marginal + select(0.0, w.x, sample == other);
}

// As a sample an image meets all posteriors, and its posterior meets all samples.
fn constraint_gradient(image: u32, latent: u32) -> vec3<f32> {
    let z = maps[Z + image * LATENTS + latent];
    let mean = mean_of(image, latent);
    let inverse = exp(-log_var_of(image, latent));
    var sum = vec3<f32>(step.weights.z * z, 0.0, 0.0);
    for (var other = 0u; other < BATCH; other++) {
        let off = z - mean_of(other, latent);
        sum.x -= by_density(image, other, latent) * off * exp(-log_var_of(other, latent));
        let distance = maps[Z + other * LATENTS + latent] - mean;
        let weight = by_density(other, image, latent);
        sum.y += weight * distance * inverse;
        sum.z += weight * 0.5 * (distance * distance * inverse - 1.0);
    }
    return sum / f32(BATCH);
}
