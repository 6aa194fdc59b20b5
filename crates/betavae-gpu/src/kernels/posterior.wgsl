// The gradient of the loss by means and log-variances, from that by z and from the constraint.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = (group.y * GRID_X + group.x) * 256u + thread;
    if i >= BATCH * LATENTS {
        return;
    }
    var kl = 0.0;
    for (var latent = 0u; latent < LATENTS; latent++) {
        kl += maps[KL + latent];
    }
    let weight = constraint_slope(kl) * CONSTRAINT_SCALE / f32(BATCH);
    let image = i / LATENTS;
    let latent = i % LATENTS;
    let mean = image * 2u * LATENTS + latent;
    let log_var = mean + LATENTS;
    let l = maps[HEADS + log_var];
    let gradient = maps[Z_GRADIENT + i];
    maps[HEADS_GRADIENT + mean] = gradient + weight * maps[HEADS + mean];
    maps[HEADS_GRADIENT + log_var] = gradient * maps[NOISE + i] * 0.5 * exp(0.5 * l) + weight * 0.5 * exp_m1(l);
}
