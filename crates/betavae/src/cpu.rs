//! What the kernels use of the processor.

use crate::error::{Error, Result};

pub use betavae_kernels::{peak_gflops, thread_peak_gflops};

/// The instruction set in force: `portable`, `avx2` or `avx512`. It is the fastest that the processor
/// has, or the one that the environment variable `BETAVAE_SIMD` names.
///
/// # Errors
/// If the variable names none that the processor has.
pub fn instruction_set() -> Result<&'static str> {
    betavae_kernels::checked_simd_level().map(betavae_kernels::SimdLevel::name).map_err(|message| {
        Error::config(message, "unset BETAVAE_SIMD to use the fastest that this processor has")
    })
}

/// Whether the instruction set in force multiplies bf16. If not, that precision is emulated: slower
/// than f32, with equal results up to rounding.
pub fn has_bf16() -> bool {
    betavae_kernels::has_bf16(betavae_kernels::simd_level())
}

/// Bytes of memory that are free on this machine, if it tells.
pub fn free_memory() -> Option<u64> {
    let memory = sysinfo::MemoryRefreshKind::nothing().with_ram();
    let system =
        sysinfo::System::new_with_specifics(sysinfo::RefreshKind::nothing().with_memory(memory));
    Some(system.ok()?.available_memory()).filter(|bytes| *bytes > 0)
}

/// The most bytes of memory that this process has had, where the system tells (Linux).
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}
