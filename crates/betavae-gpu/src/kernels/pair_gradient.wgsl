// From the gradients by the posteriors of pairs to those by what the encoder makes. Which latents are shared is a constant for
// them. An invocation per latent of a pair.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = (group.y * GRID_X + group.x) * 256u + thread;
    if i >= PAIRS * LATENTS {
        return;
    }
    let first = i / LATENTS * 2u * LATENTS + i % LATENTS;
    let second = first + PAIRS * 2u * LATENTS;
    let of_mean = vec2<f32>(maps[POSTERIOR_GRADIENT + first], maps[POSTERIOR_GRADIENT + second]);
    let of_log_var = vec2<f32>(
        maps[POSTERIOR_GRADIENT + first + LATENTS],
        maps[POSTERIOR_GRADIENT + second + LATENTS],
    );
    var by_mean = of_mean;
    var by_log_var = of_log_var;
    if maps[SHARED + i] > 0.0 {
        let log_vars = vec2<f32>(maps[HEADS + first + LATENTS], maps[HEADS + second + LATENTS]);
        let share = shares(log_vars);
        let mean = of_mean.x + of_mean.y;
        let log_var = of_log_var.x + of_log_var.y;
        if OF_PRODUCT {
            // The mean is weighted by precisions, so it depends on the variances.
            let apart = maps[HEADS + first] - maps[HEADS + second];
            let through_mean = mean * apart * share.x * share.y;
            by_mean = mean * share.yx;
            by_log_var = log_var * share.yx + vec2<f32>(-through_mean, through_mean);
        } else {
            by_mean = vec2<f32>(0.5 * mean);
            by_log_var = log_var * share;
        }
    }
    maps[HEADS_GRADIENT + first] = by_mean.x;
    maps[HEADS_GRADIENT + second] = by_mean.y;
    maps[HEADS_GRADIENT + first + LATENTS] = by_log_var.x;
    maps[HEADS_GRADIENT + second + LATENTS] = by_log_var.y;
}
