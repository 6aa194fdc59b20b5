//! Running a plan: memory on a device, launches, what is written before and read after.

use std::ops::Range;
use std::sync::mpsc;
use std::time::Instant;

use rayon::prelude::*;
use wgpu::{BufferUsages, PollType};

use crate::device::Device;
use crate::error::GpuError;
use crate::network::Parameter;
use crate::plan::Plan;

/// Steps whose terms are kept until they are read.
const RING: usize = 256;

/// Words of the numbers of one step, with the row of its terms.
const STEP_NUMBERS: usize = 6;

/// The numbers of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepNumbers {
    /// Learning rate, for Adam divided by the bias correction of the first moment.
    pub rate: f64,
    /// The root of the bias correction of the second moment, for Adam.
    pub root: f64,
    /// Those of the [`Constraint`](crate::Constraint).
    pub weights: [f64; 3],
}

/// The images of one step.
#[derive(Clone, Copy, Debug)]
pub enum Images<'a> {
    /// [B, H, W, C], as the network wants them.
    Values(&'a [f32]),
    /// B of those that stay on the device.
    Numbers(&'a [u32]),
}

/// The terms of one step, in nats per image.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTerms {
    /// What was minimised.
    pub total: f32,
    /// -ln p(x | z) with its constant.
    pub reconstruction: f32,
    /// The KL of each latent, `[D]`.
    pub kl_per_latent: Vec<f32>,
    /// The further terms of the [`Constraint`](crate::Constraint).
    pub own: Vec<f32>,
    /// Whether a term was not finite; the step was not taken then.
    pub bad_term: bool,
    /// Whether a gradient was not finite; the step was not taken then.
    pub bad_gradient: bool,
}

/// Which of the values that a parameter has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The parameter itself. Running averages have only this.
    Value,
    /// The gradient of the newest step.
    Gradient,
    /// The mean of gradients, or Adagrad's sum.
    First,
    /// The mean of squared gradients.
    Second,
}

/// A plan on a device, with its state.
#[derive(Debug)]
pub struct Session {
    device: Device,
    plan: Plan,
    /// Parameters, gradients, moments and running averages.
    state: wgpu::Buffer,
    maps: wgpu::Buffer,
    results: wgpu::Buffer,
    fault: wgpu::Buffer,
    table: wgpu::Buffer,
    numbers: wgpu::Buffer,
    images: wgpu::Buffer,
    bindings: wgpu::BindGroup,
    pipelines: Vec<wgpu::ComputePipeline>,
    /// Steps whose terms nobody has read.
    pending: usize,
}

