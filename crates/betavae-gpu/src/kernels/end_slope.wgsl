// Backward: the gradient of a layer's input, through the activation that made it.

fn finish(address: u32, channel: u32, sum: f32) {
    maps[OUTPUT + address] = sum * slope(maps[ACTIVATED + address]);
}

fn end_of_tile(thread: u32, tile: u32) {}
