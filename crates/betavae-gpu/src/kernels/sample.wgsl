// z = mean + exp(log_var / 2) * noise (Kingma and Welling 2014, eq. 10) and the KL of a latent, averaged over the batch: a
// workgroup per latent.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let latent = group.y * GRID_X + group.x;
    if latent >= GROUPS {
        return;
    }
    var sum = 0.0;
    for (var image = thread; image < BATCH; image += 256u) {
        let mean = mean_of(image, latent);
        let log_var = log_var_of(image, latent);
        let i = image * LATENTS + latent;
        maps[Z + i] = mean + exp(0.5 * log_var) * maps[NOISE + i];
        sum += 0.5 * (mean * mean + exp_m1(log_var) - log_var);
    }
    let kl = sum_of_workgroup(thread, sum) / f32(BATCH);
    if thread == 0u {
        maps[KL + latent] = kl;
    }
}
