// The images of a batch out of those that stay on the device, by their numbers, of which an entry of the table has four: an
// invocation per value. Each image begins a word.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = (group.y * GRID_X + group.x) * 256u + thread;
    if i >= VALUES {
        return;
    }
    let position = i / IMAGE_VALUES;
    let within = i % IMAGE_VALUES;
    let image = table[NUMBERS + position / 4u][position % 4u];
    let word = images[image * IMAGE_WORDS + within / PER_WORD];
    var value = bitcast<f32>(word);
    if WHITE > 0u {
        value = f32(extractBits(word, within % PER_WORD * (32u / PER_WORD), 32u / PER_WORD)) / f32(WHITE);
    }
    maps[IMAGES + i] = select(value, value * 2.0 - 1.0, SIGNED);
}
