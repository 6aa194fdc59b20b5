// The logarithms of the densities of a sample under the aggregate posterior: of each latent, then of all together. MIXTURES is
// [BATCH, LATENTS + 1], a workgroup for each entry.

fn component(sample: u32, other: u32, latent: u32) -> f32 {
    if latent == LATENTS {
        return maps[DENSITIES + sample * BATCH + other];
    }
    return log_weight(sample, other) + log_density(sample, other, latent);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let index = group.y * GRID_X + group.x;
    if index >= GROUPS {
        return;
    }
    let sample = index / (LATENTS + 1u);
    let latent = index % (LATENTS + 1u);
    var largest = component(sample, sample, latent);
    for (var other = thread; other < BATCH; other += 256u) {
        largest = max(largest, component(sample, other, latent));
    }
    largest = max_of_workgroup(thread, largest);
    var sum = 0.0;
    for (var other = thread; other < BATCH; other += 256u) {
        sum += exp(component(sample, other, latent) - largest);
    }
    sum = sum_of_workgroup(thread, sum);
    if thread == 0u {
        maps[MIXTURES + index] = largest + log(sum);
    }
}
