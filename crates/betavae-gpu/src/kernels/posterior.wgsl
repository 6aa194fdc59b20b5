// The gradient of the loss by means and log-variances, from that of the reconstruction by z and that of the constraint.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = (group.y * GRID_X + group.x) * 256u + thread;
    if i >= BATCH * LATENTS {
        return;
    }
    let image = i / LATENTS;
    let latent = i % LATENTS;
    let of_constraint = CONSTRAINT_SCALE * constraint_gradient(image, latent);
    let gradient = maps[Z_GRADIENT + i] + of_constraint.x;
    let spread = maps[NOISE + i] * 0.5 * exp(0.5 * log_var_of(image, latent));
    maps[HEADS_GRADIENT + image * 2u * LATENTS + latent] = gradient + of_constraint.y;
    maps[HEADS_GRADIENT + (image * 2u + 1u) * LATENTS + latent] = gradient * spread + of_constraint.z;
}
