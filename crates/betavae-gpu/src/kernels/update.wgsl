// Adam (Kingma and Ba 2015) or Adagrad (Duchi et al. 2011), in PyTorch's order of operations, for all parameters. After a
// fault they stay as they were before the step.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = (group.y * GRID_X + group.x) * 256u + thread;
    let found = atomicLoad(&fault);
    if i == 0u {
        results[step.row * ROW + FAULT] = f32(found);
    }
    if i >= PARAMETERS || found != 0u {
        return;
    }
    let g = state[GRADIENTS + i];
    if IS_ADAM {
        let m = state[FIRST_MOMENTS + i] * BETA_1 + g * REST_1;
        let v = state[SECOND_MOMENTS + i] * BETA_2 + g * g * REST_2;
        state[FIRST_MOMENTS + i] = m;
        state[SECOND_MOMENTS + i] = v;
        state[i] -= m * step.rate / (sqrt(v) * step.root + EPSILON);
    } else {
        let sum = state[FIRST_MOMENTS + i] + g * g;
        state[FIRST_MOMENTS + i] = sum;
        state[i] -= g * step.rate / (sqrt(sum) + EPSILON);
    }
}
