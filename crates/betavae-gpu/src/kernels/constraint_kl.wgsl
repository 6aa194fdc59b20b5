// beta * KL + gamma * |KL - C|, of one posterior for each image or of pairs: weights are beta, gamma, C.

// Its value. The term of pairs, if there are any, is behind the KL of the latents.
fn constraint(thread: u32, kl: f32, own: u32) -> f32 {
    if PAIRS > 0u {
        var count = 0.0;
        for (var i = thread; i < PAIRS * LATENTS; i += 256u) {
            count += maps[SHARED + i];
        }
        count = sum_of_workgroup(thread, count);
        if thread == 0u {
            results[own] = count / f32(PAIRS);
        }
    }
    return step.weights.x * kl + step.weights.y * abs(kl - step.weights.z);
}

// Its gradient by z, mean and log-variance of a latent of an image.
fn constraint_gradient(image: u32, latent: u32) -> vec3<f32> {
    var kl = 0.0;
    for (var other = 0u; other < LATENTS; other++) {
        kl += maps[KL + other];
    }
    let slope = step.weights.x + step.weights.y * sign(kl - step.weights.z);
    return slope * kl_gradient(image, latent);
}
