//! Adapters of this machine, by name.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use wgpu::{Backend, Backends, DeviceType};

use crate::error::GpuError;

/// How a device is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceName {
    /// `gpu`: the best adapter that is hardware.
    Best,
    /// `vulkan`, `metal`, `dx12`: the best one of that interface; with a number, such as `vulkan:1`, the adapter of that number
    /// in [`adapters`].
    Interface(Interface, Option<usize>),
    /// `vulkan:software`: a driver that runs on the processor. It is for tests, and never chosen by itself.
    Software,
}

/// The interface of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// Linux, Windows, Android.
    Vulkan,
    /// Apple.
    Metal,
    /// Windows.
    Dx12,
}

impl Interface {
    const ALL: [Self; 3] = [Self::Vulkan, Self::Metal, Self::Dx12];

    fn name(self) -> &'static str {
        match self {
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Dx12 => "dx12",
        }
    }

    fn of(backend: Backend) -> Option<Self> {
        match backend {
            Backend::Vulkan => Some(Self::Vulkan),
            Backend::Metal => Some(Self::Metal),
            Backend::Dx12 => Some(Self::Dx12),
            Backend::Noop | Backend::Gl | Backend::BrowserWebGpu => None,
        }
    }
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (interface, number) = match text.split_once(':') {
            None => (text, None),
            Some((interface, number)) => (interface, Some(number)),
        };
        match (interface, number) {
            ("gpu", None) => return Ok(Self::Best),
            ("vulkan", Some("software")) => return Ok(Self::Software),
            _ => {}
        }
        let known = Interface::ALL.into_iter().find(|known| known.name() == interface);
        let number = number.map(str::parse).transpose();
        match (known, number) {
            (Some(interface), Ok(number)) => Ok(Self::Interface(interface, number)),
            _ => Err(format!(
                "`{text}` is no device; there are gpu, vulkan, vulkan:0, vulkan:software, metal and dx12"
            )),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Best => f.write_str("gpu"),
            Self::Software => f.write_str("vulkan:software"),
            Self::Interface(interface, None) => f.write_str(interface.name()),
            Self::Interface(interface, Some(number)) => write!(f, "{}:{number}", interface.name()),
        }
    }
}

/// What a driver says of an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterFacts {
    /// What [`DeviceName`] calls it.
    pub name: String,
    /// Such as `NVIDIA H100`.
    pub adapter: String,
    /// Driver and version.
    pub driver: String,
    /// Whether it runs on the processor.
    pub is_software: bool,
    /// Bytes of one buffer at most.
    pub largest_buffer: u64,
    /// Bytes of the memory of a workgroup.
    pub workgroup_memory: u64,
    /// Invocations of a workgroup.
    pub invocations: u64,
    /// Storage buffers of a kernel.
    pub buffers: u64,
}

impl AdapterFacts {
    /// # Errors
    /// If the adapter is too small for any kernel.
    fn check(&self) -> Result<(), GpuError> {
        for (what, expected, found) in [
            ("bytes of memory of a workgroup", 24 << 10, self.workgroup_memory),
            ("invocations of a workgroup", 256, self.invocations),
            ("buffers of a kernel", 7, self.buffers),
        ] {
            if found < expected {
                let (adapter, what) = (self.adapter.clone(), what.to_owned());
                return Err(GpuError::TooSmall { adapter, what, expected, found });
            }
        }
        Ok(())
    }
}

/// An adapter with what is known of it.
struct Found {
    adapter: wgpu::Adapter,
    interface: Interface,
    facts: AdapterFacts,
    rank: u32,
}

fn found() -> Vec<Found> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = Backends::VULKAN | Backends::METAL | Backends::DX12;
    // No validation layers: they are not there on most machines, and loaders say so on standard error.
    descriptor.flags = wgpu::InstanceFlags::empty();
    let instance = wgpu::Instance::new(descriptor);
    let all = pollster::block_on(instance.enumerate_adapters(Backends::all()));
    let mut numbers = [0; 3];
    let known = all.into_iter().filter_map(|adapter| {
        let (info, limits) = (adapter.get_info(), adapter.limits());
        let interface = Interface::of(info.backend)?;
        let number = &mut numbers[interface as usize];
        let name = DeviceName::Interface(interface, Some(*number)).to_string();
        *number += 1;
        let is_software = info.device_type == DeviceType::Cpu;
        let facts = AdapterFacts {
            name: if is_software { DeviceName::Software.to_string() } else { name },
            adapter: info.name,
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            is_software,
            largest_buffer: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
            workgroup_memory: u64::from(limits.max_compute_workgroup_storage_size),
            invocations: u64::from(limits.max_compute_invocations_per_workgroup),
            buffers: u64::from(limits.max_storage_buffers_per_shader_stage),
        };
        let rank = match info.device_type {
            DeviceType::DiscreteGpu => 0,
            DeviceType::VirtualGpu => 1,
            DeviceType::IntegratedGpu => 2,
            DeviceType::Other => 3,
            DeviceType::Cpu => 4,
        };
        Some(Found { adapter, interface, facts, rank })
    });
    known.collect()
}

/// All adapters of this machine.
pub fn adapters() -> Vec<AdapterFacts> {
    found().into_iter().map(|found| found.facts).collect()
}

