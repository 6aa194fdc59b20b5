// The gradient of a bias: the sum over the pixels of a map of CHANNELS channels, of which each part has PART_PIXELS. Features
// of a linear layer beside a convolution are numbered channel by channel of a map of HW pixels.

const PIXEL_LANES: u32 = 256u / LANES;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let index = group.y * GRID_X + group.x;
    if index >= GROUPS {
        return;
    }
    let part = index % PARTS;
    let channel = index / PARTS * LANES + thread % LANES;
    let last = min(PIXELS, (part + 1u) * PART_PIXELS);
    var sum = 0.0;
    if channel < CHANNELS {
        let place = (channel % HW) * (CHANNELS / HW) + channel / HW;
        for (var pixel = part * PART_PIXELS + thread / LANES; pixel < last; pixel += PIXEL_LANES) {
            sum += maps[GRADIENT + pixel * CHANNELS + place];
        }
    }
    tree[thread] = sum;
    for (var width = PIXEL_LANES / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if thread < width * LANES {
            tree[thread] += tree[thread + width * LANES];
        }
    }
    workgroupBarrier();
    if thread < LANES && channel < CHANNELS {
        partials[PARTIALS + part * PARTIALS_STRIDE + channel] = tree[thread];
    }
}
