// The matrix product of which every layer and gradient is a case: sums over k of left(row, k) * right(k, column), a tile of
// TILE_M x TILE_N sums per workgroup, ROWS x COLUMNS per invocation. What left and right are, and what becomes of a sum, is
// in the files after this one. PARTS is 1, or the number of phases or of parts of the sum.

var<workgroup> left_tile: array<f32, TILE_K * TILE_M>;
var<workgroup> right_tile: array<f32, TILE_K * TILE_N>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let tile = group.y * GRID_X + group.x;
    if tile >= GROUPS {
        return;
    }
    let part = tile / (TILES_M * TILES_N);
    let row_0 = tile / TILES_N % TILES_M * TILE_M;
    let column_0 = tile % TILES_N * TILE_N;
    let thread_row = thread / (TILE_N / COLUMNS);
    let thread_column = thread % (TILE_N / COLUMNS);
    let first = part * K_SPLIT;
    let last = min(K, first + K_PART);
    var sums: array<f32, ROWS * COLUMNS>;
    for (var k_0 = first; k_0 < last; k_0 += TILE_K) {
        for (var i = thread; i < TILE_K * TILE_M; i += 256u) {
            let k = select(i / TILE_M, i % TILE_K, LEFT_BY_K);
            let m = select(i % TILE_M, i / TILE_K, LEFT_BY_K);
            var value = 0.0;
            if k_0 + k < last && row_0 + m < M {
                value = left(part, row_0 + m, k_0 + k);
            }
            left_tile[k * TILE_M + m] = value;
        }
        for (var i = thread; i < TILE_K * TILE_N; i += 256u) {
            let k = i / TILE_N;
            let n = i % TILE_N;
            var value = 0.0;
            if k_0 + k < last && column_0 + n < N {
                value = right(part, k_0 + k, column_0 + n);
            }
            right_tile[i] = value;
        }
        workgroupBarrier();
        for (var k = 0u; k < TILE_K; k++) {
            for (var r = 0u; r < ROWS; r++) {
                let a = left_tile[k * TILE_M + thread_row + r * (TILE_M / ROWS)];
                for (var c = 0u; c < COLUMNS; c++) {
                    sums[r * COLUMNS + c] += a * right_tile[k * TILE_N + thread_column + c * (TILE_N / COLUMNS)];
                }
            }
        }
        workgroupBarrier();
    }
    for (var r = 0u; r < ROWS; r++) {
        for (var c = 0u; c < COLUMNS; c++) {
            let row = row_0 + thread_row + r * (TILE_M / ROWS);
            let column = column_0 + thread_column + c * (TILE_N / COLUMNS);
            if row < M && column < N {
                store(part, row, column, sums[r * COLUMNS + c]);
            }
        }
    }
    end_of_tile(thread, tile);
}