impl Session {
    /// A plan with a state of zeros.
    ///
    /// # Errors
    /// If the device is too small for it.
    pub fn new(device: &Device, plan: Plan) -> Result<Self, GpuError> {
        let storage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let ring = RING * plan.row_len();
        let images = plan.store.map_or(0, |store| store.bytes());
        let [maps, state, partials, results, fault, table, numbers, images] = device.buffers([
            ("the maps of a batch", bytes(plan.maps_len()), storage),
            ("parameters", bytes(plan.state.len), storage),
            ("partial sums", bytes(plan.partials), storage),
            ("terms", bytes(ring), storage),
            ("faults", bytes(1), storage),
            ("the table of launches", bytes(4 * plan.table.len()), storage),
            ("numbers of a step", 32, BufferUsages::UNIFORM | BufferUsages::COPY_DST),
            ("all images", images, BufferUsages::STORAGE | BufferUsages::COPY_DST),
        ])?;
        device.queue.write_buffer(&table, 0, bytemuck::cast_slice(&plan.table));
        let buffers = [&maps, &state, &partials, &results, &fault, &table, &numbers, &images];
        let layout = binding_layout(device);
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let bindings = device.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &layout,
            entries: &entries,
        });
        let pipeline_layout =
            device.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                bind_group_layouts: &[Some(&layout)],
                ..wgpu::PipelineLayoutDescriptor::default()
            });
        let pipelines = plan.launches.par_iter().map(|launch| {
            let module = device.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(&launch.what),
                source: wgpu::ShaderSource::Wgsl(launch.source().into()),
            });
            device.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&launch.what),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: false,
                    ..wgpu::PipelineCompilationOptions::default()
                },
                cache: None,
            })
        });
        let pipelines = pipelines.collect();
        device.check()?;
        let device = device.clone();
        Ok(Self {
            device,
            plan,
            state,
            maps,
            results,
            fault,
            table,
            numbers,
            images,
            bindings,
            pipelines,
            pending: 0,
        })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Writes parameters, running averages or moments by their names.
    ///
    /// # Errors
    /// If one is missing, unknown, or of another length.
    pub fn write(&mut self, slot: Slot, tensors: &[(&str, &[f32])]) -> Result<(), GpuError> {
        let expected = self.tensors(slot);
        if expected.len() != tensors.len() {
            let found = tensors.len();
            let message = format!("expected {} tensors, found {found}", expected.len());
            return Err(GpuError::Tensors(message));
        }
        for (parameter, offset) in expected {
            let found = tensors.iter().find(|(name, _)| *name == parameter.name);
            match found {
                Some((_, values)) if values.len() == parameter.len() => {
                    let bytes = bytemuck::cast_slice(values);
                    self.device.queue.write_buffer(&self.state, 4 * offset as u64, bytes);
                }
                Some((name, values)) => {
                    let (expected, found) = (parameter.len(), values.len());
                    let message = format!("{name}: expected {expected} values, found {found}");
                    return Err(GpuError::Tensors(message));
                }
                None => return Err(GpuError::Tensors(format!("missing {}", parameter.name))),
            }
        }
        Ok(())
    }

    /// Reads parameters, running averages, gradients or moments.
    ///
    /// # Errors
    /// If the device is lost.
    pub fn read(&self, slot: Slot) -> Result<Vec<(Parameter, Vec<f32>)>, GpuError> {
        // Only where they are: the state holds all slots, and running averages behind them.
        let (tensors, parameters) = (self.tensors(slot), self.plan.state.parameters);
        let of = |tensors: &[(Parameter, usize)]| {
            let Some((_, start)) = tensors.first() else { return Ok(Vec::new()) };
            let end = tensors.last().map_or(*start, |(last, offset)| offset + last.len());
            let values = self.read_buffer(&self.state, *start, end - start)?;
            let part = |(parameter, offset): &(Parameter, usize)| {
                let values = &values[offset - start..][..parameter.len()];
                (parameter.clone(), values.to_vec())
            };
            Ok(tensors.iter().map(part).collect::<Vec<_>>())
        };
        let trained = tensors.partition_point(|(_, offset)| *offset < 4 * parameters);
        let (trained, running) = tensors.split_at(trained);
        Ok([of(trained)?, of(running)?].concat())
    }

    /// The tensors of a slot and where they begin.
    fn tensors(&self, slot: Slot) -> Vec<(Parameter, usize)> {
        let layout = &self.plan.state;
        let distance = match slot {
            Slot::Value => 0,
            Slot::Gradient => layout.parameters,
            Slot::First => 2 * layout.parameters,
            Slot::Second => 3 * layout.parameters,
        };
        let trained = layout.trained.iter().map(|t| (t.parameter.clone(), t.offset + distance));
        let running = layout.running.iter().map(|t| (t.parameter.clone(), t.offset));
        match slot {
            Slot::Value => trained.chain(running).collect(),
            Slot::Gradient | Slot::First | Slot::Second => trained.collect(),
        }
    }

    /// Writes some of the images that stay on the device, packed by their [`Encoding`](crate::Encoding), the first of them number
    /// `first`.
    ///
    /// # Errors
    /// If the device is lost.
    ///
    /// # Panics
    /// If there are more than the plan's store has.
    pub fn write_images(&mut self, first: usize, words: &[u32]) -> Result<(), GpuError> {
        let store = self.plan.store.unwrap_or_else(|| panic!("no images stay on the device"));
        let start = first * store.image_words();
        assert!(start + words.len() <= store.words(), "images that the store has");
        self.device.queue.write_buffer(&self.images, bytes(start), bytemuck::cast_slice(words));
        // So that what is written does not pile up in the host's memory.
        self.device.queue.submit([]);
        self.wait()
    }

    /// Takes a step of a plan of training on images and noise [B, D]. It does not wait until the step is done.
    ///
    /// # Errors
    /// If the device is lost.
    ///
    /// # Panics
    /// If images or noise have other lengths, images do not come from where the plan takes them, or the terms of 256 steps were not
    /// read.
    pub fn step(
        &mut self,
        images: Images<'_>,
        noise: &[f32],
        numbers: StepNumbers,
    ) -> Result<(), GpuError> {
        self.write_batch(images, noise);
        self.write_numbers(numbers);
        self.submit(0..self.pipelines.len());
        self.pending += 1;
        self.device.check()
    }

    /// As [`Session::step`], with numbers that depend on the KL of the batch in nats: it waits for the KL in mid-step.
    ///
    /// # Errors
    /// If the device is lost.
    ///
    /// # Panics
    /// As [`Session::step`].
    pub fn step_by_kl(
        &mut self,
        images: Images<'_>,
        noise: &[f32],
        numbers: impl FnOnce(f64) -> StepNumbers,
    ) -> Result<(), GpuError> {
        self.write_batch(images, noise);
        let Plan { kl, after_kl, latents, .. } = self.plan;
        self.submit(0..after_kl);
        let kl: f32 = self.read_buffer(&self.maps, kl, latents)?.iter().sum();
        self.write_numbers(numbers(f64::from(kl)));
        self.submit(after_kl..self.pipelines.len());
        self.pending += 1;
        self.device.check()
    }

    fn write_batch(&self, images: Images<'_>, noise: &[f32]) {
        let Plan { batch, latents, store, .. } = self.plan;
        assert_eq!(noise.len(), batch * latents, "noise of a batch");
        self.write_map(self.plan.noise, noise);
        match images {
            Images::Values(values) => {
                assert!(store.is_none(), "images stay on the device");
                self.write_input(values);
            }
            Images::Numbers(numbers) => {
                let store = store.unwrap_or_else(|| panic!("images come from the host"));
                assert_eq!(numbers.len(), batch, "images of a batch");
                let is_there = |number: &u32| (*number as usize) < store.images;
                assert!(numbers.iter().all(is_there), "images that the store has");
                let place = 16 * self.plan.numbers as u64;
                let numbers = bytemuck::cast_slice(numbers);
                self.device.queue.write_buffer(&self.table, place, numbers);
            }
        }
    }

    fn write_numbers(&self, StepNumbers { rate, root, weights: [a, b, c] }: StepNumbers) {
        assert!(self.pending < RING, "terms are read before there are too many");
        let floats = [a, b, c, rate, 1.0 / root].map(|number| number as f32);
        let [a, b, c, rate, root] = floats.map(f32::to_bits);
        let words: [u32; STEP_NUMBERS] = [a, b, c, rate, root, self.pending as u32];
        self.device.queue.write_buffer(&self.numbers, 0, bytemuck::cast_slice(&words));
    }

    /// Waits for all steps since the last call, and returns their terms.
    ///
    /// # Errors
    /// If the device is lost.
    pub fn take_terms(&mut self) -> Result<Vec<StepTerms>, GpuError> {
        let latents = self.plan.latents;
        let len = self.plan.row_len();
        let rows = self.read_buffer(&self.results, 0, self.pending * len)?;
        self.pending = 0;
        let terms = rows.chunks_exact(len).map(|row| {
            let fault = row[len - 1] as u32;
            StepTerms {
                total: row[0],
                reconstruction: row[1],
                kl_per_latent: row[2..latents + 2].to_vec(),
                own: row[latents + 2..len - 1].to_vec(),
                bad_term: fault & 1 != 0,
                bad_gradient: fault & 2 != 0,
            }
        });
        Ok(terms.collect())
    }

    /// Forgets that a term or a gradient was not finite, so that steps are taken again.
    pub fn forgive(&mut self) {
        self.device.queue.write_buffer(&self.fault, 0, &[0; 4]);
    }

    /// Runs a plan outside training, on images or latents, and returns codes or images.
    ///
    /// # Errors
    /// If the device is lost.
    ///
    /// # Panics
    /// If `input` has another length.
    pub fn pass(&mut self, input: &[f32]) -> Result<Vec<f32>, GpuError> {
        self.write_input(input);
        self.submit(0..self.pipelines.len());
        self.device.check()?;
        self.read_buffer(&self.maps, self.plan.output, self.plan.output_len)
    }

    /// Seconds that each launch takes alone, with the wait for it, the median of some rounds. The state is as after so many steps
    /// of the newest numbers.
    ///
    /// # Errors
    /// If the device is lost.
    pub fn measure(&mut self, rounds: usize) -> Result<Vec<f64>, GpuError> {
        let count = self.pipelines.len();
        let mut seconds = vec![Vec::new(); count];
        for _ in 0..rounds.max(1) {
            for (launch, seconds) in seconds.iter_mut().enumerate() {
                let start = Instant::now();
                self.submit(launch..launch + 1);
                self.wait()?;
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
        let median = |mut seconds: Vec<f64>| {
            seconds.sort_by(f64::total_cmp);
            seconds[seconds.len() / 2]
        };
        Ok(seconds.into_iter().map(median).collect())
    }

    /// Bytes that a step of training takes from the host: images or their numbers, noise, and the numbers of the step.
    pub fn bytes_per_step(&self) -> u64 {
        let Plan { batch, latents, store, .. } = &self.plan;
        let images = if store.is_some() { *batch } else { self.plan.maps[0].len };
        bytes(images + batch * latents + STEP_NUMBERS)
    }

    /// A region of maps, by its name, for tests.
    #[doc(hidden)]
    pub fn read_map(&self, name: &str) -> Result<Vec<f32>, GpuError> {
        let region = self.plan.maps.iter().find(|region| region.name == name);
        let region = region.unwrap_or_else(|| panic!("no map {name}"));
        self.read_buffer(&self.maps, region.offset, region.len)
    }

    fn write_map(&self, offset: usize, values: &[f32]) {
        let bytes = bytemuck::cast_slice(values);
        self.device.queue.write_buffer(&self.maps, 4 * offset as u64, bytes);
    }

    fn write_input(&self, input: &[f32]) {
        assert_eq!(input.len(), self.plan.maps[0].len, "{}", self.plan.maps[0].name);
        self.write_map(self.plan.input, input);
    }

    /// Hands out some of the launches.
    fn submit(&self, range: Range<usize>) {
        let mut encoder =
            self.device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_bind_group(0, &self.bindings, &[]);
            let launches = &self.plan.launches[range.clone()];
            for (launch, pipeline) in launches.iter().zip(&self.pipelines[range]) {
                pass.set_pipeline(pipeline);
                let [x, y, z] = launch.grid();
                pass.dispatch_workgroups(x, y, z);
            }
        }
        self.device.queue.submit([encoder.finish()]);
    }

    /// Waits for everything that was handed out.
    fn wait(&self) -> Result<(), GpuError> {
        let waited = self.device.device.poll(PollType::wait_indefinitely());
        self.device.check()?;
        waited.map(drop).map_err(|error| self.lost(error.to_string()))
    }

    fn lost(&self, reason: String) -> GpuError {
        GpuError::Lost { adapter: self.device.facts().adapter.clone(), reason }
    }

    fn read_buffer(
        &self,
        buffer: &wgpu::Buffer,
        offset: usize,
        len: usize,
    ) -> Result<Vec<f32>, GpuError> {
        if len == 0 {
            return Ok(Vec::new());
        }
        let usage = BufferUsages::COPY_DST | BufferUsages::MAP_READ;
        let [copy] = self.device.buffers([("a copy to read", bytes(len), usage)])?;
        let mut encoder =
            self.device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, bytes(offset), &copy, 0, bytes(len));
        self.device.queue.submit([encoder.finish()]);
        let (sender, receiver) = mpsc::channel();
        copy.map_async(wgpu::MapMode::Read, .., move |result| {
            // Nobody listens any more if the device was lost meanwhile.
            let _ = sender.send(result);
        });
        self.wait()?;
        match receiver.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(self.lost(error.to_string())),
            Err(error) => return Err(self.lost(error.to_string())),
        }
        let view = copy.get_mapped_range(..).map_err(|error| self.lost(error.to_string()))?;
        Ok(bytemuck::pod_collect_to_vec(&view[..4 * len]))
    }
}

/// The same for all kernels, so that nothing is bound again between launches.
fn binding_layout(device: &Device) -> wgpu::BindGroupLayout {
    use wgpu::BufferBindingType::{Storage, Uniform};
    let storage = |read_only| Storage { read_only };
    let kinds = [
        storage(false),
        storage(false),
        storage(false),
        storage(false),
        storage(false),
        storage(true),
        Uniform,
        storage(true),
    ];
    let entries: Vec<_> = (0..)
        .zip(kinds)
        .map(|(binding, ty)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        })
        .collect();
    device.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: None,
        entries: &entries,
    })
}

fn bytes(values: usize) -> u64 {
    4 * values as u64
}
