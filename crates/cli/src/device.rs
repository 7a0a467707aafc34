//! The flags that choose the device, and the choice as reports show it.

use clap::Args;
use resident_ledger::{DeviceKind, DeviceReport};
use resident_runtime::{Choice, DeviceRequest, Kind, Target, choose, list_devices};

#[derive(Args)]
pub(crate) struct DeviceArgs {
    /// auto (the best hardware GPU, else the CPU), cpu, gpu (the best Vulkan device), or gpu:N as 'resident devices' lists it
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    device: String,
    /// Fail with exit code 4 unless a hardware GPU runs everything
    #[arg(long)]
    pub(crate) require_gpu: bool,
}

impl DeviceArgs {
    /// Chooses the device of this run. With `--device cpu` no Vulkan driver is touched.
    pub(crate) fn choose(&self) -> Result<Choice, resident_runtime::Error> {
        let request: DeviceRequest = self.device.parse()?;
        let listing = if request == DeviceRequest::Cpu { Default::default() } else { list_devices()? };
        choose(&listing, request, self.require_gpu)
    }

    /// The choice for the report.
    pub(crate) fn report(&self, choice: &Choice) -> DeviceReport {
        let kind = match choice.kind() {
            Kind::Gpu => DeviceKind::Gpu,
            Kind::SoftwareGpu => DeviceKind::SoftwareGpu,
            Kind::Cpu => DeviceKind::Cpu,
        };
        let (used, driver, index) = match &choice.target {
            Target::Cpu => (cpu_name(), None, None),
            Target::Vulkan(info) => {
                let driver = format!("{} {}", info.driver_name, info.driver_info);
                (info.name.clone(), Some(driver.trim().to_owned()), Some(info.index))
            }
        };
        let (requested, reason) = (choice.request.to_string(), choice.reason.clone());
        DeviceReport { kind, requested, require_gpu: self.require_gpu, used, driver, index, reason }
    }
}

/// The processor and the threads that the CPU device uses: `AMD EPYC, 2 threads`.
pub(crate) fn cpu_name() -> String {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let plural = if threads == 1 { "" } else { "s" };
    // Linux names the processor here; elsewhere the architecture must do.
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let name = model.map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    format!("{name}, {threads} thread{plural}")
}
