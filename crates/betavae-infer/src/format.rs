//! The binary format of a program: a sequence of 32-bit words, which are counts, indices of choices
//! and the bits of weights. JavaScript passes the words to WASM unread. Running a program is in
//! `program`.

use betavae_kernels::{Activation, ConvOptions, Layer};

use crate::program::{DecoderOutput, InvalidProgram, Op, Program};

/// `bvae` and the version of the format.
const MAGIC: [u32; 2] = [u32::from_le_bytes(*b"bvae"), 1];

const ACTIVATIONS: [Activation; 5] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu,
    Activation::Tanh,
    Activation::LeakyRelu02,
];
const OUTPUTS: [DecoderOutput; 3] =
    [DecoderOutput::Logits, DecoderOutput::Unit, DecoderOutput::Signed];

impl Program {
    /// Serialises the program as words, which [`Program::from_words`] reads.
    pub fn to_words(&self) -> Vec<u32> {
        let mut writer = Writer(MAGIC.to_vec());
        writer.counts(&self.image);
        writer.counts(&[self.latents, self.signed_input.into(), index_of(&OUTPUTS, self.output)]);
        for ops in [&self.encoder, &self.decoder] {
            writer.count(ops.len());
            ops.iter().for_each(|op| writer.op(op));
        }
        writer.0
    }

    /// Serialises the program as the bytes of a file: the words, little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_words().iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Reads a program from the bytes of a file and checks it.
    ///
    /// # Errors
    /// If they are not from [`Program::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidProgram> {
        let (words, []) = bytes.as_chunks::<4>() else {
            return Err(InvalidProgram("its length is no multiple of four"));
        };
        let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        Self::from_words(&words)
    }

    /// Reads a program and checks it.
    ///
    /// # Errors
    /// If the words are not from [`Program::to_words`].
    pub fn from_words(words: &[u32]) -> Result<Self, InvalidProgram> {
        let mut reader = Reader(words);
        if [reader.word()?, reader.word()?] != MAGIC {
            return Err(InvalidProgram("it does not start as one of version 1"));
        }
        let program = Self {
            image: reader.shape()?,
            latents: reader.count()?,
            signed_input: reader.choice(&[false, true])?,
            output: reader.choice(&OUTPUTS)?,
            encoder: reader.ops()?,
            decoder: reader.ops()?,
        };
        if !reader.0.is_empty() {
            return Err(InvalidProgram("there is more after its end"));
        }
        program.check()?;
        Ok(program)
    }
}

fn index_of<T: PartialEq>(choices: &[T], value: T) -> usize {
    choices.iter().position(|other| *other == value).unwrap_or(0)
}

struct Writer(Vec<u32>);

impl Writer {
    fn count(&mut self, count: usize) {
        // Sizes of networks are far below 2^32. The reader would refuse this one.
        self.0.push(u32::try_from(count).unwrap_or(u32::MAX));
    }

    fn counts(&mut self, counts: &[usize]) {
        counts.iter().for_each(|count| self.count(*count));
    }

    fn floats(&mut self, values: &[f32]) {
        self.count(values.len());
        self.0.extend(values.iter().map(|value| value.to_bits()));
    }

    fn op(&mut self, op: &Op) {
        match op {
            Op::ConvStack { input_shape, layers, parameters } => {
                self.count(0);
                self.counts(input_shape);
                self.count(layers.len());
                for (layer, (weight, bias)) in layers.iter().zip(parameters) {
                    let Layer { transposed, filters, kernel, options, activation } = *layer;
                    let [rows, columns] = transposed.unwrap_or_default();
                    self.counts(&[transposed.is_some().into(), rows, columns, filters, kernel]);
                    let activation = index_of(&ACTIVATIONS, activation);
                    self.counts(&[options.stride, options.padding, activation]);
                    self.floats(weight);
                    self.floats(bias);
                }
            }
            Op::Linear { weight, bias, activation } => {
                self.counts(&[1, index_of(&ACTIVATIONS, *activation)]);
                self.floats(weight);
                self.floats(bias);
            }
            Op::ChannelsFirst(shape) => {
                self.count(2);
                self.counts(shape);
            }
            Op::ChannelsLast(shape) => {
                self.count(3);
                self.counts(shape);
            }
        }
    }
}

