const LN_2: f32 = 0.6931472;

// v1 / (v1 + v2) and v2 / (v1 + v2).
fn shares(log_vars: vec2<f32>) -> vec2<f32> {
    let tail = exp(-abs(log_vars.x - log_vars.y));
    let smaller = tail / (1.0 + tail);
    let larger = 1.0 / (1.0 + tail);
    return select(vec2<f32>(smaller, larger), vec2<f32>(larger, smaller), log_vars.x > log_vars.y);
}
