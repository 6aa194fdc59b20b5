// A layer connects a large map [BATCH, LARGE_H, LARGE_W, LARGE_C] with a small one [BATCH, SMALL_H, SMALL_W, SMALL_C] by
// weights [SMALL_C, LARGE_C, KERNEL, KERNEL]: a convolution makes the small one, a transposed convolution the large one, and
// a linear layer is a convolution of maps of one pixel. Maps are stored channels last. Where a linear layer stands beside a
// convolution, its features are the values of a map of SMALL_HW or LARGE_HW pixels, numbered channel by channel.

fn small_address(pixel: u32, channel: u32) -> u32 {
    return pixel * SMALL_C + (channel % SMALL_HW) * (SMALL_C / SMALL_HW) + channel / SMALL_HW;
}

fn large_address(pixel: u32, channel: u32) -> u32 {
    return pixel * LARGE_C + (channel % LARGE_HW) * (LARGE_C / LARGE_HW) + channel / LARGE_HW;
}

fn weight_address(small: u32, large: u32, tap: u32) -> u32 {
    return (small * LARGE_C + large) * (KERNEL * KERNEL) + tap;
}

// The value of the large map that meets a pixel of the small one at a tap of the kernel; 0 in the padding.
fn large_value(map: u32, small_pixel: u32, tap: u32, channel: u32) -> f32 {
    let y = small_pixel / SMALL_W % SMALL_H * STRIDE + tap / KERNEL;
    let x = small_pixel % SMALL_W * STRIDE + tap % KERNEL;
    if y < PADDING || x < PADDING || y - PADDING >= LARGE_H || x - PADDING >= LARGE_W {
        return 0.0;
    }
    let image = small_pixel / (SMALL_W * SMALL_H);
    let pixel = (image * LARGE_H + y - PADDING) * LARGE_W + x - PADDING;
    return maps[map + large_address(pixel, channel)];
}
