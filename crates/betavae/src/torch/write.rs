//! A state dict in the zip format of `torch.save`, readable with `torch.load(weights_only=True)`.
//!
//! The archive holds a pickle of protocol 2, an ordered dictionary of calls of
//! `torch._utils._rebuild_tensor_v2`, and one member with the bytes of each tensor.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::error::{Error, Result};
use crate::model::NamedTensor;

/// The file's bytes: `tensors`, and for each name in `counters` a scalar `count` of 64 bits.
pub(super) fn state_dict(
    tensors: &[NamedTensor],
    counters: &[String],
    count: u64,
) -> Result<Vec<u8>> {
    let mut pickle = Pickle::new();
    let mut storages = Vec::new();
    for tensor in tensors {
        pickle.tensor(&tensor.name, "FloatStorage", storages.len(), &tensor.shape);
        storages.push(tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect());
    }
    for name in counters {
        pickle.tensor(name, "LongStorage", storages.len(), &[]);
        storages.push(count.to_le_bytes().to_vec());
    }
    archive(&pickle.finish(), &storages)
        .map_err(|error| Error::config(format!("cannot write a state dict: {error}"), ""))
}

fn archive(pickle: &[u8], storages: &[Vec<u8>]) -> zip::result::ZipResult<Vec<u8>> {
    // PyTorch maps members into memory, so they are not compressed.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut member = |name: &str, bytes: &[u8]| -> zip::result::ZipResult<()> {
        zip.start_file(format!("archive/{name}"), options)?;
        Ok(zip.write_all(bytes)?)
    };
    member("data.pkl", pickle)?;
    member("byteorder", b"little")?;
    for (key, bytes) in storages.iter().enumerate() {
        member(&format!("data/{key}"), bytes)?;
    }
    member("version", b"3\n")?;
    Ok(zip.finish()?.into_inner())
}

/// An ordered dictionary of tensors that is being written. Nothing is put into the memo, so nothing is shared.
struct Pickle(Vec<u8>);

impl Pickle {
    fn new() -> Self {
        let mut pickle = Self(vec![0x80, 2]);
        pickle.empty_ordered_dict();
        pickle.0.push(b'('); // MARK, until `finish`
        pickle
    }

    fn tensor(&mut self, name: &str, storage: &str, key: usize, shape: &[usize]) {
        let elements: usize = shape.iter().product();
        let mut stride = 1;
        let mut strides: Vec<usize> = shape
            .iter()
            .rev()
            .map(|n| {
                let s = stride;
                stride *= n;
                s
            })
            .collect();
        strides.reverse();
        self.text(name);
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.tuple(|call| {
            call.tuple(|id| {
                id.text("storage");
                id.global("torch", storage);
                id.text(&key.to_string());
                id.text("cpu");
                id.integer(elements);
            });
            call.0.push(b'Q'); // BINPERSID
            call.integer(0);
            call.tuple(|axes| shape.iter().for_each(|n| axes.integer(*n)));
            call.tuple(|axes| strides.iter().for_each(|n| axes.integer(*n)));
            call.0.push(0x89); // NEWFALSE: no gradient
            call.empty_ordered_dict(); // no hooks
        });
        self.0.push(b'R'); // REDUCE
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.extend(b"u."); // SETITEMS, STOP
        self.0
    }

    fn empty_ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.0.extend(b")R"); // EMPTY_TUPLE, REDUCE
    }

    fn global(&mut self, module: &str, name: &str) {
        self.0.extend(format!("c{module}\n{name}\n").bytes());
    }

    fn tuple(&mut self, content: impl FnOnce(&mut Self)) {
        self.0.push(b'('); // MARK
        content(self);
        self.0.push(b't'); // TUPLE
    }

    fn text(&mut self, text: &str) {
        self.0.push(b'X'); // BINUNICODE
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.bytes());
    }

    fn integer(&mut self, value: usize) {
        self.0.extend([0x8a, 8]); // LONG1 of eight bytes
        self.0.extend((value as u64).to_le_bytes());
    }
}
