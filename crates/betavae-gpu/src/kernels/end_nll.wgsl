// The last layer of a decoder: -ln p(x | z) without its constant, a sum per tile, and the gradient of the loss by what the
// layer makes before its activation.

var<private> loss: f32;

fn finish(address: u32, channel: u32, sum: f32) {
    let output = activate(sum + state[BIAS + channel]);
    let wanted = maps[TARGET + address];
    var gradient: f32;
    if IS_BERNOULLI {
        // softplus(x) = max(x, 0) + ln(1 + exp(-|x|)), which neither overflows nor loses digits.
        let tail = exp(-abs(output));
        loss += max(output, 0.0) - output * wanted + ln_1p_unit(tail);
        gradient = select(tail, 1.0, output > 0.0) / (1.0 + tail) - wanted;
    } else {
        let error = output - wanted;
        loss += error * error * HALF_PRECISION;
        gradient = 2.0 * HALF_PRECISION * error;
    }
    maps[OUTPUT + address] = NLL_SCALE * gradient * slope(output);
}

fn end_of_tile(thread: u32, tile: u32) {
    let sum = sum_of_workgroup(thread, loss);
    if thread == 0u {
        partials[LOSSES + tile] = sum;
    }
}
