// The posteriors of pairs of images (Locatello et al. 2020, section 4): a latent whose posteriors differ by less than the middle
// between the smallest and the largest difference of the pair takes one for both sides. An invocation per pair; the second
// sides are behind all first ones.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let pair = (group.y * GRID_X + group.x) * 256u + thread;
    if pair >= PAIRS {
        return;
    }
    let first = HEADS + pair * 2u * LATENTS;
    let second = first + PAIRS * 2u * LATENTS;
    var smallest = difference(first, second, 0u);
    var largest = smallest;
    for (var latent = 1u; latent < LATENTS; latent++) {
        let found = difference(first, second, latent);
        smallest = min(smallest, found);
        largest = max(largest, found);
    }
    let middle = 0.5 * (smallest + largest);
    let to_first = POSTERIOR + pair * 2u * LATENTS;
    let to_second = to_first + PAIRS * 2u * LATENTS;
    for (var latent = 0u; latent < LATENTS; latent++) {
        let is_shared = difference(first, second, latent) < middle;
        let means = vec2<f32>(maps[first + latent], maps[second + latent]);
        let log_vars = vec2<f32>(maps[first + LATENTS + latent], maps[second + LATENTS + latent]);
        var mean = means;
        var log_var = log_vars;
        if is_shared {
            let apart = abs(log_vars.x - log_vars.y);
            // ln((v1 + v2) / 2) - (ln v1 + ln v2) / 2, without overflow.
            let spread = 0.5 * apart + ln_1p_unit(exp(-apart)) - LN_2;
            let share = shares(log_vars);
            let center = 0.5 * (log_vars.x + log_vars.y);
            if OF_PRODUCT {
                mean = vec2<f32>(means.x * share.y + means.y * share.x);
                log_var = vec2<f32>(center - spread);
            } else {
                mean = vec2<f32>(0.5 * (means.x + means.y));
                log_var = vec2<f32>(center + spread);
            }
        }
        maps[to_first + latent] = mean.x;
        maps[to_second + latent] = mean.y;
        maps[to_first + LATENTS + latent] = log_var.x;
        maps[to_second + LATENTS + latent] = log_var.y;
        maps[SHARED + pair * LATENTS + latent] = select(0.0, 1.0, is_shared);
    }
}

// Twice the KL between the posteriors, which does not matter for a comparison with its own middle.
fn difference(first: u32, second: u32, latent: u32) -> f32 {
    let distance = maps[first + latent] - maps[second + latent];
    let log_ratio = maps[first + LATENTS + latent] - maps[second + LATENTS + latent];
    return exp_m1(log_ratio) - log_ratio + distance * distance * exp(-maps[second + LATENTS + latent]);
}
