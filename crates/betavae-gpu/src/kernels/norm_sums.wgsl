// The gradients of batch normalisation's shift and scale over the pixels of a part: sums of the gradient, and of it times the
// normalised value.

const PIXEL_LANES: u32 = 256u / LANES;
var<workgroup> second_tree: array<f32, 256>;

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
    tree[thread] = shift;
    second_tree[thread] = scale;
    for (var width = PIXEL_LANES / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if thread < width * LANES {
            tree[thread] += tree[thread + width * LANES];
            second_tree[thread] += second_tree[thread + width * LANES];
        }
    }
    workgroupBarrier();
    if thread < LANES && channel < CHANNELS {
        partials[SHIFTS + part * PARTIALS_STRIDE + channel] = tree[thread];
        partials[SCALES + part * PARTIALS_STRIDE + channel] = second_tree[thread];
    }
}
