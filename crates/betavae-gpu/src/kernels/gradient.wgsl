// Adds the partial sums of every gradient, in their order, and looks whether all are finite. An entry of the table for every 64
// parameters: where their partial sums begin, how many there are, how far apart, and how many parameters.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = (group.y * GRID_X + group.x) * 256u + thread;
    if i >= PARAMETERS {
        return;
    }
    let block = table[SUMS + i / 64u];
    if i % 64u >= block.w {
        return;
    }
    var sum = 0.0;
    for (var part = 0u; part < block.y; part++) {
        sum += partials[block.x + part * block.z + i % 64u];
    }
    state[GRADIENTS + i] = sum;
    if !is_finite(sum) {
        atomicOr(&fault, 2u);
    }
}
