//! `completions` and `man`: made from the argument definitions, so they cannot fall behind.

use anyhow::Context;
use clap::CommandFactory;

use crate::args::{Arguments, Completions, Man};
use crate::output::{print, say};

pub fn completions(args: Completions) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "betavae", &mut script);
    print(String::from_utf8(script)?.trim_end())
}

pub fn man(args: Man) -> anyhow::Result<()> {
    let folder = &args.folder;
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), folder))
        .with_context(|| format!("cannot write manual pages to {}", folder.display()))?;
    say(&format!("wrote betavae.1 and a page per command to {}", folder.display()));
    Ok(())
}
