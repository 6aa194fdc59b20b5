// Batch normalisation and the activation after it, by the statistics of the batch or, outside training, by running averages.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = (group.y * GRID_X + group.x) * 256u + thread;
    if i >= VALUES {
        return;
    }
    let channel = i % CHANNELS;
    var mean = maps[STATISTICS + channel];
    var inverse = maps[STATISTICS + 2u * CHANNELS + channel];
    if BY_RUNNING_AVERAGES {
        mean = state[RUNNING + channel];
        inverse = 1.0 / sqrt(state[RUNNING + CHANNELS + channel] + NORM_EPSILON);
    }
    let normalised = (maps[INPUT + i] - mean) * inverse;
    maps[OUTPUT + i] = activate(normalised * state[WEIGHT + channel] + state[BIAS + channel]);
}
