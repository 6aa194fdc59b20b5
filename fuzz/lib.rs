//! What the targets share: bytes become files of an official name, memory has a limit, and panics that
//! the library catches are no findings.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use betavae::data::{DataConfig, read_all};

/// The largest allocation that small files may lead to. Without a sanitizer, libFuzzer cannot see single
/// allocations.
static LARGEST: AtomicUsize = AtomicUsize::new(1 << 30);

struct Limited;

#[global_allocator]
static GLOBAL: Limited = Limited;

// SAFETY: every call is the system allocator's, or fails as that may.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if too_large(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises are those that the system allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if too_large(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if too_large(size) {
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

fn too_large(size: usize) -> bool {
    size > LARGEST.load(Ordering::Relaxed)
}

/// Raises the limit of one allocation to `bytes`.
pub fn allow(bytes: usize) {
    LARGEST.store(bytes, Ordering::Relaxed);
}

/// Makes panics in the sources of a crate, such as `/parquet-`, errors of the reader: the library catches
/// them. libFuzzer's own hook ends the process at every panic.
pub fn caught(sources: &'static str) {
    std::panic::set_hook(Box::new(move |panic| {
        let inside = panic.location().is_some_and(|place| place.file().contains(sources));
        if !inside {
            eprintln!("{panic}");
            std::process::abort();
        }
    }));
}

/// Calls `read` with the path of a file of this name and content, in a folder of its own.
pub fn with_file(name: &str, content: &[u8], read: impl FnOnce(&Path)) {
    with_files(&[(name, content)], |folder| read(&folder.join(name)));
}

/// Calls `read` with a folder that holds these files.
pub fn with_files(files: &[(&str, &[u8])], read: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in files {
        fs::write(folder.path().join(name), content).expect("a temporary file");
    }
    read(folder.path());
}

/// Reads an official file; errors are fine, everything else is not.
pub fn official(path: &Path) {
    let config = DataConfig { size: Some([8, 8]), ..DataConfig::default() };
    let _ = read_all(path, &config);
}

/// Opens a data set and looks at every image; errors are fine, everything else is not.
pub fn opened(path: &Path) {
    drop(path.to_str().map(|path| betavae::data::open_name_or_path(path, 1)));
}
