// From the large map to the small one: a row for each pixel of the small map, a column for each of its channels.

fn left(part: u32, row: u32, k: u32) -> f32 {
    return large_value(INPUT, row, k / LARGE_C, k % LARGE_C);
}

fn right(part: u32, k: u32, column: u32) -> f32 {
    return state[WEIGHT + weight_address(column, k % LARGE_C, k / LARGE_C)];
}

fn store(part: u32, row: u32, column: u32, sum: f32) {
    finish(small_address(row, column), column, sum);
}
