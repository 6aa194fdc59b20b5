// The terms of the loss: total, reconstruction, KL of each latent, and those of the constraint alone. One workgroup.

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) thread: u32) {
    var sum = 0.0;
    for (var i = thread; i < LOSS_PARTS; i += 256u) {
        sum += partials[LOSSES + i];
    }
    let nll = sum_of_workgroup(thread, sum) / f32(BATCH);
    var kl = 0.0;
    for (var latent = 0u; latent < LATENTS; latent++) {
        kl += maps[KL + latent];
    }
    let row = step.row * ROW;
    let value = constraint(thread, kl, row + 2u + LATENTS);
    if thread == 0u {
        let total = nll * NLL_TO_TOTAL + TOTAL_CONSTANT + value * CONSTRAINT_SCALE;
        results[row] = total;
        results[row + 1u] = nll + NLL_CONSTANT;
        for (var latent = 0u; latent < LATENTS; latent++) {
            results[row + 2u + latent] = maps[KL + latent];
        }
        if !is_finite(total) || !is_finite(nll) || !is_finite(kl) {
            atomicOr(&fault, 1u);
        }
    }
}
