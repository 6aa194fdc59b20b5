//! A program as 32-bit words: counts, and the bits of weights. JavaScript hands it over as it is.

use std::fmt;

use betavae_kernels::{Activation, Layer, Window};

use crate::program::{Output, Program, Step};

/// `bvae` and a version.
const MAGIC: [u32; 2] = [u32::from_le_bytes(*b"bvae"), 1];

/// Why words are no program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub(crate) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a program: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

const ACTIVATIONS: [Activation; 4] =
    [Activation::Identity, Activation::Relu, Activation::LeakyRelu, Activation::Tanh];
const OUTPUTS: [Output; 3] = [Output::Logits, Output::Unit, Output::Signed];

impl Program {
    /// The program in words; [`Program::from_words`] reads them.
    pub fn to_words(&self) -> Vec<u32> {
        let mut to = Writer(MAGIC.to_vec());
        to.counts(&self.image);
        to.counts(&[self.latents, self.signed_input.into(), place(&OUTPUTS, self.output)]);
        for steps in [&self.encoder, &self.decoder] {
            to.count(steps.len());
            steps.iter().for_each(|step| to.step(step));
        }
        to.0
    }

    /// The words as little-endian bytes, the content of a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_words().iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Reads a program from the bytes of a file and checks it.
    ///
    /// # Errors
    /// If they are not from [`Program::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let (words, []) = bytes.as_chunks::<4>() else {
            return Err(Malformed("its length is no multiple of four"));
        };
        let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        Self::from_words(&words)
    }

    /// Reads a program and checks it.
    ///
    /// # Errors
    /// If the words are not from [`Program::to_words`].
    pub fn from_words(words: &[u32]) -> Result<Self, Malformed> {
        let mut from = Reader(words);
        if [from.word()?, from.word()?] != MAGIC {
            return Err(Malformed("it starts otherwise"));
        }
        let program = Self {
            image: from.shape()?,
            latents: from.count()?,
            signed_input: from.choice(&[false, true])?,
            output: from.choice(&OUTPUTS)?,
            encoder: from.steps()?,
            decoder: from.steps()?,
        };
        if !from.0.is_empty() {
            return Err(Malformed("there is more after its end"));
        }
        program.check()?;
        Ok(program)
    }
}

fn place<T: PartialEq>(among: &[T], value: T) -> usize {
    among.iter().position(|other| *other == value).unwrap_or(0)
}

struct Writer(Vec<u32>);

impl Writer {
    fn count(&mut self, count: usize) {
        // Sizes of networks are far below 2^32; what is not would be refused when read.
        self.0.push(u32::try_from(count).unwrap_or(u32::MAX));
    }

    fn counts(&mut self, counts: &[usize]) {
        counts.iter().for_each(|count| self.count(*count));
    }

    fn floats(&mut self, values: &[f32]) {
        self.count(values.len());
        self.0.extend(values.iter().map(|value| value.to_bits()));
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Convs { input, layers, parameters } => {
                self.count(0);
                self.counts(input);
                self.count(layers.len());
                for (layer, (weight, bias)) in layers.iter().zip(parameters) {
                    let Layer { transposed, filters, kernel, window, activation } = *layer;
                    let [rows, columns] = transposed.unwrap_or_default();
                    self.counts(&[transposed.is_some().into(), rows, columns, filters, kernel]);
                    let activation = place(&ACTIVATIONS, activation);
                    self.counts(&[window.stride, window.padding, activation]);
                    self.floats(weight);
                    self.floats(bias);
                }
            }
            Step::Linear { weight, bias, activation } => {
                self.counts(&[1, place(&ACTIVATIONS, *activation)]);
                self.floats(weight);
                self.floats(bias);
            }
            Step::ChannelsFirst(shape) => {
                self.count(2);
                self.counts(shape);
            }
            Step::ChannelsLast(shape) => {
                self.count(3);
                self.counts(shape);
            }
        }
    }
}

struct Reader<'a>(&'a [u32]);

