//! `devices`.

use crate::args::Devices;
use crate::output::print;

#[cfg(feature = "gpu")]
pub fn devices(args: Devices) -> anyhow::Result<()> {
    use betavae::gpu::{AdapterFacts, adapters};
    use betavae::words::thousands;

    let found = adapters();
    if args.report {
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        print(&format!("betavae {} on {os} {arch}", env!("CARGO_PKG_VERSION")))?;
        for AdapterFacts { name, adapter, driver, is_software, .. } in &found {
            let kind = if *is_software { "software" } else { "hardware" };
            print(&format!(
                "\n{name}\n  adapter            {adapter} ({kind})\n  driver             {driver}"
            ))?;
        }
        for AdapterFacts { name, largest_buffer, workgroup_memory, invocations, .. } in &found {
            let [buffer, memory, invocations] = [largest_buffer, workgroup_memory, invocations]
                .map(|value| thousands(usize::try_from(*value).unwrap_or(usize::MAX)));
            print(&format!(
                "\n{name}\n  largest buffer     {buffer} bytes\n  workgroup memory   {memory} bytes\n  invocations        {invocations}"
            ))?;
        }
        return Ok(());
    }
    print(&format!("{:<18}{:<44}{:>14}", "device", "adapter", "largest buffer"))?;
    let cpu = betavae::cpu::instruction_set()?;
    print(&format!("{:<18}{:<44}", "cpu", format!("this processor, {cpu}")))?;
    for AdapterFacts { name, adapter, largest_buffer, .. } in &found {
        let megabytes = largest_buffer / 1_000_000;
        print(&format!("{name:<18}{adapter:<44}{megabytes:>11} MB"))?;
    }
    if found.is_empty() {
        print("\nno driver of a GPU was found")?;
    }
    Ok(())
}

#[cfg(not(feature = "gpu"))]
pub fn devices(_: Devices) -> anyhow::Result<()> {
    let cpu = betavae::cpu::instruction_set()?;
    print(&format!("{:<18}this processor, {cpu}\n\nthis build knows no GPUs", "cpu"))
}
