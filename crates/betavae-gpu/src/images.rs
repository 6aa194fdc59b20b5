//! Images that stay on a device, so that a step is told which ones it takes.

/// How the values of an image lie in words of 32 bits, the first ones lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// 0 or 1, a bit each.
    Bits,
    /// k / 255, a byte each.
    Bytes,
    /// Any value, 32 bits each.
    Floats,
}

impl Encoding {
    /// From the one that takes least memory.
    pub const ALL: [Self; 3] = [Self::Bits, Self::Bytes, Self::Floats];

    /// Values in a word.
    pub(crate) fn per_word(self) -> usize {
        match self {
            Self::Bits => 32,
            Self::Bytes => 4,
            Self::Floats => 1,
        }
    }

    /// The largest whole number that is stored; 0 where values are stored as they are.
    pub(crate) fn white(self) -> u32 {
        match self {
            Self::Bits => 1,
            Self::Bytes => 255,
            Self::Floats => 0,
        }
    }

    /// The words of an image, or nothing where a value cannot be stored as it is.
    pub fn pack(self, image: &[f32]) -> Option<Vec<u32>> {
        let white = self.white() as f32;
        let (per_word, width) = (self.per_word(), 32 / self.per_word());
        let stored = |value: f32| {
            if self == Self::Floats {
                return Some(value.to_bits());
            }
            let number = (value * white).round();
            let is_exact = (0.0..=white).contains(&number) && number / white == value;
            is_exact.then_some(number as u32)
        };
        let word = |values: &[f32]| {
            let numbered = values.iter().enumerate();
            let mut stored = numbered.map(|(i, value)| Some(stored(*value)? << (i * width)));
            stored.try_fold(0, |word, bits| Some(word | bits?))
        };
        image.chunks(per_word).map(word).collect()
    }
}

/// Images of one shape that stay on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageStore {
    /// Number of images N.
    pub images: usize,
    /// Values of an image.
    pub values: usize,
    /// How they lie.
    pub encoding: Encoding,
    /// Whether the network wants them in [-1, 1]. They are stored in [0, 1].
    pub signed: bool,
}

impl ImageStore {
    /// Words of one image.
    pub fn image_words(&self) -> usize {
        self.values.div_ceil(self.encoding.per_word())
    }

    /// Words of all images.
    pub fn words(&self) -> usize {
        self.images * self.image_words()
    }

    /// Bytes of all images.
    pub fn bytes(&self) -> u64 {
        4 * self.words() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_packed_where_nothing_is_lost() {
        let bits: Vec<f32> = (0..40).map(|i| f32::from(u8::from(i % 3 == 0))).collect();
        let words = Encoding::Bits.pack(&bits).unwrap();
        assert_eq!(words.len(), 2);
        assert_eq!(words[0] & 0b1111, 0b1001);
        assert_eq!(words[1], 0b0100_1001 << 1 & 0xff | u32::from(39 % 3 == 0) << 7);
        let bytes: Vec<f32> = (0..=255).map(|i| i as f32 / 255.0).collect();
        assert_eq!(Encoding::Bits.pack(&bytes), None);
        let words = Encoding::Bytes.pack(&bytes).unwrap();
        assert_eq!((words.len(), words[0], words[63]), (64, 0x0302_0100, 0xfffe_fdfc));
        for other in [0.3, -1.0, 1.5, f32::NAN, f32::INFINITY] {
            assert_eq!(Encoding::Bytes.pack(&[other]), None, "{other}");
            assert_eq!(Encoding::Floats.pack(&[other]), Some(vec![other.to_bits()]));
        }
    }

    #[test]
    fn each_image_begins_a_word() {
        let store = |encoding| ImageStore { images: 3, values: 33, encoding, signed: false };
        let words = Encoding::ALL.map(|encoding| store(encoding).words());
        assert_eq!(words, [6, 27, 99]);
    }
}
