// The gradients of batch normalisation's shift and scale over the pixels of a part: sums of the gradient, and of it times the
// normalised value.

const PIXEL_LANES: u32 = 256u / LANES;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let index = group.y * GRID_X + group.x;
    if index >= GROUPS {
        return;
    }
    let part = index % PARTS;
    let channel = index / PARTS * LANES + thread % LANES;
    let first = part * PART_PIXELS;
    let last = min(PIXELS, first + PART_PIXELS);
    var shift = 0.0;
    var scale = 0.0;
    if channel < CHANNELS {
        let mean = maps[STATISTICS + channel];
        let inverse = maps[STATISTICS + 2u * CHANNELS + channel];
        for (var pixel = first + thread / LANES; pixel < last; pixel += PIXEL_LANES) {
            let i = pixel * CHANNELS + channel;
            shift += maps[GRADIENT + i];
            scale += maps[GRADIENT + i] * (maps[INPUT + i] - mean) * inverse;
        }
    }
    shift = sum_of_lanes(thread, shift, LANES);
    scale = sum_of_lanes(thread, scale, LANES);
    if thread < LANES && channel < CHANNELS {
        partials[SHIFTS + part * PARTIALS_STRIDE + channel] = shift;
        partials[SCALES + part * PARTIALS_STRIDE + channel] = scale;
    }
}
