// The gradient of the weights: a row for each channel of the small map, a column for each tap and channel of the large one,
// summed over the pixels of the small map, of which each part has some.

fn left(part: u32, row: u32, k: u32) -> f32 {
    return maps[SMALL_MAP + small_address(k, row)];
}

fn right(part: u32, k: u32, column: u32) -> f32 {
    return large_value(LARGE_MAP, k, column / LARGE_C, column % LARGE_C);
}

fn store(part: u32, row: u32, column: u32, sum: f32) {
    let weight = weight_address(row, column % LARGE_C, column / LARGE_C);
    partials[PARTIALS + part * PARTIALS_STRIDE + weight] = sum;
}

fn end_of_tile(thread: u32, tile: u32) {}
