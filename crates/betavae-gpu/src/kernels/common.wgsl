// What all kernels share. The plan writes the constants of a launch, in capitals, above this text.

// Activations and their gradients, images, noise: a region for each.
@group(0) @binding(0) var<storage, read_write> maps: array<f32>;
// Parameters, their gradients and moments, running averages: a region for each.
@group(0) @binding(1) var<storage, read_write> state: array<f32>;
// Sums over a part of a batch, which are added in a fixed order, so that a step has the same bytes every time.
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;
// A row of terms for each of the newest steps.
@group(0) @binding(3) var<storage, read_write> results: array<f32>;
// Not 0 as soon as a term (1) or a gradient (2) was not finite: from then on nothing is updated.
@group(0) @binding(4) var<storage, read_write> fault: atomic<u32>;
// What differs between workgroups of one launch, and the numbers of a batch's images.
@group(0) @binding(5) var<storage, read> table: array<vec4<u32>>;
@group(0) @binding(6) var<uniform> step: Step;
// Images that stay on the device.
@group(0) @binding(7) var<storage, read> images: array<u32>;

struct Step {
    // Those of the constraint.
    weights: vec3<f32>,
    // Learning rate, for Adam divided by the bias correction of the first moment.
    rate: f32,
    // One divided by the root of the bias correction of the second moment.
    root: f32,
    // The row of `results` for this step.
    row: u32,
}

const IDENTITY: u32 = 0u;
const RELU: u32 = 1u;
const LEAKY_RELU: u32 = 2u;
const TANH: u32 = 3u;

fn activate(x: f32) -> f32 {
    switch ACTIVATION {
        case RELU: { return max(x, 0.0); }
        case LEAKY_RELU: { return select(NEGATIVE_SLOPE * x, x, x > 0.0); }
        case TANH: { return tanh_of(x); }
        default: { return x; }
    }
}

// The derivative of the activation, which follows from its output.
fn slope(output: f32) -> f32 {
    switch ACTIVATION {
        case RELU: { return select(0.0, 1.0, output > 0.0); }
        case LEAKY_RELU: { return select(NEGATIVE_SLOPE, 1.0, output > 0.0); }
        case TANH: { return 1.0 - output * output; }
        default: { return 1.0; }
    }
}

// The language's own tanh may be off by more than a few units in the last place: a polynomial near 0 (Cephes tanhf).
fn tanh_of(x: f32) -> f32 {
    let size = abs(x);
    if size < 0.625 {
        let z = x * x;
        let p = (((-5.7049887e-3 * z + 2.063909e-2) * z - 5.3739715e-2) * z + 1.3331442e-1) * z - 3.333328e-1;
        return p * z * x + x;
    }
    let e = exp(-2.0 * min(size, 20.0));
    return sign(x) * (1.0 - e) / (1.0 + e);
}

// ln(1 + t) for t in [0, 1], as 2 artanh(t / (2 + t)).
fn ln_1p_unit(t: f32) -> f32 {
    let s = t / (2.0 + t);
    let z = s * s;
    let p = ((((((z / 15.0 + 1.0 / 13.0) * z + 1.0 / 11.0) * z + 1.0 / 9.0) * z + 1.0 / 7.0) * z + 1.0 / 5.0) * z + 1.0 / 3.0) * z;
    return 2.0 * s * (1.0 + p);
}

// e^x - 1 with the digits that the difference would lose near 0.
fn exp_m1(x: f32) -> f32 {
    if abs(x) > 0.4 {
        return exp(x) - 1.0;
    }
    let p = (((((x / 5040.0 + 1.0 / 720.0) * x + 1.0 / 120.0) * x + 1.0 / 24.0) * x + 1.0 / 6.0) * x + 0.5) * x;
    return x + x * p;
}

// A comparison with infinity may be left out by a compiler that takes all numbers for finite; bits are not.
fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

// Sums over the invocations of a workgroup whose numbers have the same remainder by `lanes`, a power of two, in a fixed order.
var<workgroup> tree: array<f32, 256>;

fn sum_of_lanes(thread: u32, value: f32, lanes: u32) -> f32 {
    tree[thread] = value;
    for (var width = 128u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if width >= lanes && thread < width {
            tree[thread] += tree[thread + width];
        }
    }
    workgroupBarrier();
    let sum = tree[thread % lanes];
    workgroupBarrier();
    return sum;
}

// The sum over all of them.
fn sum_of_workgroup(thread: u32, value: f32) -> f32 {
    return sum_of_lanes(thread, value, 1u);
}

// The largest of them.
fn max_of_workgroup(thread: u32, value: f32) -> f32 {
    tree[thread] = value;
    for (var width = 128u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if thread < width {
            tree[thread] = max(tree[thread], tree[thread + width]);
        }
    }
    workgroupBarrier();
    let largest = tree[0];
    workgroupBarrier();
    return largest;
}