struct Reader<'a>(&'a [u32]);

impl Reader<'_> {
    fn word(&mut self) -> Result<u32, InvalidProgram> {
        let (first, rest) = self.0.split_first().ok_or(InvalidProgram("it ends early"))?;
        self.0 = rest;
        Ok(*first)
    }

    fn count(&mut self) -> Result<usize, InvalidProgram> {
        Ok(self.word()? as usize)
    }

    fn shape(&mut self) -> Result<[usize; 3], InvalidProgram> {
        Ok([self.count()?, self.count()?, self.count()?])
    }

    fn choice<T: Copy>(&mut self, choices: &[T]) -> Result<T, InvalidProgram> {
        let index = self.count()?;
        choices.get(index).copied().ok_or(InvalidProgram("an unknown choice"))
    }

    fn floats(&mut self) -> Result<Vec<f32>, InvalidProgram> {
        let count = self.count()?;
        let (floats, rest) =
            self.0.split_at_checked(count).ok_or(InvalidProgram("it ends early"))?;
        self.0 = rest;
        Ok(floats.iter().map(|bits| f32::from_bits(*bits)).collect())
    }

    fn ops(&mut self) -> Result<Vec<Op>, InvalidProgram> {
        let count = self.count()?;
        (0..count).map(|_| self.op()).collect()
    }

    fn op(&mut self) -> Result<Op, InvalidProgram> {
        Ok(match self.word()? {
            0 => {
                let (input_shape, count) = (self.shape()?, self.count()?);
                let (mut layers, mut parameters) = (Vec::new(), Vec::new());
                for _ in 0..count {
                    let transposed = self.choice(&[false, true])?;
                    let more = [self.count()?, self.count()?];
                    let [filters, kernel] = [self.count()?, self.count()?];
                    let options = ConvOptions { stride: self.count()?, padding: self.count()? };
                    let activation = self.choice(&ACTIVATIONS)?;
                    let transposed = transposed.then_some(more);
                    layers.push(Layer { transposed, filters, kernel, options, activation });
                    parameters.push((self.floats()?, self.floats()?));
                }
                Op::ConvStack { input_shape, layers, parameters }
            }
            1 => {
                let activation = self.choice(&ACTIVATIONS)?;
                Op::Linear { activation, weight: self.floats()?, bias: self.floats()? }
            }
            2 => Op::ChannelsFirst(self.shape()?),
            3 => Op::ChannelsLast(self.shape()?),
            _ => return Err(InvalidProgram("an unknown operation")),
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
            options: ConvOptions { stride: 2, padding: 1 },
            activation,
        };
        Program {
            image: [8, 6, 2],
            latents: 3,
            signed_input: true,
            output: DecoderOutput::Signed,
            encoder: vec![
                Op::ConvStack {
                    input_shape: [8, 6, 2],
                    layers: vec![layer(None, 5, Activation::LeakyRelu)],
                    parameters: vec![(numbers(5 * 2 * 16), numbers(5))],
                },
                Op::ChannelsFirst([4, 3, 5]),
                Op::Linear {
                    weight: numbers(6 * 60),
                    bias: numbers(6),
                    activation: Activation::Identity,
                },
            ],
            decoder: vec![
                Op::Linear {
                    weight: numbers(60 * 3),
                    bias: numbers(60),
                    activation: Activation::Relu,
                },
                Op::ChannelsLast([4, 3, 5]),
                Op::ConvStack {
                    input_shape: [4, 3, 5],
                    layers: vec![layer(Some([0, 0]), 2, Activation::Tanh)],
                    parameters: vec![(numbers(5 * 2 * 16), numbers(2))],
                },
            ],
        }
    }

    #[test]
    fn a_program_comes_back_and_runs() {
        let program = program();
        let read = Program::from_words(&program.to_words()).unwrap();
        assert_eq!(read, program);
        assert_eq!(Program::from_bytes(&program.to_bytes()), Ok(read));
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
        for index in 0..words.len() {
            for value in [0, 1, 2, 7, 1 << 20, 1 << 31, u32::MAX, words[index] ^ 1] {
                let mut words = words.clone();
                words[index] = value;
                if let Ok(program) = Program::from_words(&words) {
                    assert_eq!(program.check(), Ok(()));
                }
            }
        }
    }
}
