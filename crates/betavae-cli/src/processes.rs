//! Processes that a launcher has started for one training, and MPI between them (cargo feature `mpi`).

use betavae::train::Processes;

/// How many processes a launcher has started beside this one, itself included; 1 without a launcher.
fn launched() -> usize {
    // mpirun of Open MPI, launchers of MPICH and its kin (and srun for them), srun.
    let names = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];
    let size = |name: &&str| std::env::var(name).ok()?.parse().ok();
    names.iter().find_map(size).unwrap_or(1)
}

/// The processes of this training, if there are several.
///
/// # Errors
/// If a launcher has started several that know nothing of each other: each would train the same run.
#[cfg(not(feature = "mpi"))]
pub fn of_training() -> anyhow::Result<Option<Box<dyn Processes>>> {
    match launched() {
        1 => Ok(None),
        size => Err(betavae::Error::Config {
            message: format!(
                "a launcher has started {size} processes for one training, and this build has no MPI: each would \
                 train the same run"
            ),
            hint: "build betavae with --features mpi, or start one process; many runs are a sweep (betavae sweep)"
                .into(),
        }
        .into()),
    }
}

/// The processes of this training, if there are several. MPI ends with [`end`].
///
/// # Errors
/// If a launcher has started several that know nothing of each other, as when it is of another MPI than this build.
#[cfg(feature = "mpi")]
pub fn of_training() -> anyhow::Result<Option<Box<dyn Processes>>> {
    let size = launched();
    if size == 1 {
        return Ok(None);
    }
    with_mpi::start(size)
}

/// Takes leave of the other processes, if there are some: ends them all if this one has failed.
pub fn end(failed: bool) {
    #[cfg(feature = "mpi")]
    with_mpi::end(failed);
    #[cfg(not(feature = "mpi"))]
    let _ = failed;
}

#[cfg(feature = "mpi")]
mod with_mpi {
    use std::cell::RefCell;

    use anyhow::anyhow;
    use betavae::train::Processes;
    use mpi::Threading;
    use mpi::environment::Universe;
    use mpi::topology::SimpleCommunicator;
    use mpi::traits::{Communicator, Destination, Root, Source};

    thread_local! {
        /// Held by the main thread for as long as MPI is needed.
        static UNIVERSE: RefCell<Option<Universe>> = const { RefCell::new(None) };
    }

    pub(super) fn start(size: usize) -> anyhow::Result<Option<Box<dyn Processes>>> {
        // Only this thread calls it, beside others that do not.
        let started = mpi::initialize_with_threading(Threading::Funneled);
        let (universe, threading) = started.ok_or_else(|| anyhow!("MPI is in use already"))?;
        let found = universe.world().size() as usize;
        UNIVERSE.with(|held| *held.borrow_mut() = Some(universe));
        if threading < Threading::Funneled {
            end(false);
            return Err(anyhow!("this MPI does not allow threads beside the one that calls it"));
        }
        if found != size {
            end(false);
            return Err(betavae::Error::Config {
                message: format!(
                    "a launcher has started {size} processes, and MPI knows {found}: each would train the same run"
                ),
                hint: "start them with the launcher of the MPI that this binary was built with; srun may need --mpi=pmix \
                       or --mpi=pmi2"
                    .into(),
            }
            .into());
        }
        Ok(Some(Box::new(World)))
    }

    pub(super) fn end(failed: bool) {
        let Some(universe) = UNIVERSE.with(|held| held.borrow_mut().take()) else { return };
        // The others may be waiting for this one in the middle of a step.
        if failed {
            universe.world().abort(1);
        }
    }

    /// All processes that were started together.
    struct World;

    fn world() -> SimpleCommunicator {
        SimpleCommunicator::world()
    }

    impl Processes for World {
        fn rank(&self) -> usize {
            world().rank() as usize
        }
        fn size(&self) -> usize {
            world().size() as usize
        }
        fn send(&self, values: &[f32], to: usize) {
            world().process_at_rank(to as i32).send(values);
        }
        fn receive(&self, values: &mut [f32], from: usize) {
            world().process_at_rank(from as i32).receive_into(values);
        }
        fn broadcast(&self, values: &mut [f32]) {
            world().process_at_rank(0).broadcast_into(values);
        }
    }
}
