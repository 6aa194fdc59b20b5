// Moves the running averages of batch normalisation by the statistics of the batch, unless the step has a fault.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let channel = (group.y * GRID_X + group.x) * 256u + thread;
    if channel >= CHANNELS || atomicLoad(&fault) != 0u {
        return;
    }
    let unbiased = maps[STATISTICS + CHANNELS + channel] * f32(PIXELS) / max(f32(PIXELS) - 1.0, 1.0);
    let mean = RUNNING + channel;
    let variance = mean + CHANNELS;
    state[mean] = state[mean] * (1.0 - MOMENTUM) + maps[STATISTICS + channel] * MOMENTUM;
    state[variance] = state[variance] * (1.0 - MOMENTUM) + unbiased * MOMENTUM;
}
