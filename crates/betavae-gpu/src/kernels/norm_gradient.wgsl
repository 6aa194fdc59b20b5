// The gradient of what was normalised by the statistics of its own batch. Every invocation adds the parts of its channel.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = (group.y * GRID_X + group.x) * 256u + thread;
    if i >= VALUES {
        return;
    }
    let channel = i % CHANNELS;
    var shift = 0.0;
    var scale = 0.0;
    for (var part = 0u; part < PARTS; part++) {
        shift += partials[SHIFTS + part * PARTIALS_STRIDE + channel];
        scale += partials[SCALES + part * PARTIALS_STRIDE + channel];
    }
    let inverse = maps[STATISTICS + 2u * CHANNELS + channel];
    let normalised = (maps[INPUT + i] - maps[STATISTICS + channel]) * inverse;
    let centred = maps[GRADIENT + i] - (shift + normalised * scale) / f32(PIXELS);
    maps[OUTPUT + i] = centred * state[WEIGHT + channel] * inverse;
}
