//! The functions that the WASM module exports. JavaScript writes into buffers of this module and reads
//! results from them; only addresses are passed, so that no binding generator is needed. The graph and
//! its format are in `betavae-infer`.
// Exporting a function under its own name counts as unsafe, because names could clash.
#![allow(unsafe_code)]

use std::sync::{Mutex, MutexGuard, PoisonError};

use betavae_infer::Program;

struct State {
    program: Option<Program>,
    words: Vec<u32>,
    input: Vec<f32>,
    output: Vec<f32>,
}

static STATE: Mutex<State> =
    Mutex::new(State { program: None, words: Vec::new(), input: Vec::new(), output: Vec::new() });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Allocates room for the words of a program, which JavaScript fills before it calls [`load`].
#[unsafe(no_mangle)]
pub extern "C" fn program_words(count: usize) -> *const u32 {
    let mut state = state();
    state.words = vec![0; count];
    state.words.as_ptr()
}

/// Reads the program from its words; returns 1 if they are valid, else 0.
#[unsafe(no_mangle)]
pub extern "C" fn load() -> i32 {
    let mut state = state();
    let words = std::mem::take(&mut state.words);
    state.program = Program::from_words(&words).ok();
    state.program.is_some().into()
}

/// Allocates room for `count` floats of codes or images.
#[unsafe(no_mangle)]
pub extern "C" fn input(count: usize) -> *const f32 {
    let mut state = state();
    state.input.resize(count, 0.0);
    state.input.as_ptr()
}

/// Images [B, H, W, C] of the codes [B, D] in the input; null without a program.
#[unsafe(no_mangle)]
pub extern "C" fn decode() -> *const f32 {
    run(|program, z| z.len().is_multiple_of(program.latents).then(|| program.decode(z)))
}

/// Posterior parameters [B, 2 D] of the images [B, H, W, C] in the input; null without a program.
#[unsafe(no_mangle)]
pub extern "C" fn encode() -> *const f32 {
    run(|program, images| {
        let image: usize = program.image.iter().product();
        images.len().is_multiple_of(image).then(|| program.encode(images))
    })
}

fn run(infer: impl Fn(&Program, &[f32]) -> Option<Vec<f32>>) -> *const f32 {
    let mut state = state();
    let output = state.program.as_ref().and_then(|program| infer(program, &state.input));
    match output {
        Some(output) => {
            state.output = output;
            state.output.as_ptr()
        }
        None => std::ptr::null(),
    }
}
