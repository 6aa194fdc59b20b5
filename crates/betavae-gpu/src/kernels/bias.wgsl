// The gradients of all biases at once: sums over pixels of the maps' gradients. Two entries of the table tell a workgroup what it
// sums: the map, its channels, HW, LANES; the first channel, the first and the last pixel, where the sums go. LANES channels
// are summed side by side. Features of a linear layer beside a convolution are numbered channel by channel of a map of HW pixels.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let index = group.y * GRID_X + group.x;
    if index >= GROUPS {
        return;
    }
    let map = table[BIASES + 2u * index];
    let part = table[BIASES + 2u * index + 1u];
    let channels = map.y;
    let lanes = map.w;
    let channel = part.x + thread % lanes;
    var sum = 0.0;
    if channel < channels {
        let place = (channel % map.z) * (channels / map.z) + channel / map.z;
        for (var pixel = part.y + thread / lanes; pixel < part.z; pixel += 256u / lanes) {
            sum += maps[map.x + pixel * channels + place];
        }
    }
    sum = sum_of_lanes(thread, sum, lanes);
    if thread < lanes && channel < channels {
        partials[part.w + thread] = sum;
    }
}
