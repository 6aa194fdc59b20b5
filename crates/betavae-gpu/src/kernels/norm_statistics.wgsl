// Mean and variance of each channel over a batch, from those of its parts. STATISTICS is mean, biased variance and what
// normalised values are multiplied by, CHANNELS of each.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let channel = (group.y * GRID_X + group.x) * 256u + thread;
    if channel >= CHANNELS {
        return;
    }
    var count = 0.0;
    var mean = 0.0;
    var squares = 0.0;
    for (var part = 0u; part < PARTS; part++) {
        let of_part = f32(min(PIXELS, (part + 1u) * PART_PIXELS) - part * PART_PIXELS);
        let place = PARTIALS + part * PARTIALS_STRIDE + channel;
        let distance = partials[place] - mean;
        let both = count + of_part;
        mean += distance * of_part / both;
        squares += partials[place + CHANNELS] + distance * distance * count * of_part / both;
        count = both;
    }
    let variance = squares / count;
    maps[STATISTICS + channel] = mean;
    maps[STATISTICS + CHANNELS + channel] = variance;
    maps[STATISTICS + 2u * CHANNELS + channel] = 1.0 / sqrt(variance + NORM_EPSILON);
}
