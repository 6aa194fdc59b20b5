//! `provenance.toml`: on what and with what a run was made.

use serde::Serialize;

use crate::train::Trainer;

/// Facts beside the configuration that somebody who doubts a result will ask for.
#[derive(Serialize)]
pub(super) struct Provenance {
    /// Version of this library.
    pub(super) version: &'static str,
    /// Commit it was built from, if known.
    commit: &'static str,
    /// Seconds since 1970 at which this part of the run began.
    started_unix: u64,
    /// Step at which it began.
    from_step: u64,
    /// Data set and its fingerprint.
    data: String,
    data_sha256: String,
    images: usize,
    parameters: usize,
    /// Of the file whose weights it started from.
    #[serde(skip_serializing_if = "Option::is_none")]
    init_sha256: Option<String>,
    device: String,
    threads: usize,
    machine: Machine,
}

#[derive(Serialize)]
struct Machine {
    os: String,
    architecture: &'static str,
    cpu: String,
    cores: usize,
    /// What the kernels use of it.
    instruction_set: &'static str,
    memory_gib: f64,
}

/// What takes the steps, with its driver, on which the last digits depend.
fn device(trainer: &Trainer) -> String {
    #[cfg(feature = "gpu")]
    if let Some(gpu) = trainer.gpu() {
        let facts = gpu.facts();
        return format!("{}: {}, {}", facts.name, facts.adapter, facts.driver);
    }
    let _ = trainer;
    "cpu".into()
}

impl Provenance {
    pub(super) fn new(trainer: &Trainer, data_sha256: &str) -> Self {
        let system = sysinfo::System::new_with_specifics(
            sysinfo::RefreshKind::nothing()
                .with_cpu(sysinfo::CpuRefreshKind::nothing())
                .with_memory(sysinfo::MemoryRefreshKind::nothing().with_ram()),
        );
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        // A machine that tells nothing about itself is described as unknown.
        let system = system.ok();
        let cpus = system.as_ref().map_or(&[][..], |system| system.cpus());
        let memory = system.as_ref().map_or(0, |system| system.total_memory());
        let cpu = cpus.first().map(|cpu| cpu.brand().trim().to_owned());
        Self {
            version: env!("CARGO_PKG_VERSION"),
            commit: env!("BETAVAE_COMMIT"),
            started_unix: now.map_or(0, |since| since.as_secs()),
            from_step: trainer.steps_taken(),
            data: trainer.data().name().to_owned(),
            data_sha256: data_sha256.to_owned(),
            images: trainer.data().len(),
            parameters: trainer.model().parameter_count(),
            init_sha256: trainer.init_sha256().map(str::to_owned),
            device: device(trainer),
            threads: rayon::current_num_threads(),
            machine: Machine {
                os: sysinfo::System::long_os_version().unwrap_or_else(|_| "unknown".into()),
                architecture: std::env::consts::ARCH,
                cpu: cpu.unwrap_or_else(|| "unknown".into()),
                cores: cpus.len(),
                instruction_set: betavae_kernels::simd_level().name(),
                memory_gib: (memory as f64 / f64::from(1 << 30) * 10.0).round() / 10.0,
            },
        }
    }
}
