// From the small map to the large one. Pixels of the large map whose positions have the same remainder by the stride meet
// the same taps: there are STRIDE * STRIDE such phases, a part each. A row for each pixel of a phase, a column for each
// channel of the large map; TAPS is how many taps of an axis a phase meets at most.

// The position along an axis of the large map of the n-th pixel of a phase.
fn position(phase: u32, n: u32) -> u32 {
    return n * STRIDE + phase;
}

fn left(part: u32, row: u32, k: u32) -> f32 {
    let tap = k / SMALL_C;
    let y = position(part / STRIDE, row / PHASE_W % PHASE_H) + PADDING;
    let x = position(part % STRIDE, row % PHASE_W) + PADDING;
    let tap_y = y % STRIDE + tap / TAPS * STRIDE;
    let tap_x = x % STRIDE + tap % TAPS * STRIDE;
    if tap_y >= KERNEL || tap_x >= KERNEL || tap_y > y || tap_x > x {
        return 0.0;
    }
    let small_y = (y - tap_y) / STRIDE;
    let small_x = (x - tap_x) / STRIDE;
    if small_y >= SMALL_H || small_x >= SMALL_W {
        return 0.0;
    }
    let pixel = (row / (PHASE_W * PHASE_H) * SMALL_H + small_y) * SMALL_W + small_x;
    return maps[INPUT + small_address(pixel, k % SMALL_C)];
}

fn right(part: u32, k: u32, column: u32) -> f32 {
    let tap = k / SMALL_C;
    let tap_y = (part / STRIDE + PADDING) % STRIDE + tap / TAPS * STRIDE;
    let tap_x = (part % STRIDE + PADDING) % STRIDE + tap % TAPS * STRIDE;
    if tap_y >= KERNEL || tap_x >= KERNEL {
        return 0.0;
    }
    return state[WEIGHT + weight_address(k % SMALL_C, column, tap_y * KERNEL + tap_x)];
}

fn store(part: u32, row: u32, column: u32, sum: f32) {
    let y = position(part / STRIDE, row / PHASE_W % PHASE_H);
    let x = position(part % STRIDE, row % PHASE_W);
    if y < LARGE_H && x < LARGE_W {
        let pixel = (row / (PHASE_W * PHASE_H) * LARGE_H + y) * LARGE_W + x;
        finish(large_address(pixel, column), column, sum);
    }
}
