//! The one device of a run, chosen once and aloud.

use crate::Error;
use resident_vulkan::{DeviceInfo, DeviceKind, Listing, rank};
use std::fmt;
use std::str::FromStr;

/// What the user asked for with `--device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceRequest {
    /// The best hardware GPU, else the CPU device.
    #[default]
    Auto,
    /// The CPU device.
    Cpu,
    /// The best Vulkan device, a software driver too when there is no other.
    Gpu,
    /// The Vulkan device of this index in the listing.
    GpuIndex(usize),
}

impl FromStr for DeviceRequest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "gpu" => Ok(Self::Gpu),
            Some(("gpu", index)) => {
                index.parse().map(Self::GpuIndex).map_err(|_| Error::UnknownDevice(text.into()))
            }
            _ => Err(Error::UnknownDevice(text.into())),
        }
    }
}

impl fmt::Display for DeviceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu => f.write_str("gpu"),
            Self::GpuIndex(index) => write!(f, "gpu:{index}"),
        }
    }
}

/// What a run runs on, as reports name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A hardware GPU.
    Gpu,
    /// A software Vulkan driver: counts as CPU in every gate.
    SoftwareGpu,
    /// The CPU device: the plan interpreter.
    Cpu,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gpu => "gpu",
            Self::SoftwareGpu => "software-gpu",
            Self::Cpu => "cpu",
        })
    }
}

/// Where a session runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A Vulkan device.
    Vulkan(Box<DeviceInfo>),
    /// The plan interpreter on the host's cores.
    Cpu,
}

/// The chosen device and why it was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Where to run.
    pub target: Target,
    /// What was asked for.
    pub request: DeviceRequest,
    /// One clause, for people: `best of 2 Vulkan devices: discrete, 139 GiB`.
    pub reason: String,
}

impl Choice {
    /// What reports call it.
    pub fn kind(&self) -> Kind {
        match &self.target {
            Target::Cpu => Kind::Cpu,
            Target::Vulkan(info) if info.kind.is_software() => Kind::SoftwareGpu,
            Target::Vulkan(_) => Kind::Gpu,
        }
    }
}

/// Chooses the device of a run. Nothing falls back afterwards.
///
/// # Errors
/// [`Error::NoGpu`] where the request cannot be met: `require_gpu` accepts hardware only, `gpu` any Vulkan device.
pub fn choose(listing: &Listing, request: DeviceRequest, require_gpu: bool) -> Result<Choice, Error> {
    let found = describe(listing);
    let none = |wanted: &str| Error::NoGpu(format!("{wanted}; {found}"));
    let usable = |info: &&DeviceInfo| info.unusable.is_none();
    let hardware = |info: &&DeviceInfo| info.kind != DeviceKind::Cpu;
    let ranked = rank(&listing.devices);
    let mut best_first =
        ranked.iter().map(|r| (&listing.devices[r.index], r.reason.as_str())).filter(|(i, _)| usable(i));
    let on = |(info, reason): (&DeviceInfo, &str)| Choice {
        target: Target::Vulkan(Box::new(info.clone())),
        request,
        reason: reason.to_owned(),
    };
    let choice = match request {
        DeviceRequest::Cpu if require_gpu => return Err(none("--device cpu contradicts --require-gpu")),
        DeviceRequest::Cpu => Choice { target: Target::Cpu, request, reason: "asked for".into() },
        DeviceRequest::Auto => match best_first.find(|(i, _)| hardware(i)) {
            Some(best) => on(best),
            None if require_gpu => return Err(none("a hardware GPU is required")),
            None => Choice { target: Target::Cpu, request, reason: format!("no hardware GPU: {found}") },
        },
        DeviceRequest::Gpu => on(best_first.next().ok_or_else(|| none("no Vulkan device"))?),
        DeviceRequest::GpuIndex(index) => {
            let info = listing
                .devices
                .iter()
                .find(|i| i.index == index)
                .ok_or_else(|| none(&format!("no device gpu:{index}")))?;
            if let Some(why) = &info.unusable {
                return Err(none(&format!("gpu:{index} ({}) cannot be used: {why}", info.name)));
            }
            on((info, "asked for by index"))
        }
    };
    if require_gpu && choice.kind() != Kind::Gpu {
        return Err(none("a hardware GPU is required"));
    }
    Ok(choice)
}

/// What was found, in one clause.
fn describe(listing: &Listing) -> String {
    if listing.devices.is_empty() {
        return listing.note.clone().unwrap_or_else(|| "no Vulkan device was found".into());
    }
    let names = listing.devices.iter().map(|i| match &i.unusable {
        Some(why) => format!("gpu:{} {} ({}, unusable: {why})", i.index, i.name, i.kind),
        None => format!("gpu:{} {} ({})", i.index, i.name, i.kind),
    });
    format!("found {}", names.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(kinds: &[DeviceKind]) -> Listing {
        let device = |(index, kind): (usize, &DeviceKind)| DeviceInfo {
            index,
            name: format!("card {index}"),
            kind: *kind,
            ..DeviceInfo::default()
        };
        Listing { devices: kinds.iter().enumerate().map(device).collect(), note: None }
    }

    fn used(listing: &Listing, request: &str, require_gpu: bool) -> Result<(Kind, Option<usize>), String> {
        let choice = choose(listing, request.parse().unwrap(), require_gpu).map_err(|e| e.to_string())?;
        let index = match &choice.target {
            Target::Vulkan(info) => Some(info.index),
            Target::Cpu => None,
        };
        Ok((choice.kind(), index))
    }

    #[test]
    fn auto_takes_hardware_and_else_the_cpu() {
        let both = listing(&[DeviceKind::Cpu, DeviceKind::Integrated, DeviceKind::Discrete]);
        assert_eq!(used(&both, "auto", false), Ok((Kind::Gpu, Some(2))));
        assert_eq!(used(&listing(&[DeviceKind::Cpu]), "auto", false), Ok((Kind::Cpu, None)));
        assert_eq!(used(&listing(&[]), "auto", false), Ok((Kind::Cpu, None)));
    }

    #[test]
    fn gpu_takes_a_software_driver_only_when_there_is_no_other() {
        assert_eq!(used(&listing(&[DeviceKind::Cpu]), "gpu", false), Ok((Kind::SoftwareGpu, Some(0))));
        let both = listing(&[DeviceKind::Cpu, DeviceKind::Discrete]);
        assert_eq!(used(&both, "gpu", false), Ok((Kind::Gpu, Some(1))));
        assert_eq!(used(&both, "gpu:0", false), Ok((Kind::SoftwareGpu, Some(0))));
    }

    #[test]
    fn a_required_gpu_is_hardware_and_the_message_says_what_was_found() {
        for request in ["auto", "gpu", "gpu:0"] {
            let error = used(&listing(&[DeviceKind::Cpu]), request, true).unwrap_err();
            assert!(error.contains("a hardware GPU is required; found gpu:0 card 0 (software)"), "{error}");
        }
        assert!(used(&listing(&[]), "cpu", true).unwrap_err().contains("contradicts"));
        assert!(used(&listing(&[]), "gpu:3", false).unwrap_err().contains("no device gpu:3"));
    }

    #[test]
    fn other_words_are_no_devices() {
        for word in ["", "cuda", "gpu:", "gpu:x", "cpu:0", "GPU"] {
            assert!(word.parse::<DeviceRequest>().is_err(), "{word}");
        }
    }
}
