// The covariance of the means over a batch, divided by BATCH, or that of the samples, which has the mean variances on its
// diagonal too: a workgroup for each two latents.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let index = group.y * GRID_X + group.x;
    if index >= GROUPS {
        return;
    }
    let a = index / LATENTS;
    let b = index % LATENTS;
    var sums = vec2<f32>(0.0, 0.0);
    for (var image = thread; image < BATCH; image += 256u) {
        sums += vec2<f32>(mean_of(image, a), mean_of(image, b));
    }
    let mean_a = sum_of_workgroup(thread, sums.x) / f32(BATCH);
    let mean_b = sum_of_workgroup(thread, sums.y) / f32(BATCH);
    var product = 0.0;
    for (var image = thread; image < BATCH; image += 256u) {
        product += (mean_of(image, a) - mean_a) * (mean_of(image, b) - mean_b);
        if OF_SAMPLES && a == b {
            product += exp(log_var_of(image, a));
        }
    }
    product = sum_of_workgroup(thread, product) / f32(BATCH);
    if thread == 0u {
        maps[COVARIANCE + index] = product;
        if a == b {
            maps[MEANS + a] = mean_a;
        }
    }
}
