// Mean and squared deviations of each channel over the pixels of a part: first the mean, then what is left about it, because
// one sum of squares would lose digits.

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
    var sum = 0.0;
    if channel < CHANNELS {
        for (var pixel = first + thread / LANES; pixel < last; pixel += PIXEL_LANES) {
            sum += maps[INPUT + pixel * CHANNELS + channel];
        }
    }
    let mean = sum_of_lanes(thread, sum, LANES) / f32(last - first);
    sum = 0.0;
    if channel < CHANNELS {
        for (var pixel = first + thread / LANES; pixel < last; pixel += PIXEL_LANES) {
            let distance = maps[INPUT + pixel * CHANNELS + channel] - mean;
            sum += distance * distance;
        }
    }
    let squares = sum_of_lanes(thread, sum, LANES);
    if thread < LANES && channel < CHANNELS {
        partials[PARTIALS + part * PARTIALS_STRIDE + channel] = mean;
        partials[PARTIALS + part * PARTIALS_STRIDE + CHANNELS + channel] = squares;
    }
}