impl Reader<'_> {
    fn word(&mut self) -> Result<u32, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed("it ends early"))?;
        self.0 = rest;
        Ok(*first)
    }

    fn count(&mut self) -> Result<usize, Malformed> {
        Ok(self.word()? as usize)
    }

    fn shape(&mut self) -> Result<[usize; 3], Malformed> {
        Ok([self.count()?, self.count()?, self.count()?])
    }

    fn choice<T: Copy>(&mut self, among: &[T]) -> Result<T, Malformed> {
        let place = self.count()?;
        among.get(place).copied().ok_or(Malformed("an unknown choice"))
    }

    fn floats(&mut self) -> Result<Vec<f32>, Malformed> {
        let count = self.count()?;
        let (floats, rest) = self.0.split_at_checked(count).ok_or(Malformed("it ends early"))?;
        self.0 = rest;
        Ok(floats.iter().map(|bits| f32::from_bits(*bits)).collect())
    }

    fn steps(&mut self) -> Result<Vec<Step>, Malformed> {
        let count = self.count()?;
        (0..count).map(|_| self.step()).collect()
    }

    fn step(&mut self) -> Result<Step, Malformed> {
        Ok(match self.word()? {
            0 => {
                let (input, count) = (self.shape()?, self.count()?);
                let (mut layers, mut parameters) = (Vec::new(), Vec::new());
                for _ in 0..count {
                    let transposed = self.choice(&[false, true])?;
                    let more = [self.count()?, self.count()?];
                    let [filters, kernel] = [self.count()?, self.count()?];
                    let window = Window { stride: self.count()?, padding: self.count()? };
                    let activation = self.choice(&ACTIVATIONS)?;
                    let transposed = transposed.then_some(more);
                    layers.push(Layer { transposed, filters, kernel, window, activation });
                    parameters.push((self.floats()?, self.floats()?));
                }
                Step::Convs { input, layers, parameters }
            }
            1 => {
                let activation = self.choice(&ACTIVATIONS)?;
                Step::Linear { activation, weight: self.floats()?, bias: self.floats()? }
            }
            2 => Step::ChannelsFirst(self.shape()?),
            3 => Step::ChannelsLast(self.shape()?),
            _ => return Err(Malformed("an unknown step")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Program {
        let numbers = |n: usize| (0..n).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>();
        let layer = |transposed, filters, activation| Layer {
            transposed,
            filters,
            kernel: 4,
            window: Window { stride: 2, padding: 1 },
            activation,
        };
        Program {
            image: [8, 6, 2],
            latents: 3,
            signed_input: true,
            output: Output::Signed,
            encoder: vec![
                Step::Convs {
                    input: [8, 6, 2],
                    layers: vec![layer(None, 5, Activation::LeakyRelu)],
                    parameters: vec![(numbers(5 * 2 * 16), numbers(5))],
                },
                Step::ChannelsFirst([4, 3, 5]),
                Step::Linear {
                    weight: numbers(6 * 60),
                    bias: numbers(6),
                    activation: Activation::Identity,
                },
            ],
            decoder: vec![
                Step::Linear {
                    weight: numbers(60 * 3),
                    bias: numbers(60),
                    activation: Activation::Relu,
                },
                Step::ChannelsLast([4, 3, 5]),
                Step::Convs {
                    input: [4, 3, 5],
                    layers: vec![layer(Some([0, 0]), 2, Activation::Tanh)],
                    parameters: vec![(numbers(5 * 2 * 16), numbers(2))],
                },
            ],
        }
    }

    #[test]
    fn a_program_comes_back_and_runs() {
        let program = program();
        let again = Program::from_words(&program.to_words()).unwrap();
        assert_eq!(again, program);
        assert_eq!(Program::from_bytes(&program.to_bytes()), Ok(again));
        let images = program.decode(&[0.5, -1.0, 2.0, 0.0, 0.0, 0.0]);
        assert_eq!(images.len(), 2 * 8 * 6 * 2);
        assert!(images.iter().all(|x| (0.0..=1.0).contains(x)));
        let codes = program.encode(&images);
        assert_eq!(codes.len(), 2 * 6);
        // One at a time gives the same.
        assert_eq!(program.encode(&images[96..]), codes[6..]);
    }

    #[test]
    fn damaged_words_are_errors_or_programs_and_never_a_panic() {
        let words = program().to_words();
        for end in 0..words.len() {
            assert!(Program::from_words(&words[..end]).is_err());
        }
        let mut longer = words.clone();
        longer.push(0);
        assert!(Program::from_words(&longer).is_err());
        for place in 0..words.len() {
            for value in [0, 1, 2, 7, 1 << 20, 1 << 31, u32::MAX, words[place] ^ 1] {
                let mut words = words.clone();
                words[place] = value;
                if let Ok(program) = Program::from_words(&words) {
                    assert_eq!(program.check(), Ok(()));
                }
            }
        }
    }
}
