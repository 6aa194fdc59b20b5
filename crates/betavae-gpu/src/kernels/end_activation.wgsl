// Forward: the bias and the activation after a layer.

fn finish(address: u32, channel: u32, sum: f32) {
    maps[OUTPUT + address] = activate(sum + state[BIAS + channel]);
}

fn end_of_tile(thread: u32, tile: u32) {}
