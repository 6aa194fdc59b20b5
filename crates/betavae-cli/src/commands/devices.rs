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
        for facts in &found {
            let kind = if facts.is_software { "software" } else { "hardware" };
            print(&format!("\n{}", facts.name))?;
            let bytes = |bytes: u64| format!("{} bytes", thousands(bytes as usize));
            for (what, found) in [
                ("adapter", format!("{} ({kind})", facts.adapter)),
                ("driver", facts.driver.clone()),
                ("largest buffer", bytes(facts.largest_buffer)),
                ("workgroup memory", bytes(facts.workgroup_memory)),
                ("invocations", thousands(facts.invocations as usize)),
                ("buffers of a kernel", thousands(facts.buffers as usize)),
            ] {
                print(&format!("  {what:<21}{found}"))?;
            }
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
