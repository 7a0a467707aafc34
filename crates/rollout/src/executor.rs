//! The ways to run steps, and which of them a device can go.

use resident_kernels::DeviceTraits;
use resident_kernels::real::{Operator, RealType};
use resident_kernels::vecmat::Tiling;
use resident_kernels::vecmat_chain::Team;
use resident_kernels::vecmat_persistent::Shape;
use resident_runtime::{Choice, Kind, Target};
use std::fmt;
use std::str::FromStr;

/// How steps are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Executor {
    /// A dispatch a step, recorded once and replayed, A streamed from memory: every size, batches, every device.
    Replay,
    /// Many steps a dispatch in one workgroup that holds A: small A, one trajectory.
    Workgroup,
    /// Many steps a dispatch in several workgroups that hold A together and hand z to each other; a batch is shared by several such
    /// teams. On the CPU device by threads that stay with their part of A: one trajectory.
    Persistent,
}

impl Executor {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Replay, Self::Workgroup, Self::Persistent];
}

impl fmt::Display for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Replay => "replay",
            Self::Workgroup => "workgroup",
            Self::Persistent => "persistent",
        })
    }
}

impl FromStr for Executor {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|executor| executor.to_string() == name);
        found
            .ok_or_else(|| format!("'{name}' is no executor, expected auto, replay, workgroup or persistent"))
    }
}

/// How an executor runs on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Replay(Tiling),
    Chain(Team),
    Persistent { shape: Shape, patience: u32 },
}

/// What decides between variants of the kernels.
fn traits_of(target: &Target) -> DeviceTraits {
    match target {
        Target::Cpu => DeviceTraits::LEAST,
        Target::Vulkan(info) => DeviceTraits {
            shared_memory_bytes: info.limits.max_compute_shared_memory_bytes,
            subgroup_size: info.features.subgroup_size,
            workgroup_invocations: info.limits.max_compute_workgroup_invocations,
            ..DeviceTraits::LEAST
        },
    }
}

/// Polls of a word before it is given up: about 100 ms on an H200. On a software driver, whose workgroups take turns, the wait is
/// vain anyway.
const PATIENCE: u32 = 1 << 17;
const SOFTWARE_PATIENCE: u32 = 1 << 10;

/// Ways that are measured for an executor at the most.
const MOST_WAYS: usize = 8;

impl Way {
    /// How `executor` could run `rows` trajectories on the chosen device, the most promising way first, or why it cannot.
    pub(crate) fn all(
        executor: Executor,
        operator: Operator,
        rows: u32,
        choice: &Choice,
    ) -> Result<Vec<Self>, String> {
        let device = traits_of(&choice.target);
        match (executor, &choice.target) {
            (Executor::Replay, _) => {
                let mut tilings = Tiling::all(operator, rows, device);
                tilings.truncate(if choice.kind() == Kind::Gpu { MOST_WAYS } else { 1 });
                Ok(tilings.into_iter().map(Self::Replay).collect())
            }
            (Executor::Workgroup, _) if rows > 1 => Err(takes_one(rows)),
            (Executor::Workgroup, Target::Cpu) => Err("the CPU device has no workgroups".to_owned()),
            (Executor::Workgroup, Target::Vulkan(_)) => {
                let team = Team::of(operator, device.workgroup_invocations);
                team.map(|team| vec![Self::Chain(team)])
                    .ok_or_else(|| does_not_fit(operator, "one workgroup"))
            }
            (Executor::Persistent, Target::Cpu) if rows > 1 => Err(takes_one(rows)),
            (Executor::Persistent, Target::Cpu) => Ok(vec![Self::Chain(Team::THREADS)]),
            (Executor::Persistent, Target::Vulkan(_)) if operator.real != RealType::F32 => {
                Err(format!("it hands z over in words of 32 bits, not in {}", operator.real))
            }
            (Executor::Persistent, Target::Vulkan(info)) => {
                let features = &info.features;
                if !features.vulkan_memory_model || !features.subgroup_operations.shuffle {
                    return Err("the device lacks the Vulkan memory model or subgroup shuffles".to_owned());
                }
                let software = choice.kind() == Kind::SoftwareGpu;
                let patience = if software { SOFTWARE_PATIENCE } else { PATIENCE };
                let shapes = Shape::all(operator, rows, device).into_iter();
                let ways: Vec<_> = shapes.map(|shape| Self::Persistent { shape, patience }).collect();
                match ways.is_empty() {
                    true if rows > 1 => {
                        Err(format!("a batch of {rows} with an A of {} does not fit", operator.dim))
                    }
                    true => Err(does_not_fit(operator, "the workgroups of a dispatch")),
                    false => Ok(ways),
                }
            }
        }
    }

    /// How it shares the work out there.
    pub(crate) fn name(&self, target: &Target) -> String {
        match (target, self) {
            (Target::Cpu, _) => "threads".to_owned(),
            (Target::Vulkan(_), Self::Replay(tiling)) => tiling.to_string(),
            (Target::Vulkan(_), Self::Chain(team)) => team.to_string(),
            (Target::Vulkan(_), Self::Persistent { shape, .. }) => shape.to_string(),
        }
    }

    /// Why it is not tried unless it is asked for.
    pub(crate) fn unlikely(&self, choice: &Choice) -> Option<&'static str> {
        match self {
            Self::Persistent { shape, .. } if choice.kind() == Kind::SoftwareGpu && shape.workgroups > 1 => {
                Some("a software driver's workgroups take turns instead of running at the same time")
            }
            _ => None,
        }
    }
}

fn takes_one(rows: u32) -> String {
    format!("it takes one trajectory, not a batch of {rows}")
}

fn does_not_fit(operator: Operator, place: &str) -> String {
    format!("an A of {dim} x {dim} in {} does not fit {place}", operator.real, dim = operator.dim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for executor in Executor::ALL {
            assert_eq!(executor.to_string().parse(), Ok(executor));
        }
        assert!("fast".parse::<Executor>().unwrap_err().contains("'fast' is no executor"));
    }
}
