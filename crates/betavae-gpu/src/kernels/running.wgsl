// Moves all running averages of batch normalisation by the statistics of the batch, unless the step has a fault. An entry of the
// table for each channel: where its running mean is, where its mean is, how far its variances are behind, how many pixels.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let index = (group.y * GRID_X + group.x) * 256u + thread;
    if index >= CHANNELS || atomicLoad(&fault) != 0u {
        return;
    }
    let channel = table[NORMS + index];
    let pixels = f32(channel.w);
    let unbiased = maps[channel.y + channel.z] * pixels / max(pixels - 1.0, 1.0);
    let mean = channel.x;
    let variance = mean + channel.z;
    state[mean] = state[mean] * (1.0 - MOMENTUM) + maps[channel.y] * MOMENTUM;
    state[variance] = state[variance] * (1.0 - MOMENTUM) + unbiased * MOMENTUM;
}
