// The logarithm of each sample's density under each posterior, weighted: DENSITIES is [BATCH, BATCH], a row for each sample.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = (group.y * GRID_X + group.x) * 256u + thread;
    if i >= BATCH * BATCH {
        return;
    }
    let sample = i / BATCH;
    let other = i % BATCH;
    var sum = log_weight(sample, other);
    for (var latent = 0u; latent < LATENTS; latent++) {
        sum += log_density(sample, other, latent);
    }
    maps[DENSITIES + i] = sum;
}
