//! What processes cost, as Linux counts it.

use anyhow::Context as _;
use procfs::process::{Process, all_processes};
use procfs::{CurrentSI, KernelStats, ticks_per_second};

/// Resident memory of a process, in MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Everything, the pages of the program included.
    pub(crate) resident: f64,
    /// What is not backed by a file: heap and stacks.
    pub(crate) anonymous: f64,
    /// The most that was ever resident.
    pub(crate) peak: f64,
}

/// CPU seconds that a process has used, those of all its threads.
pub(crate) fn cpu(pid: i32) -> anyhow::Result<f64> {
    let stat = process(pid)?.stat()?;
    Ok((stat.utime + stat.stime) as f64 / ticks_per_second() as f64)
}

/// CPU seconds of the threads of this process whose name begins with `name`.
pub(crate) fn cpu_of_threads(name: &str) -> anyhow::Result<f64> {
    let mut ticks = 0;
    for task in Process::myself()?.tasks()? {
        let stat = task?.stat()?;
        if stat.comm.starts_with(name) {
            ticks += stat.utime + stat.stime;
        }
    }
    Ok(ticks as f64 / ticks_per_second() as f64)
}

/// CPU seconds that the whole machine was busy since it started.
pub(crate) fn busy() -> anyhow::Result<f64> {
    let total = KernelStats::current()?.total;
    let rest = [total.nice, total.system, total.irq.unwrap_or(0), total.softirq.unwrap_or(0)];
    Ok((total.user + rest.iter().sum::<u64>()) as f64 / ticks_per_second() as f64)
}

/// The memory of a process.
pub(crate) fn memory(pid: i32) -> anyhow::Result<Memory> {
    let status = process(pid)?.status()?;
    let mebibytes =
        |kibibytes: Option<u64>| kibibytes.context("the kernel tells no resident memory").map(|it| it as f64 / 1024.0);
    Ok(Memory {
        resident: mebibytes(status.vmrss)?,
        anonymous: mebibytes(status.rssanon)?,
        peak: mebibytes(status.vmhwm)?,
    })
}

/// The child of `parent` that runs `program`.
pub(crate) fn child(parent: i32, program: &str) -> anyhow::Result<i32> {
    let stats = all_processes()?.filter_map(|process| process.ok()?.stat().ok());
    // The kernel cuts the name at 15 characters.
    let cut = program.get(..15).unwrap_or(program);
    let found = stats.into_iter().find(|stat| stat.ppid == parent && stat.comm == cut);
    found.map(|stat| stat.pid).with_context(|| format!("the supervisor runs no {program}"))
}

fn process(pid: i32) -> anyhow::Result<Process> {
    Process::new(pid).with_context(|| format!("process {pid} has ended"))
}