/// An adapter that is open.
#[derive(Clone)]
pub struct Device {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    facts: AdapterFacts,
    /// What the driver has said, once it has given up.
    failure: Arc<Mutex<Option<String>>>,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl Device {
    /// Opens the adapter of that name.
    ///
    /// # Errors
    /// If there is none, or it is too small for any kernel.
    pub fn open(name: DeviceName) -> Result<Self, GpuError> {
        let all = found();
        let names: Vec<String> = all
            .iter()
            .map(|found| format!("{} ({})", found.facts.name, found.facts.adapter))
            .collect();
        let hardware = |found: &Found| !found.facts.is_software;
        let chosen = match name {
            DeviceName::Best => all.into_iter().filter(hardware).min_by_key(|found| found.rank),
            DeviceName::Software => all.into_iter().find(|found| !hardware(found)),
            DeviceName::Interface(interface, number) => {
                let mut of_interface = all.into_iter().filter(|found| found.interface == interface);
                match number {
                    Some(number) => of_interface.nth(number),
                    None => of_interface.filter(hardware).min_by_key(|found| found.rank),
                }
            }
        };
        let Some(Found { adapter, facts, .. }) = chosen else {
            let found = match names.as_slice() {
                [] => "no driver of a GPU was found".to_owned(),
                names => format!("there is {}", names.join(", ")),
            };
            return Err(GpuError::NoDevice { wanted: name.to_string(), found });
        };
        facts.check()?;
        let descriptor = wgpu::DeviceDescriptor {
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..wgpu::DeviceDescriptor::default()
        };
        let opened = pollster::block_on(adapter.request_device(&descriptor));
        let (device, queue) = opened.map_err(|error| GpuError::Lost {
            adapter: facts.adapter.clone(),
            reason: error.to_string(),
        })?;
        let failure = Arc::new(Mutex::new(None));
        let note = |failure: &Arc<Mutex<Option<String>>>, reason: String| {
            if let Ok(mut failure) = failure.lock() {
                failure.get_or_insert(reason);
            }
        };
        let lost = Arc::clone(&failure);
        device.set_device_lost_callback(move |_, reason| note(&lost, reason));
        let uncaptured = Arc::clone(&failure);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            note(&uncaptured, error.to_string());
        }));
        Ok(Self { device, queue, facts, failure })
    }

    /// What is known of the adapter.
    pub fn facts(&self) -> &AdapterFacts {
        &self.facts
    }

    /// Gives the device up, as a driver does that has failed, for tests.
    #[doc(hidden)]
    pub fn lose(&self) {
        self.device.destroy();
    }

    /// # Errors
    /// If the driver has given up.
    pub(crate) fn check(&self) -> Result<(), GpuError> {
        let failure = self.failure.lock().ok().and_then(|failure| failure.clone());
        match failure {
            None => Ok(()),
            Some(reason) => Err(GpuError::Lost { adapter: self.facts.adapter.clone(), reason }),
        }
    }

    /// Buffers of these sizes in bytes.
    ///
    /// # Errors
    /// If one is larger than a buffer can be, or memory is full.
    pub(crate) fn buffers<const N: usize>(
        &self,
        wanted: [(&'static str, u64, wgpu::BufferUsages); N],
    ) -> Result<[wgpu::Buffer; N], GpuError> {
        for (what, expected, _) in wanted {
            if expected > self.facts.largest_buffer {
                let (adapter, found) = (self.facts.adapter.clone(), self.facts.largest_buffer);
                let what = format!("bytes of one buffer, for {what}");
                return Err(GpuError::TooSmall { adapter, what, expected, found });
            }
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffers = wanted.map(|(label, size, usage)| {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                // Drivers know no empty buffers.
                size: size.max(16),
                usage,
                mapped_at_creation: false,
            })
        });
        if pollster::block_on(scope.pop()).is_some() {
            let bytes: u64 = wanted.iter().map(|(_, size, _)| size).sum();
            let adapter = self.facts.adapter.clone();
            return Err(GpuError::OutOfMemory { adapter, megabytes: bytes / 1_000_000 });
        }
        Ok(buffers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_that_is_too_small_is_refused_by_the_limit() {
        let enough = AdapterFacts {
            name: "vulkan:0".into(),
            adapter: "Tiny".into(),
            driver: String::new(),
            is_software: false,
            largest_buffer: 1 << 27,
            workgroup_memory: 24 << 10,
            invocations: 256,
            buffers: 7,
        };
        enough.check().unwrap();
        let memory = AdapterFacts { workgroup_memory: 16 << 10, ..enough.clone() };
        let invocations = AdapterFacts { invocations: 128, ..enough.clone() };
        let buffers = AdapterFacts { buffers: 4, ..enough };
        for (facts, words) in [
            (memory, "memory of a workgroup: expected at least 24576, found 16384"),
            (invocations, "invocations of a workgroup: expected at least 256, found 128"),
            (buffers, "buffers of a kernel: expected at least 7, found 4"),
        ] {
            let error = facts.check().unwrap_err();
            assert!(error.to_string().starts_with("Tiny is too small"), "{error}");
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.hint().contains("--device cpu"));
        }
    }

    #[test]
    fn names_are_read_and_written() {
        for name in ["gpu", "vulkan", "vulkan:1", "vulkan:software", "metal", "dx12:0"] {
            assert_eq!(name.parse::<DeviceName>().unwrap().to_string(), name);
        }
        for wrong in ["", "cuda", "vulkan:", "vulkan:x", "gpu:1:2", "metal:software", "Vulkan"] {
            assert!(wrong.parse::<DeviceName>().is_err(), "{wrong}");
        }
    }
}
